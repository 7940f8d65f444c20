/* A domain: what libvirt calls a guest. */
#ifndef VX_VIRT_DOMAIN_H
#define VX_VIRT_DOMAIN_H

#include "runtime/virt/call.h"
#include "runtime/virt/conn.h"

/* Lets go of our handle; the domain itself stays as it is. NULL is fine. */
void vx_domain_free(struct vx_domain *domain);

/* Both live as long as the handle. */
const char *vx_domain_name(const struct vx_domain *domain);
const char *vx_domain_uuid(const struct vx_domain *domain);

/* flags: VX_START_... */
struct vx_call *vx_domain_start(struct vx_domain *domain, unsigned flags, vx_call_cb fn,
                                void *arg, struct vx_err *err);

/* The verbs that take nothing and bring nothing back. */
enum vx_domain_verb {
    VX_DOMAIN_SHUTDOWN, /* asks the guest to power off; returns at once */
    VX_DOMAIN_REBOOT,   /* asks the guest to restart; returns at once */
    VX_DOMAIN_RESET,    /* the reset button */
    VX_DOMAIN_DESTROY,  /* pulls the plug; returns when QEMU is gone */
    VX_DOMAIN_SUSPEND,  /* stops its cpus */
    VX_DOMAIN_RESUME,
    VX_DOMAIN_UNDEFINE, /* with snapshot records, NVRAM and saved state; disks stay */
};

/* Does one of the above on the pool; nothing is returned. */
struct vx_call *vx_domain_do(struct vx_domain *domain, enum vx_domain_verb verb, vx_call_cb fn,
                             void *arg, struct vx_err *err);

/* info. */
struct vx_call *vx_domain_get_info(struct vx_domain *domain, vx_call_cb fn, void *arg,
                                   struct vx_err *err);
/* text: the domain's XML, of the running guest or (inactive) of its next start. */
struct vx_call *vx_domain_xml(struct vx_domain *domain, bool inactive, vx_call_cb fn, void *arg,
                              struct vx_err *err);
/* block: of the disk whose target ("vda") or path is given. */
struct vx_call *vx_domain_block(struct vx_domain *domain, const char *target, vx_call_cb fn,
                                void *arg, struct vx_err *err);
/* Takes the medium out of a drive, now and for the next starts; nothing is returned. target is the
 * drive's: "sdb". */
struct vx_call *vx_domain_eject(struct vx_domain *domain, const char *arch, const char *target,
                                vx_call_cb fn, void *arg, struct vx_err *err);
/* text: QEMU's answer. command is JSON as QMP takes it, or (human) a line for its human
 * monitor. */
struct vx_call *vx_domain_monitor(struct vx_domain *domain, const char *command, bool human,
                                  vx_call_cb fn, void *arg, struct vx_err *err);
/* text: the guest agent's answer to a JSON command; seconds < 0 waits as long as it takes. */
struct vx_call *vx_domain_agent(struct vx_domain *domain, const char *command, int seconds,
                                vx_call_cb fn, void *arg, struct vx_err *err);

#endif
