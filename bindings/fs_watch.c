/* vm.raw.fs.watch: waiting for a file to change. */
#include <lauxlib.h>
#include <string.h>

#include "bindings/error.h"
#include "bindings/fs.h"
#include "bindings/task.h"
#include "runtime/loop/fswatch.h"

#define WATCH_TYPE "vm.raw.fs.watch"
#define WAIT_TYPE  "vm.raw.fs.watch.wait"

struct l_wait;

struct l_watch {
    struct vx_fswatch *watch; /* NULL: closed */
    struct l_wait *waiter;
    bool changed; /* since the last wait */
};

struct l_wait {
    struct wait wait;
    struct l_watch *of;
};

static void changed_cb(void *arg)
{
    struct l_watch *self = arg;

    self->changed = true;
    if (self->waiter != NULL)
        wait_done(&self->waiter->wait);
}

/* close(): stops watching; harmless when repeated. */
static int watch_close(lua_State *L)
{
    struct l_watch *self = luaL_checkudata(L, 1, WATCH_TYPE);

    vx_fswatch_free(self->watch);
    self->watch = NULL;
    if (self->waiter != NULL)
        wait_done(&self->waiter->wait);
    return 0;
}

static int wait_release(lua_State *L)
{
    struct l_wait *op = luaL_checkudata(L, 1, WAIT_TYPE);

    wait_unlimit(&op->wait);
    if (op->of != NULL && op->of->waiter == op)
        op->of->waiter = NULL;
    op->of = NULL;
    return 0;
}

static int wait_finish(lua_State *L, struct wait *wait)
{
    struct l_wait *op = (struct l_wait *)wait;

    lua_pushboolean(L, op->of->changed);
    op->of->changed = false;
    return 1;
}

/* watch:wait([seconds]): waits until the file has changed since the last wait, or the time is over.
 * One task at a time. Returns true when it changed, false when not. */
static int l_watch_wait(lua_State *L)
{
    struct l_watch *self = luaL_checkudata(L, 1, WATCH_TYPE);
    double seconds = luaL_optnumber(L, 2, -1);
    struct l_wait *op = NULL;

    lua_settop(L, 2);
    check_may_wait(L, "watch:wait");
    if (self->watch == NULL)
        return luaL_error(L, "the file watch is closed");
    if (self->waiter != NULL)
        return luaL_error(L, "another task waits for this file already");
    op = l_new_op(L, sizeof *op, WAIT_TYPE, wait_release);
    op->of = self;
    self->waiter = op;
    wait_limit(L, &op->wait, seconds);
    if (self->changed)
        wait_done(&op->wait);
    return task_park(L, &op->wait, wait_finish);
}

/* fs.watch(path): watches an existing file for writes. Does not wait. Returns a watch with wait and
 * close, or nil, err. */
int l_fs_watch(lua_State *L)
{
    static const luaL_Reg methods[] = {
        { "close", watch_close },
        { "wait", l_watch_wait },
        { NULL, NULL },
    };
    const char *path = luaL_checkstring(L, 1);
    struct l_watch *self = lua_newuserdatauv(L, sizeof *self, 0);
    struct vx_err err = { 0 };

    memset(self, 0, sizeof *self);
    l_new_type(L, WATCH_TYPE, methods, watch_close);
    luaL_setmetatable(L, WATCH_TYPE);
    self->watch = vx_fswatch_new(task_loop(L), path, changed_cb, self, &err);
    if (self->watch == NULL)
        return l_push_fail(L, &err);
    return 1;
}
