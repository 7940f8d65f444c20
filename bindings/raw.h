/* vm.raw: the primitives that the Lua library is made of. */
#ifndef BINDINGS_RAW_H
#define BINDINGS_RAW_H

#include <lua.h>

#include "runtime/loop/loop.h"

/* Opens everything that Lua sees: tasks on the loop, vm.raw and the embedded library. Returns
 * the scheduler, which task_run_ready drives. */
struct sched *raw_open(lua_State *L, struct vx_loop *loop);

#endif
