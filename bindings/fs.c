/* vm.raw.fs: files and folders on the host. What is here is quick and does not wait. */
#include "bindings/modules.h"
#include "bindings/fs.h"

#include <dirent.h>
#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "runtime/base/buf.h"
#include "runtime/base/file.h"
#include "bindings/error.h"

static int push_errno(lua_State *L, const char *what, const char *path)
{
    struct vx_err err;

    vx_err_errno(&err, errno, "cannot %s %s", what, path);
    return l_push_fail(L, &err);
}

static int push_done(lua_State *L, int rc, const char *what, const char *path)
{
    if (rc != 0)
        return push_errno(L, what, path);
    lua_pushboolean(L, true);
    return 1;
}

/* mkdir_p(path, [mode]): the folder and its parents. */
static int l_mkdir_p(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    lua_Integer mode = luaL_optinteger(L, 2, 0777);
    struct vx_err err;

    if (vx_file_mkdir_p(path, (mode_t)mode, &err) != 0)
        return l_push_fail(L, &err);
    lua_pushboolean(L, true);
    return 1;
}

static void set_integer(lua_State *L, const char *name, lua_Integer value)
{
    lua_pushinteger(L, value);
    lua_setfield(L, -2, name);
}

static const char *type_name(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG:
        return "file";
    case S_IFDIR:
        return "dir";
    case S_IFLNK:
        return "link";
    case S_IFSOCK:
        return "socket";
    case S_IFIFO:
        return "fifo";
    case S_IFCHR:
        return "char";
    default:
        return "block";
    }
}

/* Nanoseconds since 1970. */
static lua_Integer nanoseconds(struct timespec at)
{
    return (lua_Integer)at.tv_sec * 1000000000 + (lua_Integer)at.tv_nsec;
}

static int push_stat(lua_State *L, const struct stat *st)
{
#ifdef __APPLE__
    struct timespec modified = st->st_mtimespec, changed = st->st_ctimespec;
#else
    struct timespec modified = st->st_mtim, changed = st->st_ctim;
#endif

    lua_createtable(L, 0, 13);
    lua_pushstring(L, type_name(st->st_mode));
    lua_setfield(L, -2, "type");
    set_integer(L, "size", (lua_Integer)st->st_size);
    set_integer(L, "blocks", (lua_Integer)st->st_blocks);
    set_integer(L, "mode", (lua_Integer)(st->st_mode & 07777));
    set_integer(L, "mtime", (lua_Integer)st->st_mtime);
    set_integer(L, "uid", (lua_Integer)st->st_uid);
    set_integer(L, "gid", (lua_Integer)st->st_gid);
    set_integer(L, "ino", (lua_Integer)st->st_ino);
    set_integer(L, "dev", (lua_Integer)st->st_dev);
    set_integer(L, "nlink", (lua_Integer)st->st_nlink);
    set_integer(L, "mtime_ns", nanoseconds(modified));
    set_integer(L, "ctime_ns", nanoseconds(changed));
    return 1;
}

/* stat(path): { type =, size =, blocks =, mode =, mtime =, uid =, gid =, ino =, dev =, nlink =,
 * mtime_ns =, ctime_ns = }; the last two in nanoseconds. */
static int l_stat(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    struct stat st;

    return stat(path, &st) != 0 ? push_errno(L, "look at", path) : push_stat(L, &st);
}

/* lstat(path): the same without following a symbolic link. */
static int l_lstat(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    struct stat st;

    return lstat(path, &st) != 0 ? push_errno(L, "look at", path) : push_stat(L, &st);
}

/* exists(path): whether something is there, be it a broken link. */
static int l_exists(lua_State *L)
{
    struct stat st;

    lua_pushboolean(L, lstat(luaL_checkstring(L, 1), &st) == 0);
    return 1;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* list(dir): the names in it, sorted by byte. */
static int l_list(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    struct dirent **names = NULL;
    int count = scandir(path, &names, NULL, by_name);
    lua_Integer at = 0;

    if (count < 0)
        return push_errno(L, "list", path);
    lua_createtable(L, count, 0);
    for (int i = 0; i < count; i++) {
        const char *name = names[i]->d_name;

        if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0) {
            lua_pushstring(L, name);
            lua_rawseti(L, -2, ++at);
        }
        free(names[i]);
    }
    free(names);
    return 1;
}

/* rename(from, to): replaces what is called `to`. true, or nil, err. */
static int l_rename(lua_State *L)
{
    const char *from = luaL_checkstring(L, 1);

    return push_done(L, rename(from, luaL_checkstring(L, 2)), "rename", from);
}

/* unlink(path): removes a file or link. true, or nil, err. */
static int l_unlink(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);

    return push_done(L, unlink(path), "remove", path);
}

/* rmdir(path): removes an empty folder. true, or nil, err. */
static int l_rmdir(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);

    return push_done(L, rmdir(path), "remove the folder", path);
}

/* symlink(target, path) */
static int l_symlink(lua_State *L)
{
    const char *target = luaL_checkstring(L, 1);
    const char *path = luaL_checkstring(L, 2);

    return push_done(L, symlink(target, path), "make the link", path);
}

/* link(target, path): one more name of a file. true, or nil, err. */
static int l_link(lua_State *L)
{
    const char *target = luaL_checkstring(L, 1);
    const char *path = luaL_checkstring(L, 2);

    return push_done(L, link(target, path), "make the name", path);
}

/* readlink(path): where a link points; or nil, err. */
static int l_readlink(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    char target[PATH_MAX];
    ssize_t len = readlink(path, target, sizeof target);

    if (len < 0)
        return push_errno(L, "read the link", path);
    lua_pushlstring(L, target, (size_t)len);
    return 1;
}

/* chmod(path, mode): sets the permission bits. true, or nil, err. */
static int l_chmod(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    lua_Integer mode = luaL_checkinteger(L, 2);

    return push_done(L, chmod(path, (mode_t)mode), "change the mode of", path);
}

/* realpath(path): the absolute path without links or dots; or nil, err. */
static int l_realpath(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    char *real = realpath(path, NULL);

    if (real == NULL)
        return push_errno(L, "find", path);
    lua_pushstring(L, real);
    free(real);
    return 1;
}

static int l_free_buf(lua_State *L)
{
    vx_buf_free(lua_touserdata(L, 1));
    return 0;
}

/* read(path, [max]): the whole file; more than max bytes (64 MiB) is an error of kind "limit".
 */
static int l_read(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    lua_Integer max = luaL_optinteger(L, 2, 64 * 1024 * 1024);
    struct vx_buf *buf = NULL;
    struct vx_err err;

    luaL_argcheck(L, max >= 0, 2, "max must not be negative");
    /* Pushing a long string may fail for want of memory: the buffer belongs to Lua. */
    buf = lua_newuserdatauv(L, sizeof *buf, 0);
    *buf = (struct vx_buf){ 0 };
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, l_free_buf);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    if (vx_file_read(path, (size_t)max, buf, &err) != 0) {
        vx_buf_free(buf);
        return l_push_fail(L, &err);
    }
    lua_pushlstring(L, vx_buf_cstr(buf), buf->len);
    vx_buf_free(buf);
    return 1;
}

/* write_atomic(path, bytes, [mode]): under a temporary name, synced, then renamed. */
static int l_write_atomic(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    size_t len = 0;
    const char *data = luaL_checklstring(L, 2, &len);
    lua_Integer mode = luaL_optinteger(L, 3, 0644);
    struct vx_err err;

    if (vx_file_write_atomic(path, data, len, (mode_t)mode, &err) != 0)
        return l_push_fail(L, &err);
    lua_pushboolean(L, true);
    return 1;
}

/* space(path): { free =, total = } of its file system, in bytes; free is what a user may take.
 */
static int l_space(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    struct statvfs vfs;

    if (statvfs(path, &vfs) != 0)
        return push_errno(L, "look at the file system of", path);
    lua_createtable(L, 0, 2);
    set_integer(L, "free", (lua_Integer)(vfs.f_bavail * vfs.f_frsize));
    set_integer(L, "total", (lua_Integer)(vfs.f_blocks * vfs.f_frsize));
    return 1;
}

static const char *temp_folder(void)
{
    const char *folder = getenv("TMPDIR");

    return folder != NULL && folder[0] == '/' ? folder : "/tmp";
}

/* tmpdir(): the folder for temporary files. */
static int l_tmpdir(lua_State *L)
{
    lua_pushstring(L, temp_folder());
    return 1;
}

/* mkdtemp([prefix]): a new folder of mode 0700. A prefix with a slash says where; otherwise it
 * is made in the folder for temporary files. */
static int l_mkdtemp(lua_State *L)
{
    const char *prefix = luaL_optstring(L, 1, "vmatrix-");
    const char *folder = strchr(prefix, '/') != NULL ? "" : temp_folder();
    const char *template =
        lua_pushfstring(L, "%s%s%sXXXXXX", folder, *folder != '\0' ? "/" : "", prefix);
    char path[PATH_MAX];

    if (snprintf(path, sizeof path, "%s", template) >= (int)sizeof path)
        return luaL_argerror(L, 1, "too long");
    if (mkdtemp(path) == NULL)
        return push_errno(L, "make a temporary folder", path);
    lua_pushstring(L, path);
    return 1;
}

/* glob(pattern): the paths that match, sorted; * and ? do not match a slash or a leading dot.
 */
static int l_glob(lua_State *L)
{
    const char *pattern = luaL_checkstring(L, 1);
    glob_t found = { 0 };
    int rc = glob(pattern, 0, NULL, &found);
    lua_Integer count = 0;

    if (rc != 0 && rc != GLOB_NOMATCH) {
        globfree(&found);
        errno = rc == GLOB_NOSPACE ? ENOMEM : EIO;
        return push_errno(L, "list", pattern);
    }
    lua_newtable(L);
    for (size_t i = 0; rc == 0 && i < found.gl_pathc; i++) {
        lua_pushstring(L, found.gl_pathv[i]);
        lua_rawseti(L, -2, ++count);
    }
    globfree(&found);
    return 1;
}

static const luaL_Reg functions[] = {
    { "chmod", l_chmod },
    { "exists", l_exists },
    { "glob", l_glob },
    { "link", l_link },
    { "list", l_list },
    { "lstat", l_lstat },
    { "mkdir_p", l_mkdir_p },
    { "mkdtemp", l_mkdtemp },
    { "read", l_read },
    { "readlink", l_readlink },
    { "realpath", l_realpath },
    { "rename", l_rename },
    { "rmdir", l_rmdir },
    { "space", l_space },
    { "stat", l_stat },
    { "symlink", l_symlink },
    { "tmpdir", l_tmpdir },
    { "unlink", l_unlink },
    { "watch", l_fs_watch },
    { "write_atomic", l_write_atomic },
    { NULL, NULL },
};

int luaopen_raw_fs(lua_State *L)
{
    fs_wait_setup(L);
    luaL_newlib(L, functions);
    luaL_setfuncs(L, fs_host_functions, 0);
    luaL_setfuncs(L, fs_wait_functions, 0);
    return 1;
}
