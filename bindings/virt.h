/* What the bindings of libvirt share: their types, and the operation that waits for a call. */
#ifndef BINDINGS_VIRT_H
#define BINDINGS_VIRT_H

#include "bindings/task.h"
#include "runtime/virt/call.h"

#define CONN_TYPE   "vm.raw.virt.conn"
#define DOMAIN_TYPE "vm.raw.virt.domain"

/* One libvirt call that a task waits for. */
struct l_call {
    struct wait wait;
    struct vx_call *call;
};

/* Raises unless the caller may wait; leaves the operation on the stack, to be closed. */
struct l_call *l_call_new(lua_State *L, const char *what);
/* The vx_call_cb of every call whose arg is an l_call. */
void l_call_done(struct vx_call *call, void *arg);
/* The last step of a binding: waits for the call, or hands back err when it did not start. */
int l_call_park(lua_State *L, struct l_call *op, struct vx_call *call, const struct vx_err *err,
                task_finish finish);
/* The result of a finished operation; NULL after pushing nil and the error, `return 2;` then. */
const struct vx_call_result *l_call_result(lua_State *L, struct wait *wait);

/* Finishers: true; the text; a domain. */
int l_call_true(lua_State *L, struct wait *wait);
int l_call_text(lua_State *L, struct wait *wait);
int l_call_domain(lua_State *L, struct wait *wait);

/* A table at that index, made where there is nil or nothing. */
void l_opt_table(lua_State *L, int index);

/* Raises when it is something else, or was let go. */
struct vx_domain *check_domain(lua_State *L, int index);

/* What virt_snapshot.c adds to the methods of a domain. */
int l_domain_snapshot_create(lua_State *L);
int l_domain_snapshot_delete(lua_State *L);
int l_domain_snapshot_revert(lua_State *L);
int l_domain_snapshots(lua_State *L);

/* raw.virt.xml, raw.virt.arches */
int l_virt_arches(lua_State *L);
int l_virt_xml(lua_State *L);

/* Register the metatables. */
void l_conn_type(lua_State *L);
void l_domain_type(lua_State *L);

/* raw.virt.open */
int l_virt_open(lua_State *L);

#endif
