/* Clearing away what a run has left: its processes first, then its folders. */
#ifndef VX_BASE_SWEEP_H
#define VX_BASE_SWEEP_H

#include <stdbool.h>

#include "runtime/base/err.h"

struct vx_sweep {
    unsigned killed;  /* processes */
    unsigned removed; /* paths that were there */
};

/* Kills every process that vx_proc_find finds for the paths (absolute, NULL-terminated) until
 * none is left, then removes each path that belongs to this user with all below it, following no
 * link. With settle, waits a moment and looks once more: a process that was being started when
 * its starter died shows its command line late. Blocks, at most for some seconds. Removes what
 * it can even if it returns -1, but touches nothing when a path is one that no run could have, such
 * as "/tmp". */
int vx_sweep(const char *const *paths, bool settle, struct vx_sweep *done, struct vx_err *err);

#endif
