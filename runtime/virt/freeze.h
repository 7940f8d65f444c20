/* Freezing a running guest into files, and waking a guest from them: what templates and
 * forks are made of. The RAM stays in the file that backs it; everything else is the device
 * state. */
#ifndef VX_VIRT_FREEZE_H
#define VX_VIRT_FREEZE_H

#include "runtime/virt/domain.h"

/* Stops the guest's cpus and writes its device state to a new file (mode 0600; an existing
 * one is refused). Its RAM must be a shared mapping of a file. On success the guest is
 * stopped for good and its disks are flushed and let go: only destroying it is left. On
 * failure it runs (or is paused) as before, and the file is removed. */
struct vx_call *vx_domain_freeze(struct vx_domain *domain, const char *state_path,
                                 vx_call_cb fn, void *arg, struct vx_err *err);

/* Starts a defined domain whose QEMU has "-incoming defer", gives it the device state in
 * that file and, when all of it is there, lets its cpus run. The domain's devices and the
 * content of its RAM file must be those that were frozen. On failure it is not running. */
struct vx_call *vx_domain_wake(struct vx_domain *domain, const char *state_path, vx_call_cb fn,
                               void *arg, struct vx_err *err);

/* Moves a running guest into another domain, which is defined with the same devices and
 * "-incoming defer" and is started here: RAM and all. For a guest whose RAM is a private
 * mapping (a fork) and is to be in a file that is its own, before it can be frozen. On
 * success the new domain is paused and the old one stopped for good: only destroying it is
 * left. On failure the old one is as before. */
struct vx_call *vx_domain_move(struct vx_domain *domain, struct vx_domain *to, vx_call_cb fn,
                               void *arg, struct vx_err *err);

#endif
