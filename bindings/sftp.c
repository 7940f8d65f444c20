/* vm.raw.sftp: an SFTP channel of a session. One request at a time; file content moves by
 * vm.raw.copy. Everything it returns comes from the other side. */
#include "bindings/copy.h"

#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>

#include "bindings/error.h"
#include "bindings/modules.h"
#include "bindings/ssh.h"
#include "bindings/task.h"
#include "runtime/base/buf.h"

#define SFTP_TYPE    "vm.raw.sftp"
#define REQUEST_TYPE "vm.raw.sftp.request"

struct l_request {
    struct wait wait;
    struct l_sftp *owner; /* lives on the caller's stack */
    struct vx_sftp_request request;
    char *path, *other;
    bool running;
    bool failed;
    struct vx_err err;
};

struct l_sftp *check_sftp(lua_State *L, int arg)
{
    return luaL_checkudata(L, arg, SFTP_TYPE);
}

static void request_over(const struct vx_err *err, void *arg)
{
    struct l_sftp *l = arg;
    vx_sftp_cb gone = l->gone;

    l->gone = NULL;
    gone(err, l->arg);
}

int l_sftp_start(struct l_sftp *l, struct vx_sftp_request *request, vx_sftp_cb done, void *arg,
                 struct vx_err *err)
{
    if (l->sftp == NULL)
        return vx_err_set(err, VX_CLOSED, 0, "the SFTP channel is closed");
    if (vx_sftp_start(l->sftp, request, request_over, l, err) != 0)
        return -1;
    l->gone = done;
    l->arg = arg;
    return 0;
}

void l_sftp_abandon(struct l_sftp *l)
{
    l->gone = NULL;
    vx_sftp_free(l->sftp);
    l->sftp = NULL;
}

/* close(): ends the channel; harmless when repeated. */
static int release_sftp(lua_State *L)
{
    struct l_sftp *l = check_sftp(L, 1);
    struct vx_err err = { 0 };

    vx_sftp_free(l->sftp);
    l->sftp = NULL;
    if (l->gone != NULL) {
        vx_err_set(&err, VX_CLOSED, 0, "the SFTP channel was closed");
        request_over(&err, l);
    }
    return 0;
}

static int release_request(lua_State *L)
{
    struct l_request *op = luaL_checkudata(L, 1, REQUEST_TYPE);

    /* A request cannot be taken back: its channel ends with it. */
    if (op->running)
        l_sftp_abandon(op->owner);
    op->running = false;
    vx_buf_free(&op->request.names);
    vx_buf_free(&op->request.text);
    free(op->path);
    free(op->other);
    op->path = op->other = NULL;
    return 0;
}

/* open(session): a channel, not yet started. Returns it; or nil, err. */
static int l_open(lua_State *L)
{
    struct vx_session *session = check_ssh_session(L, 1);
    struct l_sftp *l = NULL;
    struct vx_err err;

    if (session == NULL)
        return l_push_session_closed(L);
    l = lua_newuserdatauv(L, sizeof *l, 1);
    *l = (struct l_sftp){ 0 };
    luaL_setmetatable(L, SFTP_TYPE);
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, 1);
    l->sftp = vx_sftp_new(session, &err);
    return l->sftp != NULL ? 1 : l_push_fail(L, &err);
}

/* alive(): whether it can still be used. */
static int l_alive(lua_State *L)
{
    struct l_sftp *l = check_sftp(L, 1);

    lua_pushboolean(L, l->sftp != NULL && !vx_sftp_dead(l->sftp));
    return 1;
}

static void request_done(const struct vx_err *err, void *arg)
{
    struct l_request *op = arg;

    op->running = false;
    op->failed = err != NULL;
    if (err != NULL)
        op->err = *err;
    wait_done(&op->wait);
}

static int push_stat(lua_State *L, const struct vx_sftp_stat *stat)
{
    static const char *const types[] = { "file", "dir", "link", "other" };

    lua_createtable(L, 0, 4);
    lua_pushstring(L, types[stat->type]);
    lua_setfield(L, -2, "type");
    lua_pushinteger(L, (lua_Integer)stat->mode);
    lua_setfield(L, -2, "mode");
    lua_pushinteger(L, (lua_Integer)stat->size);
    lua_setfield(L, -2, "size");
    lua_pushinteger(L, (lua_Integer)stat->mtime);
    lua_setfield(L, -2, "mtime");
    return 1;
}

static int push_names(lua_State *L, const struct vx_buf *names)
{
    const char *at = vx_buf_cstr(names), *end = at + names->len;
    lua_Integer count = 0;

    lua_newtable(L);
    while (at < end) {
        lua_pushstring(L, at + 1);
        lua_rawseti(L, -2, ++count);
        at += strlen(at) + 1;
    }
    return 1;
}

static int finish(lua_State *L, struct wait *wait)
{
    struct l_request *op = (struct l_request *)wait;

    if (op->failed)
        return l_push_fail(L, &op->err);
    switch (op->request.verb) {
    case VX_SFTP_STAT:
    case VX_SFTP_LSTAT:
        return push_stat(L, &op->request.stat);
    case VX_SFTP_LIST:
        return push_names(L, &op->request.names);
    case VX_SFTP_READLINK:
        lua_pushlstring(L, vx_buf_cstr(&op->request.text), op->request.text.len);
        return 1;
    default:
        lua_pushboolean(L, true);
        return 1;
    }
}

static int request(lua_State *L, enum vx_sftp_verb verb, const char *other, unsigned mode,
                   lua_Integer mtime)
{
    struct l_sftp *l = check_sftp(L, 1);
    const char *path = luaL_checkstring(L, 2);
    struct l_request *op = NULL;
    struct vx_err err;

    check_may_wait(L, "sftp");
    op = l_new_op(L, sizeof *op, REQUEST_TYPE, release_request);
    op->owner = l;
    op->path = vx_strdup(path);
    op->other = other != NULL ? vx_strdup(other) : NULL;
    op->request = (struct vx_sftp_request){ .verb = verb,
                                            .path = op->path,
                                            .other = op->other,
                                            .mode = mode,
                                            .mtime = (int64_t)mtime };
    if (l_sftp_start(l, &op->request, request_done, op, &err) != 0)
        return l_push_fail(L, &err);
    op->running = true;
    return task_park(L, &op->wait, finish);
}

/* stat(path): waits; { type = "file" | "dir" | "link" | "other", mode =, size =, mtime = }. */
static int l_stat(lua_State *L)
{
    return request(L, VX_SFTP_STAT, NULL, 0, 0);
}

/* lstat(path): the same without following a link. */
static int l_lstat(lua_State *L)
{
    return request(L, VX_SFTP_LSTAT, NULL, 0, 0);
}

/* list(path): waits; the names in a folder, in the server's order and as it spells them. */
static int l_list(lua_State *L)
{
    return request(L, VX_SFTP_LIST, NULL, 0, 0);
}

/* mkdir(path, mode): waits; a new folder. true. */
static int l_mkdir(lua_State *L)
{
    return request(L, VX_SFTP_MKDIR, NULL, (unsigned)luaL_checkinteger(L, 3), 0);
}

/* rmdir(path): waits; removes an empty folder. true. */
static int l_rmdir(lua_State *L)
{
    return request(L, VX_SFTP_RMDIR, NULL, 0, 0);
}

/* remove(path): waits; removes a file or link. true. */
static int l_remove(lua_State *L)
{
    return request(L, VX_SFTP_REMOVE, NULL, 0, 0);
}

/* rename(path, to): waits; replaces what is called `to`. true. */
static int l_rename(lua_State *L)
{
    return request(L, VX_SFTP_RENAME, luaL_checkstring(L, 3), 0, 0);
}

/* symlink(path, target): waits; makes path, a link to target. true. */
static int l_symlink(lua_State *L)
{
    return request(L, VX_SFTP_SYMLINK, luaL_checkstring(L, 3), 0, 0);
}

/* readlink(path): waits; where the link points. */
static int l_readlink(lua_State *L)
{
    return request(L, VX_SFTP_READLINK, NULL, 0, 0);
}

/* set(path, mode, mtime): waits; sets permission bits and time of change. true. */
static int l_set(lua_State *L)
{
    return request(L, VX_SFTP_SETSTAT, NULL, (unsigned)luaL_checkinteger(L, 3),
                   luaL_checkinteger(L, 4));
}

static const luaL_Reg methods[] = {
    { "alive", l_alive },   { "close", release_sftp }, { "list", l_list },
    { "lstat", l_lstat },   { "mkdir", l_mkdir },      { "readlink", l_readlink },
    { "remove", l_remove }, { "rename", l_rename },    { "rmdir", l_rmdir },
    { "set", l_set },       { "stat", l_stat },        { "symlink", l_symlink },
    { NULL, NULL },
};

static const luaL_Reg functions[] = {
    { "open", l_open },
    { NULL, NULL },
};

int luaopen_raw_sftp(lua_State *L)
{
    l_new_type(L, SFTP_TYPE, methods, release_sftp);
    luaL_newlib(L, functions);
    return 1;
}
