/* Snapshots kept inside a guest's qcow2 disks: of a running guest with its RAM, of a stopped
 * one the disks only. */
#ifndef VX_VIRT_SNAPSHOT_H
#define VX_VIRT_SNAPSHOT_H

#include "runtime/virt/domain.h"

/* name NULL lets libvirt choose; a description may be NULL. text: the name it got. */
struct vx_call *vx_snapshot_create(struct vx_domain *domain, const char *name,
                                   const char *description, vx_call_cb fn, void *arg,
                                   struct vx_err *err);

/* snapshots. vm_size is known while the guest runs. */
struct vx_call *vx_snapshot_list(struct vx_domain *domain, vx_call_cb fn, void *arg,
                                 struct vx_err *err);

/* Takes the guest back. A running guest goes back to a snapshot of a running one in place:
 * QEMU, its ports and its pid stay. Otherwise libvirt stops or starts QEMU as needed. how: "in
 * place" or "restarted". */
struct vx_call *vx_snapshot_revert(struct vx_domain *domain, const char *name, vx_call_cb fn,
                                   void *arg, struct vx_err *err);

/* With children also what was made after it and from it; without, those move to its parent. */
struct vx_call *vx_snapshot_delete(struct vx_domain *domain, const char *name, bool children,
                                   vx_call_cb fn, void *arg, struct vx_err *err);

#endif
