/* What the files of vm.raw.fs add to its one table. */
#ifndef BINDINGS_FS_H
#define BINDINGS_FS_H

#include <lauxlib.h>
#include <lua.h>

extern const luaL_Reg fs_host_functions[]; /* the machine: identity, sizes, randomness */
extern const luaL_Reg fs_wait_functions[]; /* what waits: on the pool or for a lock */

/* raw.fs.watch, in fs_watch.c */
int l_fs_watch(lua_State *L);

/* Makes the types that fs_wait_functions use. */
void fs_wait_setup(lua_State *L);

#endif
