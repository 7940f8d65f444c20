#include "bindings/task_core.h"

#include <lauxlib.h>
#include <stdlib.h>

#include "runtime/base/buf.h"
#include "runtime/base/log.h"
#include "runtime/loop/tick.h"

const char task_live_key;

/* How long a task that never waits must have run to look at the loop, and how often that is asked,
 * in seconds. */
#define COMPUTING_SECONDS 0.5
#define TICK_SECONDS      0.25

/* TSan keeps signals back while a thread calls nothing that it knows, and Lua's loops call
 * nothing: there the hook is always set, and looks every so many instructions. */
#ifdef __SANITIZE_THREAD__
#define HOOK_INSTRUCTIONS 1000000
#else
#define HOOK_INSTRUCTIONS 0
#endif

struct sched *sched_of(lua_State *L)
{
    return *(struct sched **)lua_getextraspace(L);
}

struct task *task_running(lua_State *L)
{
    return sched_of(L)->running;
}

struct vx_loop *task_loop(lua_State *L)
{
    return sched_of(L)->loop;
}

bool task_any_ready(const struct sched *sched)
{
    return !vx_list_empty(&sched->ready);
}

int task_live(const struct sched *sched)
{
    return sched->live;
}

static int to_text(lua_State *L)
{
    luaL_tolstring(L, 1, NULL);
    return 1;
}

void task_log_lost(lua_State *L, const struct task *task, int index)
{
    int top = lua_gettop(L);
    const char *text = NULL;

    index = lua_absindex(L, index);
    lua_pushcfunction(L, to_text);
    lua_pushvalue(L, index);
    if (lua_pcall(L, 1, 1, 0) == LUA_OK)
        text = lua_tostring(L, -1);
    vx_log(VX_LOG_WARN, NULL, "task %s: while it was ending: %s", task->name,
           text != NULL ? text : "an error that cannot be shown as text");
    lua_settop(L, top);
}

void task_new_type(lua_State *L, const char *type, const luaL_Reg *methods)
{
    luaL_newmetatable(L, type);
    lua_newtable(L);
    luaL_setfuncs(L, methods, 0);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
}

/* A task that computes for long gets its cancellations, and Ctrl-C, all the same. */
static void long_computation(lua_State *L, lua_Debug *ar)
{
    struct sched *sched = sched_of(L);

    (void)ar;
    if (HOOK_INSTRUCTIONS == 0)
        lua_sethook(L, NULL, 0, 0);
    if (sched->running == NULL || vx_loop_now() - sched->resumed_at < COMPUTING_SECONDS)
        return;
    vx_loop_turn(sched->loop, false);
    if (sched->running->cancel_asked && !sched->running->delivered)
        task_deliver(L, sched->running);
}

/* Inside a signal handler, between any two machine instructions of the loop thread. A hook that is
 * always set would make Lua look at it with every instruction: half its speed. */
static void on_tick(void *arg)
{
    struct sched *sched = arg;
    lua_State *computing = sched->computing;

    if (computing != NULL && lua_gethook(computing) == NULL) /* not a script's own */
        lua_sethook(computing, long_computation, LUA_MASKCOUNT, 1);
}

struct sched *sched_new(lua_State *L, struct vx_loop *loop)
{
    struct sched *sched = vx_zalloc(sizeof *sched);

    sched->loop = loop;
    sched->L = L;
    sched->grace = TASK_GRACE_SECONDS;
    vx_list_init(&sched->ready);
    vx_list_init(&sched->roots);
    *(struct sched **)lua_getextraspace(L) = sched;
    lua_newtable(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &task_live_key);
    if (HOOK_INSTRUCTIONS > 0)
        lua_sethook(L, long_computation, LUA_MASKCOUNT, HOOK_INSTRUCTIONS);
    else
        vx_tick_start(TICK_SECONDS, on_tick, sched);
#ifdef VX_GC_EAGER
    lua_gc(L, LUA_GCINC, 1, 1000, 1);
#endif
    return sched;
}

void sched_free(struct sched *sched)
{
    vx_tick_stop();
    free(sched);
}
