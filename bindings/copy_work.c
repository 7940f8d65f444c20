/* The thread of a copy: between a pipe and the host's files. */
#include "bindings/copy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <lauxlib.h>

#include "runtime/base/buf.h"
#include "runtime/base/file.h"
#include "bindings/fields.h"

enum { CHUNK = 256 * 1024, PIECE = 64 * 1024 };

static int put(const void *data, size_t len, void *arg, struct vx_err *err)
{
    return vx_pipe_put(arg, data, len, err);
}

static ssize_t take(void *data, size_t len, void *arg, struct vx_err *err)
{
    return vx_pipe_take(arg, data, len, err);
}

static int read_file(struct copy_work *work, char *chunk, struct vx_err *err)
{
    int fd = open(work->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    ssize_t len = 0;
    int rc = 0;

    if (fd < 0)
        return vx_err_errno(err, errno, "cannot open %s", work->path);
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        rc = vx_err_set(err, VX_UNSUPPORTED, 0, "%s is not a file", work->path);
    while (rc == 0 && (len = read(fd, chunk, CHUNK)) != 0) {
        if (len < 0 && errno == EINTR)
            continue;
        if (len < 0) {
            rc = vx_err_errno(err, errno, "cannot read %s", work->path);
        } else {
            rc = vx_pipe_put(work->pipe, chunk, (size_t)len, err);
            work->count.bytes += (uint64_t)len;
        }
    }
    work->count.files = 1;
    close(fd);
    return rc;
}

static int write_file(struct copy_work *work, char *chunk, struct vx_err *err)
{
    int fd = open(work->path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    uint64_t at = 0;
    ssize_t len = 0;
    int rc = 0;

    if (fd < 0)
        return vx_err_errno(err, errno, "cannot make %s", work->path);
    while (rc == 0 && (len = vx_pipe_take(work->pipe, chunk, CHUNK, err)) > 0) {
        if (at + (uint64_t)len > work->max)
            rc = vx_err_set(err, VX_LIMIT, 0, "it is larger than max_bytes allows");
        else if (vx_file_write_holes(fd, chunk, (size_t)len, (off_t)at, PIECE) != 0)
            rc = vx_err_errno(err, errno, "cannot write %s", work->path);
        at += (uint64_t)len;
        work->count.bytes = at;
    }
    if (len < 0)
        rc = -1;
    if (rc == 0 && ftruncate(fd, (off_t)at) != 0)
        rc = vx_err_errno(err, errno, "cannot write %s", work->path);
    if (close(fd) != 0 && rc == 0)
        rc = vx_err_errno(err, errno, "cannot write %s", work->path);
    work->count.files = 1;
    return rc;
}

void copy_work(void *arg)
{
    struct copy_work *work = arg;
    struct vx_err err = { 0 };
    char *chunk = vx_alloc(CHUNK);
    int rc = 0;

    switch (work->kind) {
    case COPY_PACK:
        rc = vx_tar_pack(&work->pack, &work->count, &err);
        break;
    case COPY_UNPACK:
        rc = vx_tar_unpack(&work->unpack, &work->count, &err);
        break;
    case COPY_READ:
        rc = read_file(work, chunk, &err);
        break;
    case COPY_WRITE:
        rc = write_file(work, chunk, &err);
        break;
    }
    free(chunk);
    if (rc != 0)
        vx_pipe_break(work->pipe, &err);
    else if (work->kind == COPY_PACK || work->kind == COPY_READ)
        vx_pipe_end(work->pipe);
}

static const char *need_string(lua_State *L, int table, const char *name)
{
    const char *text = field_string(L, table, name, NULL);

    if (text == NULL)
        luaL_error(L, "field '%s': string expected, got nil", name);
    return text;
}

static void check_sources(lua_State *L, int table, struct copy_work *work)
{
    lua_Integer count = 0;

    lua_getfield(L, table, "sources");
    luaL_checktype(L, -1, LUA_TTABLE);
    count = luaL_len(L, -1);
    work->sources = vx_zalloc((size_t)count * sizeof *work->sources);
    for (lua_Integer i = 1; i <= count; i++) {
        lua_geti(L, -1, i);
        luaL_checktype(L, -1, LUA_TTABLE);
        work->sources[work->source_count++] = (struct vx_tar_source){
            .path = vx_strdup(need_string(L, lua_gettop(L), "path")),
            .name = vx_strdup(need_string(L, lua_gettop(L), "name")),
            .follow = field_bool(L, lua_gettop(L), "follow", false),
        };
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

char **check_patterns(lua_State *L, int table, const char *name)
{
    const char *const *list = field_strings(L, table, name);
    char **copies = NULL;
    size_t count = 0;

    while (list != NULL && list[count] != NULL)
        count++;
    if (count > 0)
        copies = vx_zalloc((count + 1) * sizeof *copies);
    for (size_t i = 0; i < count; i++)
        copies[i] = vx_strdup(list[i]);
    lua_pop(L, 1);
    return copies;
}

void patterns_free(char **patterns)
{
    for (size_t i = 0; patterns != NULL && patterns[i] != NULL; i++)
        free(patterns[i]);
    free(patterns);
}

static void check_pack(lua_State *L, int table, struct copy_work *work)
{
    size_t len = 0;
    const char *data = NULL, *name = field_string(L, table, "last_name", NULL);

    check_sources(L, table, work);
    data = field_lstring(L, table, "last_data", &len);
    if (name != NULL)
        work->last_name = vx_strdup(name);
    if (data != NULL)
        work->last_data = vx_strndup(data, len);
    work->last_len = len;
    work->pack = (struct vx_tar_pack){ .sources = work->sources,
                                       .count = work->source_count,
                                       .gnu = field_bool(L, table, "gnu", false),
                                       .last_name = work->last_name,
                                       .last_data = work->last_data,
                                       .last_len = len,
                                       .write = put };
}

void check_copy_work(lua_State *L, int table, struct copy_work *work)
{
    static const char *const kinds[] = { "pack", "unpack", "read", "write", NULL };

    lua_getfield(L, table, "work");
    work->kind = (enum copy_kind)luaL_checkoption(L, -1, NULL, kinds);
    lua_pop(L, 1);
    work->exclude = check_patterns(L, table, "exclude");
    work->max = (uint64_t)field_integer(L, table, "max_bytes", INT64_MAX);
    if (work->kind == COPY_PACK)
        check_pack(L, table, work);
    else
        work->path = vx_strdup(need_string(L, table, "path"));
    work->unpack = (struct vx_tar_unpack){
        .into = work->path,
        .strip = (size_t)field_integer(L, table, "strip", 0),
        .max_bytes = work->max,
        .max_entries = (uint64_t)field_integer(L, table, "max_entries", INT64_MAX),
        .skip_unsafe = field_bool(L, table, "skip_unsafe", false),
        .read = take,
    };
    work->pack.exclude = work->unpack.exclude = (const char *const *)work->exclude;
}

void copy_work_free(struct copy_work *work)
{
    if (work == NULL)
        return;
    for (size_t i = 0; i < work->source_count; i++) {
        free((char *)(uintptr_t)work->sources[i].path);
        free((char *)(uintptr_t)work->sources[i].name);
    }
    patterns_free(work->exclude);
    free(work->sources);
    free(work->path);
    free(work->last_name);
    free(work->last_data);
    vx_buf_free(&work->count.skipped_names);
    if (work->pipe != NULL)
        vx_pipe_unref(work->pipe);
    free(work);
}
