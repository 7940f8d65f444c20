#include "runtime/loop/timer.h"

#include <stdlib.h>

#include "runtime/base/buf.h"
#include "runtime/loop/internal.h"

struct vx_timer {
    uv_timer_t uv;
    struct vx_alive alive;
    vx_timer_cb fn;
    void *arg;
};

static void fire(uv_timer_t *uv)
{
    struct vx_timer *timer = uv->data;

    vx_loop_ran(timer->alive.loop);
    timer->fn(timer->arg);
}

struct vx_timer *vx_timer_new(struct vx_loop *loop, double seconds, vx_timer_cb fn, void *arg)
{
    struct vx_timer *timer = vx_zalloc(sizeof *timer);
    double ms = seconds > 0 ? seconds * 1000 : 0;

    timer->fn = fn;
    timer->arg = arg;
    timer->uv.data = timer;
    uv_timer_init(&loop->uv, &timer->uv);
    /* libuv counts from its cached time: without this a long computation shortens the wait. */
    uv_update_time(&loop->uv);
    if (ms > 1e15)
        ms = 1e15;
    uv_timer_start(&timer->uv, fire, (uint64_t)(ms + 0.999), 0);
    vx_alive_add(&timer->alive, loop, "timer");
    return timer;
}

static void closed(uv_handle_t *handle)
{
    free(handle->data);
}

void vx_timer_free(struct vx_timer *timer)
{
    if (timer == NULL)
        return;
    vx_alive_remove(&timer->alive);
    uv_close((uv_handle_t *)&timer->uv, closed);
}
