/* A connection to libvirt: opening, closing, its domains and its events. */
#ifndef VX_VIRT_CONN_H
#define VX_VIRT_CONN_H

#include "runtime/virt/call.h"

struct vx_conn_opts {
    const char
        *uri; /* "qemu:///embed", "qemu:///system", "qemu:///session", or any of libvirt's */
    const char *root; /* embed: an absolute, short path, made when it does not exist */
    const char
        *cache; /* embed: folder for QEMU's probed capabilities, shared by roots; may be NULL */
};

/* Keeps libvirt's messages off stderr: errors travel as struct vx_err, and its log goes nowhere
 * unless LIBVIRT_LOG_OUTPUTS says otherwise. Once, at start-up, before any thread. */
void vx_virt_setup(void);

/* Opens a connection. The embedded driver can be opened for one root in the life of a process,
 * and only by one process at a time; on Linux this makes us the parent of orphans (see
 * reaper.c). Result: vx_call_take_conn. */
struct vx_call *vx_conn_open(struct vx_loop *loop, const struct vx_conn_opts *opts,
                             vx_call_cb fn, void *arg, struct vx_err *err);

/* Closes it: its domains and a wait for an event end with kind "closed". The guests stay as
 * they are. vx_conn_unref must still be called. */
struct vx_call *vx_conn_close(struct vx_conn *conn, vx_call_cb fn, void *arg,
                              struct vx_err *err);
void vx_conn_ref(struct vx_conn *conn);
/* Lets go, and closes it in the background when nobody else holds it. NULL is fine. */
void vx_conn_unref(struct vx_conn *conn);
bool vx_conn_is_closed(const struct vx_conn *conn);

/* The URI as libvirt was given it. Lives as long as the connection. */
const char *vx_conn_uri(const struct vx_conn *conn);

/* libvirt_version (of the library's other end) and hypervisor_version, 0 when it has none. */
struct vx_call *vx_conn_version(struct vx_conn *conn, vx_call_cb fn, void *arg,
                                struct vx_err *err);
/* text: the capabilities document. */
struct vx_call *vx_conn_capabilities(struct vx_conn *conn, vx_call_cb fn, void *arg,
                                     struct vx_err *err);
/* names: of all domains, running or not. */
struct vx_call *vx_conn_domains(struct vx_conn *conn, vx_call_cb fn, void *arg,
                                struct vx_err *err);
/* A domain by name; kind "notfound" when there is none. */
struct vx_call *vx_conn_lookup(struct vx_conn *conn, const char *name, vx_call_cb fn, void *arg,
                               struct vx_err *err);
/* Defines (or redefines) a persistent domain. The document is checked against libvirt's schema.
 */
struct vx_call *vx_conn_define(struct vx_conn *conn, const char *xml, vx_call_cb fn, void *arg,
                               struct vx_err *err);

enum { VX_START_PAUSED = 1, VX_START_AUTODESTROY = 2 };

/* Starts a transient domain: it is gone when it stops. flags: VX_START_... */
struct vx_call *vx_conn_create(struct vx_conn *conn, const char *xml, unsigned flags,
                               vx_call_cb fn, void *arg, struct vx_err *err);

/* What happened to a domain. */
struct vx_event {
    struct vx_event *next;
    char *domain;
    char uuid[40];
    const char *event;  /* "started", "stopped", ...; static */
    const char *reason; /* static, or own */
    char own[64];
    long pid;      /* of QEMU, 0 when not known */
    int signal;    /* that ended QEMU, 0 when none or not known */
    int status;    /* QEMU's exit status, -1 when not known */
    unsigned lost; /* events dropped before this one because nobody took them */
};

/* Runs once, later, on the loop thread. event is valid during the callback; NULL: closed. */
typedef void (*vx_event_cb)(const struct vx_event *event, void *arg);

/* Waits for the next event; 256 are kept, then the oldest are dropped and counted. One wait at
 * a time; ended by vx_conn_event_cancel, after which fn never runs. */
int vx_conn_next_event(struct vx_conn *conn, vx_event_cb fn, void *arg, struct vx_err *err);
void vx_conn_event_cancel(struct vx_conn *conn, void *arg);

#endif
