/* The part of vm.raw.fs that waits: big files and trees on the pool, and locks between
 * processes. */
#include "bindings/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/buf.h"
#include "runtime/base/file.h"
#include "runtime/data/digest.h"
#include "runtime/loop/timer.h"
#include "bindings/error.h"
#include "bindings/job.h"

#define LOCK_TYPE      "vm.raw.fs.lock"
#define LOCK_WAIT_TYPE "vm.raw.fs.lock.wait"
#define LOCK_EVERY     0.05 /* flock cannot be waited for on a loop */

struct path_job {
    struct job job;
    char *path;
    char digest[VX_SHA256_HEX];
};

static void dispose(struct job *base)
{
    free(((struct path_job *)base)->path);
}

static int run_path(lua_State *L, const char *name, vx_work_fn work, task_finish finish)
{
    const char *path = luaL_checkstring(L, 1);
    struct path_job *job = l_job_new(L, name, sizeof *job, dispose);

    job->path = vx_strdup(path);
    return l_job_run(L, job, work, finish);
}

static void sha256_work(void *arg)
{
    struct path_job *job = arg;

    job->job.rc = vx_sha256_file(job->path, job->digest, &job->job.err);
}

static int sha256_finish(lua_State *L, struct wait *wait)
{
    struct path_job *job = l_job_of(wait);

    if (job->job.rc != 0)
        return l_push_fail(L, &job->job.err);
    lua_pushstring(L, job->digest);
    return 1;
}

/* sha256(path): waits; the file's digest in hexadecimal. */
static int l_sha256(lua_State *L)
{
    return run_path(L, "fs.sha256", sha256_work, sha256_finish);
}

static void remove_tree_work(void *arg)
{
    struct path_job *job = arg;

    job->job.rc = vx_file_remove_tree(job->path, &job->job.err);
}

/* remove_tree(path): waits; removes a file or a folder with all in it, following no link. */
static int l_remove_tree(lua_State *L)
{
    return run_path(L, "fs.remove_tree", remove_tree_work, l_job_true);
}

struct save_job {
    struct job job;
    char *path;
    struct vx_buf bytes;
    mode_t mode;
};

static void dispose_save(struct job *base)
{
    struct save_job *job = (struct save_job *)base;

    free(job->path);
    vx_buf_free(&job->bytes);
}

static void save_work(void *arg)
{
    struct save_job *job = arg;

    job->job.rc = vx_file_write_atomic(job->path, vx_buf_cstr(&job->bytes), job->bytes.len,
                                       job->mode, &job->job.err);
}

/* save(path, bytes, [mode]): waits; as write_atomic, and the loop goes on while the disk is
 * written to. */
static int l_save(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    size_t len = 0;
    const char *bytes = luaL_checklstring(L, 2, &len);
    lua_Integer mode = luaL_optinteger(L, 3, 0644);
    struct save_job *job = l_job_new(L, "fs.save", sizeof *job, dispose_save);

    job->path = vx_strdup(path);
    job->mode = (mode_t)mode;
    vx_buf_add(&job->bytes, bytes, len);
    return l_job_run(L, job, save_work, l_job_true);
}

struct copy_job {
    struct job job;
    char *src;
    char *dst;
    mode_t mode;
};

static void dispose_copy(struct job *base)
{
    free(((struct copy_job *)base)->src);
    free(((struct copy_job *)base)->dst);
}

static void copy_work(void *arg)
{
    struct copy_job *job = arg;

    job->job.rc = vx_file_copy(job->src, job->dst, job->mode, &job->job.err);
}

/* copy(src, dst, [mode]): waits; copies a file to a new name, mode 0600 unless told
 * otherwise, with its holes, and syncs it. true, or nil, err. */
static int l_copy(lua_State *L)
{
    const char *src = luaL_checkstring(L, 1);
    const char *dst = luaL_checkstring(L, 2);
    lua_Integer mode = luaL_optinteger(L, 3, 0600);
    struct copy_job *job = l_job_new(L, "fs.copy", sizeof *job, dispose_copy);

    job->src = vx_strdup(src);
    job->dst = vx_strdup(dst);
    job->mode = (mode_t)mode;
    return l_job_run(L, job, copy_work, l_job_true);
}

static void sync_work(void *arg)
{
    struct path_job *job = arg;

    job->job.rc = vx_file_sync(job->path, &job->job.err);
}

/* sync(path): waits until what a file or folder holds is on its disk. true, or nil, err. */
static int l_sync(lua_State *L)
{
    return run_path(L, "fs.sync", sync_work, l_job_true);
}

struct l_lock {
    int fd; /* -1: closed */
};

struct l_lock_wait {
    struct wait wait;
    struct vx_loop *loop;
    struct vx_timer *timer;
    struct l_lock *lock; /* below on the caller's stack */
    const char *path;    /* the same */
    int how;             /* LOCK_EX or LOCK_SH */
    int code;
    bool given; /* to the caller, who closes it */
};

static void close_lock(struct l_lock *lock)
{
    if (lock->fd >= 0)
        close(lock->fd); /* and with it the lock */
    lock->fd = -1;
}

/* close(): gives the lock back; harmless when repeated. */
static int release_lock(lua_State *L)
{
    close_lock(luaL_checkudata(L, 1, LOCK_TYPE));
    return 0;
}

static int release_lock_wait(lua_State *L)
{
    struct l_lock_wait *op = luaL_checkudata(L, 1, LOCK_WAIT_TYPE);

    vx_timer_free(op->timer);
    op->timer = NULL;
    if (!op->given)
        close_lock(op->lock); /* it came too late, after a cancellation */
    op->given = true;
    return 0;
}

/* 0, or an errno: EWOULDBLOCK while another holds it. */
static int try_lock(struct l_lock *lock, const char *path, int how)
{
    struct stat ours, theirs;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    int code = 0;

    if (fd < 0)
        return errno;
    if (flock(fd, how | LOCK_NB) != 0)
        code = errno;
    /* Whoever held it may have removed the file: then this lock guards nothing. */
    else if (fstat(fd, &ours) != 0 || stat(path, &theirs) != 0 ||
             ours.st_ino != theirs.st_ino || ours.st_dev != theirs.st_dev)
        code = EWOULDBLOCK;
    if (code != 0)
        close(fd);
    else
        lock->fd = fd;
    return code;
}

static void lock_again(void *arg)
{
    struct l_lock_wait *op = arg;

    op->code = try_lock(op->lock, op->path, op->how);
    vx_timer_free(op->timer);
    op->timer = NULL;
    if (op->code == EWOULDBLOCK)
        op->timer = vx_timer_new(op->loop, LOCK_EVERY, lock_again, op);
    else
        wait_done(&op->wait);
}

static int push_lock_failed(lua_State *L, int code, const char *path)
{
    struct vx_err err;

    if (code == EWOULDBLOCK)
        vx_err_set(&err, VX_EXISTS, code, "another process holds the lock %s", path);
    else
        vx_err_errno(&err, code, "cannot lock %s", path);
    return l_push_fail(L, &err);
}

static int lock_finish(lua_State *L, struct wait *wait)
{
    struct l_lock_wait *op = (struct l_lock_wait *)wait;

    if (op->code != 0)
        return push_lock_failed(L, op->code, op->path);
    op->given = true;
    lua_pushvalue(L, 3);
    return 1;
}

/* lock(path, [try, [shared]]): waits until the lock is ours, which it is until closed, or
 * until the process ends; with try, a lock that another holds is an error of kind "exists"
 * at once. Several may hold it shared, and nobody else then. */
static int l_lock(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    bool once = lua_toboolean(L, 2);
    int how = lua_toboolean(L, 3) ? LOCK_SH : LOCK_EX;
    struct l_lock_wait *op = NULL;
    struct l_lock *lock = NULL;
    int code = 0;

    lua_settop(L, 2); /* the lock is at 3, see lock_finish */
    lock = lua_newuserdatauv(L, sizeof *lock, 0);
    lock->fd = -1;
    luaL_setmetatable(L, LOCK_TYPE);
    code = try_lock(lock, path, how);
    if (code == 0)
        return 1;
    if (code != EWOULDBLOCK || once)
        return push_lock_failed(L, code, path);
    check_may_wait(L, "fs.lock");
    op = l_new_op(L, sizeof *op, LOCK_WAIT_TYPE, release_lock_wait);
    op->lock = lock;
    op->loop = task_loop(L);
    op->path = path;
    op->how = how;
    op->timer = vx_timer_new(op->loop, LOCK_EVERY, lock_again, op);
    return task_park(L, &op->wait, lock_finish);
}

static const luaL_Reg lock_methods[] = {
    { "close", release_lock },
    { NULL, NULL },
};

const luaL_Reg fs_wait_functions[] = {
    { "copy", l_copy }, { "lock", l_lock },     { "remove_tree", l_remove_tree },
    { "save", l_save }, { "sha256", l_sha256 }, { "sync", l_sync },
    { NULL, NULL },
};

void fs_wait_setup(lua_State *L)
{
    l_new_type(L, LOCK_TYPE, lock_methods, release_lock);
}
