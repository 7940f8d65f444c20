#include "runtime/ssh/run.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/loop/timer.h"

enum { CHUNK = 32 * 1024 };

struct vx_run {
    struct vx_command *command;
    struct vx_run_opts opts;
    size_t given; /* bytes of the input */
    struct vx_buf streams[2];
    unsigned long long dropped;
    struct vx_timer *limit;
    bool on_terminal; /* with a marker to be read first */
};

static void finish(struct vx_run *run, const struct vx_err *err)
{
    vx_run_cb done = run->opts.done;

    vx_timer_free(run->limit);
    run->limit = NULL;
    run->opts.done = NULL;
    if (done != NULL)
        done(err, run->opts.arg);
}

static void feed(struct vx_run *run)
{
    /* A terminal echoes what it is sent: the marker's line must not stand behind that. */
    if (run->on_terminal && vx_command_group(run->command) == 0)
        return;
    while (run->given < run->opts.input_len) {
        long taken = vx_command_write(run->command, run->opts.input + run->given,
                                      run->opts.input_len - run->given);
        if (taken <= 0)
            return;
        run->given += (size_t)taken;
    }
    if (run->opts.input != NULL && vx_command_running(run->command)) {
        vx_command_eof(run->command);
        run->opts.input = NULL;
        run->opts.input_len = run->given = 0;
    }
}

static void keep(struct vx_run *run, int stream, const char *data, size_t len)
{
    size_t have = run->streams[0].len + run->streams[1].len;
    size_t room = have < run->opts.max_output ? run->opts.max_output - have : 0;
    size_t take = len < room ? len : room;

    if (take > 0)
        vx_buf_add(&run->streams[stream - 1], data, take);
    run->dropped += len - take;
}

static void on_ready(void *arg)
{
    struct vx_run *run = arg;
    char chunk[CHUNK];
    int stream = 0;
    long got = 0;

    if (run->opts.done == NULL)
        return;
    while ((got = vx_command_read(run->command, &stream, chunk, sizeof chunk)) > 0)
        keep(run, stream, chunk, (size_t)got);
    feed(run); /* after the marker was read */
    if (got == VX_COMMAND_END)
        finish(run, NULL);
    else if (got == VX_COMMAND_FAILED)
        finish(run, vx_command_error(run->command));
}

static void on_limit(void *arg)
{
    struct vx_run *run = arg;
    struct vx_err err = { 0 };

    vx_err_set(&err, VX_TIMEOUT, ETIMEDOUT, "the command did not end within %.6g s",
               run->opts.timeout);
    finish(run, &err);
}

struct vx_run *vx_run_start(struct vx_loop *loop, struct vx_session *session,
                            const struct vx_command_opts *command,
                            const struct vx_run_opts *opts, struct vx_err *err)
{
    struct vx_run *run = vx_zalloc(sizeof *run);
    struct vx_command_opts mine = *command;

    run->opts = *opts;
    run->on_terminal = mine.pty && mine.marker != NULL;
    mine.ready = on_ready;
    mine.arg = run;
    mine.stdin_open = opts->input != NULL;
    mine.stdin_unused = command->stdin_unused && opts->input == NULL;
    run->command = vx_command_start(session, &mine, err);
    if (run->command == NULL) {
        free(run);
        return NULL;
    }
    if (opts->timeout > 0)
        run->limit = vx_timer_new(loop, opts->timeout, on_limit, run);
    return run;
}

void vx_run_free(struct vx_run *run)
{
    if (run == NULL)
        return;
    vx_timer_free(run->limit);
    vx_command_free(run->command);
    vx_buf_free(&run->streams[0]);
    vx_buf_free(&run->streams[1]);
    free(run);
}

void vx_run_output(const struct vx_run *run, struct vx_run_output *output)
{
    *output = (struct vx_run_output){ .out = &run->streams[0],
                                      .err = &run->streams[1],
                                      .dropped = run->dropped,
                                      .group = vx_command_group(run->command) };
    vx_command_result(run->command, &output->result);
}
