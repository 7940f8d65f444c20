/* Reading the plain tables that the Lua library hands to vm.raw: types are checked, names are
 * not (scripts/vm/options.lua has done so with the user in mind). */
#ifndef BINDINGS_FIELDS_H
#define BINDINGS_FIELDS_H

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>

/* Each raises when the field has another type. A string lives as long as the table holds it. */
const char *field_string(lua_State *L, int table, const char *name, const char *fallback);
const char *field_lstring(lua_State *L, int table, const char *name, size_t *len);
double field_number(lua_State *L, int table, const char *name, double fallback);
long long field_integer(lua_State *L, int table, const char *name, long long fallback);
bool field_bool(lua_State *L, int table, const char *name, bool fallback);

/* A list of strings as a NULL-terminated array in a userdata that it leaves on the stack; NULL
 * (and a nil on the stack) when the field is absent. The strings live as long as the table
 * holds them. */
const char *const *field_strings(lua_State *L, int table, const char *name);

#endif
