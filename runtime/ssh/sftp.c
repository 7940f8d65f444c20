#include "runtime/ssh/sftp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/ssh/sftp_internal.h"
#include "runtime/ssh/state.h"

#define START_LIMIT 10.0

enum { START_PATIENCE = 1000 };

static void free_memory(struct vx_sftp *sftp)
{
    vx_timer_free(sftp->limit);
    vx_ssh_op_stop(&sftp->op);
    vx_ssh_unref(sftp->session);
    free(sftp->chunk);
    free(sftp);
}

static enum vx_kind kind_of(unsigned long status)
{
    switch (status) {
    case LIBSSH2_FX_NO_SUCH_FILE:
    case LIBSSH2_FX_NO_SUCH_PATH:
        return VX_NOTFOUND;
    case LIBSSH2_FX_PERMISSION_DENIED:
    case LIBSSH2_FX_WRITE_PROTECT:
        return VX_DENIED;
    case LIBSSH2_FX_FILE_ALREADY_EXISTS:
        return VX_EXISTS;
    case LIBSSH2_FX_NO_SPACE_ON_FILESYSTEM:
    case LIBSSH2_FX_QUOTA_EXCEEDED:
        return VX_NOSPACE;
    case LIBSSH2_FX_OP_UNSUPPORTED:
        return VX_UNSUPPORTED;
    default:
        return VX_SSH;
    }
}

static const char *words_of(unsigned long status)
{
    switch (kind_of(status)) {
    case VX_NOTFOUND:
        return "no such file";
    case VX_DENIED:
        return "permission denied";
    case VX_EXISTS:
        return "it exists already";
    case VX_NOSPACE:
        return "no space left";
    case VX_UNSUPPORTED:
        return "the server cannot do that";
    default:
        return "the server reports a failure";
    }
}

enum vx_sftp_turn vx_sftp_refused(struct vx_sftp *sftp, long rc, const char *what)
{
    unsigned long status = 0;

    if (rc == LIBSSH2_ERROR_EAGAIN || vx_ssh_over(sftp->session))
        return VX_SFTP_WAIT;
    if (rc != LIBSSH2_ERROR_SFTP_PROTOCOL) {
        if (vx_ssh_failed(sftp->session, (int)rc, &sftp->outcome, what))
            return VX_SFTP_WAIT;
        return VX_SFTP_FAILED;
    }
    status = libssh2_sftp_last_error(sftp->sftp);
    vx_err_set(&sftp->outcome, kind_of(status), (int)status, "%s: %s", what, words_of(status));
    return VX_SFTP_FAILED;
}

/* Closes the handle of a file or folder; false while libssh2 wants to wait. */
static bool close_handle(struct vx_sftp *sftp)
{
    int rc = 0;

    if (sftp->handle == NULL)
        return true;
    rc = libssh2_sftp_close_handle(sftp->handle);
    if (rc == LIBSSH2_ERROR_EAGAIN)
        return false;
    sftp->handle = NULL; /* gone, well or not */
    if (rc != 0 && sftp->outcome.kind == VX_OK && !vx_ssh_over(sftp->session))
        vx_sftp_refused(sftp, rc, "cannot close a file");
    return true;
}

static void finish(struct vx_sftp *sftp)
{
    vx_sftp_cb done = sftp->done;
    struct vx_err err = sftp->outcome;

    sftp->phase = VX_SFTP_IDLE;
    sftp->request = NULL;
    free(sftp->chunk);
    sftp->chunk = NULL;
    done(err.kind != VX_OK ? &err : NULL, sftp->arg);
}

static void die(struct vx_sftp *sftp, const struct vx_err *err)
{
    sftp->phase = VX_SFTP_DEAD;
    sftp->over = *err;
    if (sftp->request == NULL)
        return;
    sftp->outcome = *err;
    finish(sftp);
    sftp->phase = VX_SFTP_DEAD;
}

/* libssh2 does not notice that the program behind a subsystem ended before it said a word. */
static void start_expired(void *arg)
{
    struct vx_sftp *sftp = arg;
    struct vx_err err = { 0 };

    vx_timer_free(sftp->limit);
    sftp->limit = NULL;
    if (sftp->phase != VX_SFTP_STARTING)
        return;
    vx_err_set(&err, VX_UNSUPPORTED, 0, "%s: the server's SFTP did not answer within %g s",
               vx_session_name(sftp->session), START_LIMIT);
    vx_ssh_turn_give(&sftp->op);
    die(sftp, &err);
}

/* The same later on: a server that is gone would be waited for without end. */
static void fail_if_gone(struct vx_sftp *sftp)
{
    struct vx_err err = { 0 };

    if (libssh2_channel_eof(libssh2_sftp_get_channel(sftp->sftp)) != 1)
        return;
    vx_err_set(&err, VX_CONNECTION, 0, "%s: the server's SFTP ended in the middle",
               vx_session_name(sftp->session));
    die(sftp, &err);
}

/* When the server refuses SFTP, libssh2 closes the channel that it opened, and loops without a
 * pause until the server has closed it too. The answer cannot arrive in this call: the loop is made
 * to fail instead, which libssh2 takes as the end of that channel only. */
static int init(struct vx_sftp *sftp, bool *refused)
{
    struct vx_session *session = sftp->session;
    char *words = NULL;
    int rc = 0;

    session->patience = START_PATIENCE;
    sftp->sftp = libssh2_sftp_init(vx_ssh_handle(session));
    *refused = session->patience == 0;
    session->patience = 0;
    if (sftp->sftp != NULL)
        return 0;
    rc = libssh2_session_last_error(vx_ssh_handle(session), &words, NULL, 0);
    *refused |= rc == LIBSSH2_ERROR_CHANNEL_FAILURE && words != NULL &&
                strstr(words, "subsystem") != NULL;
    return *refused ? LIBSSH2_ERROR_CHANNEL_REQUEST_DENIED : rc;
}

static void step_start(struct vx_sftp *sftp)
{
    struct vx_err err = { 0 };
    bool refused = false;
    int rc = 0;

    if (!vx_ssh_turn_take(&sftp->op))
        return;
    if (sftp->limit == NULL)
        sftp->limit = vx_timer_new(sftp->session->loop, START_LIMIT, start_expired, sftp);
    rc = init(sftp, &refused);
    if (rc == LIBSSH2_ERROR_EAGAIN)
        return;
    if (sftp->sftp == NULL && !refused && rc == LIBSSH2_ERROR_CHANNEL_FAILURE &&
        vx_ssh_channel_refused(sftp->session)) {
        vx_ssh_turn_give(&sftp->op);
        return;
    }
    if (sftp->sftp == NULL && !refused &&
        vx_ssh_failed(sftp->session, rc, &err, "cannot start SFTP"))
        return;
    vx_ssh_turn_give(&sftp->op);
    vx_timer_free(sftp->limit);
    sftp->limit = NULL;
    if (sftp->sftp != NULL) {
        vx_ssh_channel_opened(sftp->session);
        sftp->opened = true;
        sftp->phase = sftp->request != NULL ? VX_SFTP_BUSY : VX_SFTP_IDLE;
        return;
    }
    vx_err_set(&err, VX_UNSUPPORTED, rc, "%s: the server offers no SFTP",
               vx_session_name(sftp->session));
    if (!sftp->orphan)
        die(sftp, &err);
    else
        sftp->phase = VX_SFTP_CLOSING;
}

static void step_request(struct vx_sftp *sftp)
{
    enum vx_sftp_turn turn = VX_SFTP_WAIT;

    if (!sftp->closing) {
        switch (sftp->request->verb) {
        case VX_SFTP_GET:
            turn = vx_sftp_get(sftp);
            break;
        case VX_SFTP_PUT:
            turn = vx_sftp_put(sftp);
            break;
        default:
            turn = vx_sftp_small(sftp);
            break;
        }
        if (vx_ssh_over(sftp->session))
            return;
        if (turn == VX_SFTP_WAIT) {
            fail_if_gone(sftp);
            return;
        }
        sftp->closing = true;
    }
    if (close_handle(sftp) && !vx_ssh_over(sftp->session))
        finish(sftp);
}

/* libssh2 frees the channel with the session, but not the handles of open files. On a connection
 * that says it is broken, closing one frees it without waiting. */
static void drop_handle(struct vx_sftp *sftp)
{
    struct vx_session *session = sftp->session;
    bool cut = session->cut;
    int cut_errno = session->cut_errno;

    if (sftp->handle == NULL || session->ssh == NULL)
        return;
    session->cut = true;
    session->cut_errno = ECONNRESET;
    for (int i = 0; i < 100 && sftp->handle != NULL; i++) {
        if (libssh2_sftp_close_handle(sftp->handle) != LIBSSH2_ERROR_EAGAIN)
            sftp->handle = NULL;
    }
    session->cut = cut;
    session->cut_errno = cut_errno;
}

/* In the background, after its owner let go. */
static void step_closing(struct vx_sftp *sftp)
{
    if (sftp->sftp != NULL && libssh2_channel_eof(libssh2_sftp_get_channel(sftp->sftp)) == 1)
        drop_handle(sftp);
    if (!close_handle(sftp))
        return;
    if (sftp->sftp != NULL && libssh2_sftp_shutdown(sftp->sftp) == LIBSSH2_ERROR_EAGAIN)
        return;
    sftp->sftp = NULL;
    if (sftp->opened)
        vx_ssh_channel_closed(sftp->session);
    free_memory(sftp);
}

static void step(struct vx_ssh_op *op)
{
    struct vx_sftp *sftp = VX_OF(op, struct vx_sftp, op);

    if (sftp->phase == VX_SFTP_STARTING && sftp->request == NULL && !sftp->orphan)
        return;
    if (sftp->phase == VX_SFTP_STARTING)
        step_start(sftp);
    if (sftp->orphan && sftp->phase != VX_SFTP_STARTING)
        step_closing(sftp);
    else if (sftp->phase == VX_SFTP_BUSY)
        step_request(sftp);
}

static void lost(struct vx_ssh_op *op, const struct vx_err *err)
{
    struct vx_sftp *sftp = VX_OF(op, struct vx_sftp, op);

    drop_handle(sftp);
    sftp->handle = NULL;
    sftp->sftp = NULL;
    if (sftp->opened)
        vx_ssh_channel_closed(sftp->session);
    sftp->opened = false;
    if (sftp->orphan)
        free_memory(sftp);
    else
        die(sftp, err);
}

struct vx_sftp *vx_sftp_new(struct vx_session *session, struct vx_err *err)
{
    struct vx_sftp *sftp = vx_zalloc(sizeof *sftp);

    sftp->op.step = step;
    sftp->op.lost = lost;
    if (vx_ssh_op_start(session, &sftp->op, err) != 0) {
        free(sftp);
        return NULL;
    }
    vx_ssh_soon(session);
    sftp->session = vx_ssh_ref(session);
    return sftp;
}

void vx_sftp_free(struct vx_sftp *sftp)
{
    if (sftp == NULL)
        return;
    sftp->orphan = true;
    sftp->request = NULL;
    if (sftp->op.session == NULL || (sftp->sftp == NULL && sftp->session->turn != &sftp->op)) {
        free_memory(sftp);
        return;
    }
    vx_ssh_soon(sftp->session);
}

bool vx_sftp_dead(const struct vx_sftp *sftp)
{
    return sftp->phase == VX_SFTP_DEAD;
}

static void pipe_ready(void *arg)
{
    struct vx_sftp *sftp = arg;

    if (sftp->request != NULL && sftp->op.session != NULL)
        vx_ssh_soon(sftp->session);
}

int vx_sftp_start(struct vx_sftp *sftp, struct vx_sftp_request *request, vx_sftp_cb done,
                  void *arg, struct vx_err *err)
{
    if (sftp->phase == VX_SFTP_DEAD) {
        *err = sftp->over;
        return -1;
    }
    if (sftp->request != NULL)
        return vx_err_set(err, VX_USAGE, 0, "the SFTP channel is busy with another request");
    sftp->request = request;
    sftp->done = done;
    sftp->arg = arg;
    sftp->step = 0;
    sftp->closing = false;
    sftp->outcome = (struct vx_err){ 0 };
    sftp->chunk_len = sftp->chunk_given = 0;
    sftp->moved = 0;
    if (sftp->phase == VX_SFTP_IDLE)
        sftp->phase = VX_SFTP_BUSY;
    if (request->pipe != NULL)
        vx_pipe_on_ready(request->pipe, pipe_ready, sftp);
    vx_ssh_soon(sftp->session);
    return 0;
}
