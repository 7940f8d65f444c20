#include "runtime/virt/conn.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/buf.h"
#include "runtime/virt/internal.h"

/* libvirt keeps an embedded driver for the life of the process. */
static char *embedded_root;

static void say_nothing(void *arg, virErrorPtr error)
{
    (void)arg;
    (void)error;
}

void vx_virt_setup(void)
{
    virSetErrorFunc(NULL, say_nothing);
    setenv("LIBVIRT_LOG_OUTPUTS", "4:file:/dev/null", 0);
}

void vx_conn_ref(struct vx_conn *conn)
{
    conn->refs++;
}

static int close_work(struct vx_call *call)
{
    feed_unregister(call->feed, call->vir, call->callbacks);
    return 0; /* the reference itself is dropped with the call's */
}

/* Moves what is open from the connection into a call that closes it. */
static struct vx_call *begin_close(struct vx_conn *conn, vx_call_cb fn, void *arg)
{
    struct vx_call *call = call_new(conn->loop, close_work, fn, arg);

    for (struct vx_link *link = conn->domains.next; link != &conn->domains; link = link->next) {
        struct vx_domain *domain = VX_OF(link, struct vx_domain, link);

        virDomainFree(domain->vir); /* only counts down: the connection is still held */
        domain->vir = NULL;
    }
    call->vir = conn->vir;
    conn->vir = NULL;
    memcpy(call->callbacks, conn->callbacks, sizeof call->callbacks);
    feed_detach(conn->feed);
    call->feed = conn->feed;
    conn->feed = NULL;
    if (conn->root != NULL)
        call->root = vx_strdup(conn->root);
    return call;
}

void vx_conn_unref(struct vx_conn *conn)
{
    if (conn == NULL || --conn->refs > 0)
        return;
    if (conn->vir != NULL) {
        struct vx_call *call = begin_close(conn, NULL, NULL);

        call->detached = true;
        call_start(call, NULL);
    }
    conn->event_fn = NULL;
    conn_events_clear(conn);
    free(conn->uri);
    free(conn->root);
    free(conn);
}

bool vx_conn_is_closed(const struct vx_conn *conn)
{
    return conn->vir == NULL;
}

const char *vx_conn_uri(const struct vx_conn *conn)
{
    return conn->uri;
}

struct vx_conn *conn_adopt(struct vx_call *call)
{
    struct vx_conn *conn = vx_zalloc(sizeof *conn);

    conn->loop = call->loop;
    conn->refs = 1;
    conn->vir = call->made_conn;
    call->made_conn = NULL;
    conn->uri = call->name;
    call->name = NULL;
    conn->root = call->root;
    call->root = NULL;
    conn->feed = call->feed;
    call->feed = NULL;
    memcpy(conn->callbacks, call->callbacks, sizeof conn->callbacks);
    vx_list_init(&conn->domains);
    vx_list_init(&conn->events);
    feed_attach(conn->feed, conn, conn->root);
    return conn;
}

static int open_work(struct vx_call *call)
{
    if (call->root != NULL && root_prepare(call->root, call->cache, &call->err) < 0)
        return -1;
    if (virInitialize() < 0)
        return vx_err_set(&call->err, VX_LIBVIRT, 0, "libvirt cannot set itself up");
    if (event_setup(&call->err) < 0)
        return -1;
    call->made_conn = virConnectOpen(call->name);
    if (call->made_conn == NULL) {
        err_libvirt(&call->err, "cannot open %s", call->name);
        if (call->err.kind == VX_NOTFOUND) /* a socket that is not there */
            call->err.kind = VX_CONNECTION;
        return -1;
    }
    if (feed_register(call->feed, call->made_conn, call->callbacks, &call->err) < 0) {
        virConnectClose(call->made_conn);
        call->made_conn = NULL;
        return -1;
    }
    return 0;
}

/* Sockets below a root are named like lib/qemu/domain-1-TWENTY-LETTERS-OF-IT/monitor.sock, and
 * a socket's path has at most 107 bytes. */
enum { ROOT_LEN_MAX = 55 };

static char *embedded_uri(const struct vx_conn_opts *opts, struct vx_err *err)
{
    if (opts->root == NULL || opts->root[0] != '/') {
        vx_err_set(err, VX_USAGE, 0, "the embedded driver wants root = an absolute path");
        return NULL;
    }
    if (strlen(opts->root) > ROOT_LEN_MAX) {
        vx_err_set(err, VX_LIMIT, 0,
                   "the root %s is too long for the sockets below it: choose one of at most %d "
                   "bytes, under $XDG_RUNTIME_DIR or /tmp",
                   opts->root, ROOT_LEN_MAX);
        return NULL;
    }
    if (strpbrk(opts->root, "?&#%;+ ") != NULL) {
        vx_err_set(err, VX_USAGE, 0,
                   "the root %s has a character that a URI cannot hold as it is", opts->root);
        return NULL;
    }
    if (embedded_root != NULL && strcmp(embedded_root, opts->root) != 0) {
        vx_err_set(
            err, VX_UNSUPPORTED, 0,
            "this process has opened the root %s already, and libvirt can open only one in "
            "the life of a process: use another process for %s",
            embedded_root, opts->root);
        return NULL;
    }
    return vx_strfmt("qemu:///embed?root=%s", opts->root);
}

/* Once an embedded driver is open, plain qemu:///system and qemu:///session go to it too; with
 * their sockets named they do not. */
static char *daemon_uri(const char *where, const char *dir, struct vx_err *err)
{
    static const char *const sockets[] = { "libvirt-sock", "virtqemud-sock" };

    for (size_t i = 0; i < sizeof sockets / sizeof *sockets; i++) {
        char *path = vx_strfmt("%s/%s", dir, sockets[i]);
        char *uri = NULL;

        if (access(path, F_OK) == 0)
            uri = vx_strfmt("qemu+unix:///%s?socket=%s", where, path);
        free(path);
        if (uri != NULL)
            return uri;
    }
    vx_err_set(err, VX_CONNECTION, 0,
               "no libvirt daemon answers for qemu:///%s: there is neither libvirt-sock nor "
               "virtqemud-sock in %s; start libvirtd (or virtqemud), or use the default, which "
               "needs no daemon",
               where, dir);
    return NULL;
}

static char *choose_uri(const struct vx_conn_opts *opts, struct vx_err *err)
{
    const char *run = getenv("XDG_RUNTIME_DIR");
    const char *home = getenv("HOME");
    char *dir = NULL;
    char *uri = NULL;

    if (strcmp(opts->uri, "qemu:///embed") == 0)
        return embedded_uri(opts, err);
    if (opts->root != NULL || strncmp(opts->uri, "qemu:///embed", 13) == 0) {
        vx_err_set(err, VX_USAGE, 0,
                   "root is for the uri qemu:///embed, and goes beside it: %s", opts->uri);
        return NULL;
    }
    if (strcmp(opts->uri, "qemu:///system") == 0)
        return daemon_uri("system", "/run/libvirt", err);
    if (strcmp(opts->uri, "qemu:///session") != 0)
        return vx_strdup(opts->uri);
    dir = run != NULL && run[0] != '\0'
              ? vx_strfmt("%s/libvirt", run)
              : vx_strfmt("%s/.cache/libvirt", home != NULL ? home : "");
    uri = daemon_uri("session", dir, err);
    free(dir);
    return uri;
}

struct vx_call *vx_conn_open(struct vx_loop *loop, const struct vx_conn_opts *opts,
                             vx_call_cb fn, void *arg, struct vx_err *err)
{
    char *uri = choose_uri(opts, err);
    struct vx_call *call = NULL;

    if (uri == NULL)
        return NULL;
    if (opts->root != NULL && reaper_acquire(loop, err) < 0) {
        free(uri);
        return NULL;
    }
    call = call_new(loop, open_work, fn, arg);
    call->forks = true; /* programs that tell about the host and its QEMUs */
    call->name = uri;
    call->feed = feed_new(loop);
    if (opts->root != NULL) {
        call->root = vx_strdup(opts->root);
        call->cache = opts->cache != NULL ? vx_strdup(opts->cache) : NULL;
        if (embedded_root == NULL)
            embedded_root = vx_strdup(opts->root);
    }
    return call_start(call, err);
}

struct vx_call *vx_conn_close(struct vx_conn *conn, vx_call_cb fn, void *arg,
                              struct vx_err *err)
{
    if (conn->vir == NULL) {
        vx_err_set(err, VX_CLOSED, 0, "the connection to %s is closed already", conn->uri);
        return NULL;
    }
    conn_events_clear(conn);
    return call_start(begin_close(conn, fn, arg), err);
}

static int version_work(struct vx_call *call)
{
    struct vx_call_result *result = &call->result;

    if (virConnectGetLibVersion(call->vir, &result->libvirt_version) < 0)
        return call_fail(call, "cannot ask for libvirt's version");
    if (virConnectGetVersion(call->vir, &result->hypervisor_version) < 0)
        result->hypervisor_version = 0; /* no QEMU here, which is no error of the question */
    return 0;
}

struct vx_call *vx_conn_version(struct vx_conn *conn, vx_call_cb fn, void *arg,
                                struct vx_err *err)
{
    struct vx_call *call = conn_call(conn, version_work, fn, arg, err);

    return call != NULL ? call_start(call, err) : NULL;
}

static int capabilities_work(struct vx_call *call)
{
    call->result.text = virConnectGetCapabilities(call->vir);
    return call->result.text != NULL ? 0 : call_fail(call, "cannot get the capabilities");
}

struct vx_call *vx_conn_capabilities(struct vx_conn *conn, vx_call_cb fn, void *arg,
                                     struct vx_err *err)
{
    struct vx_call *call = conn_call(conn, capabilities_work, fn, arg, err);

    return call != NULL ? call_start(call, err) : NULL;
}

static int domains_work(struct vx_call *call)
{
    virDomainPtr *domains = NULL;
    int n = virConnectListAllDomains(call->vir, &domains, 0);

    if (n < 0)
        return call_fail(call, "cannot list the domains");
    call->result.names = vx_zalloc(sizeof(char *) * ((size_t)n + 1));
    for (int i = 0; i < n; i++) {
        call->result.names[call->result.names_len++] = vx_strdup(virDomainGetName(domains[i]));
        virDomainFree(domains[i]);
    }
    free(domains);
    return 0;
}

struct vx_call *vx_conn_domains(struct vx_conn *conn, vx_call_cb fn, void *arg,
                                struct vx_err *err)
{
    struct vx_call *call = conn_call(conn, domains_work, fn, arg, err);

    return call != NULL ? call_start(call, err) : NULL;
}

static int lookup_work(struct vx_call *call)
{
    call->made_domain = virDomainLookupByName(call->vir, call->guest);
    return call->made_domain != NULL ? 0 : call_fail(call, "cannot find it");
}

struct vx_call *vx_conn_lookup(struct vx_conn *conn, const char *name, vx_call_cb fn, void *arg,
                               struct vx_err *err)
{
    struct vx_call *call = conn_call(conn, lookup_work, fn, arg, err);

    if (call == NULL)
        return NULL;
    call->guest = vx_strdup(name);
    return call_start(call, err);
}

static int define_work(struct vx_call *call)
{
    call->made_domain =
        virDomainDefineXMLFlags(call->vir, call->text, VIR_DOMAIN_DEFINE_VALIDATE);
    return call->made_domain != NULL ? 0 : call_fail(call, "cannot define the domain");
}

struct vx_call *vx_conn_define(struct vx_conn *conn, const char *xml, vx_call_cb fn, void *arg,
                               struct vx_err *err)
{
    struct vx_call *call = conn_call(conn, define_work, fn, arg, err);

    if (call == NULL)
        return NULL;
    call->text = vx_strdup(xml);
    return call_start(call, err);
}

static int create_work(struct vx_call *call)
{
    unsigned flags = 0;

    if (call->flags & VX_START_PAUSED)
        flags |= VIR_DOMAIN_START_PAUSED;
    if (call->flags & VX_START_AUTODESTROY)
        flags |= VIR_DOMAIN_START_AUTODESTROY;
    call->made_domain = virDomainCreateXML(call->vir, call->text, flags);
    if (call->made_domain == NULL)
        return call_fail(call, "cannot create the domain");
    reaper_know(call->root, virDomainGetName(call->made_domain));
    return 0;
}

struct vx_call *vx_conn_create(struct vx_conn *conn, const char *xml, unsigned flags,
                               vx_call_cb fn, void *arg, struct vx_err *err)
{
    struct vx_call *call = conn_call(conn, create_work, fn, arg, err);

    if (call == NULL)
        return NULL;
    call->text = vx_strdup(xml);
    call->flags = flags;
    call->forks = true;
    return call_start(call, err);
}
