/* vm.raw.data: digests, keys and archives. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <lauxlib.h>
#include <lua.h>

#include "bindings/modules.h"
#include "runtime/base/buf.h"
#include "runtime/data/base64.h"
#include "runtime/data/cpio.h"
#include "runtime/data/digest.h"
#include "runtime/data/iso.h"
#include "runtime/data/key.h"
#include "runtime/data/unpack.h"
#include "bindings/error.h"
#include "bindings/fields.h"
#include "bindings/job.h"

#define KEY_TYPE "vm.raw.data.key"

/* sha256(bytes): in hexadecimal. */
static int l_sha256(lua_State *L)
{
    size_t len = 0;
    const char *data = luaL_checklstring(L, 1, &len);
    char hex[VX_SHA256_HEX];
    struct vx_err err;

    if (vx_sha256_bytes(data, len, hex, &err) != 0)
        return l_push_fail(L, &err);
    lua_pushstring(L, hex);
    return 1;
}

static int release_key(lua_State *L)
{
    vx_key_free(luaL_checkudata(L, 1, KEY_TYPE));
    return 0;
}

static void set_buf(lua_State *L, const char *name, const struct vx_buf *buf)
{
    lua_pushlstring(L, vx_buf_cstr(buf), buf->len);
    lua_setfield(L, -2, name);
}

/* ed25519([comment]): a new pair: { private = OpenSSH's text, public = line, dropbear = bytes
 * }. */
static int l_ed25519(lua_State *L)
{
    const char *comment = luaL_optstring(L, 1, "");
    struct vx_key *key = l_new_op(L, sizeof *key, KEY_TYPE, release_key);
    struct vx_err err;

    if (vx_key_new(comment, key, &err) != 0)
        return l_push_fail(L, &err);
    lua_createtable(L, 0, 3);
    set_buf(L, "private", &key->private_text);
    set_buf(L, "public", &key->public_line);
    set_buf(L, "dropbear", &key->dropbear);
    return 1;
}

struct data_job {
    struct job job;
    char *out;
    char *compress, *after;
    struct vx_cpio_opts opts;
    struct vx_cpio_entry *entries;
    size_t count;
    char *data;
    size_t len, max;
    struct vx_buf unpacked;
};

static void dispose(struct job *base)
{
    struct data_job *job = (struct data_job *)base;

    for (size_t i = 0; i < job->count; i++) {
        const struct vx_cpio_entry *entry = &job->entries[i];

        free((char *)(uintptr_t)entry->path);
        free((char *)(uintptr_t)entry->link);
        free((char *)(uintptr_t)entry->file);
        free((char *)(uintptr_t)entry->data);
    }
    free(job->entries);
    free(job->out);
    free(job->compress);
    free(job->after);
    free(job->data);
    vx_buf_free(&job->unpacked);
}

static char *copy_field(lua_State *L, const char *name, size_t *len)
{
    size_t size = 0;
    const char *str = field_lstring(L, -1, name, &size);
    char *copy = NULL;

    if (str != NULL) {
        copy = vx_alloc(size + 1);
        memcpy(copy, str, size);
        copy[size] = '\0';
    }
    if (len != NULL)
        *len = size;
    return copy;
}

/* Reads the entry on top of the stack; job->count counts it first, so that a raise frees it. */
static void check_entry(lua_State *L, struct data_job *job)
{
    struct vx_cpio_entry *entry = &job->entries[job->count++];

    entry->path = copy_field(L, "path", NULL);
    entry->mode = (unsigned)field_integer(L, -1, "mode", 0);
    entry->link = copy_field(L, "link", NULL);
    entry->file = copy_field(L, "file", NULL);
    entry->data = copy_field(L, "data", &entry->len);
    entry->major = (unsigned)field_integer(L, -1, "major", 0);
    entry->minor = (unsigned)field_integer(L, -1, "minor", 0);
    entry->owner = (unsigned)field_integer(L, -1, "owner", 0);
    if (entry->path == NULL || (entry->mode & S_IFMT) == 0)
        luaL_error(L, "entry %d of the archive needs a path, and a mode with its type",
                   (int)job->count);
    if (S_ISLNK(entry->mode) && entry->link == NULL)
        luaL_error(L, "%s is a link without a target", entry->path);
}

static void cpio_work(void *arg)
{
    struct data_job *job = arg;

    job->job.rc = vx_cpio_write(job->out, job->entries, job->count, &job->opts, &job->job.err);
}

/* cpio(out, entries, [options]): waits; writes an archive of the entries in their order, each
 * { path =, mode = with its type, data = or file = or link = or major =, minor =, owner = }.
 * Options: compress = "none", "gzip", "xz" or "zstd"; after = a file that goes first; mode = of the
 * file; scratch = true for what need not be synced. Returns true, or nil, err. */
static int l_cpio(lua_State *L)
{
    const char *out = luaL_checkstring(L, 1);
    struct data_job *job = NULL;
    lua_Unsigned count = 0;

    luaL_checktype(L, 2, LUA_TTABLE);
    count = lua_rawlen(L, 2);
    if (lua_isnoneornil(L, 3)) {
        lua_settop(L, 2);
        lua_newtable(L);
    }
    luaL_checktype(L, 3, LUA_TTABLE);
    job = l_job_new(L, "data.cpio", sizeof *job, dispose);
    job->out = vx_strdup(out);
    job->compress = vx_strdup(field_string(L, 3, "compress", "none"));
    if (field_string(L, 3, "after", NULL) != NULL)
        job->after = vx_strdup(field_string(L, 3, "after", NULL));
    job->opts = (struct vx_cpio_opts){
        .compress = job->compress,
        .after = job->after,
        .mode = (unsigned)field_integer(L, 3, "mode", 0),
        .scratch = field_bool(L, 3, "scratch", false),
    };
    job->entries = vx_zalloc((size_t)(count + 1) * sizeof *job->entries);
    for (lua_Unsigned i = 1; i <= count; i++) {
        lua_rawgeti(L, 2, (lua_Integer)i);
        luaL_argcheck(L, lua_istable(L, -1), 2, "each entry must be a table");
        check_entry(L, job);
        lua_pop(L, 1);
    }
    return l_job_run(L, job, cpio_work, l_job_true);
}

struct iso_job {
    struct job job;
    char *out, *volume;
    struct vx_iso_file *files;
    size_t count;
};

static void iso_dispose(struct job *base)
{
    struct iso_job *job = (struct iso_job *)base;

    for (size_t i = 0; i < job->count; i++) {
        free((char *)(uintptr_t)job->files[i].name);
        free((char *)(uintptr_t)job->files[i].data);
    }
    free(job->files);
    free(job->out);
    free(job->volume);
}

static void iso_work(void *arg)
{
    struct iso_job *job = arg;

    job->job.rc = vx_iso_write(job->out, job->volume, job->files, job->count, &job->job.err);
}

/* iso(out, volume, { { name =, data = } }): waits; writes an ISO 9660 image, mode 0600, with these
 * files. Returns true, or nil, err. */
static int l_iso(lua_State *L)
{
    const char *out = luaL_checkstring(L, 1);
    const char *volume = luaL_checkstring(L, 2);
    struct iso_job *job = NULL;
    lua_Unsigned count = 0;

    luaL_checktype(L, 3, LUA_TTABLE);
    lua_settop(L, 3);
    count = lua_rawlen(L, 3);
    job = l_job_new(L, "data.iso", sizeof *job, iso_dispose);
    job->out = vx_strdup(out);
    job->volume = vx_strdup(volume);
    job->files = vx_zalloc((size_t)(count + 1) * sizeof *job->files);
    for (lua_Unsigned i = 1; i <= count; i++) {
        struct vx_iso_file *file = &job->files[job->count++];

        lua_rawgeti(L, 3, (lua_Integer)i);
        luaL_argcheck(L, lua_istable(L, -1), 3, "each file must be a table");
        file->name = copy_field(L, "name", NULL);
        file->data = copy_field(L, "data", &file->len);
        if (file->name == NULL || file->data == NULL)
            luaL_error(L, "file %d of the image needs a name and data", (int)i);
        lua_pop(L, 1);
    }
    return l_job_run(L, job, iso_work, l_job_true);
}

static void unpack_work(void *arg)
{
    struct data_job *job = arg;

    job->job.rc = vx_unpack(job->data, job->len, job->max, &job->unpacked, &job->job.err);
}

static int unpack_finish(lua_State *L, struct wait *wait)
{
    struct data_job *job = l_job_of(wait);

    if (job->job.rc != 0)
        return l_push_fail(L, &job->job.err);
    lua_pushlstring(L, vx_buf_cstr(&job->unpacked), job->unpacked.len);
    return 1;
}

/* decompress(bytes, [max]): waits; the content of gzip, xz, zstd, lz4 or bzip2 data; more than
 * max bytes (256 MiB) is an error of kind "limit". */
static int l_decompress(lua_State *L)
{
    size_t len = 0;
    const char *data = luaL_checklstring(L, 1, &len);
    lua_Integer max = luaL_optinteger(L, 2, 256 * 1024 * 1024);
    struct data_job *job = NULL;

    luaL_argcheck(L, max >= 0, 2, "max must not be negative");
    job = l_job_new(L, "data.decompress", sizeof *job, dispose);
    job->data = vx_alloc(len + 1);
    memcpy(job->data, data, len);
    job->len = len;
    job->max = (size_t)max;
    return l_job_run(L, job, unpack_work, unpack_finish);
}

/* base64(bytes): their text, padded, in one line. */
static int l_base64(lua_State *L)
{
    struct vx_buf buf = { 0 };
    size_t len = 0;
    const char *data = luaL_checklstring(L, 1, &len);

    vx_base64_encode(data, len, &buf);
    lua_pushlstring(L, vx_buf_cstr(&buf), buf.len);
    vx_buf_free(&buf);
    return 1;
}

/* unbase64(text): the bytes; or nil, err of kind "format". */
static int l_unbase64(lua_State *L)
{
    struct vx_buf buf = { 0 };
    struct vx_err err;
    size_t len = 0;
    const char *text = luaL_checklstring(L, 1, &len);
    int rc = vx_base64_bytes(text, len, &buf, &err);

    if (rc == 0)
        lua_pushlstring(L, vx_buf_cstr(&buf), buf.len);
    vx_buf_free(&buf);
    return rc == 0 ? 1 : l_push_fail(L, &err);
}

static const luaL_Reg functions[] = {
    { "base64", l_base64 },     { "cpio", l_cpio }, { "decompress", l_decompress },
    { "ed25519", l_ed25519 },   { "iso", l_iso },   { "sha256", l_sha256 },
    { "unbase64", l_unbase64 }, { NULL, NULL },
};

int luaopen_raw_data(lua_State *L)
{
    luaL_newlib(L, functions);
    return 1;
}
