/* A command from start to end as one operation: input given, output collected. */
#ifndef VX_SSH_RUN_H
#define VX_SSH_RUN_H

#include "runtime/base/buf.h"
#include "runtime/ssh/command.h"

struct vx_run;

/* Runs once. err is NULL when the command ended by itself (result is valid), else why not: kind
 * "timeout", "connection", ... vx_run_output is legal in both cases. */
typedef void (*vx_run_cb)(const struct vx_err *err, void *arg);

struct vx_run_opts {
    const char *input; /* standard input; not copied, lives until done or free; NULL: none */
    size_t input_len;
    size_t
        max_output; /* bytes kept of both streams together; the rest is dropped and counted */
    double timeout; /* seconds, 0 for none */
    vx_run_cb done;
    void *arg;
};

/* Starts the command (its ready, arg and stdin_open are set here) and sees it through. */
struct vx_run *vx_run_start(struct vx_loop *loop, struct vx_session *session,
                            const struct vx_command_opts *command,
                            const struct vx_run_opts *opts, struct vx_err *err);
/* Lets go; done never runs after this. NULL is fine. */
void vx_run_free(struct vx_run *run);

struct vx_run_output {
    const struct vx_buf *out, *err;
    unsigned long long dropped; /* bytes beyond max_output */
    struct vx_command_result result;
    long group; /* as vx_command_group */
};
/* Valid until vx_run_free. */
void vx_run_output(const struct vx_run *run, struct vx_run_output *output);

#endif
