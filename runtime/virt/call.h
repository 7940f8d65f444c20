/* One libvirt call under way on the thread pool, and what it brought back. */
#ifndef VX_VIRT_CALL_H
#define VX_VIRT_CALL_H

#include <stdbool.h>
#include <stddef.h>

#include "runtime/base/err.h"
#include "runtime/loop/loop.h"

struct vx_call;
struct vx_conn;
struct vx_domain;

/* Runs once, later, on the loop thread, when the call has returned. */
typedef void (*vx_call_cb)(struct vx_call *call, void *arg);

struct vx_domain_info {
    const char *state;  /* "running", "shutoff", ...; static */
    const char *reason; /* why it is in that state: "booted", "crashed", ...; static */
    unsigned cpus;
    unsigned long long max_memory; /* bytes */
    unsigned long long memory;     /* bytes */
    double cpu_time;               /* seconds, all cpus together */
    long pid;                      /* of QEMU, 0 when it is not known */
};

struct vx_block_info {
    unsigned long long capacity;   /* bytes that the guest sees */
    unsigned long long allocation; /* bytes in use on the host */
    unsigned long long physical;   /* bytes up to the end of the file or device */
};

struct vx_snapshot_info {
    char *name;
    char *parent; /* NULL for a root */
    char *description;
    char *state; /* of the guest when it was taken: "running", "paused", "shutoff" */
    long long created;
    bool current;
    unsigned long long vm_size; /* bytes of RAM and device state; 0: none, or not known */
};

/* Which fields a call fills is said at the function that starts it. */
struct vx_call_result {
    char *text;
    const char *how; /* static */
    char **names;
    size_t names_len;
    struct vx_snapshot_info *snapshots; /* parents before their children */
    size_t snapshots_len;
    struct vx_domain_info info;
    struct vx_block_info block;
    unsigned long libvirt_version; /* major * 1,000,000 + minor * 1,000 + release */
    unsigned long hypervisor_version;
};

/* The error of a call that has returned, NULL if it went well. Lives as long as the call. */
const struct vx_err *vx_call_error(const struct vx_call *call);
/* Lives as long as the call. */
const struct vx_call_result *vx_call_get(const struct vx_call *call);
/* What an open, lookup, define or create made; the caller owns it and a second call gives NULL.
 */
struct vx_conn *vx_call_take_conn(struct vx_call *call);
struct vx_domain *vx_call_take_domain(struct vx_call *call);

/* Lets go: the callback never runs after this. libvirt cannot be interrupted, so a call under
 * way goes on and what it makes is dropped when it returns. NULL is fine. */
void vx_call_free(struct vx_call *call);

#endif
