/* Signals delivered on the loop thread. */
#ifndef VX_LOOP_SIGNAL_H
#define VX_LOOP_SIGNAL_H

#include "runtime/loop/loop.h"

struct vx_signal;

typedef void (*vx_signal_cb)(int signum, void *arg);

/* Calls fn for each delivery of signum until freed. Several may listen to one signal. */
struct vx_signal *vx_signal_new(struct vx_loop *loop, int signum, vx_signal_cb fn, void *arg,
                                struct vx_err *err);
void vx_signal_free(struct vx_signal *sig);

/* Stops this process as Ctrl-Z does, whoever listens to that signal; returns when it goes on. A
 * process that no shell would ever continue (an orphaned group) is not stopped. Loop thread. */
void vx_signal_suspend(void);

#endif
