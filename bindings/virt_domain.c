/* Domains of libvirt. Every method but name and uuid waits, raises on wrong types and
 * cancellation, and returns nil, err when libvirt refuses; what it returns otherwise is said
 * above each. */
#include "bindings/error.h"
#include "bindings/fields.h"
#include "bindings/virt.h"
#include "runtime/virt/domain.h"
#include "runtime/virt/freeze.h"

struct l_domain {
    struct vx_domain *domain;
};

struct vx_domain *check_domain(lua_State *L, int index)
{
    struct l_domain *self = luaL_checkudata(L, index, DOMAIN_TYPE);

    if (self->domain == NULL)
        l_raise(L, VX_CLOSED, "the domain is closed");
    return self->domain;
}

static int release_domain(lua_State *L)
{
    struct l_domain *self = lua_touserdata(L, 1);

    vx_domain_free(self->domain);
    self->domain = NULL;
    return 0;
}

int l_call_domain(lua_State *L, struct wait *wait)
{
    struct l_domain *self = NULL;

    if (l_call_result(L, wait) == NULL)
        return 2;
    self = lua_newuserdatauv(L, sizeof *self, 0);
    self->domain = NULL;
    luaL_setmetatable(L, DOMAIN_TYPE);
    self->domain = vx_call_take_domain(((struct l_call *)wait)->call);
    return 1;
}

/* dom:name(): does not wait. */
static int l_domain_name(lua_State *L)
{
    lua_pushstring(L, vx_domain_name(check_domain(L, 1)));
    return 1;
}

/* dom:uuid(): does not wait. */
static int l_domain_uuid(lua_State *L)
{
    lua_pushstring(L, vx_domain_uuid(check_domain(L, 1)));
    return 1;
}

/* dom:start{ paused =, autodestroy = }: paused, its cpus do not run before dom:resume();
 * autodestroy, libvirt stops it when this connection ends. Returns true. */
static int l_domain_start(lua_State *L)
{
    struct vx_domain *domain = check_domain(L, 1);
    struct l_call *op = NULL;
    struct vx_err err = { 0 };
    unsigned flags = 0;

    l_opt_table(L, 2);
    if (field_bool(L, 2, "paused", false))
        flags |= VX_START_PAUSED;
    if (field_bool(L, 2, "autodestroy", false))
        flags |= VX_START_AUTODESTROY;
    op = l_call_new(L, "dom:start");
    return l_call_park(L, op, vx_domain_start(domain, flags, l_call_done, op, &err), &err,
                       l_call_true);
}

static int do_verb(lua_State *L, enum vx_domain_verb verb, const char *what)
{
    struct vx_domain *domain = check_domain(L, 1);
    struct l_call *op = l_call_new(L, what);
    struct vx_err err = { 0 };

    return l_call_park(L, op, vx_domain_do(domain, verb, l_call_done, op, &err), &err,
                       l_call_true);
}

/* dom:shutdown(): asks the guest to power off, by ACPI where it has that; an event tells
 * when it did. Returns true. */
static int l_domain_shutdown(lua_State *L)
{
    return do_verb(L, VX_DOMAIN_SHUTDOWN, "dom:shutdown");
}

/* dom:destroy(): pulls the plug, and returns true when QEMU is gone. */
static int l_domain_destroy(lua_State *L)
{
    return do_verb(L, VX_DOMAIN_DESTROY, "dom:destroy");
}

/* dom:reboot(): asks the guest to restart. Returns true. */
static int l_domain_reboot(lua_State *L)
{
    return do_verb(L, VX_DOMAIN_REBOOT, "dom:reboot");
}

/* dom:reset(): presses the reset button. Returns true. */
static int l_domain_reset(lua_State *L)
{
    return do_verb(L, VX_DOMAIN_RESET, "dom:reset");
}

/* dom:suspend(): stops its cpus. Returns true. */
static int l_domain_suspend(lua_State *L)
{
    return do_verb(L, VX_DOMAIN_SUSPEND, "dom:suspend");
}

/* dom:resume(): lets its cpus run. Returns true. */
static int l_domain_resume(lua_State *L)
{
    return do_verb(L, VX_DOMAIN_RESUME, "dom:resume");
}

/* dom:undefine(): forgets it, with snapshot records, NVRAM and saved state; its disks stay,
 * and a running guest runs on until it stops. Returns true. */
static int l_domain_undefine(lua_State *L)
{
    return do_verb(L, VX_DOMAIN_UNDEFINE, "dom:undefine");
}

static int finish_state(lua_State *L, struct wait *wait)
{
    const struct vx_call_result *result = l_call_result(L, wait);

    if (result == NULL)
        return 2;
    lua_pushstring(L, result->info.state);
    lua_pushstring(L, result->info.reason);
    return 2;
}

static int finish_info(lua_State *L, struct wait *wait)
{
    const struct vx_call_result *result = l_call_result(L, wait);
    const struct vx_domain_info *info = NULL;

    if (result == NULL)
        return 2;
    info = &result->info;
    lua_createtable(L, 0, 7);
    lua_pushstring(L, info->state);
    lua_setfield(L, -2, "state");
    lua_pushstring(L, info->reason);
    lua_setfield(L, -2, "reason");
    lua_pushinteger(L, info->cpus);
    lua_setfield(L, -2, "cpus");
    lua_pushinteger(L, (lua_Integer)info->max_memory);
    lua_setfield(L, -2, "max_memory");
    lua_pushinteger(L, (lua_Integer)info->memory);
    lua_setfield(L, -2, "memory");
    lua_pushnumber(L, info->cpu_time);
    lua_setfield(L, -2, "cpu_time");
    if (info->pid != 0) {
        lua_pushinteger(L, info->pid);
        lua_setfield(L, -2, "pid");
    }
    return 1;
}

static int finish_pid(lua_State *L, struct wait *wait)
{
    const struct vx_call_result *result = l_call_result(L, wait);

    if (result == NULL)
        return 2;
    if (result->info.pid == 0)
        lua_pushnil(L);
    else
        lua_pushinteger(L, result->info.pid);
    return 1;
}

static int get_info(lua_State *L, const char *what, task_finish finish)
{
    struct vx_domain *domain = check_domain(L, 1);
    struct l_call *op = l_call_new(L, what);
    struct vx_err err = { 0 };

    return l_call_park(L, op, vx_domain_get_info(domain, l_call_done, op, &err), &err, finish);
}

/* dom:state(): returns state and reason: "running" "paused" "shutdown" (on its way) "shutoff"
 * "crashed" "pmsuspended"; the reason is libvirt's ("booted", "user", "crashed", ...). */
static int l_domain_state(lua_State *L)
{
    return get_info(L, "dom:state", finish_state);
}

/* dom:info(): returns { state =, reason =, cpus =, max_memory = bytes, memory = bytes,
 * cpu_time = seconds, pid = as dom:pid() }. */
static int l_domain_info(lua_State *L)
{
    return get_info(L, "dom:info", finish_info);
}

/* dom:pid(): returns QEMU's process id, from the pid file of the embedded root; nil alone
 * when it does not run or the driver is another. */
static int l_domain_pid(lua_State *L)
{
    return get_info(L, "dom:pid", finish_pid);
}

/* dom:xml(inactive): returns the XML of the running guest, or with true of its next start. */
static int l_domain_xml(lua_State *L)
{
    struct vx_domain *domain = check_domain(L, 1);
    bool inactive = lua_toboolean(L, 2);
    struct l_call *op = l_call_new(L, "dom:xml");
    struct vx_err err = { 0 };

    return l_call_park(L, op, vx_domain_xml(domain, inactive, l_call_done, op, &err), &err,
                       l_call_text);
}

/* dom:eject(arch, target): takes the medium out of a drive ("sdb"), now and for the next starts.
 * Waits. Returns true, or nil, err. */
static int l_domain_eject(lua_State *L)
{
    struct vx_domain *domain = check_domain(L, 1);
    const char *arch = luaL_checkstring(L, 2);
    const char *target = luaL_checkstring(L, 3);
    struct l_call *op = l_call_new(L, "dom:eject");
    struct vx_err err = { 0 };

    return l_call_park(L, op, vx_domain_eject(domain, arch, target, l_call_done, op, &err),
                       &err, l_call_true);
}

static int monitor(lua_State *L, bool human, const char *what)
{
    struct vx_domain *domain = check_domain(L, 1);
    const char *command = luaL_checkstring(L, 2);
    struct l_call *op = l_call_new(L, what);
    struct vx_err err = { 0 };

    return l_call_park(L, op, vx_domain_monitor(domain, command, human, l_call_done, op, &err),
                       &err, l_call_text);
}

/* dom:monitor(json): sends a QMP command; returns the reply, which may hold QEMU's error. */
static int l_domain_monitor(lua_State *L)
{
    return monitor(L, false, "dom:monitor");
}

/* dom:hmp(line): sends a line to the human monitor; returns what it printed, errors too. */
static int l_domain_hmp(lua_State *L)
{
    return monitor(L, true, "dom:hmp");
}

/* dom:agent(json, seconds): sends a command to the guest agent and returns its reply; without
 * seconds it waits as long as it takes. */
static int l_domain_agent(lua_State *L)
{
    struct vx_domain *domain = check_domain(L, 1);
    const char *command = luaL_checkstring(L, 2);
    int seconds = (int)luaL_optinteger(L, 3, -1);
    struct l_call *op = l_call_new(L, "dom:agent");
    struct vx_err err = { 0 };

    return l_call_park(L, op, vx_domain_agent(domain, command, seconds, l_call_done, op, &err),
                       &err, l_call_text);
}

/* dom:freeze(path): stops the guest and writes its device state to a new file; its RAM stays
 * in its own. Then only dom:destroy is left. Returns true; on failure the guest goes on. */
static int l_domain_freeze(lua_State *L)
{
    struct vx_domain *domain = check_domain(L, 1);
    const char *path = luaL_checkstring(L, 2);
    struct l_call *op = l_call_new(L, "dom:freeze");
    struct vx_err err = { 0 };

    return l_call_park(L, op, vx_domain_freeze(domain, path, l_call_done, op, &err), &err,
                       l_call_true);
}

/* dom:wake(path): starts a domain that has -incoming defer from that device state and lets
 * it run. Returns true. */
static int l_domain_wake(lua_State *L)
{
    struct vx_domain *domain = check_domain(L, 1);
    const char *path = luaL_checkstring(L, 2);
    struct l_call *op = l_call_new(L, "dom:wake");
    struct vx_err err = { 0 };

    return l_call_park(L, op, vx_domain_wake(domain, path, l_call_done, op, &err), &err,
                       l_call_true);
}

/* dom:move(to): moves the running guest with its RAM into the domain `to`, which has the
 * same devices and -incoming defer; that is paused then, and only dom:destroy is left here.
 * Returns true; on failure the guest goes on. */
static int l_domain_move(lua_State *L)
{
    struct vx_domain *domain = check_domain(L, 1);
    struct vx_domain *to = check_domain(L, 2);
    struct l_call *op = l_call_new(L, "dom:move");
    struct vx_err err = { 0 };

    return l_call_park(L, op, vx_domain_move(domain, to, l_call_done, op, &err), &err,
                       l_call_true);
}

static int finish_block(lua_State *L, struct wait *wait)
{
    const struct vx_call_result *result = l_call_result(L, wait);

    if (result == NULL)
        return 2;
    lua_createtable(L, 0, 3);
    lua_pushinteger(L, (lua_Integer)result->block.capacity);
    lua_setfield(L, -2, "capacity");
    lua_pushinteger(L, (lua_Integer)result->block.allocation);
    lua_setfield(L, -2, "allocation");
    lua_pushinteger(L, (lua_Integer)result->block.physical);
    lua_setfield(L, -2, "physical");
    return 1;
}

/* dom:block_info(target): returns { capacity =, allocation =, physical = } in bytes of the disk
 * with that target ("vda") or path. */
static int l_domain_block_info(lua_State *L)
{
    struct vx_domain *domain = check_domain(L, 1);
    const char *target = luaL_checkstring(L, 2);
    struct l_call *op = l_call_new(L, "dom:block_info");
    struct vx_err err = { 0 };

    return l_call_park(L, op, vx_domain_block(domain, target, l_call_done, op, &err), &err,
                       finish_block);
}

static const luaL_Reg methods[] = {
    { "agent", l_domain_agent },
    { "block_info", l_domain_block_info },
    { "destroy", l_domain_destroy },
    { "freeze", l_domain_freeze },
    { "eject", l_domain_eject },
    { "hmp", l_domain_hmp },
    { "info", l_domain_info },
    { "monitor", l_domain_monitor },
    { "move", l_domain_move },
    { "name", l_domain_name },
    { "pid", l_domain_pid },
    { "reboot", l_domain_reboot },
    { "reset", l_domain_reset },
    { "resume", l_domain_resume },
    { "shutdown", l_domain_shutdown },
    { "snapshot_create", l_domain_snapshot_create },
    { "snapshot_delete", l_domain_snapshot_delete },
    { "snapshot_revert", l_domain_snapshot_revert },
    { "snapshots", l_domain_snapshots },
    { "start", l_domain_start },
    { "state", l_domain_state },
    { "suspend", l_domain_suspend },
    { "undefine", l_domain_undefine },
    { "uuid", l_domain_uuid },
    { "wake", l_domain_wake },
    { "xml", l_domain_xml },
    { NULL, NULL },
};

void l_domain_type(lua_State *L)
{
    l_new_type(L, DOMAIN_TYPE, methods, release_domain);
}
