#include "bindings/task.h"

#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bindings/error.h"
#include "bindings/modules.h"
#include "bindings/task_core.h"
#include "runtime/base/buf.h"
#include "runtime/base/log.h"

void task_push(lua_State *L, struct task *task)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &task_live_key);
    lua_rawgetp(L, -1, task);
    lua_remove(L, -2);
}

static void make_ready(struct task *task)
{
    task->state = TASK_READY;
    vx_list_unlink(&task->queue);
    vx_list_push(&task->sched->ready, &task->queue);
}

void wait_done(struct wait *wait)
{
    struct task *task = wait->task;

    if (wait->done)
        return;
    wait->done = true;
    if (task != NULL && task->wait == wait && task->state == TASK_PARKED)
        make_ready(task);
}

/* --- ending ------------------------------------------------------------------------------- */

/* Looks at the table itself: the error may be anybody's, with metamethods that raise. */
static bool is_cancelled_error(lua_State *L, int index)
{
    bool yes = false;

    if (lua_istable(L, index)) {
        index = lua_absindex(L, index);
        lua_pushliteral(L, "kind");
        lua_rawget(L, index);
        yes = lua_type(L, -1) == LUA_TSTRING && strcmp(lua_tostring(L, -1), "cancelled") == 0;
        lua_pop(L, 1);
    }
    return yes;
}

bool task_failed_itself(lua_State *L, int index)
{
    const struct task *task = lua_touserdata(L, index);
    bool asked = false;

    if (!task->failed)
        return false;
    index = lua_absindex(L, index);
    lua_getiuservalue(L, index, TASK_UV_CAUSE);
    lua_getiuservalue(L, index, TASK_UV_RESULT);
    asked = !task->child_failed && lua_rawequal(L, -1, -2) && is_cancelled_error(L, -1);
    lua_pop(L, 2);
    return !asked;
}

static void cancel_children(lua_State *L, struct task *task);

/* Sets the result to the error on top of the stack and pops it. */
static void set_failure(lua_State *L, struct task *task)
{
    task->failed = true;
    task_push(L, task);
    lua_insert(L, -2);
    lua_setiuservalue(L, -2, TASK_UV_RESULT);
    lua_pop(L, 1);
}

static void task_end(lua_State *L, struct task *task);

/* A child of `owner` failed with the error on top of the stack (popped) and nobody joined it.
 */
static void fail_owner(lua_State *L, struct task *owner)
{
    if (owner->state == TASK_ENDING && !owner->failed) {
        set_failure(L, owner);
        cancel_children(L, owner);
    } else if (owner->cancel_asked || owner->failed) {
        task_log_lost(L, owner, -1);
        lua_pop(L, 1);
    } else {
        owner->child_failed = true;
        task_cancel(L, owner);
    }
}

static void task_done(lua_State *L, struct task *task)
{
    bool joined = false;
    struct task *owner = task->owner;

    task->state = TASK_DONE;
    task->sched->live--;
    vx_list_unlink(&task->queue);
    vx_list_unlink(&task->sibling);
    vx_timer_free(task->grace);
    vx_timer_free(task->limit);
    task->grace = task->limit = NULL;

    while (!vx_list_empty(&task->joiners)) {
        struct join *join = VX_OF(task->joiners.next, struct join, link);
        vx_list_unlink(&join->link);
        joined = joined || !join->quiet;
        wait_done(&join->wait);
    }
    task_push(L, task);
    if (!joined && !task->reported && task_failed_itself(L, -1)) {
        lua_getiuservalue(L, -1, TASK_UV_RESULT);
        if (owner != NULL) {
            fail_owner(L, owner);
        } else {
            task_log_lost(L, task, -1);
            lua_pop(L, 1);
        }
    }
    /* The userdata now lives as long as somebody holds it. */
    lua_pushnil(L);
    lua_setiuservalue(L, -2, TASK_UV_CO);
    lua_pop(L, 1);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &task_live_key);
    lua_pushnil(L);
    lua_rawsetp(L, -2, task);
    lua_pop(L, 1);

    if (owner != NULL && owner->state == TASK_ENDING && vx_list_empty(&owner->children))
        task_end(L, owner);
}

/* The body has ended and its result is set: the task ends with the last of its children. */
static void task_end(lua_State *L, struct task *task)
{
    task->state = TASK_ENDING;
    if (vx_list_empty(&task->children)) {
        task_done(L, task);
        return;
    }
    if (task->failed)
        cancel_children(L, task);
}

/* --- the body ------------------------------------------------------------------------------
 */

/* Message handler: turns any error value into an error object that carries a traceback. */
static int describe_error(lua_State *L)
{
    if (!lua_istable(L, 1)) {
        const char *text = luaL_tolstring(L, 1, NULL);
        lua_createtable(L, 0, 4);
        lua_pushliteral(L, "script");
        lua_setfield(L, -2, "kind");
        lua_pushinteger(L, 0);
        lua_setfield(L, -2, "code");
        lua_pushstring(L, text);
        lua_setfield(L, -2, "message");
        lua_pushcfunction(L, luaopen_raw_error);
        lua_call(L, 0, 1);
        lua_getfield(L, -1, "new");
        lua_pushvalue(L, -3);
        lua_call(L, 1, 1);
        lua_replace(L, 1);
        lua_settop(L, 1);
    }
    lua_pushliteral(L, "traceback");
    if (lua_rawget(L, 1) == LUA_TNIL) {
        lua_pushliteral(L, "traceback");
        luaL_traceback(L, L, NULL, 1);
        lua_rawset(L, 1);
    }
    lua_settop(L, 1);
    return 1;
}

/* Runs as a continuation too: the body has ended with this status. */
static int body_ended(lua_State *L, int status, lua_KContext context)
{
    struct task *task = (struct task *)context;
    int count = lua_gettop(L) - 1; /* index 1 is describe_error */

    if (status == LUA_OK || status == LUA_YIELD) {
        if (task->delivered) {
            task->failed = true;
            task_push(L, task);
            lua_getiuservalue(L, -1, TASK_UV_CAUSE);
            lua_setiuservalue(L, -2, TASK_UV_RESULT);
            return 0;
        }
        lua_createtable(L, count, 1);
        lua_insert(L, 2);
        lua_pushinteger(L, count);
        lua_setfield(L, 2, "n");
        for (int i = count; i >= 1; i--)
            lua_seti(L, 2, i);
        task_push(L, task);
        lua_insert(L, 2);
        lua_setiuservalue(L, 2, TASK_UV_RESULT);
        return 0;
    }
    task->failed = true;
    task_push(L, task);
    if (task->delivered) {
        lua_getiuservalue(L, -1, TASK_UV_CAUSE);
        if (!lua_rawequal(L, -1, -3))
            task_log_lost(L, task, -3);
    } else {
        lua_pushvalue(L, -2);
    }
    lua_setiuservalue(L, 3, TASK_UV_RESULT);
    return 0;
}

/* The coroutine's function: upvalue 1 is the task; the arguments are the body and its
 * arguments. */
static int body(lua_State *L)
{
    struct task *task = lua_touserdata(L, lua_upvalueindex(1));
    int status = 0;

    lua_pushcfunction(L, describe_error);
    lua_insert(L, 1);
    status = lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 1, (lua_KContext)task, body_ended);
    return body_ended(L, status, (lua_KContext)task);
}

/* --- running -------------------------------------------------------------------------------
 */

static void resume(struct task *task)
{
    struct sched *sched = task->sched;
    lua_State *L = sched->L;
    int status = 0, count = 0;

    if (!task->started && task->cancel_asked) {
        task_push(L, task);
        lua_getiuservalue(L, -1, TASK_UV_CAUSE);
        lua_remove(L, -2);
        set_failure(L, task);
        task_end(L, task);
        return;
    }
    task->state = TASK_RUNNING;
    sched->running = task;
    sched->resumed_at = vx_loop_now();
    vx_log_task(task->name);
#ifdef VX_GC_EAGER
    lua_gc(L, LUA_GCCOLLECT);
#endif
    /* A coroutine that has not run holds its function and its arguments. */
    sched->computing = task->co;
    status = lua_resume(task->co, L, task->started ? 0 : lua_gettop(task->co) - 1, &count);
    sched->computing = NULL;
    task->started = true;
    sched->running = NULL;
    vx_log_task("");
    if (status == LUA_YIELD) {
        lua_pop(task->co, count);
        return; /* task_park has set the state */
    }
    if (status != LUA_OK) { /* out of memory, or an error while describing one */
        lua_xmove(task->co, L, 1);
        set_failure(L, task);
    }
    task_end(L, task);
}

void task_run_ready(struct sched *sched)
{
    struct vx_link mine;

    if (vx_list_empty(&sched->ready))
        return;
    /* What becomes ready meanwhile waits for the next turn, so that the loop is never starved.
     */
    mine = sched->ready;
    mine.next->prev = &mine;
    mine.prev->next = &mine;
    vx_list_init(&sched->ready);
    while (!vx_list_empty(&mine)) {
        struct task *task = VX_OF(mine.next, struct task, queue);
        vx_list_unlink(&task->queue);
        if (task->state == TASK_READY)
            resume(task);
    }
}

static void grace_ended(void *arg)
{
    struct task *task = arg;

    task->grace_over = true;
    if (task->state == TASK_PARKED)
        make_ready(task);
}

void task_deliver(lua_State *L, struct task *task)
{
    if (task->grace_over) {
        l_raise(L, VX_TIMEOUT,
                "task %s: its clean-up after the cancellation took longer than %g s",
                task->name, task->sched->grace);
    }
    if (!task->cancel_asked || task->delivered)
        return;
    task->delivered = true;
    task->grace = vx_timer_new(task->sched->loop, task->sched->grace, grace_ended, task);
    task_rethrow(L, task);
}

int task_rethrow(lua_State *L, struct task *task)
{
    task_push(L, task);
    lua_getiuservalue(L, -1, TASK_UV_CAUSE);
    return lua_error(L);
}

void check_may_wait(lua_State *L, const char *what)
{
    struct sched *sched = sched_of(L);

    if (sched->running == NULL)
        l_raise(L, VX_USAGE,
                "%s cannot wait here: no task is running (a __gc method must not wait)", what);
    if (!lua_isyieldable(L) || sched->no_wait > 0)
        l_raise(
            L, VX_USAGE,
            "%s cannot wait here: Lua cannot pause inside a table.sort comparator, a "
            "string.gsub callback, a __gc method or a module that require is loading; call it "
            "before or after, or wrap the module's work in a function that is called later",
            what);
    task_deliver(L, sched->running);
}

static int parked(lua_State *L, int status, lua_KContext context)
{
    struct wait *wait = (struct wait *)context;
    struct task *task = wait->task;

    (void)status;
    task->wait = NULL;
    if (!wait->done || (task->cancel_asked && !task->delivered))
        task_deliver(L, task);
    return wait->finish(L, wait);
}

int task_park(lua_State *L, struct wait *wait, task_finish finish)
{
    struct task *task = task_running(L);

    if (task == NULL || !lua_isyieldable(L) || task->sched->no_wait > 0)
        check_may_wait(L, "this call");
    wait->task = task;
    wait->finish = finish;
    task_deliver(L, task);
    task->wait = wait;
    task->state = TASK_PARKED;
    if (wait->done)
        make_ready(task);
    return lua_yieldk(L, 0, (lua_KContext)wait, parked);
}

/* --- making and cancelling -----------------------------------------------------------------
 */

struct task *task_spawn(lua_State *L, struct task *owner, const char *name, int nargs)
{
    struct sched *sched = sched_of(L);
    struct task *task = lua_newuserdatauv(L, sizeof *task, TASK_UVS);

    memset(task, 0, sizeof *task);
    task->sched = sched;
    vx_list_init(&task->queue);
    vx_list_init(&task->sibling);
    vx_list_init(&task->children);
    vx_list_init(&task->joiners);
    snprintf(task->name, sizeof task->name, "%s", name);
    luaL_setmetatable(L, TASK_TYPE);
    lua_insert(L, -(nargs + 2));

    task->co = lua_newthread(L);
    lua_pushvalue(L, -(nargs + 3)); /* the task */
    lua_pushvalue(L, -2);
    lua_setiuservalue(L, -2, TASK_UV_CO);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &task_live_key);
    lua_pushvalue(L, -2);
    lua_rawsetp(L, -2, task);
    lua_pop(L, 3);

    lua_pushlightuserdata(task->co, task);
    lua_pushcclosure(task->co, body, 1);
    lua_xmove(L, task->co, nargs + 1);

    task->owner = owner;
    vx_list_push(owner != NULL ? &owner->children : &sched->roots, &task->sibling);
    sched->live++;
    make_ready(task);
    return task;
}

/* Takes the error on top of the stack as the cause; false when the task has one already, or is
 * done. */
static bool ask_to_end(lua_State *L, struct task *task)
{
    if (task->state == TASK_DONE || task->cancel_asked) {
        lua_pop(L, 1);
        return false;
    }
    task->cancel_asked = true;
    task_push(L, task);
    lua_pushvalue(L, -2);
    lua_setiuservalue(L, -2, TASK_UV_CAUSE);
    lua_pop(L, 1);
    if (task->state == TASK_ENDING && !task->failed)
        set_failure(L, task);
    else
        lua_pop(L, 1);
    if (task->state == TASK_PARKED)
        make_ready(task);
    return true;
}

/* The task after this one in the tree below the root, its own children first if deeper. */
static struct task *next_below(const struct task *root, struct task *at, bool deeper)
{
    if (deeper && !vx_list_empty(&at->children))
        return VX_OF(at->children.next, struct task, sibling);
    for (; at != root; at = at->owner) {
        if (at->sibling.next != &at->owner->children)
            return VX_OF(at->sibling.next, struct task, sibling);
    }
    return NULL;
}

/* Without recursion: who owns whom may be a very long chain. */
static void cancel_children(lua_State *L, struct task *task)
{
    struct task *at = next_below(task, task, true);

    while (at != NULL) {
        struct vx_err err = { 0 };

        vx_err_set(&err, VX_CANCELLED, 0, "task %s: cancelled with its owner %s", at->name,
                   at->owner->name);
        push_err(L, &err);
        at = next_below(task, at, ask_to_end(L, at));
    }
}

void task_cancel(lua_State *L, struct task *task)
{
    if (ask_to_end(L, task))
        cancel_children(L, task);
}

void task_cancel_roots(lua_State *L)
{
    struct sched *sched = sched_of(L);

    for (struct vx_link *at = sched->roots.next; at != &sched->roots;) {
        struct task *root = VX_OF(at, struct task, sibling);
        struct vx_err err = { 0 };

        at = at->next;
        vx_err_set(&err, VX_CANCELLED, 0, "task %s: the program ends", root->name);
        push_err(L, &err);
        task_cancel(L, root);
    }
}
