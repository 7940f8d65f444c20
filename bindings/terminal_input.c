/* What is typed: reading a descriptor that may be a terminal without stopping the loop. */
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <string.h>
#include <unistd.h>

#include "bindings/error.h"
#include "bindings/modules.h"
#include "bindings/task.h"
#include "runtime/loop/watch.h"

#define INPUT_TYPE "vm.raw.terminal.input"
#define WAIT_TYPE  "vm.raw.terminal.input.wait"

enum { CHUNK = 4096 };

struct l_wait;

struct l_input {
    int fd;
    bool owned;             /* the descriptor is closed with it */
    struct vx_watch *watch; /* NULL: closed */
    struct l_wait *waiter;
};

struct l_wait {
    struct wait wait;
    struct l_input *of; /* NULL once released */
    bool readable;
};

static void readable_cb(int events, void *arg)
{
    struct l_input *self = arg;

    (void)events;
    vx_watch_want(self->watch, 0);
    if (self->waiter != NULL) {
        self->waiter->readable = true;
        wait_done(&self->waiter->wait);
    }
}

/* close(): stops reading; a descriptor that was given stays open. Harmless when repeated. */
static int input_close(lua_State *L)
{
    struct l_input *self = luaL_checkudata(L, 1, INPUT_TYPE);

    vx_watch_free(self->watch);
    self->watch = NULL;
    if (self->owned)
        close(self->fd);
    self->owned = false;
    if (self->waiter != NULL)
        wait_done(&self->waiter->wait);
    return 0;
}

static int wait_release(lua_State *L)
{
    struct l_wait *op = luaL_checkudata(L, 1, WAIT_TYPE);

    wait_unlimit(&op->wait);
    if (op->of != NULL && op->of->waiter == op) {
        op->of->waiter = NULL;
        if (op->of->watch != NULL)
            vx_watch_want(op->of->watch, 0);
    }
    op->of = NULL;
    return 0;
}

static int read_finish(lua_State *L, struct wait *wait)
{
    struct l_wait *op = (struct l_wait *)wait;
    char chunk[CHUNK];
    struct vx_err err;
    ssize_t got = 0;

    if (!op->readable || op->of->watch == NULL) {
        lua_pushboolean(L, false);
        return 1;
    }
    got = read(op->of->fd, chunk, sizeof chunk);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        lua_pushboolean(L, false);
        return 1;
    }
    /* A terminal whose other side is gone says EIO: that is its end. */
    if (got < 0 && errno != EIO) {
        vx_err_errno(&err, errno, "cannot read what is typed");
        return l_push_fail(L, &err);
    }
    lua_pushlstring(L, chunk, got > 0 ? (size_t)got : 0);
    return 1;
}

/* input:read([seconds]): waits for bytes. Returns them, "" at the end, false when the time is
 * over; or nil, err. One task at a time. */
static int l_input_read(lua_State *L)
{
    struct l_input *self = luaL_checkudata(L, 1, INPUT_TYPE);
    double seconds = luaL_optnumber(L, 2, -1);
    struct l_wait *op = NULL;

    lua_settop(L, 2);
    check_may_wait(L, "input:read");
    if (self->watch == NULL)
        return luaL_error(L, "the input is closed");
    if (self->waiter != NULL)
        return luaL_error(L, "another task reads this input already");
    op = l_new_op(L, sizeof *op, WAIT_TYPE, wait_release);
    op->of = self;
    self->waiter = op;
    wait_limit(L, &op->wait, seconds);
    vx_watch_want(self->watch, VX_READABLE);
    return task_park(L, &op->wait, read_finish);
}

/* input:write(bytes): writes what can be written now. Returns how many bytes that was; or nil,
 * err. */
static int l_input_write(lua_State *L)
{
    struct l_input *self = luaL_checkudata(L, 1, INPUT_TYPE);
    size_t len = 0;
    const char *bytes = luaL_checklstring(L, 2, &len);
    struct vx_err err;
    ssize_t done = 0;

    if (self->watch == NULL)
        return luaL_error(L, "the input is closed");
    done = write(self->fd, bytes, len);
    if (done < 0 && errno != EAGAIN && errno != EINTR) {
        vx_err_errno(&err, errno, "cannot write to the terminal");
        return l_push_fail(L, &err);
    }
    lua_pushinteger(L, done > 0 ? done : 0);
    return 1;
}

static const luaL_Reg methods[] = {
    { "close", input_close },
    { "read", l_input_read },
    { "write", l_input_write },
    { NULL, NULL },
};

/* An input over a descriptor, which is closed if it is owned and cannot be watched. */
static int new_input(lua_State *L, int fd, bool owned)
{
    struct l_input *self = lua_newuserdatauv(L, sizeof *self, 0);
    struct vx_err err = { 0 };
    int flags = fcntl(fd, F_GETFL);

    memset(self, 0, sizeof *self);
    self->fd = fd;
    self->owned = owned;
    l_new_type(L, INPUT_TYPE, methods, input_close);
    luaL_setmetatable(L, INPUT_TYPE);
    self->watch = vx_watch_new(task_loop(L), fd, readable_cb, self, &err);
    /* Watching has made it non-blocking, and with it everybody else's descriptors of a
     * terminal. */
    if (!owned && flags >= 0)
        fcntl(fd, F_SETFL, flags);
    if (self->watch != NULL)
        return 1;
    if (owned)
        close(fd);
    self->owned = false;
    return l_push_fail(L, &err);
}

/* open(path): the same over a terminal that is opened for it, to be read and written: it does
 * not become this program's own. Or nil, err. */
int l_terminal_open(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    int fd = open(path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    struct vx_err err = { 0 };

    if (fd < 0) {
        vx_err_errno(&err, errno, "cannot open %s", path);
        return l_push_fail(L, &err);
    }
    return new_input(L, fd, true);
}

/* input([fd]): what comes from a descriptor (0), a terminal or a pipe, which stays open. Does
 * not wait. Returns an input with read and close, or nil, err: a plain file cannot be waited
 * for. */
int l_terminal_input(lua_State *L)
{
    return new_input(L, (int)luaL_optinteger(L, 1, 0), false);
}
