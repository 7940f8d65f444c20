/* vm.raw.log. */
#ifndef BINDINGS_LOG_H
#define BINDINGS_LOG_H

#include <lua.h>

/* Pushes the table of log functions. */
int luaopen_raw_log(lua_State *L);

#endif
