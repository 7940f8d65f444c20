/* One port: its socket, frames in a stream (each with its length before it, four bytes, as QEMU's
 * net/stream.c has it), and the addresses that were seen behind it. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "runtime/net/internal.h"

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0
#endif

/* Closed on exec from the first moment on, where the system can. */
#ifdef SOCK_CLOEXEC
#define AT_ONCE SOCK_CLOEXEC
#else
#define AT_ONCE 0
#endif

static void set_up(int fd)
{
#ifdef SO_NOSIGPIPE
    int on = 1;

    setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on);
#endif
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

/* A guest's bursts fit: the default holds some hundred frames. */
static void make_room(int fd)
{
    int size = 1024 * 1024;

    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
}

static int listen_at(const char *path, struct vx_err *err)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int fd = -1;

    if (strlen(path) >= sizeof addr.sun_path) {
        vx_err_set(err, VX_LIMIT, 0, "the path of a socket is too long: %s", path);
        return -1;
    }
    memcpy(addr.sun_path, path, strlen(path) + 1);
    fd = socket(AF_UNIX, SOCK_STREAM | AT_ONCE, 0);
    if (fd < 0) {
        vx_err_errno(err, errno, "cannot make a socket");
        return -1;
    }
    set_up(fd);
    if (bind(fd, (struct sockaddr *)&addr, sizeof addr) == 0) {
        if (chmod(path, 0600) == 0 && listen(fd, 4) == 0)
            return fd;
        vx_err_errno(err, errno, "cannot listen at %s", path);
        unlink(path);
    } else {
        vx_err_errno(err, errno, "cannot listen at %s", path);
    }
    close(fd);
    return -1;
}

struct port *port_new(const char *path, struct vx_err *err)
{
    int listener = listen_at(path, err);
    struct port *port = NULL;

    if (listener < 0)
        return NULL;
    port = vx_zalloc(sizeof *port);
    port->path = vx_strdup(path);
    port->listener = listener;
    port->fd = -1;
    line_init(&port->line[VX_FROM_GUEST]);
    line_init(&port->line[VX_TO_GUEST]);
    return port;
}

void port_disconnect(struct port *port)
{
    if (port->fd >= 0)
        close(port->fd);
    port->fd = -1;
    vx_buf_free(&port->in);
    vx_buf_free(&port->out);
    line_clear(&port->line[VX_FROM_GUEST]);
    line_clear(&port->line[VX_TO_GUEST]);
    port->macs_len = port->macs_next = 0;
}

void port_free(struct port *port)
{
    port_disconnect(port);
    close(port->listener);
    unlink(port->path);
    free(port->path);
    free(port);
}

void port_accept(struct port *port)
{
#ifdef __linux__
    int fd = accept4(port->listener, NULL, NULL, SOCK_CLOEXEC);
#else
    int fd = accept(port->listener, NULL, NULL);
#endif

    if (fd < 0)
        return;
    port_disconnect(port);
    set_up(fd);
    make_room(fd);
    port->fd = fd;
}

bool port_read(struct port *port)
{
    char *room = vx_buf_room(&port->in, READ_AT_ONCE);
    ssize_t n = read(port->fd, room, READ_AT_ONCE);

    if (n > 0)
        vx_buf_added(&port->in, (size_t)n);
    return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

const unsigned char *port_frame(struct port *port, size_t *at, size_t *len, bool *bad)
{
    const unsigned char *data = (const unsigned char *)port->in.data + *at;
    size_t left = port->in.len - *at;
    size_t size = 0;

    if (left < 4)
        return NULL;
    size = (size_t)data[0] << 24 | (size_t)data[1] << 16 | (size_t)data[2] << 8 | data[3];
    *bad = size > FRAME_MAX;
    if (*bad || left < 4 + size)
        return NULL;
    *at += 4 + size;
    *len = size;
    return data + 4;
}

/* Nothing waits for a guest that is not connected; one that takes nothing makes nobody wait. */
void port_send(struct port *port, const unsigned char *bytes, size_t len)
{
    struct vx_port_count *count = &port->count[VX_TO_GUEST];
    unsigned char head[4] = { (unsigned char)(len >> 24), (unsigned char)(len >> 16),
                              (unsigned char)(len >> 8), (unsigned char)len };

    if (port->fd < 0)
        return;
    if (port->out.len + len > OUT_MAX) {
        port_flush(port);
        if (port->fd < 0 || port->out.len + len > OUT_MAX) {
            count->dropped++;
            return;
        }
    }
    vx_buf_add(&port->out, head, sizeof head);
    vx_buf_add(&port->out, bytes, len);
    count->frames++;
    count->bytes += len;
}

void port_flush(struct port *port)
{
    size_t sent = 0;

    while (port->fd >= 0 && sent < port->out.len) {
        ssize_t n = send(port->fd, port->out.data + sent, port->out.len - sent, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN && errno != ENOBUFS) {
            port_disconnect(port);
            return;
        }
        if (n <= 0)
            break;
        sent += (size_t)n;
    }
    if (sent > 0)
        vx_buf_drop(&port->out, sent);
}

bool port_knows(const struct port *port, const unsigned char *mac)
{
    for (unsigned i = 0; i < port->macs_len; i++) {
        if (memcmp(port->macs[i], mac, MAC) == 0)
            return true;
    }
    return false;
}

void port_learn(struct port *port, const unsigned char *mac)
{
    memcpy(port->macs[port->macs_next], mac, MAC);
    port->macs_next = (port->macs_next + 1) % MACS;
    if (port->macs_len < MACS)
        port->macs_len++;
}

void port_forget(struct port *port, const unsigned char *mac)
{
    for (unsigned i = 0; i < port->macs_len; i++) {
        if (memcmp(port->macs[i], mac, MAC) == 0)
            memset(port->macs[i], 0, MAC);
    }
}
