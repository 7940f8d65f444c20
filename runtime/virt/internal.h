/* What the files of this folder share. Nobody else includes it. */
#ifndef VX_VIRT_INTERNAL_H
#define VX_VIRT_INTERNAL_H

#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

#include "runtime/base/list.h"
#include "runtime/virt/call.h"
#include "runtime/virt/conn.h"
#include "runtime/virt/domain.h"

/* Runs on the pool. 0, or -1 with call->err. Touches nothing but its call. */
typedef int (*call_fn)(struct vx_call *call);

/* A call holds libvirt's own references, so conn and domain may be closed while it runs. */
struct vx_call {
    struct vx_loop *loop;
    call_fn work;
    vx_call_cb fn;
    void *arg;
    bool forks; /* makes libvirt start a program */
    bool started;
    bool returned;
    bool detached;
    bool failed;
    struct vx_err err;
    struct vx_call_result result;
    struct vx_conn *conn; /* a reference of ours; loop thread only */

    virConnectPtr vir; /* references of libvirt's, dropped on the pool */
    virDomainPtr vir_domain;
    virDomainPtr vir_from; /* move: the domain to leave */
    char *guest;           /* the domain's name, for messages */
    char *name;            /* what the call's arguments were */
    char *text;
    char *root;
    char *cache;
    unsigned flags;
    bool flag;
    struct conn_feed *feed;   /* open and close */
    int callbacks[3];         /* close */
    virConnectPtr made_conn;  /* open */
    virDomainPtr made_domain; /* lookup, define, create */
    struct vx_conn *taken_conn;
    struct vx_domain *taken_domain;
};

enum { CONN_CALLBACKS = 3 };
enum { CONN_EVENTS_MAX = 256 };

struct vx_conn {
    struct vx_loop *loop;
    unsigned refs;
    virConnectPtr vir; /* NULL once closed */
    char *uri;
    char *root; /* of an embedded driver, else NULL */
    struct conn_feed *feed;
    int callbacks[CONN_CALLBACKS];
    struct vx_link domains;
    struct vx_link events; /* struct vx_event */
    size_t events_len;
    unsigned events_lost;
    vx_event_cb event_fn;
    void *event_arg;
};

struct vx_domain {
    struct vx_conn *conn; /* a reference */
    struct vx_link link;  /* in conn->domains */
    virDomainPtr vir;     /* NULL once the connection is closed */
    char *name;
    char uuid[VIR_UUID_STRING_BUFLEN];
};

/* call.c */
struct vx_call *call_new(struct vx_loop *loop, call_fn work, vx_call_cb fn, void *arg);
struct vx_call *call_start(struct vx_call *call, struct vx_err *err);
struct vx_call *conn_call(struct vx_conn *conn, call_fn work, vx_call_cb fn, void *arg,
                          struct vx_err *err);
struct vx_call *domain_call(struct vx_domain *domain, call_fn work, vx_call_cb fn, void *arg,
                            struct vx_err *err);
/* Fills call->err from this thread's last libvirt error, "<name>: <what>: " before it; returns
 * -1. */
int call_fail(struct vx_call *call, const char *what);
/* The same for any struct vx_err: the kind follows from libvirt's code. */
int err_libvirt(struct vx_err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* conn.c */
struct vx_conn *conn_adopt(struct vx_call *call);

/* domain.c */
struct vx_domain *domain_adopt(struct vx_conn *conn, virDomainPtr vir);
/* The pid in the pid file that libvirt keeps for the domain below the embedded root, or 0. */
long domain_pid(const char *root, const char *name);

/* state.c: the words for libvirt's numbers; never NULL, static. */
const char *state_name(int state);
const char *state_reason(int state, int reason);
const char *event_name(int event);
const char *event_reason(int event, int detail);

/* event.c: libvirt's event loop in its own thread, and the way from its callbacks to a
 * connection. A feed is shared by libvirt's threads and ours and counts its references itself.
 */
int event_setup(struct vx_err *err);
struct conn_feed *feed_new(struct vx_loop *loop);
void feed_attach(struct conn_feed *feed, struct vx_conn *conn, const char *root);
void feed_detach(struct conn_feed *feed);
void feed_unref(struct conn_feed *feed);
/* Runs on the pool. Registers for what next_event reports; ids of -1 are events this driver
 * lacks. */
int feed_register(struct conn_feed *feed, virConnectPtr vir, int ids[CONN_CALLBACKS],
                  struct vx_err *err);
void feed_unregister(struct conn_feed *feed, virConnectPtr vir, const int ids[CONN_CALLBACKS]);
void conn_events_clear(struct vx_conn *conn);

/* domain_check.c */
struct vx_domain_desc;
int domain_desc_check(const struct vx_domain_desc *desc, struct vx_err *err);

/* card.c: a network card's arguments for QEMU. */
struct vx_arch;
struct vx_buf;
struct vx_nic_desc;
enum { SLOT_CARD = 0x10 };
/* A value inside an option list, its commas doubled. */
void qemu_value(struct vx_buf *buf, const char *value);
void card_port(struct vx_buf *buf, const struct vx_arch *arch, unsigned slot);

/* The description of a drive of an architecture with nothing in it. */
void drive_xml(struct vx_buf *buf, const char *arch, const char *target);
void card_netdev(struct vx_buf *buf, const struct vx_nic_desc *nic, size_t i);
void card_device(struct vx_buf *buf, const struct vx_domain_desc *desc,
                 const struct vx_arch *arch, size_t i);

/* root.c */
int root_prepare(const char *root, const char *cache, struct vx_err *err);

/* reaper.c: Linux only, else nothing. acquire and release pair up; loop thread. */
int reaper_acquire(struct vx_loop *loop, struct vx_err *err);
void reaper_release(void);
/* Any thread: the guest of that name has just been started below that root (NULL: elsewhere). */
void reaper_know(const char *root, const char *name);
/* The wait status of the QEMU of that name if it was reaped lately; false if not. */
bool reaper_status(const char *name, int *status);

#endif
