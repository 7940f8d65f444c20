/* What the files of this folder share: the loop's inside. Nobody else includes it. */
#ifndef VX_LOOP_INTERNAL_H
#define VX_LOOP_INTERNAL_H

#include <uv.h>

#include "runtime/base/list.h"
#include "runtime/loop/channel.h"
#include "runtime/loop/loop.h"

struct vx_loop {
    uv_loop_t uv;
    uv_async_t async;
    uv_idle_t ran; /* active: something ran in this turn, so it must not sleep */
    uv_mutex_t lock;
    struct vx_link posts; /* struct post, under lock */
    struct vx_link alive; /* struct vx_alive: what the callers hold */
    int count;
    struct vx_link spares; /* of timers (timer.c) */
    int spare_count;
};

/* A line in the loop's list of what is held, for the leak check at the end. */
struct vx_alive {
    struct vx_link link;
    struct vx_loop *loop;
    const char *what;
};

/* Counts something that must be released before the loop is freed; what names it for the log. */
void vx_alive_add(struct vx_alive *alive, struct vx_loop *loop, const char *what);
void vx_alive_remove(struct vx_alive *alive);

/* Called before a caller's callback: uv_run may run timers and pending writes before it sleeps, and
 * would then sleep although they made something ready. */
void vx_loop_ran(struct vx_loop *loop);

/* Frees the timers that are kept for further use. */
void vx_timer_drop_spares(struct vx_loop *loop);

/* Before anything of libuv's is opened: see fork.c. */
void vx_fork_hold(void);

/* The channel to somebody who has connected to a listening socket. NULL with err. */
struct vx_channel *vx_channel_accept(struct vx_loop *loop, uv_stream_t *server,
                                     vx_channel_data_cb on_data, void *arg, struct vx_err *err);

/* Fills err from a libuv error number; returns -1. */
int vx_err_uv(struct vx_err *err, int code, const char *what);

#endif
