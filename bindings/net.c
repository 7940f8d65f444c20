/* vm.raw.net: switches of frames, the private networks between guests. Nothing here waits. */
#include <lauxlib.h>
#include <string.h>

#include "bindings/error.h"
#include "bindings/fields.h"
#include "bindings/modules.h"
#include "bindings/task.h"
#include "runtime/net/switch.h"

#define SWITCH_TYPE "vm.raw.net.switch"

struct l_switch {
    struct vx_switch *sw; /* NULL: closed */
};

static struct vx_switch *check_switch(lua_State *L)
{
    struct l_switch *self = luaL_checkudata(L, 1, SWITCH_TYPE);

    if (self->sw == NULL)
        l_raise(L, VX_CLOSED, "the network is closed");
    return self->sw;
}

/* close(): disconnects everybody, removes the sockets, ends its thread; harmless when repeated. */
static int switch_close(lua_State *L)
{
    struct l_switch *self = luaL_checkudata(L, 1, SWITCH_TYPE);

    vx_switch_free(self->sw);
    self->sw = NULL;
    return 0;
}

/* switch:add(path): listens at a path that does not exist. Returns the number of the port, or nil,
 * err. */
static int l_switch_add(lua_State *L)
{
    struct vx_switch *sw = check_switch(L);
    struct vx_err err = { 0 };
    int port = vx_switch_add(sw, luaL_checkstring(L, 2), &err);

    if (port < 0)
        return l_push_fail(L, &err);
    lua_pushinteger(L, port);
    return 1;
}

/* switch:remove(port): disconnects it and removes its socket. */
static int l_switch_remove(lua_State *L)
{
    struct vx_switch *sw = check_switch(L);

    vx_switch_remove(sw, (int)luaL_checkinteger(L, 2));
    return 0;
}

/* switch:shape(port, "from"|"to", { delay = s, jitter = s, loss = 0 to 1, rate = bytes a second }):
 * what happens to frames that come from the guest or go to it; {} for nothing. */
static int l_switch_shape(lua_State *L)
{
    static const char *const directions[] = { "from", "to", NULL };
    struct vx_switch *sw = check_switch(L);
    int port = (int)luaL_checkinteger(L, 2);
    int direction = luaL_checkoption(L, 3, NULL, directions);
    struct vx_shape shape = { 0 };

    luaL_checktype(L, 4, LUA_TTABLE);
    shape.delay = field_number(L, 4, "delay", 0);
    shape.jitter = field_number(L, 4, "jitter", 0);
    shape.loss = field_number(L, 4, "loss", 0);
    shape.rate = field_number(L, 4, "rate", 0);
    vx_switch_shape(sw, port, direction == 0 ? VX_FROM_GUEST : VX_TO_GUEST, &shape);
    return 0;
}

static void push_count(lua_State *L, const struct vx_port_count *count)
{
    lua_createtable(L, 0, 4);
    lua_pushinteger(L, (lua_Integer)count->frames);
    lua_setfield(L, -2, "frames");
    lua_pushinteger(L, (lua_Integer)count->bytes);
    lua_setfield(L, -2, "bytes");
    lua_pushinteger(L, (lua_Integer)count->lost);
    lua_setfield(L, -2, "lost");
    lua_pushinteger(L, (lua_Integer)count->dropped);
    lua_setfield(L, -2, "dropped");
}

/* switch:stats(port): returns { connected =, from = { frames =, bytes =, lost =, dropped = },
 * to = ... }. */
static int l_switch_stats(lua_State *L)
{
    struct vx_switch *sw = check_switch(L);
    struct vx_port_stats stats = vx_switch_stats(sw, (int)luaL_checkinteger(L, 2));

    lua_createtable(L, 0, 3);
    lua_pushboolean(L, stats.connected);
    lua_setfield(L, -2, "connected");
    push_count(L, &stats.count[VX_FROM_GUEST]);
    lua_setfield(L, -2, "from");
    push_count(L, &stats.count[VX_TO_GUEST]);
    lua_setfield(L, -2, "to");
    return 1;
}

/* switch:capture([path]): writes the frames to a new file from now on; without a path no more.
 * Returns true, or nil, err. */
static int l_switch_capture(lua_State *L)
{
    struct vx_switch *sw = check_switch(L);
    struct vx_err err = { 0 };

    if (vx_switch_capture(sw, luaL_optstring(L, 2, NULL), &err) < 0)
        return l_push_fail(L, &err);
    lua_pushboolean(L, true);
    return 1;
}

/* net.switch(seed): starts a switch without ports; equal seeds lose the same frames of the same
 * traffic. Returns it, or nil, err. */
static int l_net_switch(lua_State *L)
{
    lua_Integer seed = luaL_checkinteger(L, 1);
    struct l_switch *self = lua_newuserdatauv(L, sizeof *self, 0);
    struct vx_err err = { 0 };

    memset(self, 0, sizeof *self);
    luaL_setmetatable(L, SWITCH_TYPE);
    self->sw = vx_switch_new((uint64_t)seed, &err);
    if (self->sw == NULL)
        return l_push_fail(L, &err);
    return 1;
}

static const luaL_Reg methods[] = {
    { "add", l_switch_add },
    { "capture", l_switch_capture },
    { "close", switch_close },
    { "remove", l_switch_remove },
    { "shape", l_switch_shape },
    { "stats", l_switch_stats },
    { NULL, NULL },
};

static const luaL_Reg functions[] = {
    { "switch", l_net_switch },
    { NULL, NULL },
};

int luaopen_raw_net(lua_State *L)
{
    l_new_type(L, SWITCH_TYPE, methods, switch_close);
    luaL_newlib(L, functions);
    return 1;
}
