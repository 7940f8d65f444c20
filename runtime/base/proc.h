/* This user's processes on the host, found by the files that their command lines name. */
#ifndef VX_BASE_PROC_H
#define VX_BASE_PROC_H

#include <sys/types.h>

#include "runtime/base/buf.h"
#include "runtime/base/err.h"

struct vx_proc {
    pid_t pid;
    char name[32]; /* for messages */
};

/* Adds a struct vx_proc to found for each other process of this user that has no terminal and
 * whose command line names one of the paths (NULL-terminated) or something below. Without a
 * terminal: an editor or pager that looks at such a file is none of what we started. */
int vx_proc_find(const char *const *paths, struct vx_buf *found, struct vx_err *err);

/* Sends SIGKILL if the process is still one that vx_proc_find would find: a pid that another
 * process has got meanwhile is left alone. Returns whether it was sent. */
int vx_proc_kill(pid_t pid, const char *const *paths);

#endif
