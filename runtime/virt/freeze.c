/* Both ways are QEMU's migration with the capability x-ignore-shared: RAM that is a shared
 * mapping of a file is left out of the stream. The stream goes through a descriptor that is
 * handed to QEMU (getfd), because under libvirt's seccomp sandbox QEMU may start no program,
 * and as another user it may open no file of ours. A fork maps the same file privately
 * (share=off): there QEMU would expect the RAM in the stream if the capability did not say
 * otherwise, since a backend that is not shared is never left out by the sender, but a receiver
 * takes what comes.
 *
 * libvirt has no call for any of this; it notes the use of its monitor in its own log as a
 * taint. */
#include "runtime/virt/freeze.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <libvirt/libvirt-qemu.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "runtime/base/buf.h"
#include "runtime/virt/internal.h"

enum { POLL_FIRST_US = 500, POLL_MOST_US = 10000, PATIENCE_S = 120 };

static int say(struct vx_call *call, enum vx_kind kind, const char *what, const char *why)
{
    return vx_err_set(&call->err, kind, 0, "guest %s: %s: %s", call->guest, what, why);
}

/* Sends one command and hands back what it returned, which is the caller's, or NULL with the
 * error. fd is handed over with it unless it is -1. */
static json_t *ask(struct vx_call *call, const char *what, const char *command, int fd)
{
    char *reply = NULL;
    json_t *root = NULL;
    json_t *value = NULL;
    const char *why = NULL;
    int rc = 0;

    if (fd < 0)
        rc = virDomainQemuMonitorCommand(call->vir_domain, command, &reply, 0);
    else
        rc = virDomainQemuMonitorCommandWithFiles(call->vir_domain, command, 1, &fd, NULL, NULL,
                                                  &reply, 0);
    if (rc < 0) {
        call_fail(call, what);
        return NULL;
    }
    root = json_loads(reply, 0, NULL);
    free(reply);
    value = json_incref(json_object_get(root, "return"));
    if (value == NULL) {
        why = json_string_value(json_object_get(json_object_get(root, "error"), "desc"));
        say(call, VX_LIBVIRT, what, why != NULL ? why : "QEMU's answer is no answer");
    }
    json_decref(root);
    return value;
}

static int order(struct vx_call *call, const char *what, const char *command, int fd)
{
    json_t *value = ask(call, what, command, fd);

    json_decref(value);
    return value != NULL ? 0 : -1;
}

/* What both ends of a migration must have agreed on: whether RAM in a shared file is left out.
 * It holds for snapshots as well, so a guest that goes on must have it off again: a snapshot
 * of it would lack its RAM. */
static int leave_ram(struct vx_call *call, const char *what, bool out)
{
    char *command =
        vx_strfmt("{\"execute\":\"migrate-set-capabilities\",\"arguments\":{\"capabilities\":"
                  "[{\"capability\":\"x-ignore-shared\",\"state\":%s}]}}",
                  out ? "true" : "false");
    int rc = order(call, what, command, -1);

    free(command);
    return rc;
}

static int hand_over(struct vx_call *call, const char *what, int fd)
{
    return order(call, what, "{\"execute\":\"getfd\",\"arguments\":{\"fdname\":\"vxstate\"}}",
                 fd);
}

struct pause {
    struct timespec started;
    long us;
};

/* Waits a little, each time longer; false when it has been long enough. */
static bool pause_more(struct pause *pause)
{
    struct timespec now = { 0 };
    struct timespec rest = { .tv_nsec = pause->us * 1000 };

    clock_gettime(CLOCK_MONOTONIC, &now);
    if (pause->us == 0) {
        pause->started = now;
        pause->us = POLL_FIRST_US;
        rest.tv_nsec = POLL_FIRST_US * 1000;
    } else if (now.tv_sec - pause->started.tv_sec > PATIENCE_S) {
        return false;
    }
    nanosleep(&rest, NULL);
    if (pause->us < POLL_MOST_US)
        pause->us += pause->us / 2;
    return true;
}

/* Waits until the migration has ended well. QEMU answers {} before it has begun. */
static int await_migration(struct vx_call *call, const char *what)
{
    struct pause pause = { 0 };

    for (;;) {
        json_t *value = ask(call, what, "{\"execute\":\"query-migrate\"}", -1);
        const char *status = json_string_value(json_object_get(value, "status"));
        const char *why = json_string_value(json_object_get(value, "error-desc"));
        int done = 0;

        if (value == NULL)
            return -1;
        if (status != NULL && strcmp(status, "completed") == 0)
            done = 1;
        else if (status != NULL &&
                 (strcmp(status, "failed") == 0 || strcmp(status, "cancelled") == 0))
            done = say(call, VX_LIBVIRT, what,
                       why != NULL ? why : "QEMU could not write or read all of the state");
        json_decref(value);
        if (done != 0)
            return done > 0 ? 0 : -1;
        if (!pause_more(&pause))
            return say(call, VX_TIMEOUT, what, "QEMU did not come to an end");
    }
}

/* ---- freeze ---- */

/* Begins to write the state of a stopped guest to the descriptor. */
static int send_state(struct vx_call *call, const char *what, int fd, bool with_ram)
{
    if (leave_ram(call, what, !with_ram) < 0 || hand_over(call, what, fd) < 0 ||
        order(call, what,
              "{\"execute\":\"migrate-set-parameters\",\"arguments\":{\"max-bandwidth\":"
              "17179869184}}",
              -1) < 0)
        return -1;
    return order(call, what, "{\"execute\":\"migrate\",\"arguments\":{\"uri\":\"fd:vxstate\"}}",
                 -1);
}

/* Stops the cpus; was says whether they ran. */
static int halt(struct vx_call *call, const char *what, bool *ran)
{
    int state = 0;

    if (virDomainGetState(call->vir_domain, &state, NULL, 0) < 0)
        return call_fail(call, what);
    if (state != VIR_DOMAIN_RUNNING && state != VIR_DOMAIN_PAUSED)
        return say(call, VX_CLOSED, what, "it is not running");
    *ran = state == VIR_DOMAIN_RUNNING;
    if (*ran && virDomainSuspend(call->vir_domain) < 0)
        return call_fail(call, what);
    return 0;
}

/* After a failure, which call->err keeps: the guest is as it was. */
static void go_on(struct vx_call *call, bool ran)
{
    struct vx_err err = call->err;

    leave_ram(call, "cannot let it go on", false);
    if (ran && virDomainResume(call->vir_domain) < 0)
        call_fail(call, "cannot let it go on");
    call->err = err;
}

static int freeze_work(struct vx_call *call)
{
    static const char what[] = "cannot freeze it";
    int fd = open(call->text, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool ran = false;
    int rc = 0;

    if (fd < 0)
        return vx_err_errno(&call->err, errno, "guest %s: cannot make %s", call->guest,
                            call->text);
    if (halt(call, what, &ran) < 0 || send_state(call, what, fd, false) < 0 ||
        await_migration(call, what) < 0)
        rc = -1;
    if (rc < 0)
        go_on(call, ran);
    if (close(fd) < 0 && rc == 0)
        rc = vx_err_errno(&call->err, errno, "guest %s: cannot write %s", call->guest,
                          call->text);
    if (rc < 0)
        unlink(call->text);
    return rc;
}

struct vx_call *vx_domain_freeze(struct vx_domain *domain, const char *state_path,
                                 vx_call_cb fn, void *arg, struct vx_err *err)
{
    struct vx_call *call = domain_call(domain, freeze_work, fn, arg, err);

    if (call == NULL)
        return NULL;
    call->text = vx_strdup(state_path);
    return call_start(call, err);
}

/* ---- wake ---- */

/* Waits until all of the state is there. A guest that is resumed before that runs, but never
 * answers. */
static int await_state(struct vx_call *call, const char *what)
{
    struct pause pause = { 0 };

    for (;;) {
        json_t *value = ask(call, what, "{\"execute\":\"query-status\"}", -1);
        const char *status = json_string_value(json_object_get(value, "status"));
        bool coming = status != NULL && strcmp(status, "inmigrate") == 0;

        json_decref(value);
        if (value == NULL)
            return -1;
        if (!coming)
            return 0;
        if (!pause_more(&pause))
            return say(call, VX_TIMEOUT, what, "QEMU did not come to an end");
    }
}

/* Starts a QEMU that waits for a state, and gives it the descriptor to read that from. */
static int start_incoming(struct vx_call *call, const char *what, int fd, bool with_ram)
{
    if (virDomainCreateWithFlags(call->vir_domain, VIR_DOMAIN_START_PAUSED) < 0)
        return call_fail(call, "cannot start");
    reaper_know(call->root, call->guest);
    if (leave_ram(call, what, !with_ram) == 0 && hand_over(call, what, fd) == 0 &&
        order(call, what,
              "{\"execute\":\"migrate-incoming\",\"arguments\":{\"uri\":\"fd:vxstate\"}}",
              -1) == 0)
        return 0;
    virDomainDestroy(call->vir_domain);
    return -1;
}

static int wake_work(struct vx_call *call)
{
    static const char what[] = "cannot wake it";
    int fd = open(call->text, O_RDONLY | O_CLOEXEC);
    int rc = 0;

    if (fd < 0)
        return vx_err_errno(&call->err, errno, "guest %s: cannot open %s", call->guest,
                            call->text);
    rc = start_incoming(call, what, fd, false);
    close(fd);
    if (rc < 0)
        return -1;
    rc = await_state(call, what);
    if (rc == 0)
        rc = leave_ram(call, what, false);
    if (rc == 0 && virDomainResume(call->vir_domain) < 0)
        rc = call_fail(call, what);
    if (rc < 0)
        virDomainDestroy(call->vir_domain);
    return rc;
}

struct vx_call *vx_domain_wake(struct vx_domain *domain, const char *state_path, vx_call_cb fn,
                               void *arg, struct vx_err *err)
{
    struct vx_call *call = domain_call(domain, wake_work, fn, arg, err);

    if (call == NULL)
        return NULL;
    call->text = vx_strdup(state_path);
    call->forks = true;
    return call_start(call, err);
}

/* ---- move ---- */

/* The call is about the new domain; vir_from is the old one. */
static int move_work(struct vx_call *call)
{
    static const char what[] = "cannot move it into a file of its own";
    virDomainPtr to = call->vir_domain;
    bool ran = false;
    int ends[2] = { -1, -1 };
    int rc = -1;

    if (pipe(ends) < 0 || fcntl(ends[0], F_SETFD, FD_CLOEXEC) < 0 ||
        fcntl(ends[1], F_SETFD, FD_CLOEXEC) < 0) {
        vx_err_errno(&call->err, errno, "guest %s: %s", call->guest, what);
        goto out;
    }
    if (start_incoming(call, what, ends[0], true) < 0)
        goto out;
    call->vir_domain = call->vir_from;
    if (halt(call, what, &ran) == 0 && send_state(call, what, ends[1], true) == 0 &&
        await_migration(call, what) == 0) {
        call->vir_domain = to;
        rc = await_state(call, what);
    }
    if (rc < 0) {
        virDomainDestroy(to);
        call->vir_domain = call->vir_from;
        go_on(call, ran);
    }
    call->vir_domain = to;
out:
    for (int i = 0; i < 2; i++) {
        if (ends[i] >= 0)
            close(ends[i]);
    }
    return rc;
}

struct vx_call *vx_domain_move(struct vx_domain *domain, struct vx_domain *to, vx_call_cb fn,
                               void *arg, struct vx_err *err)
{
    struct vx_call *call = NULL;

    if (domain->vir == NULL) {
        vx_err_set(err, VX_CLOSED, 0, "guest %s: its connection is closed", domain->name);
        return NULL;
    }
    call = domain_call(to, move_work, fn, arg, err);
    if (call == NULL)
        return NULL;
    call->vir_from = domain->vir;
    virDomainRef(call->vir_from);
    call->forks = true;
    return call_start(call, err);
}
