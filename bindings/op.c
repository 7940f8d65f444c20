#include "bindings/task.h"

#include <lauxlib.h>
#include <string.h>

#include "runtime/loop/timer.h"

static void limit_passed(void *arg)
{
    struct wait *wait = arg;

    wait->late = true;
    wait_done(wait);
}

void wait_limit(lua_State *L, struct wait *wait, double seconds)
{
    if (seconds >= 0)
        wait->limit = vx_timer_new(task_loop(L), seconds, limit_passed, wait);
}

void wait_unlimit(struct wait *wait)
{
    vx_timer_free(wait->limit);
    wait->limit = NULL;
}

void l_new_type(lua_State *L, const char *type, const luaL_Reg *methods, lua_CFunction release)
{
    if (luaL_newmetatable(L, type)) {
        lua_pushcfunction(L, release);
        lua_setfield(L, -2, "__gc");
        lua_pushcfunction(L, release);
        lua_setfield(L, -2, "__close");
        if (methods != NULL) {
            lua_newtable(L);
            luaL_setfuncs(L, methods, 0);
            lua_setfield(L, -2, "__index");
        }
    }
    lua_pop(L, 1);
}

void *l_new_op(lua_State *L, size_t size, const char *type, lua_CFunction release)
{
    void *op = NULL;

    l_new_type(L, type, NULL, release);
    op = lua_newuserdatauv(L, size, 1);
    memset(op, 0, size);
    luaL_setmetatable(L, type);
    lua_toclose(L, -1);
    return op;
}
