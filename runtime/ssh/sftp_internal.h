/* What the files of SFTP share: the machine and its two halves, small requests and whole files. */
#ifndef VX_SSH_SFTP_INTERNAL_H
#define VX_SSH_SFTP_INTERNAL_H

#include <libssh2_sftp.h>

#include "runtime/ssh/internal.h"
#include "runtime/ssh/sftp.h"

/* START until the subsystem answers, IDLE between requests, BUSY, CLOSING when let go of. */
enum vx_sftp_phase {
    VX_SFTP_STARTING,
    VX_SFTP_IDLE,
    VX_SFTP_BUSY,
    VX_SFTP_CLOSING,
    VX_SFTP_DEAD
};

struct vx_sftp {
    struct vx_ssh_op op;
    struct vx_session *session; /* our own reference */
    enum vx_sftp_phase phase;
    bool orphan, opened;
    LIBSSH2_SFTP *sftp;
    LIBSSH2_SFTP_HANDLE *handle;
    struct vx_err over;
    struct vx_timer *limit; /* of starting */

    struct vx_sftp_request *request;
    vx_sftp_cb done;
    void *arg;
    int step;     /* of the request */
    bool closing; /* the handle is being closed; outcome says what comes after */
    struct vx_err outcome, refusal;
    char *chunk; /* of get */
    size_t chunk_len, chunk_given;
    uint64_t moved; /* bytes of get and put */
};

/* What a request's half returns: it waits, it is done, or it failed with outcome filled. */
enum vx_sftp_turn { VX_SFTP_WAIT, VX_SFTP_DONE, VX_SFTP_FAILED };

/* For a libssh2 code below 0 of a request: WAIT for EAGAIN and for a session that is over (lost()
 * follows), else FAILED with outcome. */
enum vx_sftp_turn vx_sftp_refused(struct vx_sftp *sftp, long rc, const char *what);

/* sftp_request.c */
enum vx_sftp_turn vx_sftp_small(struct vx_sftp *sftp);
void vx_sftp_take_stat(const LIBSSH2_SFTP_ATTRIBUTES *from, struct vx_sftp_stat *to);

/* sftp_file.c */
enum vx_sftp_turn vx_sftp_get(struct vx_sftp *sftp);
enum vx_sftp_turn vx_sftp_put(struct vx_sftp *sftp);

#endif
