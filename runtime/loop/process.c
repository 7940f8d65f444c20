#include "runtime/loop/process.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/buf.h"
#include "runtime/loop/internal.h"

struct stream {
    uv_pipe_t uv;
    struct vx_process *proc;
    int number;
    bool open;
};

struct vx_process {
    uv_process_t uv;
    struct stream in, out, err;
    struct vx_alive alive;
    struct vx_process_opts opts;
    char chunk[65536];
    int handles; /* libuv handles not closed yet */
    int waits;   /* streams not ended plus the process not reaped */
    int status;
    int signal;
    bool running;
    bool ending_input;
    bool freed;
};

struct send {
    uv_write_t uv;
    struct vx_process *proc;
    vx_process_sent_cb sent;
    void *arg;
    char data[];
};

static void closed(uv_handle_t *handle)
{
    struct vx_process *proc = handle->data;

    if (--proc->handles == 0 && proc->freed)
        free(proc);
}

static void close_stream(struct stream *stream)
{
    if (!stream->open)
        return;
    stream->open = false;
    uv_close((uv_handle_t *)&stream->uv, closed);
}

static void count_down(struct vx_process *proc)
{
    if (--proc->waits == 0 && !proc->freed)
        proc->opts.on_exit(proc->status, proc->signal, proc->opts.arg);
}

static void give_chunk(uv_handle_t *handle, size_t size, uv_buf_t *buf)
{
    struct vx_process *proc = handle->data;

    (void)size;
    *buf = uv_buf_init(proc->chunk, sizeof proc->chunk);
}

static void got_data(uv_stream_t *uv, ssize_t len, const uv_buf_t *buf)
{
    struct vx_process *proc = uv->data;
    struct stream *stream = uv == (uv_stream_t *)&proc->out.uv ? &proc->out : &proc->err;

    if (proc->freed || len == 0)
        return;
    if (len > 0) {
        proc->opts.on_data(stream->number, buf->base, (size_t)len, proc->opts.arg);
        return;
    }
    close_stream(stream);
    proc->opts.on_data(stream->number, NULL, 0, proc->opts.arg);
    count_down(proc);
}

static void exited(uv_process_t *uv, int64_t status, int signum)
{
    struct vx_process *proc = uv->data;

    proc->running = false;
    proc->status = (int)status;
    proc->signal = signum;
    uv_close((uv_handle_t *)&proc->uv, closed);
    if (!proc->freed)
        count_down(proc);
}

static void open_stream(struct vx_loop *loop, struct vx_process *proc, struct stream *stream,
                        int number)
{
    uv_pipe_init(&loop->uv, &stream->uv, 0);
    stream->uv.data = proc;
    stream->proc = proc;
    stream->number = number;
    stream->open = true;
    proc->handles++;
}

struct vx_process *vx_process_start(struct vx_loop *loop, const struct vx_process_opts *opts,
                                    struct vx_err *err)
{
    struct vx_process *proc = vx_zalloc(sizeof *proc);
    uv_stdio_container_t io[3] = { 0 };
    uv_process_options_t uv = { 0 };
    int rc = 0;

    proc->opts = *opts;
    proc->uv.data = proc;
    io[0].flags = UV_IGNORE;
    if (opts->stdin_pipe) {
        open_stream(loop, proc, &proc->in, 0);
        io[0].flags = UV_CREATE_PIPE | UV_READABLE_PIPE;
        io[0].data.stream = (uv_stream_t *)&proc->in.uv;
    }
    if (opts->inherit_output) {
        io[1].flags = io[2].flags = UV_INHERIT_FD;
        io[1].data.fd = 1;
        io[2].data.fd = 2;
    } else {
        open_stream(loop, proc, &proc->out, 1);
        open_stream(loop, proc, &proc->err, 2);
        io[1].flags = io[2].flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE;
        io[1].data.stream = (uv_stream_t *)&proc->out.uv;
        io[2].data.stream = (uv_stream_t *)&proc->err.uv;
        proc->waits += 2;
    }
    uv.exit_cb = exited;
    uv.file = opts->argv[0];
    /* libuv's types are not const, but it does not write to them. */
    memcpy(&uv.args, &opts->argv, sizeof uv.args);
    memcpy(&uv.env, &opts->env, sizeof uv.env);
    uv.cwd = opts->cwd;
    uv.flags = UV_PROCESS_DETACHED;
    uv.stdio_count = 3;
    uv.stdio = io;
    proc->handles++;
    proc->waits++;
    rc = uv_spawn(&loop->uv, &proc->uv, &uv);
    /* The caller's arrays need not outlive this call. */
    proc->opts.argv = proc->opts.env = NULL;
    proc->opts.cwd = NULL;
    if (rc < 0) {
        vx_err_uv(err, rc, "cannot start a process");
        vx_err_prefix(err, "%s", opts->argv[0]);
        proc->freed = true;
        uv_close((uv_handle_t *)&proc->uv, closed);
        close_stream(&proc->in);
        close_stream(&proc->out);
        close_stream(&proc->err);
        return NULL;
    }
    proc->running = true;
    vx_alive_add(&proc->alive, loop, "process");
    vx_process_resume(proc);
    return proc;
}

pid_t vx_process_pid(const struct vx_process *proc)
{
    return proc->uv.pid;
}

static void written(uv_write_t *uv, int status)
{
    struct send *send = uv->data;
    struct vx_err err = { 0 };

    if (send->sent != NULL && !send->proc->freed) {
        if (status < 0)
            vx_err_uv(&err, status, "cannot write to a process");
        vx_loop_ran(send->proc->alive.loop);
        send->sent(status < 0 ? &err : NULL, send->arg);
    }
    free(send);
}

int vx_process_write(struct vx_process *proc, const char *data, size_t len,
                     vx_process_sent_cb sent, void *arg, struct vx_err *err)
{
    struct send *send = NULL;
    uv_buf_t buf;
    int rc = 0;

    if (!proc->in.open || proc->ending_input)
        return vx_err_set(err, VX_CLOSED, 0, "the process's standard input is closed");
    send = vx_zalloc(sizeof *send + len);
    memcpy(send->data, data, len);
    send->uv.data = send;
    send->proc = proc;
    send->sent = sent;
    send->arg = arg;
    buf = uv_buf_init(send->data, (unsigned)len);
    rc = uv_write(&send->uv, (uv_stream_t *)&proc->in.uv, &buf, 1, written);
    if (rc < 0) {
        free(send);
        return vx_err_uv(err, rc, "cannot write to a process");
    }
    return 0;
}

static void flushed(uv_shutdown_t *uv, int status)
{
    struct vx_process *proc = uv->data;

    (void)status; /* ECANCELED: the stream was closed meanwhile */
    close_stream(&proc->in);
    free(uv);
}

void vx_process_close_stdin(struct vx_process *proc)
{
    uv_shutdown_t *flush = NULL;

    if (!proc->in.open || proc->ending_input)
        return;
    proc->ending_input = true;
    /* Closing at once would drop what is still queued. */
    flush = vx_zalloc(sizeof *flush);
    flush->data = proc;
    if (uv_shutdown(flush, (uv_stream_t *)&proc->in.uv, flushed) < 0) {
        free(flush);
        close_stream(&proc->in);
    }
}

void vx_process_pause(struct vx_process *proc)
{
    if (proc->out.open)
        uv_read_stop((uv_stream_t *)&proc->out.uv);
    if (proc->err.open)
        uv_read_stop((uv_stream_t *)&proc->err.uv);
}

void vx_process_resume(struct vx_process *proc)
{
    /* Starting twice is UV_EALREADY, which is what we want. */
    if (proc->out.open)
        uv_read_start((uv_stream_t *)&proc->out.uv, give_chunk, got_data);
    if (proc->err.open)
        uv_read_start((uv_stream_t *)&proc->err.uv, give_chunk, got_data);
}

void vx_process_kill(struct vx_process *proc, int signum)
{
    /* What it started may outlive it. Its group is surely still its own while somebody holds its
     * output; later the number may be another's. */
    bool group = proc->running || proc->out.open || proc->err.open;

    if (group && kill(-proc->uv.pid, signum) != 0 && proc->running)
        uv_process_kill(&proc->uv, signum);
}

void vx_process_free(struct vx_process *proc)
{
    if (proc == NULL)
        return;
    vx_process_kill(proc, SIGKILL);
    proc->freed = true;
    vx_alive_remove(&proc->alive);
    close_stream(&proc->in);
    close_stream(&proc->out);
    close_stream(&proc->err);
    if (proc->handles == 0)
        free(proc);
}

char *vx_process_self(void)
{
#ifdef __linux__
    return vx_strdup("/proc/self/exe");
#else
    char path[4096] = "vmatrix";
    size_t len = sizeof path;

    uv_exepath(path, &len); /* on failure the name is looked up in PATH */
    return vx_strdup(path);
#endif
}
