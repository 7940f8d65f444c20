/* Commands whose input and output flow while they run. */
#include "bindings/ssh.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdlib.h>

#include "bindings/error.h"
#include "bindings/fields.h"
#include "bindings/task.h"
#include "runtime/base/buf.h"
#include "runtime/base/list.h"

#define COMMAND_WAIT_TYPE "vm.raw.ssh.command.wait"

enum { CHUNK = 64 * 1024 };

struct l_command {
    struct vx_command *cmd; /* NULL: closed */
    struct vx_link waits;   /* struct l_wait */
    long group;             /* of a closed one */
};

enum what { READ = 1, WRITE = 2, ENDED = 4, GROUP = 8 };

struct l_wait {
    struct wait wait;
    struct vx_link link;
    struct l_command *owner; /* NULL once released */
    int what;
    const char *data; /* to write: on the caller's stack */
    size_t len, given;
    long write_end; /* why writing ended: VX_COMMAND_END or FAILED */
    char *chunk;    /* what was read */
    long got;
    int stream;
    bool read_over; /* got is VX_COMMAND_END or FAILED */
};

static struct l_command *to_command(lua_State *L)
{
    return luaL_checkudata(L, 1, SSH_COMMAND_TYPE);
}

static int push_closed(lua_State *L)
{
    struct vx_err err;

    vx_err_set(&err, VX_CLOSED, 0, "the command was closed");
    return l_push_fail(L, &err);
}

static void try_write(struct l_wait *op)
{
    while (op->given < op->len && op->write_end == 0) {
        long taken =
            vx_command_write(op->owner->cmd, op->data + op->given, op->len - op->given);

        if (taken == VX_COMMAND_WAIT)
            return;
        if (taken <= 0)
            op->write_end = taken == VX_COMMAND_END ? 1 : taken;
        else
            op->given += (size_t)taken;
    }
}

static void try_read(struct l_wait *op)
{
    if (op->got > 0 || op->read_over)
        return;
    if (op->chunk == NULL)
        op->chunk = vx_alloc(CHUNK);
    op->got = vx_command_read(op->owner->cmd, &op->stream, op->chunk, CHUNK);
    op->read_over = op->got == VX_COMMAND_END || op->got == VX_COMMAND_FAILED;
    if (op->got < 0)
        op->got = 0;
}

/* Does what can be done now; true when the task may go on. */
static bool try_op(struct l_wait *op)
{
    struct vx_command *cmd = op->owner->cmd;

    if (cmd == NULL || op->wait.late)
        return true;
    if (op->what & WRITE)
        try_write(op);
    if (op->what & READ)
        try_read(op);
    if ((op->what & READ) && (op->got > 0 || op->read_over))
        return true;
    if ((op->what & WRITE) && (op->given == op->len || op->write_end != 0))
        return true;
    if ((op->what & GROUP) && vx_command_find_group(cmd) > 0)
        return true;
    return (op->what & (ENDED | GROUP)) && vx_command_ended(cmd);
}

static void on_ready(void *arg)
{
    struct l_command *c = arg;

    for (struct vx_link *at = c->waits.next; at != &c->waits; at = at->next) {
        struct l_wait *op = VX_OF(at, struct l_wait, link);

        if (try_op(op))
            wait_done(&op->wait);
    }
}

static int command_release(lua_State *L)
{
    struct l_command *c = to_command(L);

    if (c->cmd == NULL)
        return 0;
    c->group = vx_command_group(c->cmd);
    vx_command_free(c->cmd);
    c->cmd = NULL;
    on_ready(c);
    return 0;
}

static int wait_release(lua_State *L)
{
    struct l_wait *op = luaL_checkudata(L, 1, COMMAND_WAIT_TYPE);

    if (op->owner == NULL)
        return 0;
    op->owner = NULL;
    wait_unlimit(&op->wait);
    vx_list_unlink(&op->link);
    free(op->chunk);
    op->chunk = NULL;
    return 0;
}

static int push_failure(lua_State *L, const struct vx_command *cmd)
{
    const struct vx_err *err = vx_command_error(cmd);
    struct vx_err ended;

    vx_err_set(&ended, VX_CLOSED, EPIPE, "the command reads no more input");
    return l_push_fail(L, err != NULL ? err : &ended);
}

static int push_timeout(lua_State *L)
{
    struct vx_err err;

    vx_err_set(&err, VX_TIMEOUT, ETIMEDOUT,
               "the time limit passed while waiting for a command");
    return l_push_fail(L, &err);
}

static int finish(lua_State *L, struct wait *wait)
{
    struct l_wait *op = (struct l_wait *)(void *)wait;
    struct vx_command *cmd = op->owner->cmd;

    if (cmd == NULL)
        return push_closed(L);
    if (op->what & READ) {
        if (op->got > 0) {
            lua_pushinteger(L, op->stream);
            lua_pushlstring(L, op->chunk, (size_t)op->got);
            lua_pushinteger(L, (lua_Integer)op->given);
            return 3;
        }
        if (op->read_over && vx_command_error(cmd) != NULL)
            return push_failure(L, cmd);
        if (op->read_over)
            return 0;
    }
    if (op->what & WRITE) {
        if (op->given == op->len || (op->what & READ && op->write_end == 1)) {
            lua_pushinteger(L, 0);
            lua_pushliteral(L, "");
            lua_pushinteger(L, (lua_Integer)op->len);
            return 3;
        }
        if (op->write_end != 0)
            return push_failure(L, cmd);
    }
    if ((op->what & GROUP) && vx_command_group(cmd) > 0) {
        lua_pushinteger(L, vx_command_group(cmd));
        return 1;
    }
    if ((op->what & (ENDED | GROUP)) && vx_command_ended(cmd)) {
        if (vx_command_error(cmd) != NULL)
            return push_failure(L, cmd);
        lua_pushboolean(L, op->what & ENDED);
        return 1;
    }
    return push_timeout(L);
}

/* One wait on the command at index 1; data, when there is some, is on the stack. */
static int begin(lua_State *L, int what, const char *data, size_t len, size_t given, int limit)
{
    struct l_command *c = to_command(L);
    double seconds = luaL_optnumber(L, limit, 0);
    struct l_wait *op = NULL;

    if (c->cmd == NULL)
        return push_closed(L);
    check_may_wait(L, "a command");
    op = l_new_op(L, sizeof *op, COMMAND_WAIT_TYPE, wait_release);
    op->owner = c;
    op->what = what;
    op->data = data;
    op->len = len;
    op->given = given;
    vx_list_push(&c->waits, &op->link);
    if (try_op(op))
        return finish(L, &op->wait);
    if (seconds > 0)
        wait_limit(L, &op->wait, seconds);
    return task_park(L, &op->wait, finish);
}

/* command:read([seconds]): waits for output. Returns the stream's number (1 or 2) and a chunk;
 * nothing at the end; or nil, err. */
static int l_read(lua_State *L)
{
    return begin(L, READ, NULL, 0, 0, 2);
}

/* command:write(bytes[, seconds]): waits until all are taken. Returns a true value, or nil, err. */
static int l_write(lua_State *L)
{
    size_t len = 0;
    const char *data = luaL_checklstring(L, 2, &len);

    return begin(L, WRITE, data, len, 0, 3);
}

/* command:exchange(bytes, given[, seconds]): gives the bytes after the first `given` and waits for
 * output meanwhile, whichever comes first. Returns stream, chunk, given; stream 0 when all bytes
 * are taken, or none can be any more; nothing at the end of the output; or nil, err. */
static int l_exchange(lua_State *L)
{
    size_t len = 0;
    const char *data = luaL_checklstring(L, 2, &len);
    lua_Integer given = luaL_checkinteger(L, 3);

    luaL_argcheck(L, given >= 0 && (size_t)given <= len, 3, "beyond the bytes");
    return begin(L, READ | WRITE, data, len, (size_t)given, 4);
}

/* command:ended([seconds]): waits until its end is known, which somebody's reading brings about.
 * Returns true, or nil, err. */
static int l_ended(lua_State *L)
{
    return begin(L, ENDED, NULL, 0, 0, 2);
}

/* command:await_group(seconds): waits for the id of its process group. Returns it, false when it
 * ended without saying, or nil, err. Loses no output. */
static int l_await_group(lua_State *L)
{
    return begin(L, GROUP, NULL, 0, 0, 2);
}

/* command:group(): the id of its process group as far as it is known, or nil; also after close. */
static int l_group(lua_State *L)
{
    struct l_command *c = to_command(L);
    long group = c->cmd != NULL ? vx_command_group(c->cmd) : c->group;

    if (group > 0)
        lua_pushinteger(L, group);
    else
        lua_pushnil(L);
    return 1;
}

/* command:pending(): whether it has not ended yet. */
static int l_pending(lua_State *L)
{
    struct l_command *c = to_command(L);

    lua_pushboolean(L, c->cmd != NULL && !vx_command_ended(c->cmd));
    return 1;
}

/* command:result(): status, or nil and the signal's name; nothing while it is not known. */
static int l_result(lua_State *L)
{
    struct l_command *c = to_command(L);
    struct vx_command_result result;

    if (c->cmd == NULL || !vx_command_ended(c->cmd) || vx_command_error(c->cmd) != NULL)
        return 0;
    vx_command_result(c->cmd, &result);
    if (result.signal[0] == '\0') {
        lua_pushinteger(L, result.status);
        return 1;
    }
    lua_pushnil(L);
    lua_pushstring(L, result.signal);
    return 2;
}

/* command:close_stdin(): the end of its input; harmless when repeated. */
static int l_close_stdin(lua_State *L)
{
    struct l_command *c = to_command(L);

    if (c->cmd != NULL)
        vx_command_eof(c->cmd);
    return 0;
}

/* session:start{ command=, stdin=, pty=, cols=, rows=, term=, marker= }: starts a command and does
 * not wait. stdin says whether it gets an open input. Returns a command, whose close lets go of it
 * without ending it; or nil, err. */
int l_ssh_start(lua_State *L)
{
    struct vx_session *session = check_ssh_session(L, 1);
    struct vx_command_opts opts = { 0 };
    struct l_command *c = NULL;
    struct vx_err err;

    check_ssh_command(L, 2, &opts);
    opts.stdin_open = field_bool(L, 2, "stdin", false);
    if (session == NULL)
        return l_push_session_closed(L);
    c = lua_newuserdatauv(L, sizeof *c, 1);
    *c = (struct l_command){ 0 };
    vx_list_init(&c->waits);
    luaL_setmetatable(L, SSH_COMMAND_TYPE);
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, 1); /* a collected session would end it */
    opts.ready = on_ready;
    opts.arg = c;
    c->cmd = vx_command_start(session, &opts, &err);
    if (c->cmd == NULL)
        return l_push_fail(L, &err);
    return 1;
}

/* command:resize(cols, rows): its terminal has another size now. Does nothing without one. */
static int l_resize(lua_State *L)
{
    struct l_command *c = to_command(L);
    lua_Integer cols = luaL_checkinteger(L, 2);
    lua_Integer rows = luaL_checkinteger(L, 3);

    luaL_argcheck(L, cols > 0 && cols < 65536, 2, "out of range");
    luaL_argcheck(L, rows > 0 && rows < 65536, 3, "out of range");
    if (c->cmd != NULL)
        vx_command_resize(c->cmd, (int)cols, (int)rows);
    return 0;
}

static const luaL_Reg methods[] = {
    { "await_group", l_await_group },
    { "close", command_release },
    { "close_stdin", l_close_stdin },
    { "ended", l_ended },
    { "exchange", l_exchange },
    { "group", l_group },
    { "pending", l_pending },
    { "read", l_read },
    { "resize", l_resize },
    { "result", l_result },
    { "write", l_write },
    { NULL, NULL },
};

void open_ssh_command(lua_State *L)
{
    l_new_type(L, SSH_COMMAND_TYPE, methods, command_release);
}
