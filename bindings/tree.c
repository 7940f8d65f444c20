/* vm.raw.tree: trees of files on the host, on the pool, and the checks of what a guest sends. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <lauxlib.h>
#include <lua.h>

#include "bindings/copy.h"
#include "bindings/error.h"
#include "bindings/fields.h"
#include "bindings/job.h"
#include "bindings/modules.h"
#include "runtime/base/buf.h"
#include "runtime/data/match.h"
#include "runtime/data/tree.h"

struct tree_job {
    struct job job;
    bool follow;
    char *path, *to, *keep;
    char **exclude;
    struct vx_tree_merge merge;
    struct vx_buf found;
};

static void dispose(struct job *base)
{
    struct tree_job *job = (struct tree_job *)base;

    free(job->path);
    free(job->to);
    free(job->keep);
    patterns_free(job->exclude);
    vx_buf_free(&job->found);
}

/* One item as text: "type mode mtime size path\0target\0". */
static int walk_item(const struct vx_tree_item *item, void *arg, struct vx_err *err)
{
    struct vx_buf *buf = arg;
    char target[4096 + 1] = "";
    mode_t mode = item->st.st_mode;

    if (S_ISLNK(mode)) {
        ssize_t len = readlinkat(item->dir, item->name, target, sizeof target - 1);
        if (len < 0)
            return vx_err_errno(err, errno, "cannot read the link %s", item->path);
        target[len] = '\0';
    }
    vx_buf_fmt(buf, "%c %u %lld %lld ",
               S_ISREG(mode)   ? 'f'
               : S_ISDIR(mode) ? 'd'
               : S_ISLNK(mode) ? 'l'
                               : 'o',
               (unsigned)mode & 07777, (long long)item->st.st_mtime,
               (long long)item->st.st_size);
    vx_buf_add(buf, item->path, strlen(item->path) + 1);
    vx_buf_add(buf, target, strlen(target) + 1);
    return 0;
}

static void walk_work(void *arg)
{
    struct tree_job *job = arg;

    job->job.rc = vx_tree_walk(job->path, job->follow, (const char *const *)job->exclude,
                               walk_item, &job->found, &job->job.err);
}

static int walk_finish(lua_State *L, struct wait *wait)
{
    struct tree_job *job = l_job_of(wait);
    const char *at = vx_buf_cstr(&job->found), *end = at + job->found.len;
    lua_Integer count = 0;

    if (job->job.rc != 0)
        return l_push_fail(L, &job->job.err);
    lua_newtable(L);
    while (at < end) {
        char *rest = NULL;

        lua_createtable(L, 0, 6);
        lua_pushstring(L, *at == 'f'   ? "file"
                          : *at == 'd' ? "dir"
                          : *at == 'l' ? "link"
                                       : "other");
        lua_setfield(L, -2, "type");
        lua_pushinteger(L, (lua_Integer)strtoul(at + 2, &rest, 10));
        lua_setfield(L, -2, "mode");
        lua_pushinteger(L, strtoll(rest, &rest, 10));
        lua_setfield(L, -2, "mtime");
        lua_pushinteger(L, strtoll(rest, &rest, 10));
        lua_setfield(L, -2, "size");
        at = rest + 1;
        lua_pushstring(L, at);
        lua_setfield(L, -2, "path");
        at += strlen(at) + 1;
        if (*at != '\0') {
            lua_pushstring(L, at);
            lua_setfield(L, -2, "target");
        }
        at += strlen(at) + 1;
        lua_rawseti(L, -2, ++count);
    }
    return 1;
}

/* walk(root, { follow =, exclude = }): waits; what is there, the root (path "") first, folders
 * before
 * their content: {{ path =, type = "file" | "dir" | "link" | "other", mode =, mtime =, size =,
 * target = }}.
 */
static int l_walk(lua_State *L)
{
    const char *root = luaL_checkstring(L, 1);
    struct tree_job *job = NULL;

    luaL_checktype(L, 2, LUA_TTABLE);
    job = l_job_new(L, "tree.walk", sizeof *job, dispose);
    job->path = vx_strdup(root);
    job->follow = field_bool(L, 2, "follow", false);
    job->exclude = check_patterns(L, 2, "exclude");
    return l_job_run(L, job, walk_work, walk_finish);
}

static void merge_work(void *arg)
{
    struct tree_job *job = arg;

    job->job.rc = vx_tree_merge(&job->merge, &job->job.err);
}

/* merge(from, to, { mirror =, exclude =, keep = }): waits; moves what is in the folder `from`
 * into the
 * folder `to` by renaming. true, or nil, err: kind "exists" when a folder meets something else.
 */
static int l_merge(lua_State *L)
{
    const char *from = luaL_checkstring(L, 1);
    const char *to = luaL_checkstring(L, 2);
    const char *keep = NULL;
    struct tree_job *job = NULL;

    luaL_checktype(L, 3, LUA_TTABLE);
    job = l_job_new(L, "tree.merge", sizeof *job, dispose);
    keep = field_string(L, 3, "keep", NULL);
    job->path = vx_strdup(from);
    job->to = vx_strdup(to);
    job->keep = keep != NULL ? vx_strdup(keep) : NULL;
    job->exclude = check_patterns(L, 3, "exclude");
    job->merge = (struct vx_tree_merge){ .from = job->path,
                                         .to = job->to,
                                         .mirror = field_bool(L, 3, "mirror", false),
                                         .exclude = (const char *const *)job->exclude,
                                         .keep = job->keep };
    return l_job_run(L, job, merge_work, l_job_true);
}

/* matches(patterns, path): whether an exclude pattern of the list means the path. */
static int l_matches(lua_State *L)
{
    const char *path = luaL_checkstring(L, 2);
    bool found = false;

    luaL_checktype(L, 1, LUA_TTABLE);
    for (lua_Integer i = 1, n = luaL_len(L, 1); i <= n && !found; i++) {
        lua_geti(L, 1, i);
        found = vx_match(luaL_checkstring(L, -1), path);
        lua_pop(L, 1);
    }
    lua_pushboolean(L, found);
    return 1;
}

/* link_stays(target, depth): whether a link so many folders below a root surely stays in it. */
static int l_link_stays(lua_State *L)
{
    const char *target = luaL_checkstring(L, 1);
    lua_Integer depth = luaL_checkinteger(L, 2);

    luaL_argcheck(L, depth >= 0, 2, "depth must not be negative");
    lua_pushboolean(L, vx_tree_link_stays(target, (size_t)depth));
    return 1;
}

/* shown(name): the name as a message may show it: escaped, and cut when it is long. */
static int l_shown(lua_State *L)
{
    struct vx_buf buf = { 0 };
    char text[1024];

    vx_tree_name(&buf, luaL_checkstring(L, 1));
    snprintf(text, sizeof text, "%s", vx_buf_cstr(&buf)); /* at most 200 names of 4 bytes */
    vx_buf_free(&buf);
    lua_pushstring(L, text);
    return 1;
}

static int push_done(lua_State *L, int rc, const char *what, const char *path)
{
    struct vx_err err;

    if (rc != 0) {
        vx_err_errno(&err, errno, "cannot %s %s", what, path);
        return l_push_fail(L, &err);
    }
    lua_pushboolean(L, true);
    return 1;
}

/* mkdir(path, mode): one new folder; one that exists is an error. */
static int l_mkdir(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);

    return push_done(L, mkdir(path, (mode_t)luaL_checkinteger(L, 2)), "make the folder", path);
}

/* set(path, mode, mtime): permission bits and time of change (seconds) of a file or folder, of
 * a link
 * only the time. */
static int l_set(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    mode_t mode = (mode_t)luaL_checkinteger(L, 2) & 0777;
    struct timespec times[2] = { { .tv_nsec = UTIME_OMIT },
                                 { .tv_sec = (time_t)luaL_checkinteger(L, 3) } };
    struct stat st;
    int rc = lstat(path, &st);

    if (rc == 0)
        rc = utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW);
    if (rc == 0 && !S_ISLNK(st.st_mode))
        rc = chmod(path, mode);
    return push_done(L, rc, "set mode and time of", path);
}

static const luaL_Reg functions[] = {
    { "link_stays", l_link_stays },
    { "matches", l_matches },
    { "merge", l_merge },
    { "mkdir", l_mkdir },
    { "set", l_set },
    { "shown", l_shown },
    { "walk", l_walk },
    { NULL, NULL },
};

int luaopen_raw_tree(lua_State *L)
{
    luaL_newlib(L, functions);
    return 1;
}
