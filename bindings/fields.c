#include "bindings/fields.h"

#include <lauxlib.h>

static int wrong_type(lua_State *L, const char *name, const char *wanted)
{
    return luaL_error(L, "field '%s': %s expected, got %s", name, wanted, luaL_typename(L, -1));
}

const char *field_lstring(lua_State *L, int table, const char *name, size_t *len)
{
    const char *text = NULL;

    *len = 0;
    lua_getfield(L, table, name);
    if (!lua_isnil(L, -1)) {
        if (lua_type(L, -1) != LUA_TSTRING)
            wrong_type(L, name, "string");
        text = lua_tolstring(L, -1, len);
    }
    lua_pop(L, 1);
    return text;
}

const char *field_string(lua_State *L, int table, const char *name, const char *fallback)
{
    size_t len = 0;
    const char *text = field_lstring(L, table, name, &len);

    return text != NULL ? text : fallback;
}

double field_number(lua_State *L, int table, const char *name, double fallback)
{
    double value = fallback;

    lua_getfield(L, table, name);
    if (!lua_isnil(L, -1)) {
        if (lua_type(L, -1) != LUA_TNUMBER)
            wrong_type(L, name, "number");
        value = lua_tonumber(L, -1);
    }
    lua_pop(L, 1);
    return value;
}

long long field_integer(lua_State *L, int table, const char *name, long long fallback)
{
    long long value = fallback;
    int exact = 0;

    lua_getfield(L, table, name);
    if (!lua_isnil(L, -1)) {
        value = lua_tointegerx(L, -1, &exact);
        if (!exact)
            wrong_type(L, name, "integer");
    }
    lua_pop(L, 1);
    return value;
}

bool field_bool(lua_State *L, int table, const char *name, bool fallback)
{
    bool value = fallback;

    lua_getfield(L, table, name);
    if (!lua_isnil(L, -1)) {
        if (lua_type(L, -1) != LUA_TBOOLEAN)
            wrong_type(L, name, "boolean");
        value = lua_toboolean(L, -1);
    }
    lua_pop(L, 1);
    return value;
}

const char *const *field_strings(lua_State *L, int table, const char *name)
{
    const char **list = NULL;
    lua_Integer count = 0;

    table = lua_absindex(L, table);
    if (lua_getfield(L, table, name) == LUA_TNIL)
        return NULL;
    if (!lua_istable(L, -1))
        wrong_type(L, name, "list of strings");
    count = luaL_len(L, -1);
    list = lua_newuserdatauv(L, ((size_t)count + 1) * sizeof *list, 0);
    for (lua_Integer i = 1; i <= count; i++) {
        if (lua_geti(L, -2, i) != LUA_TSTRING)
            wrong_type(L, name, "list of strings");
        list[i - 1] = lua_tostring(L, -1);
        lua_pop(L, 1);
    }
    list[count] = NULL;
    lua_remove(L, -2);
    return list;
}
