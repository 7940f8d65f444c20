/* Commands seen through from start to end as one wait. */
#include "bindings/ssh.h"

#include <lauxlib.h>

#include "bindings/error.h"
#include "bindings/fields.h"
#include "bindings/task.h"
#include "runtime/ssh/run.h"

#define RUN_WAIT_TYPE "vm.raw.ssh.run.wait"

struct run_wait {
    struct wait wait;
    struct l_run *owner; /* NULL once released */
};

struct l_run {
    struct vx_run *run; /* NULL: closed */
    struct run_wait *waiter;
    bool done;
    long group;
    struct vx_err err; /* VX_OK after a normal end */
};

static struct l_run *to_run(lua_State *L)
{
    return luaL_checkudata(L, 1, SSH_RUN_TYPE);
}

static int run_release(lua_State *L)
{
    struct l_run *r = to_run(L);
    struct vx_run_output output;

    if (r->run == NULL)
        return 0;
    vx_run_output(r->run, &output);
    r->group = output.group;
    vx_run_free(r->run);
    r->run = NULL;
    if (r->waiter != NULL)
        wait_done(&r->waiter->wait);
    return 0;
}

static int wait_release(lua_State *L)
{
    struct run_wait *op = luaL_checkudata(L, 1, RUN_WAIT_TYPE);

    if (op->owner != NULL)
        op->owner->waiter = NULL;
    op->owner = NULL;
    return 0;
}

static void run_done(const struct vx_err *err, void *arg)
{
    struct l_run *r = arg;

    r->done = true;
    if (err != NULL)
        r->err = *err;
    if (r->waiter != NULL)
        wait_done(&r->waiter->wait);
}

static void set_text(lua_State *L, const char *name, const struct vx_buf *text)
{
    lua_pushlstring(L, vx_buf_cstr(text), text->len);
    lua_setfield(L, -2, name);
}

static int run_finish(lua_State *L, struct wait *wait)
{
    struct l_run *r = ((struct run_wait *)(void *)wait)->owner;
    struct vx_run_output output;

    if (r->run == NULL)
        return l_push_session_closed(L);
    vx_run_output(r->run, &output);
    if (r->err.kind != VX_OK)
        l_push_fail(L, &r->err);
    else
        lua_createtable(L, 0, 8);
    set_text(L, "stdout", output.out);
    set_text(L, "stderr", output.err);
    lua_pushinteger(L, (lua_Integer)output.dropped);
    lua_setfield(L, -2, "truncated");
    if (r->err.kind != VX_OK)
        return 2;
    if (output.result.signal[0] != '\0') {
        lua_pushstring(L, output.result.signal);
        lua_setfield(L, -2, "signal");
    } else {
        lua_pushinteger(L, output.result.status);
        lua_setfield(L, -2, "status");
    }
    return 1;
}

/* run:wait(): returns { stdout, stderr, truncated, status | signal }; or nil, err, with stdout,
 * stderr and truncated in err. One task at a time. */
static int l_run_wait(lua_State *L)
{
    struct l_run *r = to_run(L);
    struct run_wait *op = NULL;

    if (r->run == NULL)
        return l_push_session_closed(L);
    if (r->waiter != NULL)
        return l_raise(L, VX_USAGE, "another task is waiting for this command already");
    check_may_wait(L, "exec");
    op = l_new_op(L, sizeof *op, RUN_WAIT_TYPE, wait_release);
    op->owner = r;
    r->waiter = op;
    if (r->done)
        wait_done(&op->wait);
    return task_park(L, &op->wait, run_finish);
}

/* run:group(): the id of the command's process group, or nil; also after close. */
static int l_run_group(lua_State *L)
{
    struct l_run *r = to_run(L);
    struct vx_run_output output = { 0 };
    long group = r->group;

    if (r->run != NULL) {
        vx_run_output(r->run, &output);
        group = output.group;
    }
    if (group > 0)
        lua_pushinteger(L, group);
    else
        lua_pushnil(L);
    return 1;
}

/* run:pending(): whether it has not ended yet. */
static int l_run_pending(lua_State *L)
{
    struct l_run *r = to_run(L);

    lua_pushboolean(L, r->run != NULL && !r->done);
    return 1;
}

/* session:run{ command=, stdin=, max_output=, timeout=, pty=, marker=, stdin_unused=, ...
 * }: starts a command and
 * sees it through. Does not wait. Returns a run, whose close lets go of the command without ending
 * it; or nil, err. */
int l_ssh_run(lua_State *L)
{
    struct vx_session *session = check_ssh_session(L, 1);
    struct vx_command_opts command = { 0 };
    struct vx_run_opts opts = { 0 };
    struct l_run *r = NULL;
    struct vx_err err;
    long long max = 0;

    check_ssh_command(L, 2, &command);
    opts.input = field_lstring(L, 2, "stdin", &opts.input_len);
    max = field_integer(L, 2, "max_output", 8 << 20);
    luaL_argcheck(L, max >= 0, 2, "max_output must not be negative");
    opts.max_output = (size_t)max;
    opts.timeout = field_number(L, 2, "timeout", 0);
    if (session == NULL)
        return l_push_session_closed(L);

    /* The session and the input live as long as the run. */
    r = lua_newuserdatauv(L, sizeof *r, 2);
    *r = (struct l_run){ 0 };
    luaL_setmetatable(L, SSH_RUN_TYPE);
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, 1);
    lua_getfield(L, 2, "stdin");
    lua_setiuservalue(L, -2, 2);
    opts.done = run_done;
    opts.arg = r;
    r->run = vx_run_start(task_loop(L), session, &command, &opts, &err);
    if (r->run == NULL)
        return l_push_fail(L, &err);
    return 1;
}

static const luaL_Reg methods[] = {
    { "close", run_release }, { "group", l_run_group }, { "pending", l_run_pending },
    { "wait", l_run_wait },   { NULL, NULL },
};

void open_ssh_run(lua_State *L)
{
    l_new_type(L, SSH_RUN_TYPE, methods, run_release);
}
