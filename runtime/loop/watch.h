/* Readiness of a file descriptor. */
#ifndef VX_LOOP_WATCH_H
#define VX_LOOP_WATCH_H

#include "runtime/loop/loop.h"

struct vx_watch;

enum { VX_READABLE = 1, VX_WRITABLE = 2 };

/* events: what the descriptor is ready for, a bit mask. An error or hang-up shows as both. */
typedef void (*vx_watch_cb)(int events, void *arg);

/* Watches fd, a socket or pipe that stays the caller's; starts with no events wanted. */
struct vx_watch *vx_watch_new(struct vx_loop *loop, int fd, vx_watch_cb fn, void *arg,
                              struct vx_err *err);

/* Which events fn is called for from now on, 0 for none. Level-triggered. */
void vx_watch_want(struct vx_watch *watch, int events);

/* fn never runs after this; the descriptor may be closed at once. NULL is fine. */
void vx_watch_free(struct vx_watch *watch);

#endif
