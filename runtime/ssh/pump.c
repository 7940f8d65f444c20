#include "runtime/ssh/internal.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/ssh/state.h"

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0
#endif

enum {
    OUT_HIGH = 512 * 1024,  /* unsent bytes at which writers wait */
    OUT_KEPT = 16 * 1024,   /* buffer that a quiet session may keep */
    IN_SNIFFED = 64 * 1024, /* bytes taken from the socket while nobody asks */
    TURN_BUDGET = 512 * 1024,
    REFUSALS = 50,
};

static const double REFUSED_PAUSE = 0.02; /* s */

/* --- bytes in and out --- */

static void flush(struct vx_session *session)
{
    while (session->out_sent < session->out.len && !session->cut) {
        ssize_t sent = send(session->fd, session->out.data + session->out_sent,
                            session->out.len - session->out_sent, MSG_NOSIGNAL);
        if (sent >= 0) {
            session->out_sent += (size_t)sent;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            break;
        } else if (errno != EINTR) {
            /* What the server said last may still be in the socket: reading finds the end. */
            session->out_sent = session->out.len;
            if (errno != EPIPE && errno != ECONNRESET) {
                session->cut = true;
                session->cut_errno = errno;
            }
        }
    }
    if (session->out_sent == session->out.len) {
        session->out.len = session->out_sent = 0;
        session->urgent = false;
        vx_timer_free(session->linger);
        session->linger = NULL;
    }
    if (session->out_sent > OUT_HIGH) {
        vx_buf_drop(&session->out, session->out_sent);
        session->out_sent = 0;
    }
}

/* Nobody asks for bytes, but the end of the connection must be seen: takes a bounded amount. */
static void sniff(struct vx_session *session)
{
    while (!session->cut && !session->drained && session->in.len < IN_SNIFFED) {
        char *room = vx_buf_room(&session->in, 4096);
        ssize_t got = recv(session->fd, room, 4096, 0);

        if (got > 0) {
            vx_buf_added(&session->in, (size_t)got);
            session->last_heard = vx_loop_now();
            session->silences = 0;
        } else if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            session->drained = true;
        } else if (got == 0 || errno != EINTR) {
            session->cut = true;
            session->cut_errno = got < 0 ? errno : 0;
        }
    }
}

static void trim(struct vx_session *session)
{
    if (session->out.len == 0 && session->out.cap > OUT_KEPT)
        vx_buf_free(&session->out);
    if (session->in.len == 0)
        vx_buf_free(&session->in);
}

static void rearm(struct vx_session *session)
{
    int events = 0;

    if (session->ended || session->watch == NULL)
        return;
    if (session->in.len < IN_SNIFFED && !session->cut)
        events |= VX_READABLE;
    if (session->out.len > session->out_sent && session->urgent && !session->cut)
        events |= VX_WRITABLE;
    vx_watch_want(session->watch, events);
}

/* --- the turn --- */

static void cut_off(struct vx_session *session)
{
    struct vx_err err = { 0 };

    vx_err_set(&err, VX_CONNECTION, session->cut_errno, "%s: the connection was lost: %s",
               session->name,
               session->cut_errno != 0 ? strerror(session->cut_errno) : "the server closed it");
    vx_pump_doom(session, &err);
}

static void one_pass(struct vx_session *session)
{
    struct vx_link todo;

    vx_list_init(&todo);
    while (!vx_list_empty(&session->ops)) {
        struct vx_link *link = session->ops.next;
        vx_list_unlink(link);
        vx_list_push(&todo, link);
    }
    while (!vx_list_empty(&todo)) {
        struct vx_ssh_op *op = VX_OF(todo.next, struct vx_ssh_op, link);

        vx_list_unlink(&op->link);
        vx_list_push(&session->ops, &op->link);
        if (!session->doomed)
            op->step(op);
    }
}

static void on_linger(void *arg)
{
    struct vx_session *session = arg;

    vx_timer_free(session->linger);
    session->linger = NULL;
    session->urgent = true;
    vx_ssh_enter(session);
    vx_ssh_leave(session);
}

static void turn(struct vx_session *session)
{
    if (session->pumping || session->ended)
        return;
    vx_ssh_ref(session);
    session->pumping = true;
    do {
        session->again = session->asked = false;
        one_pass(session);
    } while (!session->doomed && (session->again || (session->asked && !session->drained)));
    if (!session->doomed && !session->asked)
        sniff(session);
    if (session->urgent)
        flush(session);
    else if (session->out.len > 0 && session->linger == NULL && !session->doomed)
        session->linger = vx_timer_new(session->loop, 0.001, on_linger, session);
    if (session->cut && !session->doomed &&
        (session->in.len == 0 || vx_list_empty(&session->ops)))
        cut_off(session);
    session->pumping = false;
    if (session->doomed)
        vx_pump_end(session);
    else
        rearm(session);
    vx_ssh_unref(session);
}

static void on_socket(int events, void *arg)
{
    struct vx_session *session = arg;

    if (events & VX_READABLE) {
        session->drained = false;
        session->budget = TURN_BUDGET;
    }
    if (events & VX_WRITABLE)
        flush(session);
    turn(session);
}

static void on_soon(void *arg)
{
    struct vx_session *session = arg;

    vx_timer_free(session->soon);
    session->soon = NULL;
    turn(session);
}

void vx_ssh_soon(struct vx_session *session)
{
    if (session->pumping)
        session->again = true;
    else if (session->soon == NULL && !session->ended)
        session->soon = vx_timer_new(session->loop, 0, on_soon, session);
}

int vx_ssh_channel_free(struct vx_session *session, LIBSSH2_CHANNEL *channel)
{
    int rc = 0;

    session->lazy = true;
    rc = libssh2_channel_free(channel);
    session->lazy = false;
    return rc;
}

void vx_ssh_enter(struct vx_session *session)
{
    session->depth++;
}

void vx_ssh_leave(struct vx_session *session)
{
    if (--session->depth > 0 || session->pumping || session->ended)
        return;
    flush(session);
    if (session->cut || session->doomed)
        vx_ssh_soon(session);
    else
        rearm(session);
}

size_t vx_ssh_room(const struct vx_session *session)
{
    size_t unsent = session->out.len - session->out_sent;

    return unsent < OUT_HIGH ? OUT_HIGH - unsent : 0;
}

/* --- signs of life --- */

static void on_tick(void *arg)
{
    struct vx_session *session = arg;
    double silence = vx_loop_now() - session->last_heard;
    bool waiting = !vx_list_empty(&session->ops) && session->in.len < IN_SNIFFED;
    struct vx_err err = { 0 };

    vx_timer_free(session->tick);
    session->tick = vx_timer_new(session->loop, session->opts.keepalive, on_tick, session);
    trim(session);
    if (silence < session->opts.keepalive * 0.9)
        return;
    if (!waiting) {
        session->silences = 0;
    } else if (session->silences++ >= session->opts.keepalive_count) {
        vx_err_set(&err, VX_CONNECTION, ETIMEDOUT,
                   "%s: the connection was lost: no sign of life for %.0f s", session->name,
                   silence);
        session->cut = true;
        session->cut_errno = ETIMEDOUT;
        vx_pump_doom(session, &err);
        turn(session);
        return;
    }
    /* Answers to these requests pile up in libssh2: ask for one only when it matters. Nobody
     * waiting means that the kernel's own time limit is enough. */
    vx_ssh_enter(session);
    libssh2_keepalive_config(session->ssh, waiting, 1);
    libssh2_keepalive_send(session->ssh, NULL);
    vx_ssh_leave(session);
}

/* libssh2 takes any function here and calls it as the documented type. */
typedef void any_function(void);

static void set_callback(LIBSSH2_SESSION *ssh, int which, any_function *fn)
{
#if LIBSSH2_VERSION_NUM >= 0x010b01
    libssh2_session_callback_set2(ssh, which, fn);
#else
    libssh2_session_callback_set(ssh, which, (void *)fn);
#endif
}

void vx_pump_start(struct vx_session *session)
{
    session->last_heard = vx_loop_now();
    session->budget = TURN_BUDGET;
    libssh2_session_set_blocking(session->ssh, 0);
    set_callback(session->ssh, LIBSSH2_CALLBACK_RECV, (any_function *)vx_socket_recv);
    set_callback(session->ssh, LIBSSH2_CALLBACK_SEND, (any_function *)vx_socket_send);
    session->tick = vx_timer_new(session->loop, session->opts.keepalive, on_tick, session);
}

int vx_pump_watch(struct vx_session *session, struct vx_err *err)
{
    session->watch = vx_watch_new(session->loop, session->fd, on_socket, session, err);
    return session->watch != NULL ? 0 : -1;
}

/* --- ops --- */

void vx_pump_hang(struct vx_session *session, struct vx_ssh_op *op)
{
    op->session = vx_ssh_ref(session);
    vx_list_push(&session->ops, &op->link);
}

int vx_ssh_op_start(struct vx_session *session, struct vx_ssh_op *op, struct vx_err *err)
{
    if (session->doomed || session->ended) {
        *err = session->over;
        return -1;
    }
    if (!session->ready)
        return vx_err_set(err, VX_USAGE, 0, "%s: the session is not connected yet",
                          session->name);
    vx_pump_hang(session, op);
    return 0;
}

void vx_ssh_op_stop(struct vx_ssh_op *op)
{
    struct vx_session *session = op->session;

    if (session == NULL)
        return;
    vx_ssh_turn_give(op);
    vx_list_unlink(&op->link);
    op->session = NULL;
    vx_ssh_unref(session);
}

bool vx_ssh_turn_take(struct vx_ssh_op *op)
{
    struct vx_session *session = op->session;

    if (session->turn == NULL && session->retry == NULL &&
        (session->channel_limit == 0 || session->channels < session->channel_limit))
        session->turn = op;
    session->turn_wanted |= session->turn != op;
    return session->turn == op;
}

void vx_ssh_turn_give(struct vx_ssh_op *op)
{
    struct vx_session *session = op->session;

    if (session == NULL || session->turn != op)
        return;
    session->turn = NULL;
    if (session->turn_wanted)
        vx_ssh_soon(session);
    session->turn_wanted = false;
}

void vx_ssh_channel_opened(struct vx_session *session)
{
    session->channels++;
    session->served = true;
    session->refusals = 0;
}

void vx_ssh_channel_closed(struct vx_session *session)
{
    session->channels--;
    if (session->channel_limit > 0)
        vx_ssh_soon(session);
}

static void on_retry(void *arg)
{
    struct vx_session *session = arg;

    vx_timer_free(session->retry);
    session->retry = NULL;
    vx_ssh_soon(session);
}

bool vx_ssh_channel_refused(struct vx_session *session)
{
    if (session->channels == 0) {
        /* A server may count a channel for a moment after its close has reached it. */
        if (!session->served || ++session->refusals > REFUSALS)
            return false;
        session->retry = vx_timer_new(session->loop, REFUSED_PAUSE, on_retry, session);
        return true;
    }
    session->channel_limit = session->channels;
    return true;
}

void vx_pump_doom(struct vx_session *session, const struct vx_err *why)
{
    if (session->doomed)
        return;
    session->doomed = true;
    session->over = *why;
    if (!session->pumping)
        vx_ssh_soon(session);
}

static void tell_all(struct vx_session *session)
{
    while (!vx_list_empty(&session->ops)) {
        struct vx_ssh_op *op = VX_OF(session->ops.next, struct vx_ssh_op, link);

        /* Stopping drops the op's reference; the caller of vx_pump_end holds another. */
        vx_ssh_op_stop(op);
        op->lost(op, &session->over);
    }
}

void vx_pump_end(struct vx_session *session)
{
    if (session->ended)
        return;
    vx_ssh_ref(session);
    session->ended = true;
    tell_all(session);
    vx_session_report(session, &session->over);
    vx_login_free(session->login);
    vx_dial_free(session->dial);
    session->login = NULL;
    session->dial = NULL;
    if (session->ssh != NULL) {
        if (!session->cut && session->ready) {
            libssh2_session_disconnect(session->ssh, "closed");
            flush(session);
        }
        /* From here on every call ends at once, so that freeing never has to wait. */
        session->cut = true;
        session->cut_errno = ECONNRESET;
        vx_witness_end(session);
    }
    vx_timer_free(session->soon);
    vx_timer_free(session->linger);
    vx_timer_free(session->retry);
    vx_timer_free(session->tick);
    vx_timer_free(session->limit);
    session->soon = session->linger = session->retry = session->tick = session->limit = NULL;
    vx_watch_free(session->watch);
    session->watch = NULL;
    if (session->fd >= 0)
        close(session->fd);
    session->fd = -1;
    vx_buf_free(&session->out);
    vx_buf_free(&session->in);
    session->out_sent = session->in_used = 0;
    vx_ssh_unref(session);
}
