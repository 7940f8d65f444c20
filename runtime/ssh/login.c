#include "runtime/ssh/internal.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/ssh/state.h"

enum phase { HANDSHAKE, HOSTKEY, AUTH, DONE };

struct vx_login {
    struct vx_ssh_op op;
    struct vx_session *session;
    enum phase phase;
    struct vx_hostkey expected;
    struct vx_auth *auth;
};

static void finish(struct vx_login *login, const struct vx_err *err)
{
    login->phase = DONE;
    vx_auth_free(login->auth);
    login->auth = NULL;
    vx_ssh_op_stop(&login->op);
    vx_session_logged_in(login->session, err);
}

static bool shake(struct vx_login *login)
{
    struct vx_session *session = login->session;
    struct vx_err err = { 0 };
    int rc = libssh2_session_handshake(session->ssh, session->fd);

    if (rc == 0) {
        login->phase = HOSTKEY;
        return true;
    }
    if (rc == LIBSSH2_ERROR_EAGAIN)
        return false;
    if (rc == LIBSSH2_ERROR_KEX_FAILURE && !session->cut && !session->doomed) {
        vx_err_set(&err, VX_UNSUPPORTED, rc,
                   "%s: no common way to encrypt or to prove the host's identity was found: "
                   "libssh2 %s works with servers that have an ed25519 or ecdsa host key%s",
                   session->name, libssh2_version(0),
                   libssh2_version(0x010b00) == NULL ? "; with an RSA one from version 1.11 on"
                                                     : "");
        finish(login, &err);
    } else if (!vx_ssh_failed(session, rc, &err, "the SSH handshake failed")) {
        finish(login, &err);
    }
    return false;
}

static bool check_host(struct vx_login *login)
{
    struct vx_session *session = login->session;
    struct vx_hostkey seen;
    struct vx_err err = { 0 };
    size_t len = 0;
    int type = 0;
    const char *blob = libssh2_session_hostkey(session->ssh, &len, &type);

    if (blob == NULL || vx_hostkey_describe(&seen, blob, len) != 0) {
        vx_err_set(&err, VX_HOSTKEY, 0, "%s: the server sent no usable host key",
                   session->name);
    } else if (session->opts.host_key != NULL && !vx_hostkey_matches(&login->expected, &seen)) {
        vx_err_set(&err, VX_HOSTKEY, 0,
                   "%s: the server's host key is %s %s, but %s%s%s was expected: it is another "
                   "machine, or its key was changed; nothing was sent to it",
                   session->name, seen.type, seen.fingerprint, login->expected.type,
                   login->expected.type[0] != '\0' ? " " : "", login->expected.fingerprint);
    } else {
        login->phase = AUTH;
        login->auth = vx_auth_new(session);
        return true;
    }
    finish(login, &err);
    return false;
}

static void authenticate(struct vx_login *login)
{
    struct vx_err err = { 0 };
    int rc = vx_auth_step(login->auth, &err);

    if (rc == 0)
        finish(login, NULL);
    else if (rc < 0 && !vx_ssh_over(login->session))
        finish(login, &err);
}

static void step(struct vx_ssh_op *op)
{
    struct vx_login *login = VX_OF(op, struct vx_login, op);

    if (login->phase == HANDSHAKE && !shake(login))
        return;
    if (login->phase == HOSTKEY && !check_host(login))
        return;
    if (login->phase == AUTH)
        authenticate(login);
}

static void lost(struct vx_ssh_op *op, const struct vx_err *err)
{
    struct vx_login *login = VX_OF(op, struct vx_login, op);

    (void)err; /* the session reports it */
    login->phase = DONE;
}

/* Sets an order of methods, without those that this libssh2 does not know: it takes them out with a
 * memcpy over itself. */
static void prefer(LIBSSH2_SESSION *ssh, int method, const char *list)
{
    const char **known = NULL;
    int count = libssh2_session_supported_algs(ssh, method, &known);
    struct vx_buf wanted = { 0 };

    for (const char *at = list; *at != '\0';) {
        size_t len = strcspn(at, ",");

        for (int i = 0; i < count; i++)
            if (strlen(known[i]) == len && memcmp(known[i], at, len) == 0)
                vx_buf_fmt(&wanted, "%s%.*s", wanted.len > 0 ? "," : "", (int)len, at);
        at += len + (at[len] == ',');
    }
    if (count > 0)
        libssh2_free(ssh, known);
    if (wanted.len > 0)
        libssh2_session_method_pref(ssh, method, wanted.data);
    vx_buf_free(&wanted);
}

static void prefer_all(struct vx_login *login)
{
    LIBSSH2_SESSION *ssh = login->session->ssh;
    char keys[200];
    /* Measured on libssh2 1.10: the cheapest pair that a current server offers comes first. */
    static const char ciphers[] = "aes128-ctr,aes256-ctr,aes192-ctr,"
                                  "aes128-gcm@openssh.com,aes256-gcm@openssh.com,"
                                  "chacha20-poly1305@openssh.com";
    static const char macs[] = "hmac-sha2-256,hmac-sha2-256-etm@openssh.com,hmac-sha2-512,"
                               "hmac-sha2-512-etm@openssh.com,hmac-sha1";

    vx_hostkey_prefer(&login->expected, keys, sizeof keys);
    prefer(ssh, LIBSSH2_METHOD_HOSTKEY, keys);
    prefer(ssh, LIBSSH2_METHOD_CRYPT_CS, ciphers);
    prefer(ssh, LIBSSH2_METHOD_CRYPT_SC, ciphers);
    prefer(ssh, LIBSSH2_METHOD_MAC_CS, macs);
    prefer(ssh, LIBSSH2_METHOD_MAC_SC, macs);
}

struct vx_login *vx_login_start(struct vx_session *session, struct vx_err *err)
{
    struct vx_login *login = vx_zalloc(sizeof *login);

    if (session->opts.host_key != NULL &&
        vx_hostkey_parse(&login->expected, session->opts.host_key, err) != 0) {
        free(login);
        return NULL;
    }
    login->session = session;
    login->op.step = step;
    login->op.lost = lost;
    prefer_all(login);
    vx_pump_hang(session, &login->op);
    return login;
}

void vx_login_free(struct vx_login *login)
{
    if (login == NULL)
        return;
    vx_ssh_op_stop(&login->op);
    vx_auth_free(login->auth);
    free(login);
}
