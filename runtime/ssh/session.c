#include "runtime/ssh/session.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "runtime/ssh/state.h"

static char *copy(const char *str)
{
    return str != NULL ? vx_strdup(str) : NULL;
}

void vx_wipe(void *secret, size_t len)
{
    volatile char *at = secret;

    while (at != NULL && len-- > 0)
        *at++ = 0;
}

static void wipe(const char *secret, size_t len)
{
    char *mine = (char *)(uintptr_t)secret;

    vx_wipe(mine, len);
    free(mine);
}

/* Secrets are needed only until the log-in. */
static void forget(struct vx_session_opts *opts)
{
    wipe(opts->key_text, opts->key_text_len);
    wipe(opts->password, opts->password != NULL ? strlen(opts->password) : 0);
    wipe(opts->passphrase, opts->passphrase != NULL ? strlen(opts->passphrase) : 0);
    opts->key_text = opts->password = opts->passphrase = NULL;
    opts->key_text_len = 0;
}

static void free_memory(struct vx_session *session)
{
    forget(&session->opts);
    free((char *)(uintptr_t)session->opts.host);
    free((char *)(uintptr_t)session->opts.user);
    free((char *)(uintptr_t)session->opts.key);
    free((char *)(uintptr_t)session->opts.host_key);
    free(session->name);
    free(session);
}

struct vx_session *vx_ssh_ref(struct vx_session *session)
{
    session->refs++;
    return session;
}

void vx_ssh_unref(struct vx_session *session)
{
    if (--session->refs == 0)
        free_memory(session);
}

LIBSSH2_SESSION *vx_ssh_handle(struct vx_session *session)
{
    return session->ssh;
}

void vx_session_report(struct vx_session *session, const struct vx_err *err)
{
    vx_session_cb done = session->done;

    session->done = NULL;
    if (done != NULL)
        done(err, session->arg);
}

void vx_session_logged_in(struct vx_session *session, const struct vx_err *err)
{
    vx_timer_free(session->limit);
    session->limit = NULL;
    if (err != NULL) {
        vx_pump_doom(session, err);
        return;
    }
    session->ready = true;
    session->connect_time = vx_loop_now() - session->started;
    forget(&session->opts);
    vx_session_report(session, NULL);
}

static void on_limit(void *arg)
{
    struct vx_session *session = arg;
    struct vx_err err = { 0 };

    vx_err_set(&err, VX_TIMEOUT, ETIMEDOUT, "%s: no connection after %.3g s: %s", session->name,
               session->opts.timeout,
               session->login == NULL ? "nothing answers there"
                                      : "it accepted, but the log-in did not end");
    session->cut = true;
    session->cut_errno = ETIMEDOUT;
    vx_pump_doom(session, &err);
}

static void on_dialled(int fd, const struct vx_err *failure, void *arg)
{
    struct vx_session *session = arg;
    struct vx_err err = { 0 };

    vx_dial_free(session->dial);
    session->dial = NULL;
    if (failure != NULL) {
        err = *failure;
        vx_err_prefix(&err, "%s", session->name);
        vx_pump_doom(session, &err);
        return;
    }
    session->fd = fd;
#ifdef TCP_USER_TIMEOUT
    {
        double patience = session->opts.keepalive * (session->opts.keepalive_count + 1);
        unsigned ms = patience < 1e6 ? (unsigned)(patience * 1000) : 1000000000u;
        /* Only a quicker end for a peer that vanished: without it the kernel decides. */
        (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof ms);
    }
#endif
    session->ssh = vx_witness_new(session);
    if (session->ssh == NULL) {
        vx_err_set(&err, VX_SSH, 0, "%s: libssh2 could not make a session", session->name);
        vx_pump_doom(session, &err);
        return;
    }
    vx_pump_start(session);
    session->login = vx_login_start(session, &err);
    if (session->login == NULL || vx_pump_watch(session, &err) != 0) {
        vx_pump_doom(session, &err);
        return;
    }
    vx_ssh_soon(session);
}

static int check(const struct vx_session_opts *opts, struct vx_err *err)
{
    struct vx_hostkey key;

    if (opts->host == NULL || opts->host[0] == '\0')
        return vx_err_set(err, VX_USAGE, 0, "ssh: no host was given");
    if (opts->user == NULL || opts->user[0] == '\0')
        return vx_err_set(err, VX_USAGE, 0, "ssh: no user was given for %s", opts->host);
    if (opts->port < 0 || opts->port > 65535)
        return vx_err_set(err, VX_USAGE, 0, "ssh: %d is not a port", opts->port);
    if (opts->host_key == NULL && !opts->unchecked)
        return vx_err_set(err, VX_USAGE, 0,
                          "ssh: no host key was given for %s: the server could be anybody",
                          opts->host);
    if (opts->host_key != NULL)
        return vx_hostkey_parse(&key, opts->host_key, err);
    return 0;
}

struct vx_session *vx_session_open(struct vx_loop *loop, const struct vx_session_opts *opts,
                                   vx_session_cb done, void *arg, struct vx_err *err)
{
    static bool library_ready;
    struct vx_session *session = NULL;

    if (check(opts, err) != 0)
        return NULL;
    if (!library_ready && libssh2_init(0) != 0) {
        vx_err_set(err, VX_SSH, 0, "libssh2 cannot be initialised");
        return NULL;
    }
    library_ready = true;
    session = vx_zalloc(sizeof *session);
    session->loop = loop;
    session->refs = 1;
    session->done = done;
    session->arg = arg;
    session->fd = -1;
    session->started = vx_loop_now();
    session->opts = *opts;
    session->opts.host = vx_strdup(opts->host);
    session->opts.user = vx_strdup(opts->user);
    session->opts.key = copy(opts->key);
    session->opts.key_text =
        opts->key_text != NULL ? vx_strndup(opts->key_text, opts->key_text_len) : NULL;
    session->opts.passphrase = copy(opts->passphrase);
    session->opts.password = copy(opts->password);
    session->opts.host_key = copy(opts->host_key);
    if (session->opts.port == 0)
        session->opts.port = 22;
    if (!(session->opts.timeout > 0))
        session->opts.timeout = 30;
    if (!(session->opts.keepalive > 0))
        session->opts.keepalive = 15;
    if (session->opts.keepalive_count <= 0)
        session->opts.keepalive_count = 3;
    session->name = vx_strfmt("%s@%s:%d", opts->user, opts->host, session->opts.port);
    vx_list_init(&session->ops);
    vx_list_init(&session->commands);
    session->dial =
        vx_dial_start(loop, opts->host, session->opts.port, on_dialled, session, err);
    if (session->dial == NULL) {
        free_memory(session);
        return NULL;
    }
    session->limit = vx_timer_new(loop, session->opts.timeout, on_limit, session);
    return session;
}

void vx_session_fail(struct vx_session *session, const struct vx_err *why)
{
    session->cut = true;
    session->cut_errno = ECONNABORTED;
    vx_pump_doom(session, why);
    if (!session->pumping)
        vx_pump_end(session);
}

void vx_session_free(struct vx_session *session)
{
    struct vx_err err = { 0 };

    if (session == NULL)
        return;
    session->done = NULL;
    vx_err_set(&err, VX_CLOSED, 0, "%s: the connection was closed", session->name);
    vx_pump_doom(session, &err);
    if (!session->pumping)
        vx_pump_end(session);
    vx_ssh_unref(session);
}

const struct vx_err *vx_session_error(const struct vx_session *session)
{
    return session->doomed ? &session->over : NULL;
}

enum vx_session_use vx_session_use(const struct vx_session *session)
{
    if (session->littered)
        return VX_SESSION_LITTERED;
    return session->running > 0 || session->turn != NULL ? VX_SESSION_BUSY : VX_SESSION_QUIET;
}

const char *vx_session_name(const struct vx_session *session)
{
    return session->name;
}

static void method(const struct vx_session *session, int which, char *text, size_t size)
{
    const char *name = libssh2_session_methods(session->ssh, which);

    snprintf(text, size, "%s", name != NULL ? name : "");
}

void vx_session_info(const struct vx_session *session, struct vx_session_info *info)
{
    struct vx_hostkey key;
    const char *blob = NULL;
    size_t len = 0;
    int type = 0;
    const char *server = NULL;

    *info = (struct vx_session_info){ 0 };
    if (session->ssh == NULL || !session->ready)
        return;
    method(session, LIBSSH2_METHOD_KEX, info->kex, sizeof info->kex);
    method(session, LIBSSH2_METHOD_CRYPT_CS, info->cipher, sizeof info->cipher);
    method(session, LIBSSH2_METHOD_MAC_CS, info->mac, sizeof info->mac);
    server = libssh2_session_banner_get(session->ssh);
    snprintf(info->server, sizeof info->server, "%s", server != NULL ? server : "");
    info->connect_time = session->connect_time;
    blob = libssh2_session_hostkey(session->ssh, &len, &type);
    if (blob != NULL && vx_hostkey_describe(&key, blob, len) == 0) {
        snprintf(info->host_key_type, sizeof info->host_key_type, "%s", key.type);
        snprintf(info->fingerprint, sizeof info->fingerprint, "%s", key.fingerprint);
    }
}
