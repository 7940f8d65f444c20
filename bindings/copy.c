/* vm.raw.copy: a thread that reads or writes the host's files, a pipe, and a command or an SFTP
 * file at the other end of it: one job. */
#include "bindings/copy.h"

#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>

#include "bindings/error.h"
#include "bindings/fields.h"
#include "bindings/modules.h"
#include "bindings/ssh.h"
#include "bindings/task.h"
#include "runtime/base/buf.h"
#include "runtime/loop/pool.h"
#include "runtime/ssh/stream.h"

#define COPY_TYPE "vm.raw.copy"
#define WAIT_TYPE "vm.raw.copy.wait"
#define PIPE_SIZE ((size_t)2 * 1024 * 1024)

struct l_wait;

struct l_copy {
    struct copy_work *work; /* until its thread has ended and the copy was closed */
    struct vx_pipe *pipe;   /* the loop's hold; NULL: closed */
    struct vx_stream *stream;
    struct l_sftp *owner; /* in a user value; NULL: by command */
    struct vx_sftp_request request;
    char *remote;
    struct l_wait *waiter;
    bool working, moving; /* the thread, the transport */
    bool early;           /* the command ended before it had all of its input */
    bool failed;
    struct vx_err err;
};

struct l_wait {
    struct wait wait;
    struct l_copy *copy; /* NULL once released */
};

static struct l_copy *to_copy(lua_State *L)
{
    return luaL_checkudata(L, 1, COPY_TYPE);
}

static bool outgoing(const struct l_copy *copy)
{
    return copy->work->kind == COPY_PACK || copy->work->kind == COPY_READ;
}

static void note(struct l_copy *copy)
{
    if (copy->pipe != NULL && !copy->failed && !copy->early)
        copy->failed = vx_pipe_broken(copy->pipe, &copy->err);
    if (!copy->working && !copy->moving && copy->waiter != NULL)
        wait_done(&copy->waiter->wait);
}

static void thread_done(void *arg)
{
    struct copy_work *work = arg;
    struct l_copy *copy = work->owner;

    if (copy == NULL) {
        copy_work_free(work);
        return;
    }
    copy->working = false;
    note(copy);
}

static void transport_done(const struct vx_err *err, void *arg)
{
    struct l_copy *copy = arg;
    struct vx_err early = { 0 };

    copy->moving = false;
    if (err != NULL) {
        vx_pipe_break(copy->pipe, err);
    } else if (outgoing(copy) && !vx_pipe_ended(copy->pipe)) {
        copy->early = !vx_pipe_broken(copy->pipe, NULL);
        vx_err_set(&early, VX_CLOSED, 0, "the other side stopped reading");
        vx_pipe_break(copy->pipe, &early);
    }
    note(copy);
}

/* Ends what is still under way; the thread follows soon. */
static void stop(struct l_copy *copy)
{
    struct vx_err err = { 0 };

    vx_err_set(&err, VX_CLOSED, 0, "the copy was stopped");
    if (copy->pipe != NULL)
        vx_pipe_break(copy->pipe, &err);
    vx_stream_free(copy->stream);
    copy->stream = NULL;
    if (copy->moving && copy->owner != NULL)
        l_sftp_abandon(copy->owner);
    copy->moving = false;
    note(copy);
}

/* close(): ends the job if it is under way and lets go; harmless when repeated. */
static int release_copy(lua_State *L)
{
    struct l_copy *copy = to_copy(L);

    if (copy->pipe != NULL)
        stop(copy);
    vx_pipe_free(copy->pipe);
    copy->pipe = NULL;
    if (copy->work != NULL && copy->working)
        copy->work->owner = NULL;
    else
        copy_work_free(copy->work);
    copy->work = NULL;
    free(copy->remote);
    copy->remote = NULL;
    return 0;
}

/* Raises when there is neither a command nor an SFTP channel. */
static int start_transport(lua_State *L, struct l_copy *copy, struct vx_session *session,
                           struct vx_err *err)
{
    struct vx_stream_opts opts = { .done = transport_done, .arg = copy };
    const struct copy_work *work = copy->work;

    if (copy->owner != NULL) {
        copy->request = (struct vx_sftp_request){
            .verb = outgoing(copy) ? VX_SFTP_PUT : VX_SFTP_GET,
            .path = copy->remote,
            .mode = 0600,
            .pipe = copy->pipe,
            .max = work->max,
        };
        return l_sftp_start(copy->owner, &copy->request, transport_done, copy, err);
    }
    opts.line = field_lstring(L, 2, "command", &opts.line_len);
    if (opts.line == NULL)
        return luaL_error(L, "field 'command': string expected, got nil");
    if (outgoing(copy))
        opts.in = copy->pipe;
    else
        opts.out = copy->pipe;
    copy->stream = vx_stream_start(session, &opts, err);
    return copy->stream != NULL ? 0 : -1;
}

/* start(session, { work =, command = | sftp =, remote =, ... }): moves files between the host
 * and the
 * standard input or output of a command, or a file over SFTP, in the background.
 *   work = "pack": sources = {{ path =, name =, follow = }}, exclude =, gnu =, last_name =,
 * last_data =
 *   work = "unpack": path = an empty folder, strip =, exclude =, max_bytes =, max_entries =,
 * skip_unsafe =
 *   work = "read" or "write": path = a file; max_bytes =
 * Raises on wrong types. Returns a job; or nil, err. */
static int l_start(lua_State *L)
{
    struct vx_session *session = check_ssh_session(L, 1);
    struct l_copy *copy = NULL;
    struct vx_err err = { 0 };
    const char *remote = NULL;

    luaL_checktype(L, 2, LUA_TTABLE);
    if (session == NULL)
        return l_push_session_closed(L);
    lua_settop(L, 2);
    copy = lua_newuserdatauv(L, sizeof *copy, 1);
    *copy = (struct l_copy){ 0 };
    luaL_setmetatable(L, COPY_TYPE);
    copy->work = vx_zalloc(sizeof *copy->work);
    check_copy_work(L, 2, copy->work);
    lua_getfield(L, 2, "sftp");
    if (!lua_isnil(L, -1)) {
        copy->owner = check_sftp(L, -1);
        lua_setiuservalue(L, 3, 1);
        remote = field_string(L, 2, "remote", NULL);
        if (remote == NULL)
            return luaL_error(L, "field 'remote': string expected, got nil");
        copy->remote = vx_strdup(remote);
    }
    lua_settop(L, 3);
    copy->pipe = vx_pipe_new(task_loop(L), PIPE_SIZE);
    copy->work->pipe = vx_pipe_ref(copy->pipe);
    copy->work->pack.arg = copy->work->unpack.arg = copy->work->pipe;
    if (start_transport(L, copy, session, &err) != 0)
        return l_push_fail(L, &err);
    copy->moving = true;
    copy->work->owner = copy;
    if (vx_pool_thread(task_loop(L), copy_work, thread_done, copy->work, &err) != 0) {
        stop(copy);
        return l_push_fail(L, &err);
    }
    copy->working = true;
    return 1;
}

static int release_wait(lua_State *L)
{
    struct l_wait *op = luaL_checkudata(L, 1, WAIT_TYPE);

    wait_unlimit(&op->wait);
    if (op->copy != NULL)
        op->copy->waiter = NULL;
    op->copy = NULL;
    return 0;
}

static int wait_finish(lua_State *L, struct wait *wait)
{
    struct l_copy *copy = ((struct l_wait *)wait)->copy;

    if (copy->working || copy->moving) {
        lua_pushboolean(L, false);
        return 1;
    }
    if (copy->failed)
        return l_push_fail(L, &copy->err);
    lua_pushboolean(L, true);
    return 1;
}

/* wait([seconds]): waits until the job is over and its thread has ended. true; false when the
 * time is
 * up before; or nil, err when the copy failed. */
static int l_wait(lua_State *L)
{
    struct l_copy *copy = to_copy(L);
    double seconds = luaL_optnumber(L, 2, -1);
    struct l_wait *op = NULL;

    luaL_argcheck(L, copy->waiter == NULL, 1, "somebody waits for this copy already");
    check_may_wait(L, "copy.wait");
    op = l_new_op(L, sizeof *op, WAIT_TYPE, release_wait);
    op->copy = copy;
    copy->waiter = op;
    if (!copy->working && !copy->moving)
        seconds = 0; /* over already: finish at the loop's next turn */
    wait_limit(L, &op->wait, seconds);
    return task_park(L, &op->wait, wait_finish);
}

static void set_count(lua_State *L, const char *name, uint64_t value)
{
    lua_pushinteger(L, (lua_Integer)value);
    lua_setfield(L, -2, name);
}

/* count(): { bytes =, files =, folders =, links =, skipped =, moved = } so far; moved is what
 * went over
 * the wire. skipped_names, a line each, only once the job is over. */
static int l_count(lua_State *L)
{
    struct l_copy *copy = to_copy(L);
    struct copy_work *work = copy->work;

    lua_createtable(L, 0, 7);
    if (work == NULL)
        return 1;
    set_count(L, "bytes", work->count.bytes);
    set_count(L, "files", work->count.files);
    set_count(L, "folders", work->count.folders);
    set_count(L, "links", work->count.links);
    set_count(L, "skipped", work->count.skipped);
    set_count(L, "moved", vx_pipe_total(copy->pipe));
    if (!copy->working) {
        lua_pushstring(L, vx_buf_cstr(&work->count.skipped_names));
        lua_setfield(L, -2, "skipped_names");
    }
    return 1;
}

/* result(): of a job that ended without error: { status =, signal =, words =, early = } of the
 * command,
 * { mode =, mtime =, size = } of a file fetched by SFTP. */
static int l_result(lua_State *L)
{
    struct l_copy *copy = to_copy(L);

    lua_createtable(L, 0, 4);
    if (copy->stream != NULL) {
        struct vx_command_result result = { 0 };
        const struct vx_buf *words = vx_stream_words(copy->stream);

        vx_stream_result(copy->stream, &result);
        lua_pushinteger(L, result.status);
        lua_setfield(L, -2, "status");
        lua_pushstring(L, result.signal);
        lua_setfield(L, -2, "signal");
        lua_pushlstring(L, vx_buf_cstr(words), words->len);
        lua_setfield(L, -2, "words");
    } else if (copy->owner != NULL) {
        lua_pushinteger(L, (lua_Integer)copy->request.stat.mode);
        lua_setfield(L, -2, "mode");
        lua_pushinteger(L, (lua_Integer)copy->request.stat.mtime);
        lua_setfield(L, -2, "mtime");
        lua_pushinteger(L, (lua_Integer)copy->request.stat.size);
        lua_setfield(L, -2, "size");
    }
    lua_pushboolean(L, copy->early);
    lua_setfield(L, -2, "early");
    return 1;
}

/* stop(): ends the job; wait says when its thread has ended. Harmless when repeated. */
static int l_stop(lua_State *L)
{
    struct l_copy *copy = to_copy(L);

    if (copy->pipe != NULL)
        stop(copy);
    return 0;
}

static const luaL_Reg methods[] = {
    { "count", l_count }, { "close", release_copy }, { "result", l_result },
    { "stop", l_stop },   { "wait", l_wait },        { NULL, NULL },
};

static const luaL_Reg functions[] = {
    { "start", l_start },
    { NULL, NULL },
};

int luaopen_raw_copy(lua_State *L)
{
    l_new_type(L, COPY_TYPE, methods, release_copy);
    luaL_newlib(L, functions);
    return 1;
}
