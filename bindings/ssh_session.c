/* vm.raw.ssh: authenticated sessions. */
#include "bindings/ssh.h"

#include <lauxlib.h>

#include "bindings/error.h"
#include "bindings/fields.h"
#include "bindings/modules.h"
#include "bindings/task.h"
#include "runtime/base/list.h"

#define READY_WAIT_TYPE "vm.raw.ssh.session.wait"

struct l_session {
    struct vx_session *session; /* NULL: closed */
    struct vx_link waits;       /* struct ready_wait */
    bool done;                  /* connected, or not */
    struct vx_err err;
};

struct ready_wait {
    struct wait wait;
    struct vx_link link;
    struct l_session *owner; /* NULL once released */
};

static struct l_session *to_session(lua_State *L, int index)
{
    return luaL_checkudata(L, index, SSH_SESSION_TYPE);
}

struct vx_session *check_ssh_session(lua_State *L, int index)
{
    return to_session(L, index)->session;
}

int l_push_session_closed(lua_State *L)
{
    struct vx_err err;

    vx_err_set(&err, VX_CLOSED, 0, "the SSH session is closed");
    return l_push_fail(L, &err);
}

static void wake(struct l_session *box)
{
    for (struct vx_link *at = box->waits.next; at != &box->waits; at = at->next)
        wait_done(&VX_OF(at, struct ready_wait, link)->wait);
}

static int session_release(lua_State *L)
{
    struct l_session *box = to_session(L, 1);

    vx_session_free(box->session);
    box->session = NULL;
    wake(box);
    return 0;
}

static int ready_release(lua_State *L)
{
    struct ready_wait *op = luaL_checkudata(L, 1, READY_WAIT_TYPE);

    if (op->owner != NULL)
        vx_list_unlink(&op->link);
    op->owner = NULL;
    return 0;
}

static void connected(const struct vx_err *err, void *arg)
{
    struct l_session *box = arg;

    box->done = true;
    if (err != NULL)
        box->err = *err;
    wake(box);
}

/* ssh.open{ host=, port=, user=, key=, key_text=, passphrase=, password=, agent=, host_key=,
 * unchecked=, timeout=, keepalive=, keepalive_count= }: starts to connect. Raises on wrong types.
 * Returns a session, to be waited for with session:ready(); or nil, err when an option is wrong. */
static int l_open(lua_State *L)
{
    struct vx_session_opts opts = { 0 };
    struct l_session *box = NULL;
    struct vx_err err;

    luaL_checktype(L, 1, LUA_TTABLE);
    opts.host = field_string(L, 1, "host", NULL);
    opts.port = (int)field_integer(L, 1, "port", 0);
    opts.user = field_string(L, 1, "user", NULL);
    opts.key = field_string(L, 1, "key", NULL);
    opts.key_text = field_lstring(L, 1, "key_text", &opts.key_text_len);
    opts.passphrase = field_string(L, 1, "passphrase", NULL);
    opts.password = field_string(L, 1, "password", NULL);
    opts.agent = field_bool(L, 1, "agent", false);
    opts.host_key = field_string(L, 1, "host_key", NULL);
    opts.unchecked = field_bool(L, 1, "unchecked", false);
    opts.timeout = field_number(L, 1, "timeout", 0);
    opts.keepalive = field_number(L, 1, "keepalive", 0);
    opts.keepalive_count = (int)field_integer(L, 1, "keepalive_count", 0);

    box = lua_newuserdatauv(L, sizeof *box, 0);
    *box = (struct l_session){ 0 };
    vx_list_init(&box->waits);
    luaL_setmetatable(L, SSH_SESSION_TYPE);
    box->session = vx_session_open(task_loop(L), &opts, connected, box, &err);
    if (box->session == NULL)
        return l_push_fail(L, &err);
    return 1;
}

static int push_ready(lua_State *L, const struct l_session *box)
{
    if (box->session == NULL)
        return l_push_session_closed(L);
    if (box->err.kind != VX_OK)
        return l_push_fail(L, &box->err);
    lua_pushboolean(L, 1);
    return 1;
}

static int ready_finish(lua_State *L, struct wait *wait)
{
    return push_ready(L, ((struct ready_wait *)(void *)wait)->owner);
}

/* session:ready(): waits until it is logged in. Returns true, or nil, err. */
static int l_session_ready(lua_State *L)
{
    struct l_session *box = to_session(L, 1);
    struct ready_wait *op = NULL;

    if (box->session == NULL || box->done)
        return push_ready(L, box);
    check_may_wait(L, "connecting");
    op = l_new_op(L, sizeof *op, READY_WAIT_TYPE, ready_release);
    op->owner = box;
    vx_list_push(&box->waits, &op->link);
    return task_park(L, &op->wait, ready_finish);
}

/* session:error(): nil while it is usable, else why it is not. */
static int l_session_error(lua_State *L)
{
    struct vx_session *session = check_ssh_session(L, 1);
    const struct vx_err *err = NULL;

    if (session == NULL) {
        l_push_session_closed(L);
        return 1;
    }
    err = vx_session_error(session);
    if (err != NULL)
        push_err(L, err);
    else
        lua_pushnil(L);
    return 1;
}

/* session:fail(message): ends it as lost for that reason; all that waits on it ends. */
static int l_session_fail(lua_State *L)
{
    struct vx_session *session = check_ssh_session(L, 1);
    struct vx_err err;

    vx_err_set(&err, VX_CONNECTION, 0, "%s", luaL_checkstring(L, 2));
    if (session != NULL)
        vx_session_fail(session, &err);
    return 0;
}

static void set(lua_State *L, const char *name, const char *value)
{
    lua_pushstring(L, value);
    lua_setfield(L, -2, name);
}

/* session:use(): "quiet", "busy" with commands, or "littered": one was let go of before its end. */
static int l_session_use(lua_State *L)
{
    static const char *const names[] = { [VX_SESSION_QUIET] = "quiet",
                                         [VX_SESSION_BUSY] = "busy",
                                         [VX_SESSION_LITTERED] = "littered" };
    struct vx_session *session = check_ssh_session(L, 1);

    if (session == NULL)
        return l_push_session_closed(L);
    lua_pushstring(L, names[vx_session_use(session)]);
    return 1;
}

/* session:info(): how it is encrypted, which host key it saw, how long connecting took. */
static int l_session_info(lua_State *L)
{
    struct vx_session *session = check_ssh_session(L, 1);
    struct vx_session_info info;

    if (session == NULL)
        return l_push_session_closed(L);
    vx_session_info(session, &info);
    lua_createtable(L, 0, 8);
    set(L, "name", vx_session_name(session));
    set(L, "server", info.server);
    set(L, "kex", info.kex);
    set(L, "cipher", info.cipher);
    set(L, "mac", info.mac);
    set(L, "host_key_type", info.host_key_type);
    set(L, "fingerprint", info.fingerprint);
    lua_pushnumber(L, info.connect_time);
    lua_setfield(L, -2, "connect_time");
    return 1;
}

void check_ssh_command(lua_State *L, int table, struct vx_command_opts *opts)
{
    luaL_checktype(L, table, LUA_TTABLE);
    opts->line = field_lstring(L, table, "command", &opts->line_len);
    luaL_argcheck(L, opts->line != NULL, table, "command is missing");
    opts->pty = field_bool(L, table, "pty", false);
    opts->stdin_unused = field_bool(L, table, "stdin_unused", false);
    opts->cols = (int)field_integer(L, table, "cols", 0);
    opts->rows = (int)field_integer(L, table, "rows", 0);
    opts->term = field_string(L, table, "term", NULL);
    opts->marker = field_string(L, table, "marker", NULL);
}

/* ssh.version(): of the libssh2 in use. */
static int l_version(lua_State *L)
{
    lua_pushstring(L, vx_ssh_version());
    return 1;
}

static const luaL_Reg session_methods[] = {
    { "close", session_release }, { "error", l_session_error }, { "fail", l_session_fail },
    { "info", l_session_info },   { "ready", l_session_ready }, { "run", l_ssh_run },
    { "start", l_ssh_start },     { "use", l_session_use },     { NULL, NULL },
};

static const luaL_Reg functions[] = {
    { "open", l_open },
    { "version", l_version },
    { NULL, NULL },
};

int luaopen_raw_ssh(lua_State *L)
{
    l_new_type(L, SSH_SESSION_TYPE, session_methods, session_release);
    open_ssh_command(L);
    open_ssh_run(L);
    luaL_newlib(L, functions);
    return 1;
}
