/* Changes of a file: told when somebody writes to it. */
#ifndef VX_LOOP_FSWATCH_H
#define VX_LOOP_FSWATCH_H

#include "runtime/loop/loop.h"

struct vx_fswatch;

typedef void (*vx_fswatch_cb)(void *arg);

/* Calls fn after changes of the file, which must exist; several changes may come as one. */
struct vx_fswatch *vx_fswatch_new(struct vx_loop *loop, const char *path, vx_fswatch_cb fn,
                                  void *arg, struct vx_err *err);

/* fn never runs after this. NULL is fine. */
void vx_fswatch_free(struct vx_fswatch *watch);

#endif
