/* Events: from libvirt's thread to the queue of a connection. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "runtime/base/buf.h"
#include "runtime/virt/internal.h"

struct conn_feed {
    pthread_mutex_t lock;
    atomic_int refs;
    atomic_bool listens;  /* a reference is held for the close callback */
    struct vx_loop *loop; /* under lock; NULL once nobody listens */
    char *root;           /* under lock */
    struct vx_conn *conn; /* loop thread only */
};

struct posted {
    struct conn_feed *feed;
    struct vx_event *event;
};

struct queued {
    struct vx_link link;
    struct vx_event event;
};

static void *event_thread(void *arg)
{
    for (;;)
        virEventRunDefaultImpl();
    return arg;
}

/* The thread is never joined: libvirt's own loop has no end, and once the last connection is
 * closed nothing reaches us from it. It takes no signal. */
static int start_thread(void)
{
    pthread_attr_t attr;
    pthread_t thread;
    sigset_t all;
    sigset_t old;
    int rc = 0;

    sigfillset(&all);
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    rc = pthread_create(&thread, &attr, event_thread, NULL);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    return rc;
}

int event_setup(struct vx_err *err)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static bool registered;
    static bool running;
    int rc = 0;

    pthread_mutex_lock(&lock);
    if (!registered) {
        rc = virEventRegisterDefaultImpl();
        registered = rc == 0;
        if (rc < 0)
            err_libvirt(err, "cannot set up libvirt's event loop");
    }
    if (registered && !running) {
        int errnum = start_thread();

        running = errnum == 0;
        if (errnum != 0)
            rc = vx_err_errno(err, errnum, "cannot start the thread of libvirt's events");
    }
    pthread_mutex_unlock(&lock);
    return rc;
}

struct conn_feed *feed_new(struct vx_loop *loop)
{
    struct conn_feed *feed = vx_zalloc(sizeof *feed);

    pthread_mutex_init(&feed->lock, NULL);
    atomic_init(&feed->refs, 1);
    feed->loop = loop;
    return feed;
}

void feed_attach(struct conn_feed *feed, struct vx_conn *conn, const char *root)
{
    pthread_mutex_lock(&feed->lock);
    feed->root = root != NULL ? vx_strdup(root) : NULL;
    pthread_mutex_unlock(&feed->lock);
    feed->conn = conn;
}

void feed_detach(struct conn_feed *feed)
{
    pthread_mutex_lock(&feed->lock);
    feed->loop = NULL;
    pthread_mutex_unlock(&feed->lock);
    feed->conn = NULL;
}

void feed_unref(struct conn_feed *feed)
{
    if (atomic_fetch_sub(&feed->refs, 1) != 1)
        return;
    pthread_mutex_destroy(&feed->lock);
    free(feed->root);
    free(feed);
}

static void feed_gone(void *arg)
{
    feed_unref(arg);
}

static void free_event(struct vx_event *event)
{
    free(event->domain);
    free(event);
}

static void deliver(void *arg)
{
    struct vx_conn *conn = arg;
    vx_event_cb fn = conn->event_fn;
    struct vx_link *link = conn->events.next;

    if (fn != NULL && (conn->vir == NULL || link != &conn->events)) {
        struct queued *queued = NULL;

        conn->event_fn = NULL;
        if (conn->vir != NULL) {
            queued = VX_OF(link, struct queued, link);
            vx_list_unlink(link);
            conn->events_len--;
            queued->event.lost = conn->events_lost;
            conn->events_lost = 0;
        }
        fn(queued != NULL ? &queued->event : NULL, conn->event_arg);
        if (queued != NULL)
            free(queued->event.domain);
        free(queued);
    }
    vx_conn_unref(conn);
}

static void wake(struct vx_conn *conn)
{
    vx_conn_ref(conn);
    vx_loop_post(conn->loop, deliver, conn);
}

static void drop_oldest(struct vx_conn *conn)
{
    struct queued *oldest = VX_OF(conn->events.next, struct queued, link);

    vx_list_unlink(&oldest->link);
    conn->events_len--;
    free(oldest->event.domain);
    free(oldest);
}

void conn_events_clear(struct vx_conn *conn)
{
    while (!vx_list_empty(&conn->events))
        drop_oldest(conn);
    if (conn->event_fn != NULL)
        wake(conn);
}

/* How QEMU ended is known to the reaper, which saw it before libvirt told us. */
static void add_status(struct vx_event *event)
{
    int status = 0;

    if (strcmp(event->event, "stopped") != 0 || !reaper_status(event->domain, &status))
        return;
    if (WIFSIGNALED(status))
        event->signal = WTERMSIG(status);
    else
        event->status = WEXITSTATUS(status);
}

static void arrive(void *arg)
{
    struct posted *posted = arg;
    struct vx_conn *conn = posted->feed->conn;

    if (conn != NULL) {
        struct queued *queued = vx_zalloc(sizeof *queued);

        queued->event = *posted->event;
        if (queued->event.own[0] != '\0')
            queued->event.reason = queued->event.own;
        posted->event->domain = NULL;
        add_status(&queued->event);
        if (conn->events_len == CONN_EVENTS_MAX) {
            drop_oldest(conn);
            conn->events_lost++;
        }
        vx_list_push(&conn->events, &queued->link);
        conn->events_len++;
        wake(conn);
    }
    free_event(posted->event);
    feed_unref(posted->feed);
    free(posted);
}

/* domain is NULL for what is about the connection itself. */
static void post_event(struct conn_feed *feed, virDomainPtr domain, const char *name,
                       const char *reason, const char *own)
{
    struct posted *posted = vx_zalloc(sizeof *posted);
    struct vx_event *event = vx_zalloc(sizeof *event);

    event->domain = vx_strdup(domain != NULL ? virDomainGetName(domain) : "");
    if (domain != NULL)
        virDomainGetUUIDString(domain, event->uuid);
    event->event = name;
    event->reason = reason;
    event->status = -1;
    if (own != NULL)
        snprintf(event->own, sizeof event->own, "%s", own);
    posted->feed = feed;
    posted->event = event;
    pthread_mutex_lock(&feed->lock);
    if (feed->loop != NULL) {
        if (domain != NULL)
            event->pid = domain_pid(feed->root, event->domain);
        atomic_fetch_add(&feed->refs, 1);
        vx_loop_post(feed->loop, arrive, posted);
        posted = NULL;
    }
    pthread_mutex_unlock(&feed->lock);
    if (posted != NULL) {
        free_event(event);
        free(posted);
    }
}

static int on_lifecycle(virConnectPtr vir, virDomainPtr domain, int event, int detail,
                        void *arg)
{
    (void)vir;
    post_event(arg, domain, event_name(event), event_reason(event, detail), NULL);
    return 0;
}

static void on_reboot(virConnectPtr vir, virDomainPtr domain, void *arg)
{
    (void)vir;
    post_event(arg, domain, "rebooted", "guest", NULL);
}

static void on_io_error(virConnectPtr vir, virDomainPtr domain, const char *path,
                        const char *alias, int action, const char *reason, void *arg)
{
    (void)vir;
    (void)path;
    (void)alias;
    (void)action;
    post_event(arg, domain, "io_error", "unknown",
               reason != NULL && reason[0] != '\0' ? reason : NULL);
}

static void on_close(virConnectPtr vir, int reason, void *arg)
{
    (void)vir;
    if (reason != VIR_CONNECT_CLOSE_REASON_CLIENT)
        post_event(arg, NULL, "disconnected",
                   reason == VIR_CONNECT_CLOSE_REASON_KEEPALIVE ? "no sign of life"
                   : reason == VIR_CONNECT_CLOSE_REASON_EOF     ? "it closed the connection"
                                                                : "an error",
                   NULL);
}

/* libvirt says that it has taken a close callback also where the driver knows none, and then never
 * lets go of it: whoever comes first here does. */
static void close_gone(void *arg)
{
    struct conn_feed *feed = arg;

    if (atomic_exchange(&feed->listens, false))
        feed_unref(feed);
}

void feed_unregister(struct conn_feed *feed, virConnectPtr vir, const int ids[CONN_CALLBACKS])
{
    for (int i = 0; i < CONN_CALLBACKS; i++) {
        if (ids[i] >= 0)
            virConnectDomainEventDeregisterAny(vir, ids[i]);
    }
    virConnectUnregisterCloseCallback(vir, on_close);
    close_gone(feed);
}

int feed_register(struct conn_feed *feed, virConnectPtr vir, int ids[CONN_CALLBACKS],
                  struct vx_err *err)
{
    static const int kinds[CONN_CALLBACKS] = {
        VIR_DOMAIN_EVENT_ID_LIFECYCLE,
        VIR_DOMAIN_EVENT_ID_REBOOT,
        VIR_DOMAIN_EVENT_ID_IO_ERROR_REASON,
    };
    const virConnectDomainEventGenericCallback fns[CONN_CALLBACKS] = {
        VIR_DOMAIN_EVENT_CALLBACK(on_lifecycle),
        VIR_DOMAIN_EVENT_CALLBACK(on_reboot),
        VIR_DOMAIN_EVENT_CALLBACK(on_io_error),
    };

    for (int i = 0; i < CONN_CALLBACKS; i++) {
        atomic_fetch_add(&feed->refs, 1);
        ids[i] = virConnectDomainEventRegisterAny(vir, NULL, kinds[i], fns[i], feed, feed_gone);
        if (ids[i] >= 0)
            continue;
        feed_unref(feed);
        if (i == 0)
            return err_libvirt(err, "cannot listen to the events of the connection");
        ids[i] = -1;
    }
    atomic_fetch_add(&feed->refs, 1);
    atomic_store(&feed->listens, true);
    if (virConnectRegisterCloseCallback(vir, on_close, feed, close_gone) < 0)
        close_gone(feed); /* a driver without a daemon that could go */
    return 0;
}

int vx_conn_next_event(struct vx_conn *conn, vx_event_cb fn, void *arg, struct vx_err *err)
{
    if (conn->vir == NULL)
        return vx_err_set(err, VX_CLOSED, 0, "the connection to %s is closed", conn->uri);
    if (conn->event_fn != NULL)
        return vx_err_set(
            err, VX_USAGE, 0,
            "another task waits for the next event of %s already: let one task take "
            "the events and hand them on",
            conn->uri);
    conn->event_fn = fn;
    conn->event_arg = arg;
    if (!vx_list_empty(&conn->events))
        wake(conn);
    return 0;
}

void vx_conn_event_cancel(struct vx_conn *conn, void *arg)
{
    if (conn->event_fn != NULL && conn->event_arg == arg)
        conn->event_fn = NULL;
}
