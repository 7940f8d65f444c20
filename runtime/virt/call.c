#include "runtime/virt/call.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/buf.h"
#include "runtime/loop/pool.h"
#include "runtime/virt/internal.h"

const struct vx_err *vx_call_error(const struct vx_call *call)
{
    return call->failed ? &call->err : NULL;
}

const struct vx_call_result *vx_call_get(const struct vx_call *call)
{
    return &call->result;
}

struct vx_conn *vx_call_take_conn(struct vx_call *call)
{
    struct vx_conn *conn = call->taken_conn;

    call->taken_conn = NULL;
    return conn;
}

struct vx_domain *vx_call_take_domain(struct vx_call *call)
{
    struct vx_domain *domain = call->taken_domain;

    call->taken_domain = NULL;
    return domain;
}

static void free_result(struct vx_call_result *result)
{
    free(result->text);
    for (size_t i = 0; i < result->names_len; i++)
        free(result->names[i]);
    free(result->names);
    for (size_t i = 0; i < result->snapshots_len; i++) {
        free(result->snapshots[i].name);
        free(result->snapshots[i].parent);
        free(result->snapshots[i].description);
        free(result->snapshots[i].state);
    }
    free(result->snapshots);
}

static void really_free(struct vx_call *call)
{
    vx_domain_free(call->taken_domain);
    vx_conn_unref(call->taken_conn);
    vx_conn_unref(call->conn);
    free_result(&call->result);
    free(call->guest);
    free(call->name);
    free(call->text);
    free(call->root);
    free(call->cache);
    free(call);
}

void vx_call_free(struct vx_call *call)
{
    if (call == NULL)
        return;
    if (call->started && !call->returned) {
        call->detached = true;
        return;
    }
    really_free(call);
}

struct vx_call *call_new(struct vx_loop *loop, call_fn work, vx_call_cb fn, void *arg)
{
    struct vx_call *call = vx_zalloc(sizeof *call);

    call->loop = loop;
    call->work = work;
    call->fn = fn;
    call->arg = arg;
    return call;
}

static void drop_vir(struct vx_call *call)
{
    if (call->vir_domain != NULL)
        virDomainFree(call->vir_domain);
    if (call->vir_from != NULL)
        virDomainFree(call->vir_from);
    if (call->vir != NULL)
        virConnectClose(call->vir);
    call->vir_domain = NULL;
    call->vir_from = NULL;
    call->vir = NULL;
}

/* libvirt allocates between fork and exec. The C library's allocator allows for that, but the one
 * of AddressSanitizer (before LLVM 17) leaves its locks as they were, and a child forked while
 * another thread held one hangs. One program at a time makes that rare enough for tests. */
#if defined(__SANITIZE_ADDRESS__)
#define FORKS_ONE_BY_ONE 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FORKS_ONE_BY_ONE 1
#endif
#endif

static int work_of(struct vx_call *call)
{
#ifdef FORKS_ONE_BY_ONE
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    int rc = 0;

    if (!call->forks)
        return call->work(call);
    pthread_mutex_lock(&lock);
    rc = call->work(call);
    pthread_mutex_unlock(&lock);
    return rc;
#else
    return call->work(call);
#endif
}

static void call_work(void *arg)
{
    struct vx_call *call = arg;

    call->failed = work_of(call) < 0;
    drop_vir(call);
}

/* Makes our objects of what the worker brought, on the loop thread where they live. */
static void adopt(struct vx_call *call)
{
    if (call->made_conn != NULL)
        call->taken_conn = conn_adopt(call);
    if (call->made_domain == NULL)
        return;
    if (call->conn != NULL && call->conn->vir != NULL) {
        call->taken_domain = domain_adopt(call->conn, call->made_domain);
    } else {
        virDomainFree(call->made_domain);
        call->failed = true;
        vx_err_set(&call->err, VX_CLOSED, 0, "the connection was closed during the call");
    }
    call->made_domain = NULL;
}

/* After an open that failed, or a close: whoever is connected has taken these over. */
static void drop_feed(struct vx_call *call)
{
    if (call->feed == NULL)
        return;
    feed_unref(call->feed);
    call->feed = NULL;
    if (call->root != NULL)
        reaper_release();
}

static void call_done(void *arg)
{
    struct vx_call *call = arg;

    call->returned = true;
    adopt(call);
    drop_feed(call);
    if (call->detached)
        really_free(call);
    else if (call->fn != NULL)
        call->fn(call, call->arg);
}

struct vx_call *call_start(struct vx_call *call, struct vx_err *err)
{
    if (vx_pool_run(call->loop, call_work, call_done, call, err) < 0) {
        drop_vir(call);
        drop_feed(call);
        really_free(call);
        return NULL;
    }
    call->started = true;
    return call;
}

struct vx_call *conn_call(struct vx_conn *conn, call_fn work, vx_call_cb fn, void *arg,
                          struct vx_err *err)
{
    struct vx_call *call = NULL;

    if (conn->vir == NULL) {
        vx_err_set(err, VX_CLOSED, 0, "the connection to %s is closed", conn->uri);
        return NULL;
    }
    call = call_new(conn->loop, work, fn, arg);
    call->conn = conn;
    vx_conn_ref(conn);
    call->vir = conn->vir;
    virConnectRef(call->vir);
    if (conn->root != NULL)
        call->root = vx_strdup(conn->root);
    return call;
}

struct vx_call *domain_call(struct vx_domain *domain, call_fn work, vx_call_cb fn, void *arg,
                            struct vx_err *err)
{
    struct vx_call *call = NULL;

    if (domain->vir == NULL) {
        vx_err_set(err, VX_CLOSED, 0, "guest %s: its connection to %s is closed", domain->name,
                   domain->conn->uri);
        return NULL;
    }
    call = conn_call(domain->conn, work, fn, arg, err);
    if (call == NULL)
        return NULL;
    call->vir_domain = domain->vir;
    virDomainRef(call->vir_domain);
    call->guest = vx_strdup(domain->name);
    return call;
}

static enum vx_kind kind_of(const virError *error)
{
    switch (error->code) {
    case VIR_ERR_NO_DOMAIN:
    case VIR_ERR_NO_DOMAIN_SNAPSHOT:
        return VX_NOTFOUND;
    case VIR_ERR_DOM_EXIST:
        return VX_EXISTS;
    case VIR_ERR_OPERATION_TIMEOUT:
    case VIR_ERR_AGENT_UNRESPONSIVE:
        return VX_TIMEOUT;
    case VIR_ERR_ACCESS_DENIED:
    case VIR_ERR_OPERATION_DENIED:
        return VX_DENIED;
    case VIR_ERR_AUTH_FAILED:
    case VIR_ERR_AUTH_CANCELLED:
        return VX_AUTH;
    case VIR_ERR_NO_SUPPORT:
    case VIR_ERR_CONFIG_UNSUPPORTED:
    case VIR_ERR_OPERATION_UNSUPPORTED:
    case VIR_ERR_ARGUMENT_UNSUPPORTED:
        return VX_UNSUPPORTED;
    case VIR_ERR_NO_CONNECT:
        return VX_CONNECTION;
    case VIR_ERR_XML_ERROR:
    case VIR_ERR_XML_DETAIL:
    case VIR_ERR_XML_INVALID_SCHEMA:
        return VX_FORMAT;
    case VIR_ERR_SYSTEM_ERROR: { /* int1 is the errno */
        struct vx_err err = { 0 };

        vx_err_errno(&err, error->int1, " ");
        /* A monitor that was cut is a QEMU that died, no lost connection of ours. */
        if (err.kind == VX_CONNECTION && error->domain == VIR_FROM_QEMU)
            return VX_LIBVIRT;
        return err.kind == VX_SYSTEM ? VX_LIBVIRT : err.kind;
    }
    default:
        return VX_LIBVIRT;
    }
}

/* When a program fails, libvirt puts its whole command line in front of the reason, which is
 * longer than a message may be: "Child process (LC_ALL=C ... -device ...) unexpected exit
 * status 1: reason". */
static char *without_command(const char *message)
{
    static const char begins[] = "Child process (";
    const char *from = strstr(message, begins);
    const char *to = NULL;

    for (const char *p = from; p != NULL; p = strstr(p + 1, ") unexpected"))
        to = p;
    if (from == NULL || to == from)
        return vx_strdup(message);
    from += sizeof begins - 1;
    return vx_strfmt("%.*s...%s", (int)(from - message), message, to);
}

int err_libvirt(struct vx_err *err, const char *fmt, ...)
{
    const virError *error = virGetLastError();
    char *message = NULL;
    va_list ap;
    size_t len = 0;

    if (err == NULL)
        return -1;
    va_start(ap, fmt);
    vx_err_setv(err, error != NULL ? kind_of(error) : VX_LIBVIRT,
                error != NULL ? error->code : 0, fmt, ap);
    va_end(ap);
    message = without_command(
        error != NULL && error->message != NULL ? error->message : "libvirt gave no reason");
    len = strlen(err->msg);
    snprintf(err->msg + len, sizeof err->msg - len, ": %s", message);
    free(message);
    /* QEMU's own lines are part of some messages and end with a newline. */
    for (len = strlen(err->msg); len > 0 && err->msg[len - 1] == '\n'; len--)
        err->msg[len - 1] = '\0';
    return -1;
}

int call_fail(struct vx_call *call, const char *what)
{
    if (call->guest != NULL)
        return err_libvirt(&call->err, "guest %s: %s", call->guest, what);
    return err_libvirt(&call->err, "%s", what);
}
