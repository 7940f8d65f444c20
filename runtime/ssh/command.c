#include "runtime/ssh/command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/ssh/internal.h"
#include "runtime/ssh/marker.h"
#include "runtime/ssh/state.h"

/* OPEN -> PTY -> EXEC -> RUN -> ENDED, or FAILED from any. A command that was let go of before it
 * ended goes on by itself as CLOSING until libssh2 has let go of the channel. */
enum phase { OPEN, PTY, EXEC, RUN, ENDED, FAILED, CLOSING };

struct vx_command {
    struct vx_ssh_op op;
    struct vx_session *session; /* our own reference, unlike op.session */
    struct vx_command_opts opts;
    enum phase phase;
    bool orphan;
    bool opened;  /* counted as a channel of the session */
    bool counted; /* among the session's running commands */
    LIBSSH2_CHANNEL *channel;
    struct vx_witness witness;
    struct vx_marker marker;
    bool eof_wanted, eof_sent;
    bool size_wanted; /* its terminal's new size has not been sent yet */
    struct vx_command_result result;
    struct vx_err err;
};

static void count_end(struct vx_command *cmd)
{
    if (cmd->counted)
        cmd->session->running--;
    cmd->counted = false;
}

static void free_memory(struct vx_command *cmd)
{
    count_end(cmd);
    vx_witness_remove(&cmd->witness);
    vx_ssh_op_stop(&cmd->op);
    vx_ssh_unref(cmd->session);
    vx_marker_free(&cmd->marker);
    free((char *)(uintptr_t)cmd->opts.line);
    free((char *)(uintptr_t)cmd->opts.term);
    free(cmd);
}

static void fail(struct vx_command *cmd, const struct vx_err *err)
{
    cmd->phase = FAILED;
    cmd->err = *err;
    count_end(cmd);
}

/* A libssh2 call said rc. Returns true when that means "wait". */
static bool wait_or_fail(struct vx_command *cmd, long rc, const char *what)
{
    struct vx_err err = { 0 };

    if (rc == LIBSSH2_ERROR_EAGAIN)
        return true;
    /* When the session is over, lost() follows with a better reason. */
    if (!vx_ssh_failed(cmd->session, (int)rc, &err, what))
        fail(cmd, &err);
    return vx_ssh_over(cmd->session);
}

/* Frees the channel; false while libssh2 wants to wait. */
static bool let_go(struct vx_command *cmd)
{
    if (cmd->channel != NULL) {
        int rc = cmd->phase == ENDED ? vx_ssh_channel_free(cmd->session, cmd->channel)
                                     : libssh2_channel_free(cmd->channel);

        if (rc == LIBSSH2_ERROR_EAGAIN)
            return false;
        cmd->channel = NULL;
    }
    if (cmd->opened) {
        cmd->opened = false;
        vx_ssh_channel_closed(cmd->session);
    }
    return true;
}

static void step_open(struct vx_command *cmd)
{
    struct vx_err err = { 0 };
    int rc = 0;

    if (cmd->orphan && cmd->session->turn != &cmd->op) {
        cmd->phase = CLOSING;
        return;
    }
    if (!vx_ssh_turn_take(&cmd->op))
        return;
    cmd->channel =
        libssh2_channel_open_ex(vx_ssh_handle(cmd->session), "session", 7, VX_SSH_WINDOW,
                                LIBSSH2_CHANNEL_PACKET_DEFAULT, NULL, 0);
    if (cmd->channel == NULL) {
        rc = libssh2_session_last_errno(vx_ssh_handle(cmd->session));
        if (rc == LIBSSH2_ERROR_EAGAIN)
            return;
        if (rc == LIBSSH2_ERROR_CHANNEL_FAILURE && vx_ssh_channel_refused(cmd->session)) {
            /* As many as the server allows are open: wait for one to close. */
            vx_ssh_turn_give(&cmd->op);
            return;
        }
        if (!vx_ssh_failed(cmd->session, rc, &err, "cannot open a channel for a command")) {
            vx_ssh_turn_give(&cmd->op);
            fail(cmd, &err);
        }
        return;
    }
    vx_witness_add(cmd->session, &cmd->witness);
    vx_ssh_turn_give(&cmd->op);
    vx_ssh_channel_opened(cmd->session);
    cmd->opened = true;
    cmd->phase = cmd->orphan ? CLOSING : cmd->opts.pty ? PTY : EXEC;
}

static void step_pty(struct vx_command *cmd)
{
    const char *term = cmd->opts.term != NULL ? cmd->opts.term : "xterm";
    int rc = libssh2_channel_request_pty_ex(cmd->channel, term, (unsigned)strlen(term), NULL, 0,
                                            cmd->opts.cols > 0 ? cmd->opts.cols : 80,
                                            cmd->opts.rows > 0 ? cmd->opts.rows : 24, 0, 0);

    if (rc == 0)
        cmd->phase = EXEC;
    else
        wait_or_fail(cmd, rc, "the server gives no terminal");
}

static void step_exec(struct vx_command *cmd)
{
    int rc = libssh2_channel_process_startup(cmd->channel, "exec", 4, cmd->opts.line,
                                             (unsigned)cmd->opts.line_len);

    if (rc == 0)
        cmd->phase = RUN;
    else
        wait_or_fail(cmd, rc, "the server does not start the command");
}

/* On a terminal the end of the input is a character (twice: the first ends a line that was not
 * ended). The channel's own end would hang up the terminal: dropbear then kills what runs on it. */
static int send_eof_now(struct vx_command *cmd)
{
    ssize_t rc = 0;

    if (!cmd->opts.pty)
        return libssh2_channel_send_eof(cmd->channel);
    rc = libssh2_channel_write(cmd->channel, "\x04\x04", 2);
    return rc < 0 ? (int)rc : 0;
}

static void send_eof(struct vx_command *cmd)
{
    int rc = 0;

    if (!cmd->eof_wanted || cmd->eof_sent || cmd->phase != RUN)
        return;
    rc = send_eof_now(cmd);
    if (rc == 0 || !wait_or_fail(cmd, rc, "cannot end the input of a command"))
        cmd->eof_sent = true;
}

static void send_size(struct vx_command *cmd)
{
    int rc = 0;

    if (!cmd->size_wanted || cmd->phase != RUN)
        return;
    rc =
        libssh2_channel_request_pty_size_ex(cmd->channel, cmd->opts.cols, cmd->opts.rows, 0, 0);
    if (rc == 0 || !wait_or_fail(cmd, rc, "cannot change the size of a command's terminal"))
        cmd->size_wanted = false;
}

static void take_result(struct vx_command *cmd)
{
    char *name = NULL;
    size_t len = 0;

    cmd->result.status = libssh2_channel_get_exit_status(cmd->channel);
    libssh2_channel_get_exit_signal(cmd->channel, &name, &len, NULL, NULL, NULL, NULL);
    if (name != NULL) {
        cmd->result.status = -1;
        snprintf(cmd->result.signal, sizeof cmd->result.signal, "%.*s", (int)len, name);
        for (char *at = cmd->result.signal; *at != '\0'; at++)
            if (*at <= ' ' || *at > '~')
                *at = '?';
        vx_witness_free(cmd->session, name);
    } else if (cmd->witness.channel >= 0 && !cmd->witness.status_seen) {
        vx_err_set(&cmd->err, VX_CONNECTION, 0,
                   "%s: the server closed the command's channel without saying how it ended",
                   cmd->session->name);
        cmd->phase = FAILED;
    }
}

/* All output was read: is the channel closed too? Then what it ended with is known. */
static void try_end(struct vx_command *cmd)
{
    int rc = libssh2_channel_wait_closed(cmd->channel);

    if (rc != 0) {
        wait_or_fail(cmd, rc, "the command's channel did not end well");
        return;
    }
    if (vx_ssh_over(cmd->session))
        return;
    cmd->phase = ENDED;
    count_end(cmd);
    take_result(cmd);
    /* The server has closed it: freeing only says so too, and never waits. */
    if (let_go(cmd))
        vx_ssh_op_stop(&cmd->op);
}

static void step(struct vx_ssh_op *op)
{
    struct vx_command *cmd = VX_OF(op, struct vx_command, op);

    if (cmd->phase == OPEN)
        step_open(cmd);
    if (cmd->phase == PTY)
        step_pty(cmd);
    if (cmd->phase == EXEC)
        step_exec(cmd);
    send_eof(cmd);
    send_size(cmd);
    if (cmd->orphan && cmd->phase != OPEN) {
        cmd->phase = CLOSING;
        if (let_go(cmd))
            free_memory(cmd);
        return;
    }
    if (!cmd->orphan && cmd->phase != OPEN)
        cmd->opts.ready(cmd->opts.arg);
}

static void lost(struct vx_ssh_op *op, const struct vx_err *err)
{
    struct vx_command *cmd = VX_OF(op, struct vx_command, op);

    cmd->channel = NULL;
    vx_witness_remove(&cmd->witness);
    if (cmd->opened)
        vx_ssh_channel_closed(cmd->session);
    cmd->opened = false;
    if (cmd->orphan) {
        free_memory(cmd);
        return;
    }
    if (cmd->phase != ENDED && cmd->phase != FAILED)
        fail(cmd, err);
    cmd->opts.ready(cmd->opts.arg);
}

struct vx_command *vx_command_start(struct vx_session *session,
                                    const struct vx_command_opts *opts, struct vx_err *err)
{
    struct vx_command *cmd = vx_zalloc(sizeof *cmd);

    cmd->op.step = step;
    cmd->op.lost = lost;
    if (vx_ssh_op_start(session, &cmd->op, err) != 0) {
        free(cmd);
        return NULL;
    }
    cmd->session = vx_ssh_ref(session);
    cmd->counted = true;
    session->running++;
    cmd->opts = *opts;
    cmd->opts.line = vx_strndup(opts->line, opts->line_len);
    cmd->opts.term = opts->term != NULL ? vx_strdup(opts->term) : NULL;
    cmd->eof_wanted = !opts->stdin_open && !opts->stdin_unused;
    vx_marker_init(&cmd->marker, opts->marker, opts->pty ? 1 : 2);
    vx_list_init(&cmd->witness.link);
    /* The first request goes out now; its answer is for the pump. */
    vx_ssh_enter(session);
    step_open(cmd);
    vx_ssh_leave(session);
    if (cmd->phase != OPEN)
        vx_ssh_soon(session);
    return cmd;
}

void vx_command_free(struct vx_command *cmd)
{
    if (cmd == NULL)
        return;
    cmd->orphan = true;
    cmd->session->littered |= cmd->phase == PTY || cmd->phase == EXEC || cmd->phase == RUN;
    /* Without a session behind it, or with nothing open, there is nothing left to wait for. */
    if (cmd->op.session == NULL || (cmd->channel == NULL && cmd->session->turn != &cmd->op)) {
        free_memory(cmd);
        return;
    }
    vx_ssh_soon(cmd->session);
}

void vx_command_resize(struct vx_command *cmd, int cols, int rows)
{
    if (!cmd->opts.pty || cmd->phase > RUN)
        return;
    cmd->opts.cols = cols;
    cmd->opts.rows = rows;
    cmd->size_wanted = cmd->phase > PTY;
    if (cmd->phase != RUN || vx_ssh_over(cmd->session))
        return;
    vx_ssh_enter(cmd->session);
    send_size(cmd);
    vx_ssh_leave(cmd->session);
}

bool vx_command_running(const struct vx_command *cmd)
{
    return cmd->phase == RUN;
}

static long read_stream(struct vx_command *cmd, int stream, char *buf, size_t len)
{
    long got = 0;

    for (;;) {
        size_t kept = vx_marker_take(&cmd->marker, stream, buf, len);

        if (kept > 0)
            return (long)kept;
        got = libssh2_channel_read_ex(cmd->channel, stream == 2 ? SSH_EXTENDED_DATA_STDERR : 0,
                                      buf, len);
        if (got <= 0)
            break;
        got = (long)vx_marker_pass(&cmd->marker, stream, buf, (size_t)got);
        if (got > 0)
            return got;
    }
    if (got < 0 && got != LIBSSH2_ERROR_EAGAIN) {
        wait_or_fail(cmd, got, "cannot read a command's output");
        return 0;
    }
    return 0;
}

long vx_command_read(struct vx_command *cmd, int *stream, void *buf, size_t len)
{
    long got = 0;

    if (cmd->phase == RUN && !vx_ssh_over(cmd->session)) {
        vx_ssh_enter(cmd->session);
        for (int number = 1; number <= 2 && got == 0 && cmd->phase == RUN; number++) {
            *stream = number;
            got = read_stream(cmd, number, buf, len);
        }
        if (got == 0 && cmd->phase == RUN && !vx_ssh_over(cmd->session) &&
            libssh2_channel_eof(cmd->channel) == 1) {
            vx_marker_end(&cmd->marker);
            *stream = cmd->marker.stream;
            got = (long)vx_marker_take(&cmd->marker, cmd->marker.stream, buf, len);
            if (got == 0)
                try_end(cmd);
        }
        vx_ssh_leave(cmd->session);
    }
    if (got > 0)
        return got;
    return cmd->phase == FAILED  ? VX_COMMAND_FAILED
           : cmd->phase == ENDED ? VX_COMMAND_END
                                 : VX_COMMAND_WAIT;
}

long vx_command_write(struct vx_command *cmd, const void *data, size_t len)
{
    const char *at = data;
    size_t taken = 0;

    if (cmd->phase == FAILED)
        return VX_COMMAND_FAILED;
    if (cmd->phase == ENDED || cmd->eof_wanted)
        return VX_COMMAND_END;
    if (cmd->phase != RUN || vx_ssh_over(cmd->session))
        return VX_COMMAND_WAIT;
    vx_ssh_enter(cmd->session);
    while (taken < len && vx_ssh_room(cmd->session) > 0 && cmd->phase == RUN) {
        size_t part = len - taken < VX_SSH_PACKET ? len - taken : VX_SSH_PACKET;
        long rc = libssh2_channel_write_ex(cmd->channel, 0, at + taken, part);

        if (rc > 0)
            taken += (size_t)rc;
        else if (rc == 0 || wait_or_fail(cmd, rc, "cannot write to a command"))
            break;
    }
    vx_ssh_leave(cmd->session);
    if (taken > 0)
        return (long)taken;
    return cmd->phase == FAILED ? VX_COMMAND_FAILED : VX_COMMAND_WAIT;
}

void vx_command_eof(struct vx_command *cmd)
{
    cmd->eof_wanted = true;
    if (cmd->phase != RUN || vx_ssh_over(cmd->session))
        return;
    vx_ssh_enter(cmd->session);
    send_eof(cmd);
    vx_ssh_leave(cmd->session);
}

bool vx_command_ended(const struct vx_command *cmd)
{
    return cmd->phase == ENDED || cmd->phase == FAILED;
}

const struct vx_err *vx_command_error(const struct vx_command *cmd)
{
    return cmd->phase == FAILED ? &cmd->err : NULL;
}

void vx_command_result(const struct vx_command *cmd, struct vx_command_result *result)
{
    *result = cmd->result;
}

long vx_command_find_group(struct vx_command *cmd)
{
    char buf[512];
    long got = 1;

    if (cmd->phase == RUN && !vx_ssh_over(cmd->session) && cmd->marker.text != NULL) {
        vx_ssh_enter(cmd->session);
        while (got > 0 && cmd->marker.text != NULL) {
            got = libssh2_channel_read_ex(
                cmd->channel, cmd->marker.stream == 2 ? SSH_EXTENDED_DATA_STDERR : 0, buf,
                sizeof buf);
            if (got > 0)
                vx_marker_hold(&cmd->marker, buf, (size_t)got);
            else if (got < 0)
                wait_or_fail(cmd, got, "cannot read a command's output");
        }
        vx_ssh_leave(cmd->session);
    }
    return cmd->marker.group;
}

long vx_command_group(const struct vx_command *cmd)
{
    return cmd->marker.group;
}
