/* vm.raw.channel: channels to and from sockets of this host. */
#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>
#include <lua.h>

#include "bindings/modules.h"
#include "runtime/base/buf.h"
#include "runtime/loop/channel.h"
#include "runtime/loop/listener.h"
#include "bindings/error.h"
#include "bindings/task.h"

#define CHANNEL_TYPE "vm.raw.channel"
#define READ_TYPE    "vm.raw.channel.read"
#define LISTEN_TYPE  "vm.raw.channel.listener"
#define ACCEPT_TYPE  "vm.raw.channel.accept"

/* Read and not yet taken: beyond this the peer waits. Written and not yet sent: beyond this it is
 * an error, for the peer does not read at all. */
#define IN_MAX  ((size_t)1024 * 1024)
#define OUT_MAX ((size_t)64 * 1024 * 1024)

struct l_read;

struct l_channel {
    struct vx_channel *channel; /* NULL: closed */
    struct l_read *reader;
    struct vx_buf in;
    struct vx_err err; /* why it ended */
    bool ended, paused;
};

/* A task that waits for bytes. */
struct l_read {
    struct wait wait;
    struct l_channel *owner; /* NULL once released; the caller's stack keeps it alive */
};

static struct l_channel *to_channel(lua_State *L)
{
    return luaL_checkudata(L, 1, CHANNEL_TYPE);
}

static int push_closed(lua_State *L)
{
    struct vx_err err;

    vx_err_set(&err, VX_CLOSED, 0, "the channel is closed");
    return l_push_fail(L, &err);
}

static void wake(struct l_channel *s)
{
    if (s->reader != NULL)
        wait_done(&s->reader->wait);
}

static void got_data(const char *data, size_t len, const struct vx_err *err, void *arg)
{
    struct l_channel *s = arg;

    if (len == 0) {
        s->ended = true;
        if (err != NULL)
            s->err = *err;
    } else {
        vx_buf_add(&s->in, data, len);
        if (s->in.len > IN_MAX && !s->paused) {
            s->paused = true;
            vx_channel_pause(s->channel);
        }
    }
    wake(s);
}

/* close(): harmless when repeated. */
static int release_channel(lua_State *L)
{
    struct l_channel *s = to_channel(L);

    if (s->channel == NULL)
        return 0;
    vx_channel_free(s->channel); /* no callback runs after this */
    s->channel = NULL;
    vx_buf_free(&s->in);
    wake(s);
    return 0;
}

static int release_read(lua_State *L)
{
    struct l_read *op = luaL_checkudata(L, 1, READ_TYPE);

    if (op->owner == NULL)
        return 0;
    op->owner->reader = NULL;
    op->owner = NULL;
    wait_unlimit(&op->wait);
    return 0;
}

/* open(path): connects to a socket; what is queued before it is connected waits, and a failure to
 * connect is an error of read. Does not wait. Returns the channel, or nil, err. */
static int l_open(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    struct l_channel *s = lua_newuserdatauv(L, sizeof *s, 0);
    struct vx_err err;

    *s = (struct l_channel){ 0 };
    luaL_setmetatable(L, CHANNEL_TYPE);
    s->channel = vx_channel_open(task_loop(L), path, got_data, s, &err);
    return s->channel != NULL ? 1 : l_push_fail(L, &err);
}

static int push_bytes(lua_State *L, struct l_channel *s)
{
    if (s->in.len > 0) {
        lua_pushlstring(L, s->in.data, s->in.len);
        vx_buf_free(&s->in);
        if (s->paused) {
            s->paused = false;
            vx_channel_resume(s->channel);
        }
        return 1;
    }
    if (s->err.kind != VX_OK)
        return l_push_fail(L, &s->err);
    lua_pushnil(L);
    return 1;
}

static int read_finish(lua_State *L, struct wait *wait)
{
    struct l_channel *s = ((struct l_read *)wait)->owner;
    struct vx_err err;

    if (s->channel == NULL)
        return push_closed(L);
    if (s->in.len > 0 || s->ended)
        return push_bytes(L, s);
    vx_err_set(&err, VX_TIMEOUT, 0, "time limit passed while waiting for the other side");
    return l_push_fail(L, &err);
}

/* read([seconds]): waits for bytes. Returns all that came; nil at the end; or nil, err. One task
 * at a time. */
static int l_read(lua_State *L)
{
    struct l_channel *s = to_channel(L);
    double seconds = luaL_optnumber(L, 2, -1);
    struct l_read *op = NULL;

    luaL_argcheck(L, lua_isnoneornil(L, 2) || seconds >= 0, 2, "seconds must not be negative");
    if (s->channel == NULL)
        return push_closed(L);
    if (s->in.len > 0 || s->ended)
        return push_bytes(L, s);
    check_may_wait(L, "channel:read");
    if (s->reader != NULL)
        return l_raise(L, VX_USAGE, "another task is reading from this channel already");
    op = l_new_op(L, sizeof *op, READ_TYPE, release_read);
    op->owner = s;
    s->reader = op;
    wait_limit(L, &op->wait, seconds);
    return task_park(L, &op->wait, read_finish);
}

/* queue(bytes): sends them without waiting. Returns true, or nil, err; more than 64 MiB that the
 * other side does not take is an error of kind "limit". */
static int l_queue(lua_State *L)
{
    struct l_channel *s = to_channel(L);
    size_t len = 0;
    const char *data = luaL_checklstring(L, 2, &len);
    struct vx_err err;

    if (s->channel == NULL)
        return push_closed(L);
    if (vx_channel_unsent(s->channel) + len > OUT_MAX) {
        vx_err_set(&err, VX_LIMIT, 0, "the other side does not take what is sent to it");
        return l_push_fail(L, &err);
    }
    if (vx_channel_write(s->channel, data, len, &err) < 0)
        return l_push_fail(L, &err);
    lua_pushboolean(L, true);
    return 1;
}

/* --- listening ------------------------------------------------------------------------------ */

struct l_accept;

struct l_listener {
    struct vx_listener *listener; /* NULL: closed */
    struct l_accept *waiter;
};

/* A task that waits for somebody to connect. */
struct l_accept {
    struct wait wait;
    struct l_listener *owner; /* NULL once released; the caller's stack keeps it alive */
};

static struct l_listener *to_listener(lua_State *L)
{
    return luaL_checkudata(L, 1, LISTEN_TYPE);
}

static void wake_accept(void *arg)
{
    struct l_listener *s = arg;

    if (s->waiter != NULL)
        wait_done(&s->waiter->wait);
}

/* close(): the socket is gone from the file system; channels stay. Harmless when repeated. */
static int release_listener(lua_State *L)
{
    struct l_listener *s = to_listener(L);

    if (s->listener == NULL)
        return 0;
    vx_listener_free(s->listener); /* no callback runs after this */
    s->listener = NULL;
    wake_accept(s);
    return 0;
}

static int release_accept(lua_State *L)
{
    struct l_accept *op = luaL_checkudata(L, 1, ACCEPT_TYPE);

    if (op->owner == NULL)
        return 0;
    op->owner->waiter = NULL;
    op->owner = NULL;
    wait_unlimit(&op->wait);
    return 0;
}

/* listen(path): a socket at a path that is not there yet. Does not wait. Returns the listener, or
 * nil, err. */
static int l_listen(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    struct l_listener *s = lua_newuserdatauv(L, sizeof *s, 0);
    struct vx_err err;

    *s = (struct l_listener){ 0 };
    luaL_setmetatable(L, LISTEN_TYPE);
    s->listener = vx_listener_new(task_loop(L), path, wake_accept, s, &err);
    return s->listener != NULL ? 1 : l_push_fail(L, &err);
}

/* Pushes the channel of one who has connected, or nil, err; 0 when nobody has. */
static int push_accepted(lua_State *L, struct l_listener *listener)
{
    struct l_channel *s = lua_newuserdatauv(L, sizeof *s, 0);
    struct vx_err err = { 0 };

    *s = (struct l_channel){ 0 };
    luaL_setmetatable(L, CHANNEL_TYPE);
    s->channel = vx_listener_accept(listener->listener, got_data, s, &err);
    if (s->channel != NULL)
        return 1;
    lua_pop(L, 1);
    return err.kind != VX_OK ? l_push_fail(L, &err) : 0;
}

static int push_not_listening(lua_State *L)
{
    struct vx_err err;

    vx_err_set(&err, VX_CLOSED, 0, "the listener is closed");
    return l_push_fail(L, &err);
}

static int accept_finish(lua_State *L, struct wait *wait)
{
    struct l_listener *s = ((struct l_accept *)wait)->owner;
    struct vx_err err;
    int pushed = 0;

    if (s->listener == NULL)
        return push_not_listening(L);
    pushed = push_accepted(L, s);
    if (pushed > 0)
        return pushed;
    vx_err_set(&err, VX_TIMEOUT, 0, "time limit passed while waiting for somebody to connect");
    return l_push_fail(L, &err);
}

/* accept([seconds]): waits for somebody to connect. Returns the channel to them, or nil, err. One
 * task at a time. */
static int l_accept(lua_State *L)
{
    struct l_listener *s = to_listener(L);
    double seconds = luaL_optnumber(L, 2, -1);
    struct l_accept *op = NULL;
    int pushed = 0;

    luaL_argcheck(L, lua_isnoneornil(L, 2) || seconds >= 0, 2, "seconds must not be negative");
    check_may_wait(L, "listener:accept");
    if (s->listener == NULL)
        return push_not_listening(L);
    pushed = push_accepted(L, s);
    if (pushed > 0)
        return pushed;
    if (s->waiter != NULL)
        return l_raise(L, VX_USAGE, "another task is waiting at this listener already");
    op = l_new_op(L, sizeof *op, ACCEPT_TYPE, release_accept);
    op->owner = s;
    s->waiter = op;
    wait_limit(L, &op->wait, seconds);
    return task_park(L, &op->wait, accept_finish);
}

static const luaL_Reg listener_methods[] = {
    { "accept", l_accept },
    { "close", release_listener },
    { NULL, NULL },
};

static const luaL_Reg methods[] = {
    { "close", release_channel },
    { "queue", l_queue },
    { "read", l_read },
    { NULL, NULL },
};

static const luaL_Reg functions[] = {
    { "listen", l_listen },
    { "open", l_open },
    { NULL, NULL },
};

int luaopen_raw_channel(lua_State *L)
{
    l_new_type(L, CHANNEL_TYPE, methods, release_channel);
    l_new_type(L, LISTEN_TYPE, listener_methods, release_listener);
    luaL_newlib(L, functions);
    return 1;
}
