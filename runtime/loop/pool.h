/* Worker threads for calls that block: a pool of 64, and threads of one's own for long streams. */
#ifndef VX_LOOP_POOL_H
#define VX_LOOP_POOL_H

#include "runtime/loop/loop.h"

/* Runs on a worker; may touch arg and nothing else. Its name ends in _work. */
typedef void (*vx_work_fn)(void *arg);
/* Runs on the loop thread once work has returned. Always runs, exactly once. */
typedef void (*vx_done_cb)(void *arg);

/* Queues work for the pool. arg must live until done has run, whatever becomes of the task that
 * asked: done frees what nobody waits for any more. Returns 0, or -1 with err: then neither
 * runs. */
int vx_pool_run(struct vx_loop *loop, vx_work_fn work, vx_done_cb done, void *arg,
                struct vx_err *err);

/* The same on a thread of its own, for work that may block on a guest for minutes. */
int vx_pool_thread(struct vx_loop *loop, vx_work_fn work, vx_done_cb done, void *arg,
                   struct vx_err *err);

/* Must be called before the first loop is made: sets the pool's size to 64. */
void vx_pool_setup(void);

#endif
