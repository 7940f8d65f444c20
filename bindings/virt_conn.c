/* Connections to libvirt: raw.virt.open and the methods of what it returns. */
#include <stdio.h>
#include <stdlib.h>

#include "bindings/error.h"
#include "bindings/fields.h"
#include "bindings/virt.h"
#include "runtime/base/buf.h"
#include "runtime/virt/conn.h"

#define EVENT_TYPE "vm.raw.virt.event"

struct l_conn {
    struct vx_conn *conn;
};

struct l_event {
    struct wait wait;
    struct vx_conn *conn; /* a reference */
    bool closed;
    struct vx_event event; /* domain is ours */
};

static struct vx_conn *check_conn(lua_State *L, int index)
{
    struct l_conn *self = luaL_checkudata(L, index, CONN_TYPE);

    if (self->conn == NULL)
        l_raise(L, VX_CLOSED, "the connection is closed");
    return self->conn;
}

static int release_conn(lua_State *L)
{
    struct l_conn *self = lua_touserdata(L, 1);

    vx_conn_unref(self->conn);
    self->conn = NULL;
    return 0;
}

static int finish_open(lua_State *L, struct wait *wait)
{
    struct l_conn *self = NULL;

    if (l_call_result(L, wait) == NULL)
        return 2;
    self = lua_newuserdatauv(L, sizeof *self, 0);
    self->conn = NULL;
    luaL_setmetatable(L, CONN_TYPE);
    self->conn = vx_call_take_conn(((struct l_call *)wait)->call);
    return 1;
}

/* virt.open(uri, { root =, cache = }): waits. root (absolute, at most 55 bytes) is for and
 * needed by "qemu:///embed", and is made if it does not exist; cache is the folder that several
 * roots share for what is known of each QEMU, without which a root's first opening probes them
 * all. A process can open one embedded root in its life (again after a close), and a root only
 * one process at a time. Raises on wrong types and cancellation. Returns a connection, or nil,
 * err. */
int l_virt_open(lua_State *L)
{
    struct vx_conn_opts opts = { .uri = luaL_checkstring(L, 1) };
    struct l_call *op = NULL;
    struct vx_call *call = NULL;
    struct vx_err err = { 0 };

    l_opt_table(L, 2);
    opts.root = field_string(L, 2, "root", NULL);
    opts.cache = field_string(L, 2, "cache", NULL);
    op = l_call_new(L, "vm.connect");
    call = vx_conn_open(task_loop(L), &opts, l_call_done, op, &err);
    return l_call_park(L, op, call, &err, finish_open);
}

/* conn:close(): waits until libvirt has let go. Domains of the connection, and a wait for an event,
 * then fail with kind "closed"; guests stay as they are. Closing twice is harmless; losing the last
 * reference closes in the background. Returns true. */
static int l_conn_close(lua_State *L)
{
    struct l_conn *self = luaL_checkudata(L, 1, CONN_TYPE);
    struct l_call *op = NULL;
    struct vx_call *call = NULL;
    struct vx_err err = { 0 };

    if (self->conn == NULL || vx_conn_is_closed(self->conn)) {
        lua_pushboolean(L, true);
        return 1;
    }
    op = l_call_new(L, "conn:close");
    call = vx_conn_close(self->conn, l_call_done, op, &err);
    return l_call_park(L, op, call, &err, l_call_true);
}

/* conn:uri(): the URI as libvirt was given it. */
static int l_conn_uri(lua_State *L)
{
    lua_pushstring(L, vx_conn_uri(check_conn(L, 1)));
    return 1;
}

static void set_version(lua_State *L, const char *name, unsigned long v)
{
    if (v == 0)
        return;
    lua_pushfstring(L, "%d.%d.%d", (int)(v / 1000000), (int)(v / 1000 % 1000), (int)(v % 1000));
    lua_setfield(L, -2, name);
}

static int finish_version(lua_State *L, struct wait *wait)
{
    const struct vx_call_result *result = l_call_result(L, wait);

    if (result == NULL)
        return 2;
    lua_newtable(L);
    set_version(L, "libvirt", result->libvirt_version);
    set_version(L, "hypervisor", result->hypervisor_version);
    return 1;
}

/* conn:version(): waits. Returns { libvirt = "9.0.0", hypervisor = "7.2.22" }, or nil, err. */
static int l_conn_version(lua_State *L)
{
    struct vx_conn *conn = check_conn(L, 1);
    struct l_call *op = l_call_new(L, "conn:version");
    struct vx_err err = { 0 };

    return l_call_park(L, op, vx_conn_version(conn, l_call_done, op, &err), &err,
                       finish_version);
}

/* conn:capabilities(): waits. Returns libvirt's capabilities document, or nil, err. */
static int l_conn_capabilities(lua_State *L)
{
    struct vx_conn *conn = check_conn(L, 1);
    struct l_call *op = l_call_new(L, "conn:capabilities");
    struct vx_err err = { 0 };

    return l_call_park(L, op, vx_conn_capabilities(conn, l_call_done, op, &err), &err,
                       l_call_text);
}

static int finish_names(lua_State *L, struct wait *wait)
{
    const struct vx_call_result *result = l_call_result(L, wait);

    if (result == NULL)
        return 2;
    lua_createtable(L, (int)result->names_len, 0);
    for (size_t i = 0; i < result->names_len; i++) {
        lua_pushstring(L, result->names[i]);
        lua_seti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

/* conn:domains(): waits. Returns the names of all domains, running or not, or nil, err. */
static int l_conn_domains(lua_State *L)
{
    struct vx_conn *conn = check_conn(L, 1);
    struct l_call *op = l_call_new(L, "conn:domains");
    struct vx_err err = { 0 };

    return l_call_park(L, op, vx_conn_domains(conn, l_call_done, op, &err), &err, finish_names);
}

/* conn:lookup(name): waits. Returns the domain, or nil, err (kind "notfound" when there is
 * none). */
static int l_conn_lookup(lua_State *L)
{
    struct vx_conn *conn = check_conn(L, 1);
    const char *name = luaL_checkstring(L, 2);
    struct l_call *op = l_call_new(L, "conn:lookup");
    struct vx_err err = { 0 };

    return l_call_park(L, op, vx_conn_lookup(conn, name, l_call_done, op, &err), &err,
                       l_call_domain);
}

/* conn:define(xml): waits. Defines or redefines a persistent domain after checking the document
 * against libvirt's schema. Returns the domain, or nil, err. */
static int l_conn_define(lua_State *L)
{
    struct vx_conn *conn = check_conn(L, 1);
    const char *xml = luaL_checkstring(L, 2);
    struct l_call *op = l_call_new(L, "conn:define");
    struct vx_err err = { 0 };

    return l_call_park(L, op, vx_conn_define(conn, xml, l_call_done, op, &err), &err,
                       l_call_domain);
}

/* conn:create(xml, { paused =, autodestroy = }): waits. Starts a transient domain, which is
 * gone when it stops. autodestroy: libvirt stops it when this connection ends. Returns it, or
 * nil, err. */
static int l_conn_create(lua_State *L)
{
    struct vx_conn *conn = check_conn(L, 1);
    const char *xml = luaL_checkstring(L, 2);
    struct l_call *op = NULL;
    struct vx_err err = { 0 };
    unsigned flags = 0;

    l_opt_table(L, 3);
    if (field_bool(L, 3, "paused", false))
        flags |= VX_START_PAUSED;
    if (field_bool(L, 3, "autodestroy", false))
        flags |= VX_START_AUTODESTROY;
    op = l_call_new(L, "conn:create");
    return l_call_park(L, op, vx_conn_create(conn, xml, flags, l_call_done, op, &err), &err,
                       l_call_domain);
}

static int release_event(lua_State *L)
{
    struct l_event *op = lua_touserdata(L, 1);

    if (op->conn != NULL) {
        vx_conn_event_cancel(op->conn, op);
        vx_conn_unref(op->conn);
    }
    op->conn = NULL;
    free(op->event.domain);
    op->event.domain = NULL;
    return 0;
}

static void event_done(const struct vx_event *event, void *arg)
{
    struct l_event *op = arg;

    op->closed = event == NULL;
    if (event != NULL) {
        op->event = *event;
        op->event.domain = vx_strdup(event->domain);
        if (event->reason == event->own)
            op->event.reason = op->event.own;
    }
    wait_done(&op->wait);
}

static void set_string(lua_State *L, const char *name, const char *value)
{
    lua_pushstring(L, value);
    lua_setfield(L, -2, name);
}

static void set_integer(lua_State *L, const char *name, lua_Integer value)
{
    lua_pushinteger(L, value);
    lua_setfield(L, -2, name);
}

static int finish_event(lua_State *L, struct wait *wait)
{
    const struct l_event *op = (const struct l_event *)wait;
    const struct vx_event *event = &op->event;

    if (op->closed) {
        struct vx_err err = { 0 };

        vx_err_set(&err, VX_CLOSED, 0, "the connection to %s was closed",
                   vx_conn_uri(op->conn));
        return l_push_fail(L, &err);
    }
    lua_newtable(L);
    set_string(L, "domain", event->domain);
    set_string(L, "uuid", event->uuid);
    set_string(L, "event", event->event);
    set_string(L, "reason", event->reason);
    if (event->pid != 0)
        set_integer(L, "pid", event->pid);
    if (event->signal != 0)
        set_integer(L, "signal", event->signal);
    if (event->status >= 0)
        set_integer(L, "status", event->status);
    if (event->lost != 0)
        set_integer(L, "lost", event->lost);
    return 1;
}

/* conn:next_event(): waits for the next of
 *   { domain = name, uuid =, event =, reason =, pid =, signal =, status =, lost = }
 * event: "defined" "undefined" "started" "suspended" "resumed" "shutdown" "stopped" "crashed"
 * "pmsuspended" "rebooted" "io_error", and "disconnected", of no domain (""), when the daemon
 * behind the connection is gone; reason is libvirt's ("booted", "destroyed", "crashed",
 * "failed", "panicked", "enospc", ...). pid is QEMU's where it is known, signal or status how
 * QEMU ended (embedded driver on Linux), lost the number of events dropped before this one: 256
 * are kept. One task at a time. Returns nil, err (kind "closed") once the connection is closed.
 */
static int l_conn_next_event(lua_State *L)
{
    struct vx_conn *conn = check_conn(L, 1);
    struct l_event *op = NULL;
    struct vx_err err = { 0 };

    check_may_wait(L, "conn:next_event");
    op = l_new_op(L, sizeof *op, EVENT_TYPE, release_event);
    if (vx_conn_next_event(conn, event_done, op, &err) < 0)
        return l_push_fail(L, &err);
    op->conn = conn;
    vx_conn_ref(conn);
    return task_park(L, &op->wait, finish_event);
}

static const luaL_Reg methods[] = {
    { "capabilities", l_conn_capabilities },
    { "close", l_conn_close },
    { "create", l_conn_create },
    { "define", l_conn_define },
    { "domains", l_conn_domains },
    { "lookup", l_conn_lookup },
    { "next_event", l_conn_next_event },
    { "uri", l_conn_uri },
    { "version", l_conn_version },
    { NULL, NULL },
};

void l_conn_type(lua_State *L)
{
    l_new_type(L, CONN_TYPE, methods, release_conn);
    luaL_getmetatable(L, CONN_TYPE);
    lua_pushcfunction(L, l_conn_close); /* `local conn <close>` waits, unlike the collector */
    lua_setfield(L, -2, "__close");
    lua_pop(L, 1);
}
