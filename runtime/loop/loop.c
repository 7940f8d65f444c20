#include "runtime/loop/loop.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/base/buf.h"
#include "runtime/base/log.h"
#include "runtime/loop/internal.h"

struct post {
    struct vx_link link;
    vx_post_cb fn;
    void *arg;
};

int vx_err_uv(struct vx_err *err, int code, const char *what)
{
    /* libuv's codes are negated errno values wherever errno has them. */
    return vx_err_errno(err, -code, "%s", what);
}

void vx_alive_add(struct vx_alive *alive, struct vx_loop *loop, const char *what)
{
    alive->loop = loop;
    alive->what = what;
    loop->count++;
    vx_list_push(&loop->alive, &alive->link);
}

void vx_alive_remove(struct vx_alive *alive)
{
    alive->loop->count--;
    vx_list_unlink(&alive->link);
}

static void run_posts(uv_async_t *async)
{
    struct vx_loop *loop = async->data;
    struct vx_link mine;

    vx_list_init(&mine);
    uv_mutex_lock(&loop->lock);
    if (!vx_list_empty(&loop->posts)) {
        mine = loop->posts;
        mine.next->prev = &mine;
        mine.prev->next = &mine;
        vx_list_init(&loop->posts);
    }
    uv_mutex_unlock(&loop->lock);
    while (!vx_list_empty(&mine)) {
        struct post *post = VX_OF(mine.next, struct post, link);
        vx_list_unlink(&post->link);
        post->fn(post->arg);
        free(post);
    }
}

static void no_sleep(uv_idle_t *idle)
{
    (void)idle; /* being active is all it does */
}

void vx_loop_ran(struct vx_loop *loop)
{
    uv_idle_start(&loop->ran, no_sleep);
}

struct vx_loop *vx_loop_new(struct vx_err *err)
{
    struct vx_loop *loop = vx_zalloc(sizeof *loop);
    int rc = 0;

    vx_list_init(&loop->posts);
    vx_list_init(&loop->alive);
    vx_list_init(&loop->spares);
    vx_fork_hold();
    rc = uv_loop_init(&loop->uv);
    if (rc < 0) {
        vx_err_uv(err, rc, "cannot make an event loop");
        free(loop);
        return NULL;
    }
    uv_mutex_init(&loop->lock);
    loop->async.data = loop;
    rc = uv_async_init(&loop->uv, &loop->async, run_posts);
    if (rc < 0) {
        vx_err_uv(err, rc, "cannot make the event loop's wake-up");
        uv_loop_close(&loop->uv);
        uv_mutex_destroy(&loop->lock);
        free(loop);
        return NULL;
    }
    uv_idle_init(&loop->uv, &loop->ran);
    return loop;
}

int vx_loop_free(struct vx_loop *loop)
{
    int leaked = loop->count;

    for (struct vx_link *at = loop->alive.next; at != &loop->alive; at = at->next)
        vx_log(VX_LOG_ERROR, NULL, "event loop: a %s was never released",
               VX_OF(at, struct vx_alive, link)->what);
    while (!vx_list_empty(&loop->posts)) {
        struct post *post = VX_OF(loop->posts.next, struct post, link);
        vx_list_unlink(&post->link);
        free(post);
    }
    uv_close((uv_handle_t *)&loop->async, NULL);
    uv_close((uv_handle_t *)&loop->ran, NULL);
    vx_timer_drop_spares(loop);
    if (leaked > 0)
        return leaked; /* its callbacks may still come: the memory stays */
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    uv_loop_close(&loop->uv);
    uv_mutex_destroy(&loop->lock);
    free(loop);
    return 0;
}

void vx_loop_turn(struct vx_loop *loop, bool wait)
{
    uv_run(&loop->uv, wait ? UV_RUN_ONCE : UV_RUN_NOWAIT);
    uv_idle_stop(&loop->ran);
}

double vx_loop_now(void)
{
    return (double)uv_hrtime() / 1e9;
}

void vx_loop_post(struct vx_loop *loop, vx_post_cb fn, void *arg)
{
    struct post *post = vx_zalloc(sizeof *post);

    post->fn = fn;
    post->arg = arg;
    uv_mutex_lock(&loop->lock);
    vx_list_push(&loop->posts, &post->link);
    uv_mutex_unlock(&loop->lock);
    uv_async_send(&loop->async);
}

int vx_loop_alive(const struct vx_loop *loop)
{
    return loop->count;
}
