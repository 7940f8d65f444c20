/* vm.raw.image: downloads, and digests of big files. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>
#include <lua.h>

#include "bindings/modules.h"
#include "runtime/base/buf.h"
#include "runtime/image/fetch.h"
#include "bindings/error.h"
#include "bindings/fields.h"
#include "bindings/job.h"
#include "bindings/task.h"

#define FETCH_TYPE "vm.raw.image.fetch"
#define WAIT_TYPE  "vm.raw.image.fetch.wait"

struct l_fetch;

/* What the thread works on; it outlives the userdata, if need be. */
struct work {
    struct vx_fetch fetch;
    struct l_fetch *owner; /* NULL: nobody waits for it any more */
    char *texts[8];
    int count;
};

struct l_wait;

struct l_fetch {
    struct work *work; /* NULL: closed */
    struct l_wait *waiter;
    bool working;
};

struct l_wait {
    struct wait wait;
    struct l_fetch *fetch; /* NULL once released */
};

static void free_work(struct work *work)
{
    for (int i = 0; i < work->count; i++)
        free(work->texts[i]);
    free(work->fetch.redirect);
    free(work);
}

static void fetch_done(void *arg)
{
    struct work *work = arg;

    if (work->owner == NULL) {
        free_work(work);
        return;
    }
    work->owner->working = false;
    if (work->owner->waiter != NULL)
        wait_done(&work->owner->waiter->wait);
}

static struct l_fetch *to_fetch(lua_State *L)
{
    return luaL_checkudata(L, 1, FETCH_TYPE);
}

/* close(): stops it if it is under way and lets go; harmless when repeated. */
static int release_fetch(lua_State *L)
{
    struct l_fetch *fetch = to_fetch(L);
    struct work *work = fetch->work;

    fetch->work = NULL;
    if (work == NULL)
        return 0;
    work->fetch.cancel = true;
    if (fetch->waiter != NULL)
        wait_done(&fetch->waiter->wait);
    if (fetch->working)
        work->owner = NULL;
    else
        free_work(work);
    return 0;
}

static const char *text(lua_State *L, struct work *work, const char *name)
{
    const char *value = field_string(L, 1, name, NULL);

    if (value == NULL)
        return NULL;
    work->texts[work->count] = vx_strdup(value);
    return work->texts[work->count++];
}

static uint64_t number(lua_State *L, const char *name, long long fallback)
{
    long long value = field_integer(L, 1, name, fallback);

    return value > 0 ? (uint64_t)value : 0;
}

static void read_request(lua_State *L, struct work *work)
{
    struct vx_fetch *fetch = &work->fetch;

    fetch->url = text(L, work, "url");
    fetch->part = text(L, work, "part");
    fetch->into = text(L, work, "into");
    fetch->algorithm = text(L, work, "algorithm");
    fetch->ca_file = text(L, work, "ca_file");
    fetch->ca_folder = text(L, work, "ca_folder");
    fetch->proxy = text(L, work, "proxy");
    fetch->agent = text(L, work, "agent");
    if (fetch->url == NULL || fetch->part == NULL || fetch->algorithm == NULL)
        luaL_error(L, "url, part and algorithm are needed");
    fetch->fresh = field_bool(L, 1, "fresh", false);
    fetch->max = number(L, "max", 1LL << 40);
    fetch->max_unpacked = number(L, "max_unpacked", 1LL << 40);
    fetch->rate = number(L, "rate", 0);
    fetch->spare = number(L, "spare", 0);
    fetch->connect_timeout = field_number(L, 1, "connect_timeout", 0);
    fetch->stall_timeout = field_number(L, 1, "stall_timeout", 0);
}

/* fetch{ url =, part = path, algorithm = "sha256" or "sha512", [into = path: decompress],
 * [fresh =, max =, max_unpacked =, rate =, spare =, connect_timeout =, stall_timeout =, ca_file =,
 * ca_folder =, proxy =, agent =] }: starts a download on a thread of its own, behind what is in
 * `part` already. Raises on wrong types. Returns a job; or nil, err. */
static int l_fetch(lua_State *L)
{
    struct l_fetch *fetch = NULL;
    struct vx_err err;

    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    fetch = lua_newuserdatauv(L, sizeof *fetch, 0);
    *fetch = (struct l_fetch){ 0 };
    luaL_setmetatable(L, FETCH_TYPE);
    fetch->work = vx_zalloc(sizeof *fetch->work);
    fetch->work->owner = fetch;
    read_request(L, fetch->work);
    if (vx_pool_thread(task_loop(L), vx_fetch_work, fetch_done, fetch->work, &err) != 0)
        return l_push_fail(L, &err);
    fetch->working = true;
    return 1;
}

static int release_wait(lua_State *L)
{
    struct l_wait *op = luaL_checkudata(L, 1, WAIT_TYPE);

    wait_unlimit(&op->wait);
    if (op->fetch != NULL)
        op->fetch->waiter = NULL;
    op->fetch = NULL;
    return 0;
}

static int push_result(lua_State *L, const struct vx_fetch *fetch)
{
    if (fetch->rc != 0)
        return l_push_fail(L, &fetch->err);
    lua_createtable(L, 0, 8);
    lua_pushinteger(L, fetch->status);
    lua_setfield(L, -2, "status");
    lua_pushstring(L, fetch->redirect);
    lua_setfield(L, -2, "redirect");
    lua_pushinteger(L, (lua_Integer)fetch->received);
    lua_setfield(L, -2, "received");
    lua_pushinteger(L, (lua_Integer)fetch->resumed);
    lua_setfield(L, -2, "resumed");
    lua_pushinteger(L, (lua_Integer)fetch->written);
    lua_setfield(L, -2, "written");
    lua_pushstring(L, fetch->digest);
    lua_setfield(L, -2, "digest");
    lua_pushstring(L, fetch->content_digest);
    lua_setfield(L, -2, "content_digest");
    return 1;
}

static int wait_finish(lua_State *L, struct wait *wait)
{
    struct l_fetch *fetch = ((struct l_wait *)wait)->fetch;

    if (fetch->working || fetch->work == NULL) {
        lua_pushboolean(L, false);
        return 1;
    }
    return push_result(L, &fetch->work->fetch);
}

/* wait([seconds]): waits until the download is over: { status =, redirect =, received =, resumed =,
 * written =, digest =, content_digest = }; false when the time is up before; or nil, err. */
static int l_wait(lua_State *L)
{
    struct l_fetch *fetch = to_fetch(L);
    double seconds = luaL_optnumber(L, 2, -1);
    struct l_wait *op = NULL;

    luaL_argcheck(L, fetch->work != NULL, 1, "the download is closed");
    luaL_argcheck(L, fetch->waiter == NULL, 1, "somebody waits for this download already");
    check_may_wait(L, "fetch.wait");
    op = l_new_op(L, sizeof *op, WAIT_TYPE, release_wait);
    op->fetch = fetch;
    fetch->waiter = op;
    if (!fetch->working)
        seconds = 0; /* over already: finish at the loop's next turn */
    wait_limit(L, &op->wait, seconds);
    return task_park(L, &op->wait, wait_finish);
}

/* progress(): bytes received, bytes in all (0: not known), and bytes written decompressed. */
static int l_progress(lua_State *L)
{
    struct l_fetch *fetch = to_fetch(L);
    const struct vx_fetch *work = fetch->work != NULL ? &fetch->work->fetch : NULL;

    lua_pushinteger(L, work != NULL ? (lua_Integer)work->received : 0);
    lua_pushinteger(L, work != NULL ? (lua_Integer)work->total : 0);
    lua_pushinteger(L, work != NULL ? (lua_Integer)work->written : 0);
    return 3;
}

struct digest_job {
    struct job job;
    char *path;
    char *algorithm;
    char hex[VX_DIGEST_HEX];
};

static void dispose(struct job *base)
{
    free(((struct digest_job *)base)->path);
    free(((struct digest_job *)base)->algorithm);
}

static void digest_work(void *arg)
{
    struct digest_job *job = arg;

    job->job.rc = vx_digest_file(job->path, job->algorithm, job->hex, &job->job.err);
}

static int digest_finish(lua_State *L, struct wait *wait)
{
    struct digest_job *job = l_job_of(wait);

    if (job->job.rc != 0)
        return l_push_fail(L, &job->job.err);
    lua_pushstring(L, job->hex);
    return 1;
}

/* digest(path, algorithm): waits; the file's digest by "sha256" or "sha512", in hexadecimal. */
static int l_digest(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    const char *algorithm = luaL_checkstring(L, 2);
    struct digest_job *job = l_job_new(L, "image.digest", sizeof *job, dispose);

    job->path = vx_strdup(path);
    job->algorithm = vx_strdup(algorithm);
    return l_job_run(L, job, digest_work, digest_finish);
}

static const luaL_Reg methods[] = {
    { "close", release_fetch },
    { "progress", l_progress },
    { "wait", l_wait },
    { NULL, NULL },
};

static const luaL_Reg functions[] = {
    { "digest", l_digest },
    { "fetch", l_fetch },
    { NULL, NULL },
};

int luaopen_raw_image(lua_State *L)
{
    l_new_type(L, FETCH_TYPE, methods, release_fetch);
    luaL_newlib(L, functions);
    return 1;
}
