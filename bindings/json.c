/* vm.raw.json: between JSON text and Lua values, by jansson. */
#include <jansson.h>
#include <lauxlib.h>
#include <stdbool.h>
#include <stdlib.h>

#include "bindings/error.h"
#include "bindings/modules.h"

#define LIST_TYPE "vm.raw.json.list"

enum { DEPTH_MAX = 200 };

static void push_json(lua_State *L, const json_t *value)
{
    luaL_checkstack(L, 4, "JSON is nested too deeply");
    switch (json_typeof(value)) {
    case JSON_OBJECT: {
        const char *key = NULL;
        json_t *item = NULL;

        lua_createtable(L, 0, (int)json_object_size(value));
        json_object_foreach((json_t *)(size_t)value, key, item)
        {
            push_json(L, item);
            lua_setfield(L, -2, key);
        }
        break;
    }
    case JSON_ARRAY:
        lua_createtable(L, (int)json_array_size(value), 0);
        for (size_t i = 0; i < json_array_size(value); i++) {
            push_json(L, json_array_get(value, i));
            lua_rawseti(L, -2, (lua_Integer)i + 1);
        }
        break;
    case JSON_STRING:
        lua_pushlstring(L, json_string_value(value), json_string_length(value));
        break;
    case JSON_INTEGER:
        lua_pushinteger(L, json_integer_value(value));
        break;
    case JSON_REAL:
        lua_pushnumber(L, json_real_value(value));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        lua_pushboolean(L, json_is_true(value));
        break;
    case JSON_NULL:
    default:
        lua_pushnil(L); /* a field that is null is absent */
        break;
    }
}

static int push_protected(lua_State *L)
{
    push_json(L, lua_touserdata(L, 1));
    return 1;
}

/* json.decode(text): null becomes nil. Returns the value, or nil, err. */
static int l_json_decode(lua_State *L)
{
    size_t len = 0;
    const char *text = luaL_checklstring(L, 1, &len);
    json_error_t problem;
    json_t *root = json_loadb(text, len, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &problem);
    int status = 0;

    if (root == NULL) {
        struct vx_err err = { 0 };
        vx_err_set(&err, VX_FORMAT, 0, "not JSON: line %d: %s", problem.line, problem.text);
        return l_push_fail(L, &err);
    }
    lua_pushcfunction(L, push_protected);
    lua_pushlightuserdata(L, root);
    status = lua_pcall(L, 1, 1, 0);
    json_decref(root);
    if (status != LUA_OK)
        return lua_error(L);
    return 1;
}

static json_t *to_json(lua_State *L, int index, int depth, const char **why);

static lua_Integer count_keys(lua_State *L, int index)
{
    lua_Integer count = 0;

    for (lua_pushnil(L); lua_next(L, index) != 0; lua_pop(L, 1))
        count++;
    return count;
}

/* Whether it is a list also when it is empty. */
static bool is_list(lua_State *L, int index)
{
    bool found = false;

    if (!lua_getmetatable(L, index))
        return false;
    luaL_getmetatable(L, LIST_TYPE);
    found = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return found;
}

static json_t *table_to_json(lua_State *L, int index, int depth, const char **why)
{
    lua_Integer length = luaL_len(L, index);
    json_t *out = length > 0 || is_list(L, index) ? json_array() : json_object();
    bool failed = false;

    if (json_is_array(out) && count_keys(L, index) != length) {
        *why = "a list that has other keys, too, or holes";
        failed = true;
    }
    for (lua_Integer i = 1; i <= length && !failed; i++) {
        json_t *item = NULL;
        lua_geti(L, index, i);
        item = to_json(L, lua_gettop(L), depth + 1, why);
        failed = item == NULL || json_array_append_new(out, item) != 0;
        lua_pop(L, 1);
    }
    if (json_is_object(out)) {
        lua_pushnil(L);
        while (!failed && lua_next(L, index) != 0) {
            json_t *item = NULL;
            if (lua_type(L, -2) != LUA_TSTRING) {
                *why = "a table's keys must be strings, or 1, 2, 3, ...";
                failed = true;
            } else {
                item = to_json(L, lua_gettop(L), depth + 1, why);
                failed =
                    item == NULL || json_object_set_new(out, lua_tostring(L, -2), item) != 0;
            }
            lua_pop(L, 1);
        }
    }
    if (failed) {
        if (*why == NULL)
            *why = "a string that is not UTF-8";
        json_decref(out);
        return NULL;
    }
    return out;
}

static json_t *to_json(lua_State *L, int index, int depth, const char **why)
{
    size_t len = 0;
    const char *text = NULL;
    json_t *out = NULL;

    if (depth > DEPTH_MAX || !lua_checkstack(L, 8)) {
        *why = "nested too deeply";
        return NULL;
    }
    switch (lua_type(L, index)) {
    case LUA_TNIL:
        return json_null();
    case LUA_TBOOLEAN:
        return json_boolean(lua_toboolean(L, index));
    case LUA_TNUMBER:
        out = lua_isinteger(L, index) ? json_integer(lua_tointeger(L, index))
                                      : json_real(lua_tonumber(L, index));
        if (out == NULL)
            *why = "a number that JSON cannot hold";
        return out;
    case LUA_TSTRING:
        text = lua_tolstring(L, index, &len);
        out = json_stringn(text, len);
        if (out == NULL)
            *why = "a string that is not UTF-8";
        return out;
    case LUA_TTABLE:
        return table_to_json(L, index, depth, why);
    default:
        *why = "a value that is no data";
        return NULL;
    }
}

/* json.list(table): marks a table that is a list also when it is empty; returns it. */
static int l_json_list(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    luaL_newmetatable(L, LIST_TYPE);
    lua_setmetatable(L, 1);
    return 1;
}

/* json.encode(value): a table with [1] is a list, an empty one an object, unless it was marked;
 * keys are sorted. Returns the text, or nil, err. */
static int l_json_encode(lua_State *L)
{
    const char *why = NULL;
    json_t *root = NULL;
    char *text = NULL;

    luaL_checkany(L, 1);
    lua_settop(L, 1);
    root = to_json(L, 1, 0, &why);
    if (root == NULL) {
        struct vx_err err = { 0 };
        vx_err_set(&err, VX_FORMAT, 0, "cannot be written as JSON: %s", why);
        return l_push_fail(L, &err);
    }
    /* 15 digits: what was written as 0.1 is 0.1 again, not 0.10000000000000001. */
    text = json_dumps(root, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY |
                                JSON_REAL_PRECISION(15));
    json_decref(root);
    lua_pushstring(L, text);
    free(text);
    return 1;
}

static const luaL_Reg functions[] = {
    { "decode", l_json_decode },
    { "encode", l_json_encode },
    { "list", l_json_list },
    { NULL, NULL },
};

int luaopen_raw_json(lua_State *L)
{
    luaL_newlib(L, functions);
    return 1;
}
