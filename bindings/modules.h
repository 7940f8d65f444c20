/* The modules of vm.raw: each function pushes one table; bindings/raw.c names them all. */
#ifndef BINDINGS_MODULES_H
#define BINDINGS_MODULES_H

#include <lua.h>

int luaopen_raw_build(lua_State *L);
int luaopen_raw_channel(lua_State *L);
int luaopen_raw_copy(lua_State *L);
int luaopen_raw_data(lua_State *L);
int luaopen_raw_error(lua_State *L);
int luaopen_raw_fs(lua_State *L);
int luaopen_raw_image(lua_State *L);
int luaopen_raw_json(lua_State *L);
int luaopen_raw_log(lua_State *L);
int luaopen_raw_net(lua_State *L);
int luaopen_raw_process(lua_State *L);
int luaopen_raw_run(lua_State *L);
int luaopen_raw_scripts(lua_State *L);
int luaopen_raw_sftp(lua_State *L);
int luaopen_raw_ssh(lua_State *L);
int luaopen_raw_task(lua_State *L);
int luaopen_raw_terminal(lua_State *L);
/* In bindings/terminal_input.c: vm.raw.terminal.input and .open. */
int l_terminal_input(lua_State *L);
int l_terminal_open(lua_State *L);
int luaopen_raw_tree(lua_State *L);
int luaopen_raw_version(lua_State *L);
int luaopen_raw_virt(lua_State *L);

#endif
