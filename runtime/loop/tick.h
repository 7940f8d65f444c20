/* A tick of the processor time that the process uses: none while it sleeps. */
#ifndef VX_LOOP_TICK_H
#define VX_LOOP_TICK_H

typedef void (*vx_tick_fn)(void *arg);

/* Calls fn(arg) on this thread, inside a signal handler, whenever the process has computed for
 * that many seconds more, on all its threads together. One at a time in a process. */
void vx_tick_start(double seconds, vx_tick_fn fn, void *arg);
void vx_tick_stop(void);

#endif
