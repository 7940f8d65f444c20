#include "bindings/job.h"

#include <stdlib.h>

#include <lauxlib.h>

#include "bindings/error.h"
#include "runtime/base/buf.h"

#define JOB_TYPE "vm.raw.job"

struct l_job {
    struct wait wait;
    struct job *job;
    bool running; /* the pool has it */
};

static void free_job(struct job *job)
{
    job->dispose(job);
    free(job);
}

static int release_job(lua_State *L)
{
    struct l_job *op = luaL_checkudata(L, 1, JOB_TYPE);
    struct job *job = op->job;

    op->job = NULL;
    if (job == NULL)
        return 0;
    if (op->running)
        job->op = NULL;
    else
        free_job(job);
    return 0;
}

static void job_done(void *arg)
{
    struct job *job = arg;

    if (job->op == NULL) {
        free_job(job);
        return;
    }
    job->op->running = false;
    wait_done(&job->op->wait);
}

void *l_job_new(lua_State *L, const char *what, size_t size, void (*dispose)(struct job *job))
{
    struct l_job *op = NULL;

    check_may_wait(L, what);
    op = l_new_op(L, sizeof *op, JOB_TYPE, release_job);
    op->job = vx_zalloc(size);
    op->job->op = op;
    op->job->dispose = dispose;
    return op->job;
}

int l_job_run(lua_State *L, void *arg, vx_work_fn work, task_finish finish)
{
    struct job *job = arg;
    struct l_job *op = job->op;
    struct vx_err err;

    if (vx_pool_run(task_loop(L), work, job_done, job, &err) != 0)
        return l_push_fail(L, &err);
    op->running = true;
    return task_park(L, &op->wait, finish);
}

void *l_job_of(struct wait *wait)
{
    return ((struct l_job *)wait)->job;
}

int l_job_true(lua_State *L, struct wait *wait)
{
    struct job *job = l_job_of(wait);

    if (job->rc != 0)
        return l_push_fail(L, &job->err);
    lua_pushboolean(L, true);
    return 1;
}
