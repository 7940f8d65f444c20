#include "runtime/app/host.h"

#include <lauxlib.h>
#include <lua.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "bindings/error.h"
#include "bindings/raw.h"
#include "bindings/task.h"
#include "bindings/task_core.h"
#include "runtime/app/line.h"
#include "runtime/base/log.h"
#include "runtime/loop/pool.h"
#include "runtime/loop/signal.h"

static const int caught[] = { SIGINT, SIGTERM, SIGHUP };
enum { CAUGHT = sizeof caught / sizeof caught[0] };
#define SAME_REQUEST 0.3 /* seconds */
/* How many Ctrl-C in a row a prompt is given that does not turn its loop. */
#define PROMPT_PATIENCE 3

struct host {
    struct vx_loop *loop;
    lua_State *L;
    struct sched *sched;
    struct task *main;
    struct vx_signal *signals[CAUGHT];
    bool interrupted;
    bool exiting;
    int code; /* what the program ends with, once interrupted or exiting */
};

static struct host host;

static volatile sig_atomic_t signals_seen;
static volatile sig_atomic_t
    interrupts_waiting; /* of the prompt, which the loop has not seen yet */
static void (*loop_handlers[CAUGHT])(int);

/* --- signals and exit ----------------------------------------------------------------------
 */

static void cancel_main(const char *why, int code)
{
    struct vx_err err = { 0 };

    host.code = code;
    if (host.main == NULL || host.main->state == TASK_DONE)
        return;
    vx_err_set(&err, VX_CANCELLED, 0, "%s", why);
    push_err(host.L, &err);
    task_cancel(host.L, host.main);
}

static void interrupted(int signum, void *arg)
{
    (void)arg;
    if (signum == SIGINT) {
        interrupts_waiting = 0;
        if (line_interrupt())
            return;
    }
    if (host.interrupted)
        return;
    host.interrupted = true;
    fprintf(stderr, "vmatrix: %s: cleaning up (once more forces the end)\n",
            signum == SIGINT ? "interrupted" : "asked to end");
    cancel_main(signum == SIGINT ? "interrupted" : "asked to end by a signal", 128 + signum);
}

static double seconds_now(void)
{
    struct timespec now = { 0 };

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* The second signal ends the program right here: the loop may be what hangs, for instance in a
 * function of C that waits for the terminal. One that comes with the first is the same request,
 * made to us and to our process group, as timeout(1) does. */
static void force_end(int signum)
{
    static const char text[] = "vmatrix: forced to end; the guardian removes what is left\n";
    static double first;

    if (signum == SIGINT && line_is_open() && interrupts_waiting++ < PROMPT_PATIENCE) {
        ; /* ends a line, and not the program, while the loop turns */
    } else if (signals_seen++ == 0) {
        first = seconds_now();
    } else if (seconds_now() - first > SAME_REQUEST) {
        ssize_t ignored = write(STDERR_FILENO, text, sizeof text - 1);

        (void)ignored;
        line_restore();
        _exit(128 + signum);
    }
    for (int i = 0; i < CAUGHT; i++) {
        if (caught[i] == signum)
            loop_handlers[i](signum); /* passes it on to the loop */
    }
}

/* A signal that was ignored when we started stays so: nohup, or a job in the background. */
static void catch_signals(void)
{
    for (int i = 0; i < CAUGHT; i++) {
        struct sigaction action = { 0 };

        sigaction(caught[i], NULL, &action);
        if (action.sa_handler == SIG_IGN)
            continue;
        host.signals[i] = vx_signal_new(host.loop, caught[i], interrupted, NULL, NULL);
        sigaction(caught[i], NULL, &action);
        loop_handlers[i] = action.sa_handler;
        action.sa_handler = force_end;
        if (host.signals[i] != NULL)
            sigaction(caught[i], &action, NULL);
    }
}

/* Whether a __gc method is being run. */
static bool in_finalizer(lua_State *L)
{
    lua_Debug at;

    for (int level = 0; lua_getstack(L, level, &at); level++) {
        lua_getinfo(L, "n", &at);
        if (at.name != NULL && strcmp(at.name, "__gc") == 0)
            return true;
    }
    return false;
}

/* os.exit([code]) in a script: cancels the main task, so that everything is closed on the way
 * out. */
static int l_exit(lua_State *L)
{
    struct task *task = task_running(L);
    int code = 0;

    if (lua_isboolean(L, 1))
        code = lua_toboolean(L, 1) ? 0 : 1;
    else
        code = (int)luaL_optinteger(L, 1, 0);
    if (!host.exiting && !host.interrupted) {
        host.exiting = true;
        cancel_main("os.exit", code);
    }
    /* Never returns, if it can be helped: not even to a handler that runs because of a
     * cancellation. What __gc raises nobody sees. */
    if (task != NULL && !in_finalizer(L)) {
        if (task->delivered)
            task_rethrow(L, task);
        task_deliver(L, task);
    }
    return 0;
}

/* --- start-up ------------------------------------------------------------------------------
 */

/* Pushes vm.cli's function of this name. Protected by the caller. */
static void push_cli(lua_State *L, const char *name)
{
    lua_getglobal(L, "require");
    lua_pushliteral(L, "vm.cli");
    lua_call(L, 1, 1);
    lua_getfield(L, -1, name);
    lua_remove(L, -2);
}

/* Spawns vm.cli's function `name` with the argument on top of the stack as a task of the host.
 */
static int spawn_cli(lua_State *L)
{
    const char *name = lua_tostring(L, 1);

    push_cli(L, "spawn");
    lua_pushstring(L, name);
    lua_pushvalue(L, 2);
    lua_call(L, 2, 1);
    return 1;
}

static void push_arguments(lua_State *L, int argc, char **argv)
{
    lua_createtable(L, argc, 1);
    for (int i = 0; i < argc; i++) {
        lua_pushstring(L, argv[i]);
        lua_seti(L, -2, i);
    }
}

static int setup(lua_State *L)
{
    host.sched = raw_open(L, host.loop);
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "preload");
    lua_pushcfunction(L, luaopen_raw_line);
    lua_setfield(L, -2, "vm.raw.line");
    lua_pop(L, 2);
    lua_pushstring(L, VX_VERSION);
    lua_setglobal(L, "_VMATRIX");
    lua_getglobal(L, "os");
    lua_pushcfunction(L, l_exit);
    lua_setfield(L, -2, "exit");
    return 0;
}

/* Starts a task of vm.cli (its argument is on top of the stack); leaves its userdata. */
static struct task *start(const char *name)
{
    lua_State *L = host.L;
    struct task *task = NULL;

    lua_pushcfunction(L, spawn_cli);
    lua_insert(L, -2);
    lua_pushstring(L, name);
    lua_insert(L, -2);
    if (lua_pcall(L, 2, 1, 0) != LUA_OK) {
        fprintf(stderr, "vmatrix: %s\n", luaL_tolstring(L, -1, NULL));
        lua_pop(L, 2);
        return NULL;
    }
    task = lua_touserdata(L, -1);
    task->reported = true; /* by end_of_task */
    return task;
}

/* Turns the loop until the task has ended. */
static void run_until_done(const struct task *task)
{
    for (;;) {
        task_run_ready(host.sched);
        if (task->state == TASK_DONE)
            return;
        if (!line_serve(host.sched, host.loop))
            vx_loop_turn(host.loop, !task_any_ready(host.sched));
    }
}

/* The exit code that a main task's end stands for; reports its error, unless it is the end that was
 * asked for. The task is on the stack. */
static int report(lua_State *L)
{
    struct task *task = lua_touserdata(L, 1);
    int code = 0;

    lua_getiuservalue(L, 1, TASK_UV_RESULT);
    if ((host.interrupted || host.exiting) && task->failed && !task_failed_itself(L, 1)) {
        code = host.code;
    } else if (!task->failed) {
        lua_geti(L, -1, 1); /* the wrapper's table of results */
        lua_geti(L, -1, 1);
        code = (int)lua_tointeger(L, -1);
    } else {
        push_cli(L, "report");
        lua_pushvalue(L, -2);
        lua_call(L, 1, 1);
        code = (int)lua_tointeger(L, -1);
    }
    lua_pushinteger(L, code);
    return 1;
}

/* Pops the task that has ended from the stack; the exit code that its end stands for. */
static int end_of_task(void)
{
    int code = 1;

    lua_pushcfunction(host.L, report);
    lua_insert(host.L, -2);
    if (lua_pcall(host.L, 1, 1, 0) != LUA_OK)
        fprintf(stderr, "vmatrix: %s\n", lua_tostring(host.L, -1));
    else
        code = (int)lua_tointeger(host.L, -1);
    lua_pop(host.L, 1);
    return code;
}

/* --- shutdown: the one place that knows the order ------------------------------------------
 */

/* Returns 0, or 1 when something could not be cleaned up. */
static int shut_down(void)
{
    struct task *task = NULL;
    int code = 1;

    /* 1. What the library holds beyond tasks: kept connections, the reaper's queue, the run's
     * folder. */
    lua_pushnil(host.L);
    task = start("shutdown");
    if (task != NULL) {
        run_until_done(task);
        code = end_of_task();
    }
    /* 2. The library's own tasks. */
    task_cancel_roots(host.L);
    while (task_live(host.sched) > 0) {
        task_run_ready(host.sched);
        if (task_live(host.sched) > 0)
            vx_loop_turn(host.loop, !task_any_ready(host.sched));
    }
    /* 3. Lua's objects, then what their release left running on the pool. */
    lua_close(host.L);
    for (int i = 0; i < CAUGHT; i++)
        vx_signal_free(host.signals[i]);
    while (vx_loop_alive(host.loop) > 0)
        vx_loop_turn(host.loop, true);
    vx_loop_turn(host.loop, false);
    sched_free(host.sched);
    vx_loop_free(host.loop);
    return code;
}

/* glibc gives each of the pool's threads an arena of its own, which keeps what libvirt freed in it:
 * measured over guests that come and go, 1.3 MB more with each until all threads have one. */
static void few_arenas(void)
{
#ifdef __GLIBC__
    mallopt(M_ARENA_MAX, 2);
#endif
}

int host_main(int argc, char **argv)
{
    struct vx_err err = { 0 };
    int code = 1;
    int shut_code = 0;

    signal(SIGPIPE, SIG_IGN);
    few_arenas();
    vx_pool_setup();
    host.loop = vx_loop_new(&err);
    host.L = host.loop != NULL ? luaL_newstate() : NULL;
    if (host.L == NULL) {
        fprintf(stderr, "vmatrix: cannot start: %s\n", host.loop ? "out of memory" : err.msg);
        return 1;
    }
    lua_pushcfunction(host.L, setup);
    if (lua_pcall(host.L, 0, 0, 0) != LUA_OK) {
        fprintf(stderr, "vmatrix: cannot start: %s\n", lua_tostring(host.L, -1));
        return 1;
    }
    catch_signals();
    push_arguments(host.L, argc, argv);
    host.main = start("main");
    if (host.main != NULL) {
        run_until_done(host.main);
        code = end_of_task();
        lua_settop(host.L, 0);
    }
    if (host.interrupted || host.exiting)
        code = host.code;
    host.main = NULL;
    fflush(stdout);
    shut_code = shut_down();
    return code != 0 ? code : shut_code;
}
