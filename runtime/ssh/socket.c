/* The socket, as libssh2 sees it: what is written is kept and goes out with the turn. */
#include "runtime/ssh/internal.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "runtime/ssh/state.h"

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0
#endif

enum { AGENT_PATIENCE = 5000 /* ms */ };

/* The SSH agent's socket goes through the same callbacks. It is local and answers at once; should
 * it not, the wait is bounded. */
static ssize_t agent_wait(int fd, short events)
{
    struct pollfd poll_fd = { .fd = fd, .events = events };

    return poll(&poll_fd, 1, AGENT_PATIENCE) > 0 ? 0 : -ETIMEDOUT;
}

/* A read that found nothing. Where libssh2 loops by itself until something comes, it fails at last:
 * the loop could bring nothing, for only the pump fills the socket and empties it. */
static ssize_t vain(struct vx_session *session)
{
    return session->patience > 0 && --session->patience == 0 ? -ECONNRESET : -EAGAIN;
}

ssize_t vx_socket_recv(libssh2_socket_t fd, void *buf, size_t len, int flags, void **abstract)
{
    struct vx_session *session = *abstract;
    ssize_t got = 0;

    if (fd != session->fd) {
        got = agent_wait(fd, POLLIN);
        if (got == 0)
            got = recv(fd, buf, len, flags);
        return got < 0 ? -errno : got;
    }
    session->asked = true;
    if (session->in.len > session->in_used) {
        size_t have = session->in.len - session->in_used;
        size_t take = have < len ? have : len;

        memcpy(buf, session->in.data + session->in_used, take);
        session->in_used += take;
        if (session->in_used == session->in.len)
            session->in.len = session->in_used = 0;
        return (ssize_t)take;
    }
    if (session->cut)
        return session->cut_errno != 0 ? -session->cut_errno : 0;
    if (session->drained || session->budget == 0) {
        session->drained = true;
        return vain(session);
    }
    do
        got = recv(fd, buf, len, 0);
    while (got < 0 && errno == EINTR);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        session->drained = true;
        return vain(session);
    }
    if (got <= 0) {
        session->cut = true;
        session->cut_errno = got < 0 ? errno : 0;
        return got < 0 ? -errno : 0;
    }
    /* A short read means that the socket is empty: no need to ask it again in this turn. */
    if ((size_t)got < len)
        session->drained = true;
    session->budget -= (size_t)got < session->budget ? (size_t)got : session->budget;
    session->last_heard = vx_loop_now();
    session->silences = 0;
    return got;
}

ssize_t vx_socket_send(libssh2_socket_t fd, const void *buf, size_t len, int flags,
                       void **abstract)
{
    struct vx_session *session = *abstract;

    if (fd != session->fd) {
        ssize_t sent = agent_wait(fd, POLLOUT);
        if (sent == 0)
            sent = send(fd, buf, len, flags | MSG_NOSIGNAL);
        return sent < 0 ? -errno : sent;
    }
    if (session->cut)
        return -EPIPE;
    vx_buf_add(&session->out, buf, len);
    session->urgent |= !session->lazy;
    return (ssize_t)len;
}
