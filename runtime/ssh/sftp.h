/* SFTP on a channel of its own: whole files through a pipe, and the small requests around them. */
#ifndef VX_SSH_SFTP_H
#define VX_SSH_SFTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/base/buf.h"
#include "runtime/loop/pipe.h"
#include "runtime/ssh/session.h"

/* A server's SFTP subsystem. It does one thing at a time: whoever wants two things at once opens
 * two. What it says about files comes from the other side and is not to be trusted. */
struct vx_sftp;

/* Runs once, from the loop, for each request; err is NULL when it was done. */
typedef void (*vx_sftp_cb)(const struct vx_err *err, void *arg);

/* Holds the session's memory. The subsystem itself is started by the first request; a server that
 * has none is kind "unsupported" then. Returns NULL with err when the session is over. */
struct vx_sftp *vx_sftp_new(struct vx_session *session, struct vx_err *err);

/* Ends the request under way, whose callback never runs, and closes the channel in the background.
 * NULL is fine. */
void vx_sftp_free(struct vx_sftp *sftp);

/* True once the session was lost or the subsystem misbehaved: no request will work any more. */
bool vx_sftp_dead(const struct vx_sftp *sftp);

enum vx_sftp_type { VX_SFTP_FILE, VX_SFTP_FOLDER, VX_SFTP_LINK, VX_SFTP_OTHER };

struct vx_sftp_stat {
    enum vx_sftp_type type;
    unsigned mode; /* permission bits */
    uint64_t size;
    int64_t mtime;
};

enum vx_sftp_verb {
    VX_SFTP_STAT,     /* fills stat of path, following links */
    VX_SFTP_LSTAT,    /* the same without following */
    VX_SFTP_LIST,     /* fills names with what is in the folder, but for "." and ".." */
    VX_SFTP_MKDIR,    /* makes the folder with mode */
    VX_SFTP_RMDIR,    /* removes an empty folder */
    VX_SFTP_REMOVE,   /* removes a file or link */
    VX_SFTP_RENAME,   /* path to other; an existing other is removed first where it must be */
    VX_SFTP_SYMLINK,  /* makes path, a link to other */
    VX_SFTP_READLINK, /* fills text with where the link points */
    VX_SFTP_SETSTAT,  /* sets mode and mtime of path */
    VX_SFTP_GET, /* the content of path into pipe, then the end; stat is of the open file */
    VX_SFTP_PUT, /* path is made anew (it must not exist) with mode, and filled from pipe */
};

struct vx_sftp_request {
    enum vx_sftp_verb verb;
    const char *path, *other; /* live until the callback */
    unsigned mode;
    int64_t mtime;
    struct vx_pipe *pipe; /* of get and put; lives until the callback or vx_sftp_free */
    uint64_t max;         /* of get: more bytes are kind "limit" */

    struct vx_sftp_stat stat;
    /* Of list: for each name a byte of type ('0' + vx_sftp_type), the name and a NUL. At most
     * 16 MiB. */
    struct vx_buf names;
    struct vx_buf text;
};

/* Starts a request, which lives until its callback. Returns -1 with err when one is under way or
 * the session is over. */
int vx_sftp_start(struct vx_sftp *sftp, struct vx_sftp_request *request, vx_sftp_cb done,
                  void *arg, struct vx_err *err);

#endif
