#include "runtime/loop/pool.h"

#include <stdlib.h>

#include "runtime/base/buf.h"
#include "runtime/loop/internal.h"

struct job {
    union {
        uv_work_t work;
        uv_thread_t thread;
    } uv;
    struct vx_alive alive;
    vx_work_fn work;
    vx_done_cb done;
    void *arg;
};

void vx_pool_setup(void)
{
    setenv("UV_THREADPOOL_SIZE", "64", 0);
}

static void pool_work(uv_work_t *uv)
{
    struct job *job = uv->data;

    job->work(job->arg);
}

static void finish(struct job *job)
{
    vx_done_cb done = job->done;
    void *arg = job->arg;

    vx_alive_remove(&job->alive);
    free(job);
    done(arg);
}

static void pool_done(uv_work_t *uv, int status)
{
    (void)status; /* never cancelled: nobody calls uv_cancel */
    finish(uv->data);
}

static struct job *new_job(vx_work_fn work, vx_done_cb done, void *arg)
{
    struct job *job = vx_zalloc(sizeof *job);

    job->work = work;
    job->done = done;
    job->arg = arg;
    return job;
}

int vx_pool_run(struct vx_loop *loop, vx_work_fn work, vx_done_cb done, void *arg,
                struct vx_err *err)
{
    struct job *job = new_job(work, done, arg);
    int rc = 0;

    job->uv.work.data = job;
    rc = uv_queue_work(&loop->uv, &job->uv.work, pool_work, pool_done);
    if (rc < 0) {
        free(job);
        return vx_err_uv(err, rc, "cannot queue work for the thread pool");
    }
    vx_alive_add(&job->alive, loop, "job");
    return 0;
}

static void thread_done(void *arg)
{
    struct job *job = arg;

    uv_thread_join(&job->uv.thread);
    finish(job);
}

static void thread_work(void *arg)
{
    struct job *job = arg;

    job->work(job->arg);
    vx_loop_post(job->alive.loop, thread_done, job);
}

int vx_pool_thread(struct vx_loop *loop, vx_work_fn work, vx_done_cb done, void *arg,
                   struct vx_err *err)
{
    struct job *job = new_job(work, done, arg);
    int rc = 0;

    vx_alive_add(&job->alive, loop, "thread");
    rc = uv_thread_create(&job->uv.thread, thread_work, job);
    if (rc < 0) {
        vx_alive_remove(&job->alive);
        free(job);
        return vx_err_uv(err, rc, "cannot start a thread");
    }
    return 0;
}
