/* vm.raw.task. */
#ifndef BINDINGS_TASK_LIB_H
#define BINDINGS_TASK_LIB_H

#include <lua.h>

/* Pushes the table of task functions. */
int luaopen_raw_task(lua_State *L);

#endif
