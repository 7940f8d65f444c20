#include "bindings/error.h"

#include "bindings/modules.h"

#include <lauxlib.h>
#include <stdarg.h>

#define ERROR_TYPE "vmatrix.error"

static int error_tostring(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_getfield(L, 1, "message");
    luaL_tolstring(L, -1, NULL);
    return 1;
}

/* Makes sure that the metatable exists and sets it on the table at the top. */
static void set_error_type(lua_State *L)
{
    if (luaL_newmetatable(L, ERROR_TYPE)) {
        lua_pushcfunction(L, error_tostring);
        lua_setfield(L, -2, "__tostring");
    }
    lua_setmetatable(L, -2);
}

void push_err(lua_State *L, const struct vx_err *err)
{
    lua_createtable(L, 0, 5);
    lua_pushstring(L, vx_kind_name(err->kind));
    lua_setfield(L, -2, "kind");
    lua_pushinteger(L, err->code);
    lua_setfield(L, -2, "code");
    lua_pushstring(L, err->msg);
    lua_setfield(L, -2, "message");
    set_error_type(L);
}

int l_push_fail(lua_State *L, const struct vx_err *err)
{
    lua_pushnil(L);
    push_err(L, err);
    return 2;
}

int l_raise(lua_State *L, enum vx_kind kind, const char *fmt, ...)
{
    struct vx_err err = { 0 };
    va_list ap;

    va_start(ap, fmt);
    vx_err_setv(&err, kind, 0, fmt, ap);
    va_end(ap);
    push_err(L, &err);
    return lua_error(L);
}

/* error.new(table) -> the same table as an error object. Raises when it is not a table. */
static int l_error_new(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    set_error_type(L);
    return 1;
}

/* error.is(value) -> true when the value is an error object. */
static int l_error_is(lua_State *L)
{
    lua_settop(L, 1);
    if (lua_type(L, 1) != LUA_TTABLE || !lua_getmetatable(L, 1)) {
        lua_pushboolean(L, 0);
        return 1;
    }
    luaL_getmetatable(L, ERROR_TYPE);
    lua_pushboolean(L, lua_rawequal(L, -1, -2));
    return 1;
}

static const luaL_Reg functions[] = {
    { "is", l_error_is },
    { "new", l_error_new },
    { NULL, NULL },
};

int luaopen_raw_error(lua_State *L)
{
    luaL_newlib(L, functions);
    return 1;
}
