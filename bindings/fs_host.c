/* The part of vm.raw.fs that asks about the machine. */
#include "bindings/fs.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "runtime/base/file.h"
#include "bindings/error.h"

#ifndef HOST_NAME_MAX
#define HOST_NAME_MAX 255
#endif

/* uid(): the number of the user who runs this. */
static int l_uid(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)geteuid());
    return 1;
}

/* gid(): the number of the group this process acts for. */
static int l_gid(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)getegid());
    return 1;
}

/* pid(): the number of this process. */
static int l_pid(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)getpid());
    return 1;
}

/* hostname(): this machine's name; or nil, err. */
static int l_hostname(lua_State *L)
{
    char name[HOST_NAME_MAX + 1] = "";
    struct vx_err err;

    if (gethostname(name, sizeof name - 1) != 0) {
        vx_err_errno(&err, errno, "cannot get this machine's name");
        return l_push_fail(L, &err);
    }
    lua_pushstring(L, name);
    return 1;
}

/* How many processors may be used now. */
static int l_cpu_count(lua_State *L)
{
    long count = sysconf(_SC_NPROCESSORS_ONLN);

    lua_pushinteger(L, count > 0 ? (lua_Integer)count : 1);
    return 1;
}

/* memory_available(): bytes that can be had without swapping, and bytes in all. */
static int l_memory_available(lua_State *L)
{
    lua_Integer total =
        (lua_Integer)sysconf(_SC_PHYS_PAGES) * (lua_Integer)sysconf(_SC_PAGESIZE);
    lua_Integer available = total;
    FILE *info = fopen("/proc/meminfo", "re");
    char line[200];
    long long kib = 0;

    while (info != NULL && fgets(line, sizeof line, info) != NULL) {
        if (sscanf(line, "MemAvailable: %lld kB", &kib) == 1)
            available = (lua_Integer)kib * 1024;
    }
    if (info != NULL)
        fclose(info);
    lua_pushinteger(L, available);
    lua_pushinteger(L, total);
    return 2;
}

/* is_tty([fd]): whether a descriptor (1) is a terminal. */
static int l_is_tty(lua_State *L)
{
    lua_pushboolean(L, isatty((int)luaL_optinteger(L, 1, 1)) == 1);
    return 1;
}

/* random(n): n unpredictable bytes. */
static int l_random(lua_State *L)
{
    lua_Integer len = luaL_checkinteger(L, 1);
    luaL_Buffer buf;
    struct vx_err err;
    char *room = NULL;

    luaL_argcheck(L, len >= 0 && len <= 65536, 1, "must be from 0 to 65536");
    room = luaL_buffinitsize(L, &buf, (size_t)len);
    if (vx_random(room, (size_t)len, &err) != 0)
        return l_push_fail(L, &err);
    luaL_pushresultsize(&buf, (size_t)len);
    return 1;
}

/* Seconds since 1970 with their fraction. */
static int l_now_unix(lua_State *L)
{
    struct timespec now = { 0 };

    clock_gettime(CLOCK_REALTIME, &now);
    lua_pushnumber(L, (lua_Number)now.tv_sec + (lua_Number)now.tv_nsec / 1e9);
    return 1;
}

/* cwd(): the current folder; or nil, err. */
static int l_cwd(lua_State *L)
{
    char path[4096];
    struct vx_err err;

    if (getcwd(path, sizeof path) == NULL) {
        vx_err_errno(&err, errno, "cannot get the working folder");
        return l_push_fail(L, &err);
    }
    lua_pushstring(L, path);
    return 1;
}

const luaL_Reg fs_host_functions[] = {
    { "cpu_count", l_cpu_count },
    { "cwd", l_cwd },
    { "gid", l_gid },
    { "hostname", l_hostname },
    { "is_tty", l_is_tty },
    { "memory_available", l_memory_available },
    { "now_unix", l_now_unix },
    { "pid", l_pid },
    { "random", l_random },
    { "uid", l_uid },
    { NULL, NULL },
};
