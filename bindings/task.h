/* Tasks: coroutines that wait for the loop. See docs/design.md, "Tasks". */
#ifndef BINDINGS_TASK_H
#define BINDINGS_TASK_H

#include <lauxlib.h>
#include <lua.h>
#include <stdbool.h>

#include "runtime/loop/loop.h"

struct sched;
struct task;
struct vx_timer;
struct wait;

/* Runs back inside the task, where raising is safe; returns the number of results it pushed. */
typedef int (*task_finish)(lua_State *L, struct wait *wait);

/* One thing that a task waits for: the first member of an operation. Zero-initialise it. */
struct wait {
    struct task *task;
    task_finish finish;
    struct vx_timer *limit;
    bool done;
    bool late; /* its limit has passed */
};

/* Resumes every task that is ready, once: the one place where tasks run. */
void task_run_ready(struct sched *sched);

/* Whether a task is ready to run. */
bool task_any_ready(const struct sched *sched);

/* How many tasks have not ended. */
int task_live(const struct sched *sched);

/* After lua_close. */
void sched_free(struct sched *sched);

/* The loop this Lua state lives on. */
struct vx_loop *task_loop(lua_State *L);

/* Raises unless the caller may wait here: call it before starting an operation. `what` is the
 * name that the user called ("vm.sleep"); the message says what to do. */
void check_may_wait(lua_State *L, const char *what);

/* Parks the running task until wait_done(wait); then finish pushes the results. A cancellation
 * or the failure of a child raises instead, so the operation must be a to-be-closed userdata on
 * the caller's stack. The last thing a binding does: `return task_park(L, &op->wait, finish);`.
 */
int task_park(lua_State *L, struct wait *wait, task_finish finish);

/* Called by an operation's callback: the task goes on, later, from the loop. Harmless when the
 * operation has no task parked on it. */
void wait_done(struct wait *wait);

/* Sets the limit of a wait: that many seconds from now it is late and done. Negative: none. The
 * operation's release ends it with wait_unlimit, which is harmless when repeated. */
void wait_limit(lua_State *L, struct wait *wait, double seconds);
void wait_unlimit(struct wait *wait);

/* Makes a userdata of `size` bytes whose type has __gc and __close = release, marks it to be
 * closed when the calling C function ends, and leaves it on top of the stack. The bytes are
 * zero. It has one user value, for what must live as long. */
void *l_new_op(lua_State *L, size_t size, const char *type, lua_CFunction release);

/* Makes a metatable for objects: methods, __gc, __close, __name; idempotent. */
void l_new_type(lua_State *L, const char *type, const luaL_Reg *methods, lua_CFunction release);

#endif
