/* raw.virt: libvirt. What its functions and methods take and give is said above each. */
#include "bindings/modules.h"
#include "bindings/virt.h"

#include "bindings/error.h"
#include "runtime/virt/conn.h"

#define CALL_TYPE "vm.raw.virt.call"

static int release_call(lua_State *L)
{
    struct l_call *op = lua_touserdata(L, 1);

    vx_call_free(op->call);
    op->call = NULL;
    return 0;
}

struct l_call *l_call_new(lua_State *L, const char *what)
{
    check_may_wait(L, what);
    return l_new_op(L, sizeof(struct l_call), CALL_TYPE, release_call);
}

void l_call_done(struct vx_call *call, void *arg)
{
    struct l_call *op = arg;

    (void)call;
    wait_done(&op->wait);
}

int l_call_park(lua_State *L, struct l_call *op, struct vx_call *call, const struct vx_err *err,
                task_finish finish)
{
    op->call = call;
    if (call == NULL)
        return l_push_fail(L, err);
    return task_park(L, &op->wait, finish);
}

const struct vx_call_result *l_call_result(lua_State *L, struct wait *wait)
{
    struct l_call *op = (struct l_call *)wait;
    const struct vx_err *err = vx_call_error(op->call);

    if (err == NULL)
        return vx_call_get(op->call);
    l_push_fail(L, err);
    return NULL;
}

int l_call_true(lua_State *L, struct wait *wait)
{
    if (l_call_result(L, wait) == NULL)
        return 2;
    lua_pushboolean(L, true);
    return 1;
}

int l_call_text(lua_State *L, struct wait *wait)
{
    const struct vx_call_result *result = l_call_result(L, wait);

    if (result == NULL)
        return 2;
    lua_pushstring(L, result->text);
    return 1;
}

void l_opt_table(lua_State *L, int index)
{
    if (lua_isnoneornil(L, index)) {
        lua_settop(L, index - 1);
        lua_newtable(L);
    }
    luaL_checktype(L, index, LUA_TTABLE);
    lua_settop(L, index);
}

static const luaL_Reg functions[] = {
    { "arches", l_virt_arches },
    { "open", l_virt_open },
    { "xml", l_virt_xml },
    { NULL, NULL },
};

int luaopen_raw_virt(lua_State *L)
{
    vx_virt_setup();
    l_conn_type(L);
    l_domain_type(L);
    luaL_newlib(L, functions);
    return 1;
}
