#include "bindings/modules.h"

#include <lauxlib.h>

#include "runtime/base/log.h"

static const char *const levels[] = { "error", "warn", "info", "debug", NULL };

/* log.write(level, guest or nil, text): one line on stderr, if the level is on. */
static int l_log_write(lua_State *L)
{
    int level = luaL_checkoption(L, 1, NULL, levels);
    const char *guest = luaL_optstring(L, 2, NULL);

    vx_log((enum vx_level)level, guest, "%s", luaL_checkstring(L, 3));
    return 0;
}

/* log.level([level]) -> the level that is on; sets it when one is given. */
static int l_log_level(lua_State *L)
{
    if (!lua_isnoneornil(L, 1))
        vx_log_level((enum vx_level)luaL_checkoption(L, 1, NULL, levels));
    lua_pushstring(L, levels[vx_log_get_level()]);
    return 1;
}

static const luaL_Reg functions[] = {
    { "level", l_log_level },
    { "write", l_log_write },
    { NULL, NULL },
};

int luaopen_raw_log(lua_State *L)
{
    luaL_newlib(L, functions);
    return 1;
}
