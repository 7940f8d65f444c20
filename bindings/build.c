/* vm.raw.build: how this binary was built, and what it uses of the host. */
#include <lauxlib.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "bindings/modules.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif
#if defined(__x86_64__)
#define ARCH "x86_64"
#elif defined(__aarch64__)
#define ARCH "aarch64"
#elif defined(__riscv) && __riscv_xlen == 64
#define ARCH "riscv64"
#elif defined(__powerpc64__)
#define ARCH "ppc64le"
#elif defined(__s390x__)
#define ARCH "s390x"
#elif defined(__i386__)
#define ARCH "i386"
#elif defined(__arm__)
#define ARCH "armhf"
#else
#define ARCH "unknown"
#endif
#ifdef __APPLE__
#define SYSTEM "macos"
#else
#define SYSTEM "linux"
#endif
#ifndef VX_GC_EAGER
#define VX_GC_EAGER 0
#endif

/* build.resident() -> the bytes of memory this process has resident; where the system does not
 * tell, the most it ever had. */
static int l_build_resident(lua_State *L)
{
    struct rusage usage;
    long pages = 0;
    FILE *statm = fopen("/proc/self/statm", "r");

    if (statm != NULL) {
        int fields = fscanf(statm, "%*d %ld", &pages);
        fclose(statm);
        if (fields == 1) {
            lua_pushinteger(L, (lua_Integer)pages * sysconf(_SC_PAGESIZE));
            return 1;
        }
    }
    getrusage(RUSAGE_SELF, &usage);
#ifdef __APPLE__
    lua_pushinteger(L, usage.ru_maxrss);
#else
    lua_pushinteger(L, usage.ru_maxrss * 1024);
#endif
    return 1;
}

/* build.cpu_time() -> seconds of processor time that this process has used, user and system. */
static int l_build_cpu_time(lua_State *L)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    lua_pushnumber(L, (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                          (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
    return 1;
}

static const luaL_Reg functions[] = {
    { "cpu_time", l_build_cpu_time },
    { "resident", l_build_resident },
    { NULL, NULL },
};

int luaopen_raw_build(lua_State *L)
{
    luaL_newlib(L, functions);
    lua_pushboolean(L, SANITIZED);
    lua_setfield(L, -2, "sanitized");
    lua_pushliteral(L, ARCH);
    lua_setfield(L, -2, "arch");
    lua_pushliteral(L, SYSTEM);
    lua_setfield(L, -2, "system");
    lua_pushboolean(L, VX_GC_EAGER);
    lua_setfield(L, -2, "gc_eager");
    return 1;
}
