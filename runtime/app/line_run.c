/* A program that has the terminal meanwhile: an editor, for one. */
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>

#include "bindings/error.h"
#include "bindings/task.h"
#include "runtime/app/line.h"
#include "runtime/base/buf.h"
#include "runtime/loop/pool.h"

#define RUN_TYPE "vm.raw.line.run"

struct l_run_work {
    char *command;
    int status;
    struct l_run *op; /* NULL: nobody waits any more */
};

struct l_run {
    struct wait wait;
    struct l_run_work *work; /* NULL once released */
};

/* system() keeps Ctrl-C and Ctrl-\ from us meanwhile. */
static void run_work(void *arg)
{
    struct l_run_work *work = arg;

    work->status = system(work->command);
}

static void run_done(void *arg)
{
    struct l_run_work *work = arg;

    if (work->op != NULL) {
        wait_done(&work->op->wait);
    } else {
        free(work->command);
        free(work);
    }
}

static int run_release(lua_State *L)
{
    struct l_run *op = luaL_checkudata(L, 1, RUN_TYPE);

    if (op->work != NULL && op->wait.done) {
        free(op->work->command);
        free(op->work);
    } else if (op->work != NULL) {
        op->work->op = NULL;
    }
    op->work = NULL;
    return 0;
}

static int run_finish(lua_State *L, struct wait *wait)
{
    lua_pushinteger(L, ((struct l_run *)wait)->work->status);
    return 1;
}

/* run(command): runs a line of sh that has the terminal, an editor for one, and waits for its
 * end on a thread. Returns what wait(2) says; 0 is success. */
int l_line_run(lua_State *L)
{
    const char *command = luaL_checkstring(L, 1);
    struct l_run *op = NULL;
    struct vx_err err = { 0 };

    check_may_wait(L, "line.run");
    fflush(stdout);
    op = l_new_op(L, sizeof *op, RUN_TYPE, run_release);
    op->work = vx_zalloc(sizeof *op->work);
    op->work->command = vx_strdup(command);
    op->work->op = op;
    if (vx_pool_thread(task_loop(L), run_work, run_done, op->work, &err) != 0) {
        free(op->work->command);
        free(op->work);
        op->work = NULL;
        return l_push_fail(L, &err);
    }
    return task_park(L, &op->wait, run_finish);
}
