/* What the bindings of file copy share. */
#ifndef BINDINGS_COPY_H
#define BINDINGS_COPY_H

#include <lua.h>

#include "runtime/data/tar.h"
#include "runtime/loop/pipe.h"
#include "runtime/ssh/sftp.h"

/* The userdata of vm.raw.sftp.open. */
struct l_sftp {
    struct vx_sftp *sftp; /* NULL: closed */
    /* Told when it is closed while a request is under way, instead of the request's callback. */
    vx_sftp_cb gone;
    void *arg;
};

/* Starts a request whose callback also runs, with kind "closed", when the channel is closed by
 * somebody else before. Returns 0 or -1 with err. */
int l_sftp_start(struct l_sftp *l, struct vx_sftp_request *request, vx_sftp_cb done, void *arg,
                 struct vx_err *err);

/* Ends the request under way without its callback, and the channel with it. */
void l_sftp_abandon(struct l_sftp *l);

/* Raises when the value is no SFTP object; it may be a closed one. */
struct l_sftp *check_sftp(lua_State *L, int arg);

enum copy_kind { COPY_PACK, COPY_UNPACK, COPY_READ, COPY_WRITE };

/* What a copy's thread works on; it outlives the task that asked. */
struct copy_work {
    enum copy_kind kind;
    struct vx_pipe *pipe; /* the thread's hold */
    char *path;           /* of read and write: the file; of unpack: the folder */
    struct vx_tar_source *sources;
    size_t source_count;
    char **exclude; /* NULL-terminated, or NULL */
    char *last_name, *last_data;
    size_t last_len;
    struct vx_tar_pack pack;
    struct vx_tar_unpack unpack;
    struct vx_tar_count count;
    uint64_t max; /* of write: bytes */

    /* The loop's side of it. */
    void (*done)(struct copy_work *work);
    void *owner; /* NULL: nobody waits for it any more */
};

/* Does the work, with the end or the error put into the pipe, and lets the pipe go. */
void copy_work(void *arg);

/* Fills the work from the table at this index; raises on wrong types, the work then still is the
 * caller's. */
void check_copy_work(lua_State *L, int table, struct copy_work *work);

/* Frees what it owns; the thread must have ended, or never have started. */
void copy_work_free(struct copy_work *work);

/* A list of strings of the table as copies, NULL-terminated; NULL when it is absent or empty.
 * Raises on wrong types. */
char **check_patterns(lua_State *L, int table, const char *name);
void patterns_free(char **patterns);

#endif
