/* One authenticated SSH session: connect, log in, and stay alive until closed or lost. */
#ifndef VX_SSH_SESSION_H
#define VX_SSH_SESSION_H

#include <stdbool.h>
#include <stddef.h>

#include "runtime/loop/loop.h"

struct vx_session;

/* Runs once, when the session is ready (err is NULL) or could not be made. */
typedef void (*vx_session_cb)(const struct vx_err *err, void *arg);

/* Strings are copied; key, key_text, password and agent are tried in this order when given. */
struct vx_session_opts {
    const char *host; /* a name or a numeric address */
    int port;         /* 0 is 22 */
    const char *user;
    const char *key;      /* path of a private key */
    const char *key_text; /* or the private key itself */
    size_t key_text_len;
    const char *passphrase; /* of either; NULL when it has none */
    const char *password;
    bool agent;
    /* What the server must prove to be: a public key line ("ssh-ed25519 AAAA..."), its base64
     * part, or "SHA256:..." as ssh-keygen -l prints it. NULL with unchecked takes any key. */
    const char *host_key;
    bool unchecked;
    double timeout; /* seconds for all of it; 0 is 30 */
    double
        keepalive; /* seconds of silence before the peer is asked for a sign of life; 0 is 15 */
    int keepalive_count; /* how many silences make it dead; 0 is 3 */
};

/* Starts to connect. Never NULL unless the options are wrong (err says how). */
struct vx_session *vx_session_open(struct vx_loop *loop, const struct vx_session_opts *opts,
                                   vx_session_cb done, void *arg, struct vx_err *err);

/* Ends the session; what still runs on it ends with kind "closed", and done, if it has not run
 * yet, never will. Others may still hold channels of it: they stay valid, ended. NULL is fine.
 */
void vx_session_free(struct vx_session *session);

/* Ends the session as lost for a reason that the caller knows (the guest's process died): all
 * that waits ends at once with this error. Later calls on it fail with the same. */
void vx_session_fail(struct vx_session *session, const struct vx_err *why);

/* NULL while the session is usable or on its way, otherwise why it is not. */
const struct vx_err *vx_session_error(const struct vx_session *session);

/* How much a session is used: nothing runs or is being opened; commands run; or one of them was
 * let go of before its end, and may run on where nobody hears of it. Files do not count. */
enum vx_session_use { VX_SESSION_QUIET, VX_SESSION_BUSY, VX_SESSION_LITTERED };
enum vx_session_use vx_session_use(const struct vx_session *session);

/* "user@host:port", for messages. */
const char *vx_session_name(const struct vx_session *session);

/* How the session is encrypted and which host key it saw; empty strings before the log-in. */
struct vx_session_info {
    char kex[64], cipher[64], mac[64], host_key_type[64], fingerprint[64];
    char server[128];    /* how it names itself, "SSH-2.0-OpenSSH_9.2" */
    double connect_time; /* seconds from open to ready */
};
void vx_session_info(const struct vx_session *session, struct vx_session_info *info);

/* The version of the libssh2 in use, "1.10.0". */
const char *vx_ssh_version(void);

#endif
