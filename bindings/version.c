/* vm.raw.version: the libraries that the program stands on. */
#include "bindings/modules.h"

#include <lauxlib.h>

#include "runtime/base/version.h"
#include "runtime/data/version.h"
#include "runtime/image/version.h"
#include "runtime/loop/version.h"
#include "runtime/ssh/version.h"
#include "runtime/virt/version.h"

static void add(lua_State *L, const char *name, const char *version)
{
    lua_createtable(L, 0, 2);
    lua_pushstring(L, name);
    lua_setfield(L, -2, "name");
    lua_pushstring(L, version);
    lua_setfield(L, -2, "version");
    lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
}

static void add_with(lua_State *L, const char *name, void (*get)(char *, size_t))
{
    char version[64] = "";

    get(version, sizeof version);
    add(L, name, version);
}

/* libraries(): a list of { name =, version = }, as they run, which may differ from what the
 * program was built with. */
static int l_libraries(lua_State *L)
{
    lua_newtable(L);
    add(L, "Lua", LUA_VERSION_MAJOR "." LUA_VERSION_MINOR "." LUA_VERSION_RELEASE);
    add_with(L, "libvirt", vx_libvirt_version);
    add(L, "libssh2", vx_ssh2_version());
    add(L, "libuv", vx_uv_version());
    add_with(L, "libxml2", vx_xml_version);
    add(L, "jansson", vx_jansson_version());
    add_with(L, "libarchive", vx_archive_version);
    add(L, "libcurl", vx_curl_version());
    add_with(L, "openssl", vx_crypto_version);
    return 1;
}

static const luaL_Reg functions[] = {
    { "libraries", l_libraries },
    { NULL, NULL },
};

int luaopen_raw_version(lua_State *L)
{
    luaL_newlib(L, functions);
    return 1;
}
