/* Work on the thread pool that a task waits for. */
#ifndef BINDINGS_JOB_H
#define BINDINGS_JOB_H

#include "bindings/task.h"
#include "runtime/base/err.h"
#include "runtime/loop/pool.h"

struct l_job;

/* What the pool works on: the first member of a module's own struct. It outlives the task that
 * asked, if need be. */
struct job {
    struct l_job *op; /* NULL: nobody waits for it any more */
    void (*dispose)(struct job *job);
    int rc; /* what the work returned; err says why it is not 0 */
    struct vx_err err;
};

/* Makes a zeroed job of that size, and leaves its operation on the stack: whatever raises from now
 * on, `dispose` frees what the job owns, once; the job itself is freed after it. Raises unless the
 * caller may wait. */
void *l_job_new(lua_State *L, const char *what, size_t size, void (*dispose)(struct job *job));

/* Runs work(job) on the pool and waits; then finish pushes the results. The last thing a binding
 * does. */
int l_job_run(lua_State *L, void *job, vx_work_fn work, task_finish finish);

/* In finish: the job that was waited for; it is freed with the operation. */
void *l_job_of(struct wait *wait);

/* A finish that pushes true, or nil and the error. */
int l_job_true(lua_State *L, struct wait *wait);

#endif
