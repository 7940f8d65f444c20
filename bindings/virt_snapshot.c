/* Snapshots: methods of a domain; they wait, raise and fail as those of virt_domain.c. */
#include "bindings/error.h"
#include "bindings/fields.h"
#include "bindings/virt.h"
#include "runtime/virt/snapshot.h"

/* dom:snapshot_create{ name =, description = }: of a running guest with its RAM, of a stopped
 * one its disks; kept inside its qcow2 disks. A name of digits only is refused. Returns the
 * name. */
int l_domain_snapshot_create(lua_State *L)
{
    struct vx_domain *domain = check_domain(L, 1);
    const char *name = NULL;
    const char *description = NULL;
    struct l_call *op = NULL;
    struct vx_err err = { 0 };

    l_opt_table(L, 2);
    name = field_string(L, 2, "name", NULL);
    description = field_string(L, 2, "description", NULL);
    op = l_call_new(L, "dom:snapshot_create");
    return l_call_park(L, op,
                       vx_snapshot_create(domain, name, description, l_call_done, op, &err),
                       &err, l_call_text);
}

static void push_snapshot(lua_State *L, const struct vx_snapshot_info *info)
{
    lua_createtable(L, 0, 7);
    lua_pushstring(L, info->name);
    lua_setfield(L, -2, "name");
    lua_pushstring(L, info->parent);
    lua_setfield(L, -2, "parent");
    lua_pushstring(L, info->description);
    lua_setfield(L, -2, "description");
    lua_pushstring(L, info->state);
    lua_setfield(L, -2, "state");
    lua_pushinteger(L, info->created);
    lua_setfield(L, -2, "created");
    lua_pushboolean(L, info->current);
    lua_setfield(L, -2, "current");
    if (info->vm_size != 0) {
        lua_pushinteger(L, (lua_Integer)info->vm_size);
        lua_setfield(L, -2, "vm_size");
    }
}

static int finish_snapshots(lua_State *L, struct wait *wait)
{
    const struct vx_call_result *result = l_call_result(L, wait);

    if (result == NULL)
        return 2;
    lua_createtable(L, (int)result->snapshots_len, 0);
    for (size_t i = 0; i < result->snapshots_len; i++) {
        push_snapshot(L, &result->snapshots[i]);
        lua_seti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

/* dom:snapshots(): returns a list, parents before children, of { name =, parent = (nil for a root),
 * description =, state = of the guest then, created = unix time, current =, vm_size = bytes of RAM
 * and device state, while the guest runs }. */
int l_domain_snapshots(lua_State *L)
{
    struct vx_domain *domain = check_domain(L, 1);
    struct l_call *op = l_call_new(L, "dom:snapshots");
    struct vx_err err = { 0 };

    return l_call_park(L, op, vx_snapshot_list(domain, l_call_done, op, &err), &err,
                       finish_snapshots);
}

static int finish_revert(lua_State *L, struct wait *wait)
{
    const struct vx_call_result *result = l_call_result(L, wait);

    if (result == NULL)
        return 2;
    lua_pushstring(L, result->how);
    return 1;
}

/* dom:snapshot_revert(name): takes the guest back to the state and disks of then. Returns how:
 * "in place", QEMU with its pid, connections and forwards stayed (running to running); or
 * "restarted", libvirt stopped or started QEMU, and forwards that were added live are gone. */
int l_domain_snapshot_revert(lua_State *L)
{
    struct vx_domain *domain = check_domain(L, 1);
    const char *name = luaL_checkstring(L, 2);
    struct l_call *op = l_call_new(L, "dom:snapshot_revert");
    struct vx_err err = { 0 };

    return l_call_park(L, op, vx_snapshot_revert(domain, name, l_call_done, op, &err), &err,
                       finish_revert);
}

/* dom:snapshot_delete(name, { children = }): with children also those made from it; without, its
 * children become those of its parent. Returns true. */
int l_domain_snapshot_delete(lua_State *L)
{
    struct vx_domain *domain = check_domain(L, 1);
    const char *name = luaL_checkstring(L, 2);
    struct l_call *op = NULL;
    struct vx_err err = { 0 };
    bool children = false;

    l_opt_table(L, 3);
    children = field_bool(L, 3, "children", false);
    op = l_call_new(L, "dom:snapshot_delete");
    return l_call_park(L, op, vx_snapshot_delete(domain, name, children, l_call_done, op, &err),
                       &err, l_call_true);
}
