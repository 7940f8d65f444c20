/* One-shot timers. */
#ifndef VX_LOOP_TIMER_H
#define VX_LOOP_TIMER_H

#include "runtime/loop/loop.h"

struct vx_timer;

typedef void (*vx_timer_cb)(void *arg);

/* Calls fn(arg) once after that many seconds (never inside this call). The timer is the caller's:
 * vx_timer_free it also after it fired. Precision is a millisecond. */
struct vx_timer *vx_timer_new(struct vx_loop *loop, double seconds, vx_timer_cb fn, void *arg);

/* Stops and frees the timer: fn never runs after this. NULL is fine; legal inside fn. */
void vx_timer_free(struct vx_timer *timer);

#endif
