/* vm.raw.task: what Lua calls of tasks. scripts/vm/task/init.lua makes the public face of it. */
#include "bindings/modules.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "bindings/error.h"
#include "bindings/task_core.h"

#define JOIN_TYPE  "vmatrix.task.join"
#define SLEEP_TYPE "vmatrix.task.sleep"

static struct task *check_task(lua_State *L, int index)
{
    return luaL_checkudata(L, index, TASK_TYPE);
}

/* task.spawn(name, detached, fn, ...) -> a task that runs fn(...). Detached tasks belong to the
 * host, all others to the running task. Raises on wrong types. */
static int l_task_spawn(lua_State *L)
{
    const char *name = luaL_checkstring(L, 1);
    bool detached = lua_toboolean(L, 2);
    struct task *owner = detached ? NULL : task_running(L);

    luaL_checktype(L, 3, LUA_TFUNCTION);
    task_spawn(L, owner, name, lua_gettop(L) - 3);
    return 1;
}

/* Pushes true and the results of a task that is done, or nil and its error. */
static int push_result(lua_State *L, int index)
{
    struct task *task = check_task(L, index);
    lua_Integer count = 0;

    lua_getiuservalue(L, index, TASK_UV_RESULT);
    if (task->failed) {
        lua_pushnil(L);
        lua_insert(L, -2);
        return 2;
    }
    lua_getfield(L, -1, "n");
    count = lua_tointeger(L, -1);
    lua_pop(L, 1);
    luaL_checkstack(L, (int)count + 1, "too many results");
    lua_pushboolean(L, 1);
    for (lua_Integer i = 1; i <= count; i++)
        lua_geti(L, -1 - (int)i, i);
    return (int)count + 1;
}

static int join_release(lua_State *L)
{
    struct join *join = luaL_checkudata(L, 1, JOIN_TYPE);

    if (join->released || join->link.next == NULL)
        return 0;
    join->released = true;
    vx_list_unlink(&join->link);
    join->joiner->joins = NULL;
    /* The joiner was cancelled just as the task failed: nobody else was told. */
    lua_getiuservalue(L, 1, 1);
    if (join->wait.done && !join->taken && !join->quiet && task_failed_itself(L, -1)) {
        lua_getiuservalue(L, -1, TASK_UV_RESULT);
        task_log_lost(L, check_task(L, -2), -1);
    }
    return 0;
}

static int join_finish(lua_State *L, struct wait *wait)
{
    ((struct join *)wait)->taken = true;
    return push_result(L, 1);
}

static bool owned_by(const struct task *task, const struct task *owner)
{
    while (task != NULL && task != owner)
        task = task->owner;
    return task != NULL;
}

/* Raises when the end of the task depends on the end of the running one, which would wait for
 * ever. One that is about to hear that it was cancelled will stop waiting. */
static void check_no_circle(lua_State *L, const struct task *task)
{
    const struct task *me = task_running(L);

    if (owned_by(me, task))
        l_raise(L, VX_USAGE, "task %s: a task cannot join itself or a task that owns it",
                task->name);
    for (const struct task *at = task; at->state != TASK_DONE && at->joins != NULL;
         at = at->joins) {
        if (at->cancel_asked && !at->delivered)
            return;
        if (owned_by(me, at->joins))
            l_raise(
                L, VX_USAGE,
                "task %s cannot wait for task %s: %s%s waits for %s to end, so neither would "
                "ever end",
                me->name, task->name, at == task ? "that one" : "task ",
                at == task ? "" : at->name, at->joins == me ? "this one" : at->joins->name);
    }
}

/* Makes the wait of the running task for the end of the task at index 1. */
static struct join *new_join(lua_State *L, struct task *task)
{
    struct join *join = l_new_op(L, sizeof *join, JOIN_TYPE, join_release);

    join->joiner = task_running(L);
    join->joiner->joins = task;
    vx_list_init(&join->link);
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, 1);
    vx_list_push(&task->joiners, &join->link);
    return join;
}

/* task:join() waits for the end -> true and the results, or nil and the error. Raises when that
 * end depends on the running task's own (it would wait for ever). */
static int l_task_join(lua_State *L)
{
    struct task *task = check_task(L, 1);
    struct join *join = NULL;

    lua_settop(L, 1);
    check_may_wait(L, "task:join");
    if (task->state == TASK_DONE)
        return push_result(L, 1);
    check_no_circle(L, task);
    join = new_join(L, task);
    return task_park(L, &join->wait, join_finish);
}

static int ended_finish(lua_State *L, struct wait *wait)
{
    (void)L;
    (void)wait;
    return 0;
}

/* task:ended() waits for the end and leaves an error to the task's owner. Raises as join does. */
static int l_task_ended(lua_State *L)
{
    struct task *task = check_task(L, 1);
    struct join *join = NULL;

    lua_settop(L, 1);
    check_may_wait(L, "task:ended");
    if (task->state == TASK_DONE)
        return 0;
    check_no_circle(L, task);
    join = new_join(L, task);
    join->quiet = true;
    return task_park(L, &join->wait, ended_finish);
}

/* task:cancel([error]) asks for its end and does not wait for it. */
static int l_task_cancel(lua_State *L)
{
    struct task *task = check_task(L, 1);

    lua_settop(L, 2);
    if (task->state == TASK_DONE)
        return 0;
    if (lua_isnil(L, 2)) {
        struct vx_err err = { 0 };
        vx_err_set(&err, VX_CANCELLED, 0, "task %s was cancelled", task->name);
        push_err(L, &err);
    }
    task_cancel(L, task);
    /* A task that cancels itself hears of it at its next wait, like any other. */
    return 0;
}

static void limit_reached(void *arg)
{
    struct task *task = arg;
    lua_State *L = task->sched->L;

    task_push(L, task);
    lua_getiuservalue(L, -1, TASK_UV_LIMIT);
    lua_remove(L, -2);
    task_cancel(L, task);
}

/* task:limit(seconds, error) cancels the task with this error when it has not ended by then,
 * even if it never waits. Raises when it has a limit already. */
static int l_task_limit(lua_State *L)
{
    struct task *task = check_task(L, 1);
    double seconds = luaL_checknumber(L, 2);

    luaL_checktype(L, 3, LUA_TTABLE);
    luaL_argcheck(L, task->limit == NULL, 1, "the task has a limit already");
    lua_settop(L, 3);
    if (task->state == TASK_DONE)
        return 0;
    lua_setiuservalue(L, 1, TASK_UV_LIMIT);
    task->limit = vx_timer_new(task->sched->loop, seconds, limit_reached, task);
    return 0;
}

/* task:status() -> "running" (also when it waits) | "done" | "failed" | "cancelled". */
static int l_task_status(lua_State *L)
{
    struct task *task = check_task(L, 1);

    if (task->state != TASK_DONE)
        lua_pushliteral(L, "running");
    else if (!task->failed)
        lua_pushliteral(L, "done");
    else if (task->delivered || (task->cancel_asked && !task->started))
        lua_pushliteral(L, "cancelled");
    else
        lua_pushliteral(L, "failed");
    return 1;
}

/* task:detach() makes a task of the running one a task of the host: it outlives the running
 * one, and an error of it is logged. Raises for another's task. */
static int l_task_detach(lua_State *L)
{
    struct task *task = check_task(L, 1);

    if (task->state == TASK_DONE)
        return 0;
    luaL_argcheck(L, task->owner != NULL && task->owner == task_running(L), 1,
                  "a task of the running task expected");
    vx_list_unlink(&task->sibling);
    vx_list_push(&task->sched->roots, &task->sibling);
    task->owner = NULL;
    return 0;
}

/* task:name() -> the name given at spawn. */
static int l_task_name(lua_State *L)
{
    lua_pushstring(L, check_task(L, 1)->name);
    return 1;
}

static int task_tostring(lua_State *L)
{
    struct task *task = check_task(L, 1);

    lua_pushfstring(L, "task %s", task->name);
    return 1;
}

/* task.running() -> the running task, or nil outside of any. */
static int l_task_running(lua_State *L)
{
    struct task *task = task_running(L);

    if (task == NULL)
        lua_pushnil(L);
    else
        task_push(L, task);
    return 1;
}

/* task.locals() -> a table of the running task's own, made when first asked for; nil outside.
 */
static int l_task_locals(lua_State *L)
{
    struct task *task = task_running(L);

    if (task == NULL)
        return 0;
    task_push(L, task);
    if (lua_getiuservalue(L, -1, TASK_UV_LOCALS) == LUA_TNIL) {
        lua_pop(L, 1);
        lua_newtable(L);
        lua_pushvalue(L, -1);
        lua_setiuservalue(L, -3, TASK_UV_LOCALS);
    }
    return 1;
}

/* task.children([of]) -> a list of the tasks that the running (or given) task owns and that are
 * not done. */
static int l_task_children(lua_State *L)
{
    struct task *task = lua_isnoneornil(L, 1) ? task_running(L) : check_task(L, 1);
    lua_Integer count = 0;

    lua_newtable(L);
    if (task == NULL)
        return 1;
    for (struct vx_link *at = task->children.next; at != &task->children; at = at->next) {
        task_push(L, VX_OF(at, struct task, sibling));
        lua_seti(L, -2, ++count);
    }
    return 1;
}

/* task.cancelled() -> true in a task whose cancellation has been delivered: what runs is
 * clean-up. */
static int l_task_cancelled(lua_State *L)
{
    struct task *task = task_running(L);

    lua_pushboolean(L, task != NULL && task->delivered);
    return 1;
}

/* task.can_wait() -> whether a call that waits would be allowed here. */
static int l_task_can_wait(lua_State *L)
{
    struct sched *sched = sched_of(L);

    lua_pushboolean(L, sched->running != NULL && lua_isyieldable(L) && sched->no_wait == 0);
    return 1;
}

/* task.live() -> how many tasks have not ended. */
static int l_task_live(lua_State *L)
{
    lua_pushinteger(L, sched_of(L)->live);
    return 1;
}

/* task.now() -> seconds on a clock that never goes back. */
static int l_task_now(lua_State *L)
{
    lua_pushnumber(L, vx_loop_now());
    return 1;
}

/* task.handles() -> how many timers, watches, processes and jobs the loop has. */
static int l_task_handles(lua_State *L)
{
    lua_pushinteger(L, vx_loop_alive(task_loop(L)));
    return 1;
}

/* task.grace([seconds]) -> how long the clean-up of a cancelled task may wait; sets it for
 * those cancelled from now on. */
static int l_task_grace(lua_State *L)
{
    struct sched *sched = sched_of(L);

    lua_pushnumber(L, sched->grace);
    sched->grace = luaL_optnumber(L, 1, sched->grace);
    return 1;
}

/* --- sleep ---------------------------------------------------------------------------------
 */

static int sleep_release(lua_State *L)
{
    wait_unlimit(luaL_checkudata(L, 1, SLEEP_TYPE));
    return 0;
}

static int sleep_finish(lua_State *L, struct wait *wait)
{
    (void)L;
    (void)wait;
    return 0;
}

/* task.sleep(seconds) waits that long. Raises on anything but a number >= 0. */
static int l_task_sleep(lua_State *L)
{
    double seconds = luaL_checknumber(L, 1);
    struct wait *wait = NULL;

    luaL_argcheck(L, seconds >= 0, 1, "a time of 0 or more seconds expected");
    check_may_wait(L, "vm.sleep");
    wait = l_new_op(L, sizeof *wait, SLEEP_TYPE, sleep_release);
    wait_limit(L, wait, seconds);
    return task_park(L, wait, sleep_finish);
}

static const luaL_Reg task_methods[] = {
    { "cancel", l_task_cancel }, { "detach", l_task_detach },
    { "ended", l_task_ended },   { "join", l_task_join },
    { "limit", l_task_limit },   { "name", l_task_name },
    { "status", l_task_status }, { NULL, NULL },
};

static const luaL_Reg functions[] = {
    { "can_wait", l_task_can_wait },
    { "cancelled", l_task_cancelled },
    { "children", l_task_children },
    { "event", l_event_new },
    { "grace", l_task_grace },
    { "handles", l_task_handles },
    { "live", l_task_live },
    { "locals", l_task_locals },
    { "now", l_task_now },
    { "running", l_task_running },
    { "sleep", l_task_sleep },
    { "spawn", l_task_spawn },
    { NULL, NULL },
};

int luaopen_raw_task(lua_State *L)
{
    task_new_type(L, TASK_TYPE, task_methods);
    event_new_type(L);
    luaL_getmetatable(L, TASK_TYPE);
    lua_pushcfunction(L, task_tostring);
    lua_setfield(L, -2, "__tostring");
    lua_pop(L, 1);
    luaL_newlib(L, functions);
    luaL_getmetatable(L, TASK_TYPE);
    lua_getfield(L, -1, "__index");
    lua_setfield(L, -3, "methods");
    lua_pop(L, 1);
    return 1;
}
