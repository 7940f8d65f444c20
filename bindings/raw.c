#include "bindings/raw.h"

#include <lauxlib.h>
#include <lualib.h>
#include <stdlib.h>
#include <string.h>

#include "bindings/embedded.h"
#include "bindings/modules.h"
#include "bindings/task_core.h"
#include "runtime/base/buf.h"

/* A line each, so that two changes rarely meet. */
/* clang-format off */
static const luaL_Reg modules[] = {
    { "build", luaopen_raw_build },
    { "channel", luaopen_raw_channel },
    { "copy", luaopen_raw_copy },
    { "data", luaopen_raw_data },
    { "error", luaopen_raw_error },
    { "fs", luaopen_raw_fs },
    { "image", luaopen_raw_image },
    { "json", luaopen_raw_json },
    { "log", luaopen_raw_log },
    { "net", luaopen_raw_net },
    { "process", luaopen_raw_process },
    { "run", luaopen_raw_run },
    { "scripts", luaopen_raw_scripts },
    { "sftp", luaopen_raw_sftp },
    { "ssh", luaopen_raw_ssh },
    { "task", luaopen_raw_task },
    { "terminal", luaopen_raw_terminal },
    { "tree", luaopen_raw_tree },
    { "version", luaopen_raw_version },
    { "virt", luaopen_raw_virt },
    { NULL, NULL },
};
/* clang-format on */

static int open_raw(lua_State *L)
{
    lua_newtable(L);
    for (const luaL_Reg *module = modules; module->name != NULL; module++) {
        lua_pushcfunction(L, module->func);
        lua_call(L, 0, 1);
        lua_setfield(L, -2, module->name);
    }
    return 1;
}

/* A package searcher for the Lua files that are part of the binary. */
static int search_embedded(lua_State *L)
{
    const char *name = luaL_checkstring(L, 1);

    for (const struct vx_embedded *at = vx_embedded; at->name != NULL; at++) {
        char *chunk = NULL;
        int status = 0;

        if (strcmp(at->name, name) != 0)
            continue;
        chunk = vx_strfmt("@vmatrix/%s", at->path);
        lua_pushstring(L, chunk); /* also the loader's second argument */
        free(chunk);
        status = luaL_loadbufferx(L, at->text, at->len, lua_tostring(L, -1), "t");
        if (status != LUA_OK)
            return lua_error(L);
        lua_insert(L, -2);
        return 2;
    }
    lua_pushfstring(L, "no embedded module '%s'", name);
    return 1;
}

struct sched *raw_open(lua_State *L, struct vx_loop *loop)
{
    struct sched *sched = NULL;

    luaL_openlibs(L);
    sched = sched_new(L, loop);
    protect_install(L);
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "preload");
    lua_pushcfunction(L, open_raw);
    lua_setfield(L, -2, "vm.raw");
    lua_pop(L, 1);
    /* Second in the list: after preload, before the file system, so that a file named vm.lua in
     * the current folder cannot stand in for the library. */
    lua_getfield(L, -1, "searchers");
    for (lua_Integer i = luaL_len(L, -1); i >= 2; i--) {
        lua_geti(L, -1, i);
        lua_seti(L, -2, i + 1);
    }
    lua_pushcfunction(L, search_embedded);
    lua_seti(L, -2, 2);
    lua_pop(L, 2);
    return sched;
}
