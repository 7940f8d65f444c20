#include "runtime/ssh/internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "runtime/ssh/state.h"

/* After these the stream of packets cannot be trusted or is gone. */
static bool ends_session(int rc)
{
    switch (rc) {
    case LIBSSH2_ERROR_SOCKET_NONE:
    case LIBSSH2_ERROR_BANNER_RECV:
    case LIBSSH2_ERROR_BANNER_SEND:
    case LIBSSH2_ERROR_INVALID_MAC:
    case LIBSSH2_ERROR_KEX_FAILURE:
    case LIBSSH2_ERROR_ALLOC:
    case LIBSSH2_ERROR_SOCKET_SEND:
    case LIBSSH2_ERROR_KEY_EXCHANGE_FAILURE:
    case LIBSSH2_ERROR_HOSTKEY_INIT:
    case LIBSSH2_ERROR_HOSTKEY_SIGN:
    case LIBSSH2_ERROR_DECRYPT:
    case LIBSSH2_ERROR_SOCKET_DISCONNECT:
    case LIBSSH2_ERROR_METHOD_NONE:
    case LIBSSH2_ERROR_SOCKET_TIMEOUT:
    case LIBSSH2_ERROR_ZLIB:
    case LIBSSH2_ERROR_SOCKET_RECV:
    case LIBSSH2_ERROR_OUT_OF_BOUNDARY:
    case LIBSSH2_ERROR_BAD_USE:
        return true;
    default:
        return false;
    }
}

static void last_words(struct vx_session *session, int rc, char *text, size_t size)
{
    char *msg = NULL;
    int len = 0;

    if (session->ssh != NULL && libssh2_session_last_error(session->ssh, &msg, &len, 0) == rc &&
        len > 0)
        snprintf(text, size, "%.*s", len < 300 ? len : 300, msg);
    else
        snprintf(text, size, "libssh2 error %d", rc);
}

bool vx_ssh_failed(struct vx_session *session, int rc, struct vx_err *err, const char *what)
{
    struct vx_err over = { 0 };
    char words[320];

    if (session->doomed)
        return true;
    if (session->cut) {
        /* The pump knows the reason better than libssh2 does. */
        vx_err_set(&over, VX_CONNECTION, session->cut_errno,
                   "%s: the connection was lost: %s: %s", session->name, what,
                   session->cut_errno != 0 ? strerror(session->cut_errno)
                                           : "the server closed it");
        vx_pump_doom(session, &over);
        return true;
    }
    last_words(session, rc, words, sizeof words);
    if (ends_session(rc)) {
        vx_err_set(&over, VX_CONNECTION, rc, "%s: the connection was lost: %s: %s",
                   session->name, what, words);
        session->cut = true;
        session->cut_errno = ECONNABORTED;
        vx_pump_doom(session, &over);
        return true;
    }
    vx_err_set(err, VX_SSH, rc, "%s: %s: %s", session->name, what, words);
    return false;
}

bool vx_ssh_over(const struct vx_session *session)
{
    return session->doomed || session->ended;
}

const char *vx_ssh_version(void)
{
    return libssh2_version(0);
}
