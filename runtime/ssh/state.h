/* The session's inside, for the files that make it up: session, pump, login, dial and witness. */
#ifndef VX_SSH_STATE_H
#define VX_SSH_STATE_H

#include "runtime/ssh/internal.h"

struct vx_login;
struct vx_dial;

struct vx_session {
    struct vx_loop *loop;
    int refs; /* the owner's, and one of each op */
    char *name;
    struct vx_session_opts opts; /* with strings of our own */
    vx_session_cb done;          /* NULL once it ran */
    void *arg;
    double started, connect_time;

    struct vx_dial *dial;
    struct vx_login *login;
    struct vx_timer *limit; /* of the connect timeout */
    bool ready;

    bool doomed; /* over is filled, the ops are not told yet */
    bool ended;  /* nothing but memory is left */
    struct vx_err over;

    LIBSSH2_SESSION *ssh;
    int fd;
    struct vx_watch *watch;

    struct vx_link ops;
    int depth; /* of vx_ssh_enter */
    bool pumping, again;
    struct vx_timer *soon;
    struct vx_timer *linger; /* until what is not urgent goes out by itself */

    struct vx_buf out; /* what the socket did not take yet, from out_sent on */
    size_t out_sent;
    bool lazy;   /* what is written now may wait for the next turn, to go with what follows */
    bool urgent; /* something in out may not */
    struct vx_buf in; /* what came while nobody asked, from in_used on */
    size_t in_used;
    size_t budget; /* bytes still to be read from the socket in this turn */
    bool drained;  /* the socket had no more in this turn */
    bool asked;    /* somebody wanted bytes in this pass */
    bool cut;      /* the socket is at its end, or we treat it so */
    int cut_errno; /* why; 0 is an orderly end */
    int patience;  /* vain reads until the next one fails; 0 is no limit (socket.c) */

    struct vx_ssh_op *turn;
    bool turn_wanted;            /* somebody was told to ask again */
    int channels, channel_limit; /* open now; 0 is no limit known */
    bool served;                 /* some channel was opened */
    int refusals;                /* in a row, while none was open */
    struct vx_timer *retry;      /* until the next open after one of them */
    int running;                 /* commands between their start and their end */
    bool littered;               /* one was let go of before its end */

    struct vx_timer *tick;
    double last_heard;
    int silences;

    /* What the witness saw (witness.c). */
    long opened_id;
    struct vx_link commands;
    struct vx_link blocks; /* of memory in libssh2's hands */
};

/* witness.c: the allocator handed to libssh2, which also sees what passes by. */
LIBSSH2_SESSION *vx_witness_new(struct vx_session *session);
/* Frees libssh2's session, and what it forgets. It must not have to wait any more. */
void vx_witness_end(struct vx_session *session);
/* A command that wants to know whether its exit status really came. */
struct vx_witness {
    struct vx_link link;
    long channel; /* its number, -1 when not known */
    bool status_seen;
};
/* Call both right after the open: it is about the channel opened last. */
void vx_witness_add(struct vx_session *session, struct vx_witness *witness);
void vx_witness_remove(struct vx_witness *witness);
/* For strings that libssh2 will free. */
void *vx_witness_alloc(size_t len, void **abstract);
/* For strings that libssh2 made for us. */
void vx_witness_free(struct vx_session *session, void *ptr);

/* socket.c: the callbacks that libssh2 reads and writes by. While patience is above 0, it counts
 * the reads that found nothing, and the last one fails as if the connection were gone: for calls
 * in which libssh2 would otherwise loop until an answer comes. */
ssize_t vx_socket_recv(libssh2_socket_t fd, void *buf, size_t len, int flags, void **abstract);
ssize_t vx_socket_send(libssh2_socket_t fd, const void *buf, size_t len, int flags,
                       void **abstract);

/* pump.c */
void vx_pump_start(struct vx_session *session);
int vx_pump_watch(struct vx_session *session, struct vx_err *err);
/* Hangs an op on a session that is not ready yet. */
void vx_pump_hang(struct vx_session *session, struct vx_ssh_op *op);
/* Marks the session as over; the ops are told from the loop, or at the end of the running turn. */
void vx_pump_doom(struct vx_session *session, const struct vx_err *why);
/* Tells the ops, closes the socket and frees libssh2's session. Not inside a step. */
void vx_pump_end(struct vx_session *session);

/* session.c. Overwrites a secret. */
void vx_wipe(void *secret, size_t len);
/* The log-in is done, well (NULL) or not. */
void vx_session_logged_in(struct vx_session *session, const struct vx_err *err);
void vx_session_report(struct vx_session *session, const struct vx_err *err);

/* login.c: handshake, host key, authentication, as one op. */
struct vx_login *vx_login_start(struct vx_session *session, struct vx_err *err);
void vx_login_free(struct vx_login *login);

/* auth.c: one way to log in after the other. Returns 0 when in, 1 for "wait", -1 with err. */
struct vx_auth;
struct vx_auth *vx_auth_new(struct vx_session *session);
int vx_auth_step(struct vx_auth *auth, struct vx_err *err);
void vx_auth_free(struct vx_auth *auth);

/* dial.c: a connected, non-blocking socket, or why not. */
typedef void (*vx_dial_cb)(int fd, const struct vx_err *err, void *arg);
struct vx_dial *vx_dial_start(struct vx_loop *loop, const char *host, int port, vx_dial_cb done,
                              void *arg, struct vx_err *err);
void vx_dial_free(struct vx_dial *dial);

/* hostkey.c: what the server must prove to be. */
struct vx_hostkey {
    unsigned char blob[1024]; /* the key as on the wire, when it was given whole */
    size_t blob_len;
    char type[40];        /* "ssh-ed25519"; "" when only a fingerprint is known */
    char fingerprint[64]; /* "SHA256:..." without padding */
};
int vx_hostkey_parse(struct vx_hostkey *key, const char *text, struct vx_err *err);
/* The order in which the server is asked for its keys. */
void vx_hostkey_prefer(const struct vx_hostkey *key, char *list, size_t size);
/* Fills type and fingerprint of a key as it is on the wire. */
int vx_hostkey_describe(struct vx_hostkey *key, const void *blob, size_t len);
bool vx_hostkey_matches(const struct vx_hostkey *expected, const struct vx_hostkey *seen);
/* Decodes base64 up to the first foreign byte; returns how many bytes were made. */
size_t vx_base64_decode(const char *text, size_t len, unsigned char *out, size_t size);

#endif
