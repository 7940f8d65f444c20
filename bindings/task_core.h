/* The inside of tasks, shared by sched.c (the scheduler's life), task.c (scheduling), task_lib.c
 * and task_event.c (what Lua calls) and protect.c (pcall and coroutines that know of
 * cancellation). */
#ifndef BINDINGS_TASK_CORE_H
#define BINDINGS_TASK_CORE_H

#include "bindings/task.h"
#include "runtime/base/list.h"
#include "runtime/loop/timer.h"

#define TASK_TYPE "vmatrix.task"

/* How long <close> handlers of a cancelled task may wait, unless the scheduler is told
 * otherwise. */
#define TASK_GRACE_SECONDS 30

enum task_state {
    TASK_READY,   /* in the ready queue */
    TASK_RUNNING, /* on the C stack */
    TASK_PARKED,  /* waits for `wait` */
    TASK_ENDING,  /* the body has ended, children have not */
    TASK_DONE,
};

/* Registry key of a table: light userdata of a task -> its userdata. */
extern const char task_live_key;

/* User values of the task's userdata. */
enum {
    TASK_UV_CO = 1,
    TASK_UV_RESULT,
    TASK_UV_CAUSE,
    TASK_UV_LOCALS,
    TASK_UV_LIMIT,
    TASK_UVS = 5
};

struct sched {
    struct vx_loop *loop;
    lua_State *L; /* the main state: coroutines are resumed from here */
    struct vx_link ready;
    struct vx_link roots; /* the host's own tasks, by sibling */
    struct task *running;
    lua_State *volatile computing; /* its innermost coroutine, for a signal handler */
    int no_wait; /* > 0 while a coroutine runs under something that cannot yield */
    int live;    /* tasks not done */
    double resumed_at;
    double grace; /* seconds */
};

struct task {
    struct sched *sched;
    struct vx_link queue; /* in sched->ready */
    struct task *owner;   /* NULL for the host's own */
    struct vx_link sibling;
    struct vx_link children;
    struct vx_link joiners; /* struct join, task_lib.c */
    lua_State *co;
    struct wait *wait;
    struct task *joins; /* whose end it waits for; held by the join */
    struct vx_timer *grace;
    struct vx_timer *limit; /* cancels the task: vm.timeout */
    enum task_state state;
    bool started;
    bool failed;       /* TASK_UV_RESULT is an error */
    bool cancel_asked; /* TASK_UV_CAUSE says why */
    bool delivered;    /* the cause was raised in the body: all that runs since is clean-up */
    bool grace_over;
    bool child_failed; /* the cause is the error of one of its own tasks */
    bool reported;     /* by the host: its error is nobody else's to tell */
    char name[48];
};

/* One task that waits for another to end. */
struct join {
    struct wait wait;
    struct vx_link link;
    struct task *joiner;
    bool quiet;    /* waits for the end only: the error stays with the owner */
    bool taken;    /* the result was handed to the joiner */
    bool released; /* the user value is the joined task */
};

/* The scheduler of this Lua state, and its running task (NULL on the main thread). */
struct sched *sched_of(lua_State *L);
struct task *task_running(lua_State *L);

/* Pushes the userdata of a task that is not done. */
void task_push(lua_State *L, struct task *task);

/* Makes a task of the function and nargs arguments on top of the stack, pops them, and pushes
 * the task's userdata. owner may be NULL. */
struct task *task_spawn(lua_State *L, struct task *owner, const char *name, int nargs);

/* Logs the error at the index, which nobody else will hear of. Runs no code that could raise. */
void task_log_lost(lua_State *L, const struct task *task, int index);

/* Whether the task at the index failed with anything but the cancellation that was asked for. */
bool task_failed_itself(lua_State *L, int index);

/* Asks for the end of a task with the error object on top of the stack, which is popped. Its
 * children get a plain "cancelled". Only the first cause counts. */
void task_cancel(lua_State *L, struct task *task);

/* Raises the cause in the running task when one is due; else returns. */
void task_deliver(lua_State *L, struct task *task);

/* Raises the cause again, in a pcall that was entered before it was delivered. */
int task_rethrow(lua_State *L, struct task *task);

/* Asks for the end of every task that the host owns. */
void task_cancel_roots(lua_State *L);

/* Makes the metatable of objects without a resource of their own. */
void task_new_type(lua_State *L, const char *type, const luaL_Reg *methods);

/* task_event.c, for task_lib.c: the constructor and the type of events. */
int l_event_new(lua_State *L);
void event_new_type(lua_State *L);

/* Prepares a new Lua state for tasks; protect_install replaces pcall, xpcall and coroutines. */
struct sched *sched_new(lua_State *L, struct vx_loop *loop);
void protect_install(lua_State *L);

#endif
