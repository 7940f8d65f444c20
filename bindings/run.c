/* vm.raw.run: what keeps a run's processes and files from outliving it. */
#include "bindings/modules.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>

#include "runtime/base/buf.h"
#include "runtime/base/proc.h"
#include "runtime/base/sweep.h"
#include "runtime/loop/process.h"
#include "bindings/error.h"
#include "bindings/job.h"

struct sweep_job {
    struct job job;
    char **paths; /* NULL-terminated */
    bool settle;
    struct vx_sweep done;
};

static void dispose(struct job *base)
{
    struct sweep_job *job = (struct sweep_job *)base;

    for (char **path = job->paths; *path != NULL; path++)
        free(*path);
    free(job->paths);
}

static void sweep_work(void *arg)
{
    struct sweep_job *job = arg;

    job->job.rc =
        vx_sweep((const char *const *)job->paths, job->settle, &job->done, &job->job.err);
}

static int sweep_finish(lua_State *L, struct wait *wait)
{
    struct sweep_job *job = l_job_of(wait);

    if (job->job.rc != 0)
        return l_push_fail(L, &job->job.err);
    lua_createtable(L, 0, 2);
    lua_pushinteger(L, job->done.killed);
    lua_setfield(L, -2, "killed");
    lua_pushinteger(L, job->done.removed);
    lua_setfield(L, -2, "removed");
    return 1;
}

/* A list of absolute paths at index 1 as a NULL-terminated array in a userdata on the stack; the
 * strings live as long as the list does. */
static const char **check_paths(lua_State *L, size_t *count)
{
    const char **paths = NULL;

    luaL_checktype(L, 1, LUA_TTABLE);
    *count = lua_rawlen(L, 1);
    paths = lua_newuserdatauv(L, (*count + 1) * sizeof *paths, 0);
    for (size_t i = 0; i < *count; i++) {
        lua_rawgeti(L, 1, (lua_Integer)i + 1);
        luaL_argcheck(L, lua_type(L, -1) == LUA_TSTRING && lua_tostring(L, -1)[0] == '/', 1,
                      "a list of absolute paths expected");
        paths[i] = lua_tostring(L, -1);
        lua_pop(L, 1);
    }
    paths[*count] = NULL;
    return paths;
}

/* sweep(paths, [settle]): waits. Kills this user's processes whose command lines name one of the
 * paths (a list of absolute ones), then removes the paths; settle looks twice for processes. Raises
 * on wrong arguments. Returns { killed = n, removed = n }, or nil, err. */
static int l_sweep(lua_State *L)
{
    size_t count = 0;
    const char **paths = check_paths(L, &count);
    bool settle = lua_toboolean(L, 2);
    struct sweep_job *job = l_job_new(L, "run.sweep", sizeof *job, dispose);

    job->settle = settle;
    job->paths = vx_zalloc((count + 1) * sizeof *job->paths);
    for (size_t i = 0; i < count; i++)
        job->paths[i] = vx_strdup(paths[i]);
    return l_job_run(L, job, sweep_work, sweep_finish);
}

/* processes(paths): the processes that sweep would kill, as a list of { pid =, name = }; or nil,
 * err. */
static int l_processes(lua_State *L)
{
    size_t count = 0;
    const char **paths = check_paths(L, &count);
    struct vx_buf found = { 0 };
    struct vx_err err;

    if (vx_proc_find(paths, &found, &err) != 0) {
        vx_buf_free(&found);
        return l_push_fail(L, &err);
    }
    lua_newtable(L);
    for (size_t at = 0; at < found.len; at += sizeof(struct vx_proc)) {
        struct vx_proc proc;

        memcpy(&proc, found.data + at, sizeof proc);
        lua_createtable(L, 0, 2);
        lua_pushinteger(L, proc.pid);
        lua_setfield(L, -2, "pid");
        lua_pushstring(L, proc.name);
        lua_setfield(L, -2, "name");
        lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
    }
    vx_buf_free(&found);
    return 1;
}

/* program(): what to start to have this very program once more. */
static int l_program(lua_State *L)
{
    char *path = vx_process_self();

    lua_pushstring(L, path);
    free(path);
    return 1;
}

static const luaL_Reg functions[] = {
    { "processes", l_processes },
    { "program", l_program },
    { "sweep", l_sweep },
    { NULL, NULL },
};

int luaopen_raw_run(lua_State *L)
{
    luaL_newlib(L, functions);
    return 1;
}
