#include "runtime/loop/watch.h"

#include <stdlib.h>

#include "runtime/base/buf.h"
#include "runtime/loop/internal.h"

struct vx_watch {
    uv_poll_t uv;
    struct vx_alive alive;
    vx_watch_cb fn;
    void *arg;
    int wanted;
};

struct vx_watch *vx_watch_new(struct vx_loop *loop, int fd, vx_watch_cb fn, void *arg,
                              struct vx_err *err)
{
    struct vx_watch *watch = vx_zalloc(sizeof *watch);
    int rc = 0;

    watch->fn = fn;
    watch->arg = arg;
    watch->uv.data = watch;
    rc = uv_poll_init(&loop->uv, &watch->uv, fd);
    if (rc < 0) {
        vx_err_uv(err, rc, "cannot watch a file descriptor");
        free(watch);
        return NULL;
    }
    vx_alive_add(&watch->alive, loop, "watch");
    return watch;
}

static void ready(uv_poll_t *uv, int status, int uv_events);

void vx_watch_want(struct vx_watch *watch, int events)
{
    int uv_events = 0;

    if (events == watch->wanted)
        return;
    watch->wanted = events;
    if (events == 0) {
        uv_poll_stop(&watch->uv);
        return;
    }
    if (events & VX_READABLE)
        uv_events |= UV_READABLE | UV_DISCONNECT;
    if (events & VX_WRITABLE)
        uv_events |= UV_WRITABLE;
    uv_poll_start(&watch->uv, uv_events, ready);
}

static void ready(uv_poll_t *uv, int status, int uv_events)
{
    struct vx_watch *watch = uv->data;
    int events = 0;

    if (status < 0) {
        /* libuv has stopped watching: what came before the error may still have to be read. */
        int wanted = watch->wanted;
        watch->wanted = 0;
        vx_watch_want(watch, wanted);
        events = VX_READABLE | VX_WRITABLE;
    } else {
        if (uv_events & (UV_READABLE | UV_DISCONNECT))
            events |= VX_READABLE;
        if (uv_events & UV_WRITABLE)
            events |= VX_WRITABLE;
    }
    watch->fn(events, watch->arg);
}

static void closed(uv_handle_t *handle)
{
    free(handle->data);
}

void vx_watch_free(struct vx_watch *watch)
{
    if (watch == NULL)
        return;
    vx_alive_remove(&watch->alive);
    uv_close((uv_handle_t *)&watch->uv, closed);
}
