/* vm.raw.process: processes on the host. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>
#include <lua.h>

#include "bindings/modules.h"
#include "runtime/base/buf.h"
#include "runtime/base/list.h"
#include "runtime/loop/process.h"
#include "bindings/error.h"
#include "bindings/fields.h"
#include "bindings/task.h"

#define PROCESS_TYPE "vm.raw.process"
#define WAIT_TYPE    "vm.raw.process.wait"
#define QUEUE_MAX    ((size_t)1024 * 1024)

struct chunk {
    struct vx_link link;
    int stream;
    size_t len;
    char data[];
};

struct l_process {
    struct vx_process *proc; /* NULL: closed */
    struct vx_link chunks;   /* read, and not yet given to Lua */
    struct vx_link waits;    /* struct l_wait */
    struct vx_link sends;    /* struct send */
    size_t queued;
    int ended; /* of stdout and stderr */
    bool paused, exited;
    pid_t pid;
    int status, signal;
};

enum what { READ, EXIT, WRITE };

/* A task that waits for something of a process. */
struct l_wait {
    struct wait wait;
    struct vx_link link;
    struct l_process *owner; /* NULL once released; the caller's stack keeps it alive */
    enum what what;
    struct vx_err err; /* of a write */
};

/* What is being written: outlives the task that asked, until it is written or the process
 * closed. */
struct send {
    struct vx_link link;
    struct l_wait *op; /* NULL: nobody waits for it any more */
};

static struct l_process *to_process(lua_State *L)
{
    return luaL_checkudata(L, 1, PROCESS_TYPE);
}

static int push_closed(lua_State *L)
{
    struct vx_err err;

    vx_err_set(&err, VX_CLOSED, 0, "process is closed");
    return l_push_fail(L, &err);
}

static void wake(struct l_process *p, enum what what)
{
    for (struct vx_link *at = p->waits.next; at != &p->waits; at = at->next) {
        struct l_wait *op = VX_OF(at, struct l_wait, link);

        if (op->what == what)
            wait_done(&op->wait);
    }
}

static void got_data(int stream, const char *data, size_t len, void *arg)
{
    struct l_process *p = arg;

    if (len == 0) {
        if (++p->ended < 2)
            return; /* the other stream goes on: whoever reads waits for it */
    } else {
        struct chunk *chunk = vx_alloc(sizeof *chunk + len);

        chunk->stream = stream;
        chunk->len = len;
        memcpy(chunk->data, data, len);
        vx_list_push(&p->chunks, &chunk->link);
        p->queued += len;
        if (p->queued > QUEUE_MAX && !p->paused) {
            p->paused = true;
            vx_process_pause(p->proc);
        }
    }
    wake(p, READ);
}

static void exited(int status, int signum, void *arg)
{
    struct l_process *p = arg;

    p->exited = true;
    p->status = status;
    p->signal = signum;
    wake(p, EXIT);
}

static void free_chunk(struct l_process *p, struct chunk *chunk)
{
    p->queued -= chunk->len;
    vx_list_unlink(&chunk->link);
    free(chunk);
}

/* close(): kills it if it still runs, and lets go; harmless when repeated. */
static int release_process(lua_State *L)
{
    struct l_process *p = to_process(L);

    if (p->proc == NULL)
        return 0;
    vx_process_free(p->proc); /* no callback runs after this */
    p->proc = NULL;
    while (!vx_list_empty(&p->chunks))
        free_chunk(p, VX_OF(p->chunks.next, struct chunk, link));
    while (!vx_list_empty(&p->sends)) {
        struct send *send = VX_OF(p->sends.next, struct send, link);

        if (send->op != NULL)
            vx_err_set(&send->op->err, VX_CLOSED, 0, "process is closed");
        vx_list_unlink(&send->link);
        free(send);
    }
    wake(p, READ);
    wake(p, EXIT);
    wake(p, WRITE);
    return 0;
}

static int release_wait(lua_State *L)
{
    struct l_wait *op = luaL_checkudata(L, 1, WAIT_TYPE);
    struct l_process *p = op->owner;

    if (p == NULL)
        return 0;
    op->owner = NULL;
    wait_unlimit(&op->wait);
    vx_list_unlink(&op->link);
    for (struct vx_link *at = p->sends.next; at != &p->sends; at = at->next) {
        struct send *send = VX_OF(at, struct send, link);

        if (send->op == op)
            send->op = NULL;
    }
    return 0;
}

/* start { argv =, env =, cwd =, stdin =, inherit = }: starts a program in a process group of
 * its own. argv and env are lists of strings; stdin makes a pipe to it, inherit lets it write
 * where we do. Raises on wrong arguments. Returns the process, which is killed when it is
 * closed; or nil, err. */
static int l_start(lua_State *L)
{
    struct vx_process_opts opts = { 0 };
    struct l_process *p = NULL;
    struct vx_err err;

    luaL_checktype(L, 1, LUA_TTABLE);
    opts.argv = field_strings(L, 1, "argv");
    luaL_argcheck(L, opts.argv != NULL && opts.argv[0] != NULL, 1, "argv must name a program");
    opts.env = field_strings(L, 1, "env");
    opts.cwd = field_string(L, 1, "cwd", NULL);
    opts.stdin_pipe = field_bool(L, 1, "stdin", false);
    opts.inherit_output = field_bool(L, 1, "inherit", false);
    opts.on_data = got_data;
    opts.on_exit = exited;

    p = lua_newuserdatauv(L, sizeof *p, 0);
    *p = (struct l_process){ 0 };
    vx_list_init(&p->chunks);
    vx_list_init(&p->waits);
    vx_list_init(&p->sends);
    luaL_setmetatable(L, PROCESS_TYPE);
    opts.arg = p;
    p->proc = vx_process_start(task_loop(L), &opts, &err);
    if (p->proc == NULL)
        return l_push_fail(L, &err);
    p->pid = vx_process_pid(p->proc);
    if (opts.inherit_output)
        p->ended = 2;
    return 1;
}

/* An operation on the process at index 1, whose place on the stack keeps it alive meanwhile. */
static struct l_wait *new_wait(lua_State *L, struct l_process *p, enum what what,
                               double seconds)
{
    struct l_wait *op = l_new_op(L, sizeof *op, WAIT_TYPE, release_wait);

    op->what = what;
    vx_list_init(&op->link);
    op->owner = p;
    vx_list_push(&p->waits, &op->link);
    wait_limit(L, &op->wait, seconds);
    return op;
}

/* A time limit in seconds, or none. */
static double check_seconds(lua_State *L, int arg)
{
    double seconds = luaL_optnumber(L, arg, -1);

    luaL_argcheck(L, lua_isnoneornil(L, arg) || seconds >= 0, arg,
                  "seconds must not be negative");
    return seconds;
}

static int push_timeout(lua_State *L, const char *what)
{
    struct vx_err err;

    vx_err_set(&err, VX_TIMEOUT, 0, "time limit passed while waiting for a process to %s",
               what);
    return l_push_fail(L, &err);
}

/* Pushes the oldest chunk, or the end. */
static int push_chunk(lua_State *L, struct l_process *p)
{
    struct chunk *chunk = NULL;

    if (vx_list_empty(&p->chunks)) {
        lua_pushnil(L);
        return 1;
    }
    chunk = VX_OF(p->chunks.next, struct chunk, link);
    lua_pushinteger(L, chunk->stream);
    lua_pushlstring(L, chunk->data, chunk->len);
    free_chunk(p, chunk);
    if (p->paused && p->queued <= QUEUE_MAX / 2) {
        p->paused = false;
        vx_process_resume(p->proc);
    }
    return 2;
}

static int read_finish(lua_State *L, struct wait *wait)
{
    struct l_wait *op = (struct l_wait *)wait;
    struct l_process *p = op->owner;

    if (p->proc == NULL)
        return push_closed(L);
    if (vx_list_empty(&p->chunks) && p->ended < 2 && op->wait.late)
        return push_timeout(L, "write something");
    return push_chunk(L, p);
}

/* read([seconds]): waits for output. Returns the stream's number (1 or 2) and a chunk; nil at
 * the end of both streams; or nil, err. One task at a time. */
static int l_read(lua_State *L)
{
    struct l_process *p = to_process(L);
    double seconds = check_seconds(L, 2);
    struct l_wait *op = NULL;

    if (p->proc == NULL)
        return push_closed(L);
    if (!vx_list_empty(&p->chunks) || p->ended == 2)
        return push_chunk(L, p);
    check_may_wait(L, "process:read");
    for (struct vx_link *at = p->waits.next; at != &p->waits; at = at->next) {
        if (VX_OF(at, struct l_wait, link)->what == READ)
            return l_raise(L, VX_USAGE, "another task is reading from this process already");
    }
    op = new_wait(L, p, READ, seconds);
    return task_park(L, &op->wait, read_finish);
}

static int push_status(lua_State *L, const struct l_process *p)
{
    lua_pushinteger(L, p->status);
    lua_pushinteger(L, p->signal);
    return 2;
}

static int exit_finish(lua_State *L, struct wait *wait)
{
    struct l_wait *op = (struct l_wait *)wait;

    if (op->owner->exited)
        return push_status(L, op->owner);
    return op->owner->proc == NULL ? push_closed(L) : push_timeout(L, "end");
}

/* wait([seconds]): waits until it has ended and both its streams have. Returns status, signal;
 * or nil, err. Output that nobody reads beyond 1 MiB keeps a process from ending. */
static int l_wait_exit(lua_State *L)
{
    struct l_process *p = to_process(L);
    double seconds = check_seconds(L, 2);
    struct l_wait *op = NULL;

    if (p->exited)
        return push_status(L, p);
    if (p->proc == NULL)
        return push_closed(L);
    check_may_wait(L, "process:wait");
    op = new_wait(L, p, EXIT, seconds);
    return task_park(L, &op->wait, exit_finish);
}

static void sent(const struct vx_err *err, void *arg)
{
    struct send *send = arg;

    vx_list_unlink(&send->link);
    if (send->op != NULL) {
        if (err != NULL)
            send->op->err = *err;
        wait_done(&send->op->wait);
    }
    free(send);
}

static int start_write(struct l_process *p, const char *data, size_t len, struct l_wait *op,
                       struct vx_err *err)
{
    struct send *send = vx_zalloc(sizeof *send);

    vx_list_init(&send->link);
    send->op = op;
    if (vx_process_write(p->proc, data, len, sent, send, err) != 0) {
        free(send);
        return -1;
    }
    vx_list_push(&p->sends, &send->link);
    return 0;
}

static int write_finish(lua_State *L, struct wait *wait)
{
    struct l_wait *op = (struct l_wait *)wait;

    if (op->err.kind != VX_OK)
        return l_push_fail(L, &op->err);
    lua_pushboolean(L, true);
    return 1;
}

/* write(bytes): waits until they are with the process. Returns true, or nil, err. */
static int l_write(lua_State *L)
{
    struct l_process *p = to_process(L);
    size_t len = 0;
    const char *data = luaL_checklstring(L, 2, &len);
    struct l_wait *op = NULL;
    struct vx_err err;

    if (p->proc == NULL)
        return push_closed(L);
    check_may_wait(L, "process:write");
    op = new_wait(L, p, WRITE, -1);
    if (start_write(p, data, len, op, &err) != 0)
        return l_push_fail(L, &err);
    return task_park(L, &op->wait, write_finish);
}

/* queue(bytes): the same without waiting; what then fails shows in the process's own doing. */
static int l_queue(lua_State *L)
{
    struct l_process *p = to_process(L);
    size_t len = 0;
    const char *data = luaL_checklstring(L, 2, &len);
    struct vx_err err;

    if (p->proc == NULL)
        return push_closed(L);
    if (start_write(p, data, len, NULL, &err) != 0)
        return l_push_fail(L, &err);
    lua_pushboolean(L, true);
    return 1;
}

/* close_stdin(): ends the input once what is queued has been written. */
static int l_close_stdin(lua_State *L)
{
    struct l_process *p = to_process(L);

    if (p->proc != NULL)
        vx_process_close_stdin(p->proc);
    return 0;
}

/* kill([signal]): signals its whole process group; SIGTERM unless told otherwise. */
static int l_kill(lua_State *L)
{
    struct l_process *p = to_process(L);
    lua_Integer signum = luaL_optinteger(L, 2, SIGTERM);

    luaL_argcheck(L, signum >= 0 && signum < 65, 2, "not a signal number");
    if (p->proc != NULL)
        vx_process_kill(p->proc, (int)signum);
    return 0;
}

/* pid(): its process number, also after its end. */
static int l_pid(lua_State *L)
{
    lua_pushinteger(L, to_process(L)->pid);
    return 1;
}

static const luaL_Reg methods[] = {
    { "close", release_process },
    { "close_stdin", l_close_stdin },
    { "kill", l_kill },
    { "pid", l_pid },
    { "queue", l_queue },
    { "read", l_read },
    { "wait", l_wait_exit },
    { "write", l_write },
    { NULL, NULL },
};

static const luaL_Reg functions[] = {
    { "start", l_start },
    { NULL, NULL },
};

int luaopen_raw_process(lua_State *L)
{
    l_new_type(L, PROCESS_TYPE, methods, release_process);
    luaL_newlib(L, functions);
    return 1;
}
