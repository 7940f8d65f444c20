/* The event loop: one thread that owns Lua, the sessions and every object of the runtime. */
#ifndef VX_LOOP_LOOP_H
#define VX_LOOP_LOOP_H

#include <stdbool.h>

#include "runtime/base/err.h"

struct vx_loop;

typedef void (*vx_post_cb)(void *arg);

/* Makes a loop, which belongs to the calling thread and is the caller's to free. NULL with err. */
struct vx_loop *vx_loop_new(struct vx_err *err);

/* Closes the loop. Every timer, watch, signal, process and job must have been released; what was
 * not is named in the log and makes this return the number of them. */
int vx_loop_free(struct vx_loop *loop);

/* Runs what is due; with wait, first sleeps until something is. */
void vx_loop_turn(struct vx_loop *loop, bool wait);

/* Seconds on a clock that never goes back (the origin means nothing). Any thread. */
double vx_loop_now(void);

/* Runs fn(arg) once on the loop thread, later, in the order of the posts. Any thread.
 * Cannot fail; what is posted after the last turn never runs. */
void vx_loop_post(struct vx_loop *loop, vx_post_cb fn, void *arg);

/* How many timers, watches, signals, processes and jobs are alive: 0 means nothing leaked. */
int vx_loop_alive(const struct vx_loop *loop);

#endif
