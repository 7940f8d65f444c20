#include "runtime/ssh/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/loop/pool.h"
#include "runtime/ssh/state.h"

/* A name being looked up on the pool; outlives a dial that is given up. */
struct lookup {
    struct vx_dial *dial; /* NULL: nobody waits any more */
    char *host;
    char port[16];
    struct addrinfo *found;
    int rc, sys;
};

struct vx_dial {
    struct vx_loop *loop;
    vx_dial_cb done;
    void *arg;
    char *host;
    int port;
    struct lookup *lookup;
    struct vx_timer *soon;
    struct addrinfo *found, *next;
    int fd;
    struct vx_watch *watch;
    struct vx_err last;
};

static int lookup(const char *host, const char *port, int flags, struct addrinfo **found)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = flags };

    return getaddrinfo(host, port, &hints, found);
}

static void lookup_work(void *arg)
{
    struct lookup *look = arg;

    look->rc = lookup(look->host, look->port, 0, &look->found);
    look->sys = errno;
}

static void give(struct vx_dial *dial, int fd, const struct vx_err *err)
{
    dial->fd = -1;
    vx_watch_free(dial->watch);
    dial->watch = NULL;
    dial->done(fd, err, dial->arg);
}

static int finish_socket(int fd)
{
    int one = 1;

    /* Without this every command waits 40 ms for a delayed acknowledgement. */
    return setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

static void try_next(struct vx_dial *dial);

static void on_connect(int events, void *arg)
{
    struct vx_dial *dial = arg;
    int failure = 0;
    socklen_t len = sizeof failure;

    (void)events;
    if (getsockopt(dial->fd, SOL_SOCKET, SO_ERROR, &failure, &len) != 0)
        failure = errno;
    if (failure == 0 && finish_socket(dial->fd) != 0)
        failure = errno;
    if (failure == 0) {
        give(dial, dial->fd, NULL);
        return;
    }
    vx_err_set(&dial->last, VX_CONNECTION, failure, "%s", strerror(failure));
    vx_watch_free(dial->watch);
    dial->watch = NULL;
    close(dial->fd);
    dial->fd = -1;
    try_next(dial);
}

static int open_socket(struct vx_dial *dial, const struct addrinfo *info)
{
    int fd = socket(info->ai_family, SOCK_STREAM, info->ai_protocol);

    if (fd < 0)
        return vx_err_set(&dial->last, VX_CONNECTION, errno, "%s", strerror(errno));
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 || fcntl(fd, F_SETFL, O_NONBLOCK) != 0 ||
        (connect(fd, info->ai_addr, info->ai_addrlen) != 0 && errno != EINPROGRESS)) {
        vx_err_set(&dial->last, VX_CONNECTION, errno, "%s", strerror(errno));
        close(fd);
        return -1;
    }
    dial->watch = vx_watch_new(dial->loop, fd, on_connect, dial, &dial->last);
    if (dial->watch == NULL) {
        close(fd);
        return -1;
    }
    dial->fd = fd;
    vx_watch_want(dial->watch, VX_WRITABLE);
    return 0;
}

static void try_next(struct vx_dial *dial)
{
    struct vx_err err = { 0 };

    while (dial->next != NULL) {
        struct addrinfo *info = dial->next;

        dial->next = info->ai_next;
        if (open_socket(dial, info) == 0)
            return;
    }
    vx_err_set(&err, VX_CONNECTION, dial->last.code, "cannot connect to %s port %d: %.500s",
               dial->host, dial->port, dial->last.msg);
    give(dial, -1, &err);
}

static void looked_up(void *arg)
{
    struct lookup *look = arg;
    struct vx_dial *dial = look->dial;
    struct vx_err err = { 0 };

    if (dial == NULL) {
        if (look->rc == 0)
            freeaddrinfo(look->found);
    } else if (look->rc != 0) {
        vx_err_set(&err, VX_CONNECTION, look->rc == EAI_SYSTEM ? look->sys : 0,
                   "cannot find the address of host %s: %s", look->host,
                   look->rc == EAI_SYSTEM ? strerror(look->sys) : gai_strerror(look->rc));
        dial->lookup = NULL;
        give(dial, -1, &err);
    } else {
        dial->lookup = NULL;
        dial->found = dial->next = look->found;
        try_next(dial);
    }
    free(look->host);
    free(look);
}

static void on_soon(void *arg)
{
    struct vx_dial *dial = arg;

    vx_timer_free(dial->soon);
    dial->soon = NULL;
    try_next(dial);
}

struct vx_dial *vx_dial_start(struct vx_loop *loop, const char *host, int port, vx_dial_cb done,
                              void *arg, struct vx_err *err)
{
    struct vx_dial *dial = vx_zalloc(sizeof *dial);
    const char *numeric = strcmp(host, "localhost") == 0 ? "127.0.0.1" : host;
    struct lookup *look = NULL;
    char service[16];

    dial->loop = loop;
    dial->done = done;
    dial->arg = arg;
    dial->host = vx_strdup(host);
    dial->port = port;
    dial->fd = -1;
    snprintf(service, sizeof service, "%d", port);
    if (lookup(numeric, service, AI_NUMERICHOST | AI_NUMERICSERV, &dial->found) == 0) {
        dial->next = dial->found;
        dial->soon = vx_timer_new(loop, 0, on_soon, dial);
        return dial;
    }
    look = vx_zalloc(sizeof *look);
    look->dial = dial;
    look->host = vx_strdup(host);
    memcpy(look->port, service, sizeof look->port);
    dial->lookup = look;
    if (vx_pool_run(loop, lookup_work, looked_up, look, err) != 0) {
        free(look->host);
        free(look);
        dial->lookup = NULL;
        vx_dial_free(dial);
        return NULL;
    }
    return dial;
}

void vx_dial_free(struct vx_dial *dial)
{
    if (dial == NULL)
        return;
    if (dial->lookup != NULL)
        dial->lookup->dial = NULL;
    if (dial->found != NULL)
        freeaddrinfo(dial->found);
    vx_timer_free(dial->soon);
    vx_watch_free(dial->watch);
    if (dial->fd >= 0)
        close(dial->fd);
    free(dial->host);
    free(dial);
}
