#include "runtime/loop/timer.h"

#include <stdlib.h>

#include "runtime/base/buf.h"
#include "runtime/loop/internal.h"

/* Closing a handle costs libuv a turn that does not sleep, and every command has a timer for its
 * limit: a few are kept instead. Not where a use after free is to be found. */
#ifdef __SANITIZE_ADDRESS__
enum { SPARES = 0 };
#else
enum { SPARES = 64 };
#endif

struct vx_timer {
    uv_timer_t uv;
    struct vx_alive alive; /* its link is in the loop's spares while nobody holds the timer */
    vx_timer_cb fn;
    void *arg;
};

static void fire(uv_timer_t *uv)
{
    struct vx_timer *timer = uv->data;

    vx_loop_ran(timer->alive.loop);
    timer->fn(timer->arg);
}

static struct vx_timer *take(struct vx_loop *loop)
{
    struct vx_timer *timer = NULL;

    if (!vx_list_empty(&loop->spares)) {
        timer = VX_OF(loop->spares.prev, struct vx_timer, alive.link);
        vx_list_unlink(&timer->alive.link);
        loop->spare_count--;
        return timer;
    }
    timer = vx_zalloc(sizeof *timer);
    timer->uv.data = timer;
    uv_timer_init(&loop->uv, &timer->uv);
    return timer;
}

struct vx_timer *vx_timer_new(struct vx_loop *loop, double seconds, vx_timer_cb fn, void *arg)
{
    struct vx_timer *timer = take(loop);
    double ms = seconds > 0 ? seconds * 1000 : 0;

    timer->fn = fn;
    timer->arg = arg;
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
    struct vx_loop *loop = NULL;

    if (timer == NULL)
        return;
    loop = timer->alive.loop;
    vx_alive_remove(&timer->alive);
    if (loop->spare_count >= SPARES) {
        uv_close((uv_handle_t *)&timer->uv, closed);
        return;
    }
    uv_timer_stop(&timer->uv);
    vx_list_push(&loop->spares, &timer->alive.link);
    loop->spare_count++;
}

void vx_timer_drop_spares(struct vx_loop *loop)
{
    while (!vx_list_empty(&loop->spares)) {
        struct vx_timer *timer = VX_OF(loop->spares.next, struct vx_timer, alive.link);

        vx_list_unlink(&timer->alive.link);
        uv_close((uv_handle_t *)&timer->uv, closed);
    }
    loop->spare_count = SPARES; /* none is kept from here on */
}
