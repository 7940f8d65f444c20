/* What the bindings of SSH share: the session object, and reading a command's options. */
#ifndef BINDINGS_SSH_H
#define BINDINGS_SSH_H

#include <lua.h>

#include "runtime/ssh/command.h"
#include "runtime/ssh/session.h"

#define SSH_SESSION_TYPE "vm.raw.ssh.session"
#define SSH_COMMAND_TYPE "vm.raw.ssh.command"
#define SSH_RUN_TYPE     "vm.raw.ssh.run"

/* The session at this index. Raises when it is another thing; NULL when it was closed. */
struct vx_session *check_ssh_session(lua_State *L, int index);

/* Pushes nil and "the session is closed". Returns 2. */
int l_push_session_closed(lua_State *L);

/* Fills what a table says of a command: command, stdin_unused, pty, cols, rows, term, marker.
 * Raises. */
void check_ssh_command(lua_State *L, int table, struct vx_command_opts *opts);

/* session:start{...} and session:run{...}, in files of their own. */
int l_ssh_start(lua_State *L);
int l_ssh_run(lua_State *L);
void open_ssh_command(lua_State *L);
void open_ssh_run(lua_State *L);

#endif
