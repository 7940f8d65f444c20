/* Processes on the host, with their three standard streams. */
#ifndef VX_LOOP_PROCESS_H
#define VX_LOOP_PROCESS_H

#include <stddef.h>
#include <sys/types.h>

#include "runtime/loop/loop.h"

struct vx_process;

/* stream is 1 for stdout, 2 for stderr; len 0 is the end of that stream. */
typedef void (*vx_process_data_cb)(int stream, const char *data, size_t len, void *arg);
/* Runs once, after both streams have ended and the process was reaped. signal is 0 if it exited. */
typedef void (*vx_process_exit_cb)(int status, int signal, void *arg);
typedef void (*vx_process_sent_cb)(const struct vx_err *err, void *arg);

struct vx_process_opts {
    const char *const *argv; /* NULL-terminated; argv[0] is looked up in PATH */
    const char *const *env;  /* NULL-terminated NAME=value list; NULL inherits */
    const char *cwd;         /* NULL inherits */
    int stdin_pipe;          /* 0: stdin is /dev/null; 1: written with vx_process_write */
    int inherit_output;      /* 1: stdout and stderr are ours; on_data never runs */
    vx_process_data_cb on_data;
    vx_process_exit_cb on_exit;
    void *arg;
};

/* Starts a process in a process group of its own: a Ctrl-C at the terminal reaches only us. */
struct vx_process *vx_process_start(struct vx_loop *loop, const struct vx_process_opts *opts,
                                    struct vx_err *err);
pid_t vx_process_pid(const struct vx_process *proc);

/* Sends bytes (copied) to its stdin; sent (may be NULL) runs when they are written. */
int vx_process_write(struct vx_process *proc, const char *data, size_t len,
                     vx_process_sent_cb sent, void *arg, struct vx_err *err);
void vx_process_close_stdin(struct vx_process *proc);

/* Stops reading its output, so that a process faster than its reader blocks instead of filling our
 * memory; resume reads on. Both are harmless when repeated. While paused, on_exit does not run. */
void vx_process_pause(struct vx_process *proc);
void vx_process_resume(struct vx_process *proc);

/* Signals its whole process group; harmless once it has ended. */
void vx_process_kill(struct vx_process *proc, int signum);

/* Kills it with SIGKILL if it still runs, lets go; no callback runs after this. NULL is fine. */
void vx_process_free(struct vx_process *proc);

/* The path that starts this very program, also after its file was replaced. The caller frees
 * it. */
char *vx_process_self(void);

#endif
