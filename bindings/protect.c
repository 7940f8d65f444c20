/* pcall, xpcall and coroutines that know of tasks: a protected call that was entered before a
 * cancellation was delivered raises it again, and a wait inside a user's coroutine is handed
 * up. */
#include <lauxlib.h>
#include <lua.h>

#include "bindings/error.h"
#include "bindings/task_core.h"

/* Registry key: a weak table of coroutines that are inside a wait. */
static const char waiting_key;

/* --- pcall and xpcall ----------------------------------------------------------------------
 */

/* The context of a protected call: whether the cancellation had been delivered when it began.
 */
static lua_KContext entry_mark(lua_State *L)
{
    struct task *task = task_running(L);

    return task != NULL && task->delivered;
}

/* After a protected call; with failed its error is on top of the stack. Once the time for clean-up
 * is over nothing is caught: a handler that tries again for ever must end. */
static void rethrow_if_cancelled(lua_State *L, lua_KContext mark, bool failed)
{
    struct task *task = task_running(L);

    if (task == NULL)
        return;
    if (task->delivered && !mark)
        task_rethrow(L, task);
    if (task->grace_over && failed)
        lua_error(L);
}

static bool is_failure(int status)
{
    return status != LUA_OK && status != LUA_YIELD;
}

static int pcall_ended(lua_State *L, int status, lua_KContext mark)
{
    rethrow_if_cancelled(L, mark, is_failure(status));
    if (!is_failure(status))
        return lua_gettop(L);
    lua_pushboolean(L, 0);
    lua_insert(L, -2);
    return 2;
}

/* pcall(f, ...): as Lua's own, but never catches a cancellation. */
static int l_pcall(lua_State *L)
{
    lua_KContext mark = entry_mark(L);
    int status = 0;

    luaL_checkany(L, 1);
    lua_pushboolean(L, 1);
    lua_insert(L, 1);
    status = lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 0, mark, pcall_ended);
    return pcall_ended(L, status, mark);
}

static int xpcall_ended(lua_State *L, int status, lua_KContext mark)
{
    rethrow_if_cancelled(L, mark, is_failure(status));
    if (!is_failure(status))
        return lua_gettop(L) - 2; /* all but the function and the handler */
    lua_pushboolean(L, 0);
    lua_insert(L, -2);
    return 2;
}

/* xpcall(f, handler, ...): as Lua's own, but never catches a cancellation. */
static int l_xpcall(lua_State *L)
{
    lua_KContext mark = entry_mark(L);
    int count = lua_gettop(L), status = 0;

    luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_pushboolean(L, 1);
    lua_pushvalue(L, 1);
    lua_rotate(L, 3, 2); /* f, handler, true, f, arguments */
    status = lua_pcallk(L, count - 2, LUA_MULTRET, 2, mark, xpcall_ended);
    return xpcall_ended(L, status, mark);
}

/* --- coroutines ----------------------------------------------------------------------------
 */

static int co_body_ended(lua_State *L, int status, lua_KContext context)
{
    (void)context;
    if (!is_failure(status))
        return lua_gettop(L);
    return lua_error(L);
}

/* Every coroutine's function runs under a protected call: only so do its <close> variables run
 * when it fails, and may wait. */
static int co_body(lua_State *L)
{
    int status = lua_pcallk(L, lua_gettop(L) - 1, LUA_MULTRET, 0, 0, co_body_ended);

    return co_body_ended(L, status, 0);
}

/* coroutine.create(f): as Lua's own. */
static int l_create(lua_State *L)
{
    lua_State *co = NULL;

    luaL_checktype(L, 1, LUA_TFUNCTION);
    co = lua_newthread(L);
    lua_pushcfunction(co, co_body);
    lua_pushvalue(L, 1);
    lua_xmove(L, co, 1);
    return 1;
}

static void set_waiting(lua_State *L, int co_index, bool waiting)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &waiting_key);
    lua_pushvalue(L, co_index < 0 ? co_index - 1 : co_index);
    if (waiting)
        lua_pushboolean(L, 1);
    else
        lua_pushnil(L);
    lua_rawset(L, -3);
    lua_pop(L, 1);
}

static bool is_waiting(lua_State *L, int co_index)
{
    bool yes = false;

    lua_rawgetp(L, LUA_REGISTRYINDEX, &waiting_key);
    lua_pushvalue(L, co_index);
    lua_rawget(L, -2);
    yes = lua_toboolean(L, -1);
    lua_pop(L, 2);
    return yes;
}

enum step { STEP_RETURNED, STEP_FAILED, STEP_WAITS };

/* Resumes the coroutine at index 1 of L with nargs values from the top of L; leaves its results
 * or its error on top of L. STEP_WAITS: it is inside a wait of the running task. */
static enum step step(lua_State *L, lua_State *co, int nargs, int *results)
{
    struct sched *sched = sched_of(L);
    lua_State *outer = sched->computing;
    bool cannot = !lua_isyieldable(L);
    int status = 0;

    lua_xmove(L, co, nargs);
    if (lua_status(co) == LUA_OK) /* not started: what co_body is given is on its stack */
        nargs = lua_gettop(co) - 1;
    if (cannot)
        sched->no_wait++;
    sched->computing = co;
    status = lua_resume(co, L, nargs, results);
    sched->computing = outer;
    if (cannot)
        sched->no_wait--;
    if (status == LUA_YIELD && sched->running != NULL &&
        sched->running->state != TASK_RUNNING) {
        lua_pop(co, *results);
        return STEP_WAITS;
    }
    if (status == LUA_OK || status == LUA_YIELD) {
        luaL_checkstack(L, *results + 1, "too many results to resume");
        lua_xmove(co, L, *results);
        return STEP_RETURNED;
    }
    lua_xmove(co, L, 1);
    return STEP_FAILED;
}

static bool can_resume(lua_State *L, lua_State *co, const char **why)
{
    lua_Debug ar;

    if (is_waiting(L, 1)) {
        *why = "cannot resume a coroutine that is waiting in another task";
        return false;
    }
    if (co == L || lua_status(co) == LUA_YIELD)
        *why = "cannot resume non-suspended coroutine";
    else
        *why = lua_status(co) == LUA_OK && lua_getstack(co, 0, &ar)
                   ? "cannot resume non-suspended coroutine"
                   : "cannot resume dead coroutine";
    if (co == L)
        return false;
    if (lua_status(co) == LUA_YIELD)
        return true;
    return lua_status(co) == LUA_OK && !lua_getstack(co, 0, &ar) && lua_gettop(co) > 0;
}

/* The bits of a coroutine call's context: how it was entered. */
enum { MARK_CANCELLED = 1, MARK_WRAP = 2 };

static int co_stepped(lua_State *L, lua_KContext mark, enum step how, int results);

static int co_again(lua_State *L, int status, lua_KContext mark)
{
    int results = 0;
    enum step how = STEP_WAITS;

    (void)status;
    set_waiting(L, 1, false);
    how = step(L, lua_tothread(L, 1), 0, &results);
    return co_stepped(L, mark, how, results);
}

static int co_stepped(lua_State *L, lua_KContext mark, enum step how, int results)
{
    if (how == STEP_WAITS) {
        set_waiting(L, 1, true);
        return lua_yieldk(L, 0, mark, co_again);
    }
    if (how == STEP_FAILED) {
        rethrow_if_cancelled(L, mark & MARK_CANCELLED, true);
        if (mark & MARK_WRAP) {
            if (lua_type(L, -1) == LUA_TSTRING) { /* as Lua's wrap: say where */
                luaL_where(L, 1);
                lua_insert(L, -2);
                lua_concat(L, 2);
            }
            return lua_error(L);
        }
        lua_pushboolean(L, 0);
        lua_insert(L, -2);
        return 2;
    }
    if (mark & MARK_WRAP)
        return results;
    lua_pushboolean(L, 1);
    lua_insert(L, -(results + 1));
    return results + 1;
}

static int co_enter(lua_State *L, lua_KContext mark, int nargs)
{
    lua_State *co = lua_tothread(L, 1);
    const char *why = NULL;
    enum step how = STEP_FAILED;
    int results = 0;

    if (entry_mark(L))
        mark |= MARK_CANCELLED;
    if (!can_resume(L, co, &why)) {
        lua_pushstring(L, why);
    } else if (!lua_checkstack(co, nargs)) {
        lua_pushliteral(L, "too many arguments to resume");
    } else {
        how = step(L, co, nargs, &results);
    }
    return co_stepped(L, mark, how, results);
}

/* coroutine.resume(co, ...): as Lua's own; a wait inside co pauses the whole task. */
static int l_resume(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTHREAD);
    return co_enter(L, 0, lua_gettop(L) - 1);
}

static int wrapped(lua_State *L)
{
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    return co_enter(L, MARK_WRAP, lua_gettop(L) - 1);
}

/* coroutine.wrap(f): as Lua's own. */
static int l_wrap(lua_State *L)
{
    l_create(L);
    lua_pushcclosure(L, wrapped, 1);
    return 1;
}

/* coroutine.yield(...): as Lua's own; a task itself has nobody to yield to. */
static int l_yield(lua_State *L)
{
    struct task *task = task_running(L);

    if (task != NULL && task->co == L)
        return luaL_error(L, "attempt to yield from outside a coroutine");
    return lua_yield(L, lua_gettop(L));
}

/* coroutine.close(co): as Lua's own; its <close> variables must not wait. */
static int l_close(lua_State *L)
{
    struct sched *sched = sched_of(L);
    lua_KContext mark = entry_mark(L);
    lua_State *outer = sched->computing;
    lua_State *co = NULL;
    lua_Debug ar;
    int status = 0;

    luaL_checktype(L, 1, LUA_TTHREAD);
    co = lua_tothread(L, 1);
    if (is_waiting(L, 1))
        return luaL_error(L, "cannot close a coroutine that is waiting in another task");
    if (co == L || (lua_status(co) == LUA_OK && lua_getstack(co, 0, &ar)))
        return luaL_error(L, "cannot close a running coroutine");
    sched->no_wait++;
    sched->computing = co; /* its <close> handlers run on it */
#if LUA_VERSION_RELEASE_NUM >= 50406
    status = lua_closethread(co, L);
#elif LUA_VERSION_RELEASE_NUM >= 50405
    status = lua_resetthread(co, L);
#else
    status = lua_resetthread(co);
#endif
    sched->computing = outer;
    sched->no_wait--;
    if (status == LUA_OK) {
        lua_pushboolean(L, 1);
        return 1;
    }
    lua_pushboolean(L, 0);
    lua_xmove(co, L, 1);
    rethrow_if_cancelled(L, mark, true);
    return 2;
}

/* load(chunk, ...): as Lua's own; the reader function it may be given runs protected, too.
 * Upvalue 1 is Lua's own. */
static int l_load(lua_State *L)
{
    lua_KContext mark = entry_mark(L);

    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
    rethrow_if_cancelled(L, mark, false);
    return lua_gettop(L);
}

static const luaL_Reg coroutine_functions[] = {
    { "close", l_close }, { "create", l_create }, { "resume", l_resume },
    { "wrap", l_wrap },   { "yield", l_yield },   { NULL, NULL },
};

void protect_install(lua_State *L)
{
    lua_newtable(L);
    lua_createtable(L, 0, 1);
    lua_pushliteral(L, "k");
    lua_setfield(L, -2, "__mode");
    lua_setmetatable(L, -2);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &waiting_key);
    lua_register(L, "pcall", l_pcall);
    lua_register(L, "xpcall", l_xpcall);
    lua_getglobal(L, "load");
    lua_pushcclosure(L, l_load, 1);
    lua_setglobal(L, "load");
    lua_getglobal(L, "coroutine");
    luaL_setfuncs(L, coroutine_functions, 0);
    lua_pop(L, 1);
}
