/* vm.raw.scripts: the texts of the Lua files that are part of the binary. */
#include "bindings/modules.h"

#include <lauxlib.h>
#include <string.h>

#include "bindings/embedded.h"

/* list(): the names of all modules, as require takes them, in the order of their paths. */
static int l_list(lua_State *L)
{
    lua_Integer count = 0;

    lua_newtable(L);
    for (const struct vx_embedded *at = vx_embedded; at->name != NULL; at++) {
        lua_pushstring(L, at->name);
        lua_rawseti(L, -2, ++count);
    }
    return 1;
}

/* text(name): the text of a module and its path below scripts/, or nil where there is none. Raises
 * on a wrong type. */
static int l_text(lua_State *L)
{
    const char *name = luaL_checkstring(L, 1);

    for (const struct vx_embedded *at = vx_embedded; at->name != NULL; at++) {
        if (strcmp(at->name, name) == 0) {
            lua_pushlstring(L, at->text, at->len);
            lua_pushstring(L, at->path);
            return 2;
        }
    }
    lua_pushnil(L);
    return 1;
}

static const luaL_Reg functions[] = {
    { "list", l_list },
    { "text", l_text },
    { NULL, NULL },
};

int luaopen_raw_scripts(lua_State *L)
{
    luaL_newlib(L, functions);
    return 1;
}
