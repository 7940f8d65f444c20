#include "runtime/virt/domain.h"

#include <libvirt/libvirt-qemu.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/buf.h"
#include "runtime/virt/internal.h"

struct vx_domain *domain_adopt(struct vx_conn *conn, virDomainPtr vir)
{
    struct vx_domain *domain = vx_zalloc(sizeof *domain);

    domain->conn = conn;
    vx_conn_ref(conn);
    domain->vir = vir;
    domain->name = vx_strdup(virDomainGetName(vir));
    virDomainGetUUIDString(vir, domain->uuid);
    vx_list_push(&conn->domains, &domain->link);
    return domain;
}

void vx_domain_free(struct vx_domain *domain)
{
    if (domain == NULL)
        return;
    vx_list_unlink(&domain->link);
    if (domain->vir != NULL)
        virDomainFree(domain->vir); /* only counts down: the connection holds on */
    vx_conn_unref(domain->conn);
    free(domain->name);
    free(domain);
}

const char *vx_domain_name(const struct vx_domain *domain)
{
    return domain->name;
}

const char *vx_domain_uuid(const struct vx_domain *domain)
{
    return domain->uuid;
}

/* The embedded driver writes it before it executes QEMU and removes it when QEMU is gone:
 * <root>/run/qemu/<name>.pid holds the pid in decimal. driver.pid beside them is libvirt's lock on
 * the root: were we to open and close it, the lock of this whole process would be gone. */
long domain_pid(const char *root, const char *name)
{
    char *path = NULL;
    FILE *file = NULL;
    long pid = 0;

    if (root == NULL || strcmp(name, "driver") == 0)
        return 0;
    path = vx_strfmt("%s/run/qemu/%s.pid", root, name);
    file = fopen(path, "re");
    free(path);
    if (file == NULL)
        return 0;
    if (fscanf(file, "%ld", &pid) != 1)
        pid = 0;
    fclose(file);
    return pid;
}

/* A daemon's QEMU may be denied what ours is allowed. */
static int start_fail(struct vx_call *call)
{
    size_t len = 0;

    call_fail(call, "cannot start");
    len = strlen(call->err.msg);
    if (strstr(call->err.msg, "io_uring") != NULL)
        snprintf(call->err.msg + len, sizeof call->err.msg - len,
                 "; set VMATRIX_DISK_IO=threads to do without it");
    return -1;
}

static int start_work(struct vx_call *call)
{
    unsigned flags = 0;

    if (call->flags & VX_START_PAUSED)
        flags |= VIR_DOMAIN_START_PAUSED;
    if (call->flags & VX_START_AUTODESTROY)
        flags |= VIR_DOMAIN_START_AUTODESTROY;
    if (virDomainCreateWithFlags(call->vir_domain, flags) < 0)
        return start_fail(call);
    reaper_know(call->root, call->guest);
    return 0;
}

struct vx_call *vx_domain_start(struct vx_domain *domain, unsigned flags, vx_call_cb fn,
                                void *arg, struct vx_err *err)
{
    struct vx_call *call = domain_call(domain, start_work, fn, arg, err);

    if (call == NULL)
        return NULL;
    call->flags = flags;
    call->forks = true;
    return call_start(call, err);
}

static int shutdown_work(struct vx_call *call)
{
    if (virDomainShutdown(call->vir_domain) < 0)
        return call_fail(call, "cannot ask it to shut down");
    return 0;
}

static int reboot_work(struct vx_call *call)
{
    if (virDomainReboot(call->vir_domain, 0) < 0)
        return call_fail(call, "cannot ask it to reboot");
    return 0;
}

static int reset_work(struct vx_call *call)
{
    if (virDomainReset(call->vir_domain, 0) < 0)
        return call_fail(call, "cannot reset it");
    return 0;
}

static int destroy_work(struct vx_call *call)
{
    if (virDomainDestroy(call->vir_domain) < 0)
        return call_fail(call, "cannot destroy it");
    return 0;
}

static int suspend_work(struct vx_call *call)
{
    if (virDomainSuspend(call->vir_domain) < 0)
        return call_fail(call, "cannot suspend it");
    return 0;
}

static int resume_work(struct vx_call *call)
{
    if (virDomainResume(call->vir_domain) < 0)
        return call_fail(call, "cannot resume it");
    return 0;
}

/* Our own driver's log of the guest goes with it: a long run would gather one for every guest. */
static int undefined(struct vx_call *call)
{
    char *log = NULL;

    if (call->root != NULL) {
        log = vx_strfmt("%s/log/qemu/%s.log", call->root, call->guest);
        unlink(log); /* a guest that never started has none */
        free(log);
    }
    return 0;
}

/* Drivers know different flags; what they do not know they do not have to clean up either. */
static int undefine_work(struct vx_call *call)
{
    static const unsigned tries[] = {
        VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA |
            VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA | VIR_DOMAIN_UNDEFINE_NVRAM,
        VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA,
        0,
    };

    for (size_t i = 0; i < sizeof tries / sizeof *tries; i++) {
        const virError *error = NULL;

        if (virDomainUndefineFlags(call->vir_domain, tries[i]) == 0)
            return undefined(call);
        error = virGetLastError();
        if (error == NULL ||
            (error->code != VIR_ERR_INVALID_ARG && error->code != VIR_ERR_NO_SUPPORT &&
             error->code != VIR_ERR_ARGUMENT_UNSUPPORTED))
            break;
    }
    return call_fail(call, "cannot undefine it");
}

struct vx_call *vx_domain_do(struct vx_domain *domain, enum vx_domain_verb verb, vx_call_cb fn,
                             void *arg, struct vx_err *err)
{
    static const call_fn works[] = {
        [VX_DOMAIN_SHUTDOWN] = shutdown_work, [VX_DOMAIN_REBOOT] = reboot_work,
        [VX_DOMAIN_RESET] = reset_work,       [VX_DOMAIN_DESTROY] = destroy_work,
        [VX_DOMAIN_SUSPEND] = suspend_work,   [VX_DOMAIN_RESUME] = resume_work,
        [VX_DOMAIN_UNDEFINE] = undefine_work,
    };
    struct vx_call *call = domain_call(domain, works[verb], fn, arg, err);

    return call != NULL ? call_start(call, err) : NULL;
}

static int info_work(struct vx_call *call)
{
    struct vx_domain_info *info = &call->result.info;
    virDomainInfo got;
    int state = 0;
    int reason = 0;

    if (virDomainGetState(call->vir_domain, &state, &reason, 0) < 0 ||
        virDomainGetInfo(call->vir_domain, &got) < 0)
        return call_fail(call, "cannot ask for its state");
    info->state = state_name(state);
    info->reason = state_reason(state, reason);
    info->cpus = got.nrVirtCpu;
    info->max_memory = (unsigned long long)got.maxMem * 1024;
    info->memory = (unsigned long long)got.memory * 1024;
    info->cpu_time = (double)got.cpuTime / 1e9;
    info->pid = domain_pid(call->root, call->guest);
    return 0;
}

struct vx_call *vx_domain_get_info(struct vx_domain *domain, vx_call_cb fn, void *arg,
                                   struct vx_err *err)
{
    struct vx_call *call = domain_call(domain, info_work, fn, arg, err);

    return call != NULL ? call_start(call, err) : NULL;
}

static int xml_work(struct vx_call *call)
{
    unsigned flags = call->flag ? VIR_DOMAIN_XML_INACTIVE : 0;

    call->result.text = virDomainGetXMLDesc(call->vir_domain, flags);
    return call->result.text != NULL ? 0 : call_fail(call, "cannot get its XML");
}

struct vx_call *vx_domain_xml(struct vx_domain *domain, bool inactive, vx_call_cb fn, void *arg,
                              struct vx_err *err)
{
    struct vx_call *call = domain_call(domain, xml_work, fn, arg, err);

    if (call == NULL)
        return NULL;
    call->flag = inactive;
    return call_start(call, err);
}

static int block_work(struct vx_call *call)
{
    virDomainBlockInfo got;

    if (virDomainGetBlockInfo(call->vir_domain, call->text, &got, 0) < 0)
        return call_fail(call, "cannot ask for the size of its disk");
    call->result.block = (struct vx_block_info){
        .capacity = got.capacity,
        .allocation = got.allocation,
        .physical = got.physical,
    };
    return 0;
}

struct vx_call *vx_domain_block(struct vx_domain *domain, const char *target, vx_call_cb fn,
                                void *arg, struct vx_err *err)
{
    struct vx_call *call = domain_call(domain, block_work, fn, arg, err);

    if (call == NULL)
        return NULL;
    call->text = vx_strdup(target);
    return call_start(call, err);
}

static int eject_work(struct vx_call *call)
{
    unsigned flags = VIR_DOMAIN_AFFECT_CONFIG | VIR_DOMAIN_DEVICE_MODIFY_FORCE;

    if (virDomainIsActive(call->vir_domain) == 1)
        flags |= VIR_DOMAIN_AFFECT_LIVE;
    if (virDomainUpdateDeviceFlags(call->vir_domain, call->text, flags) < 0)
        return call_fail(call, "cannot take a medium out");
    return 0;
}

struct vx_call *vx_domain_eject(struct vx_domain *domain, const char *arch, const char *target,
                                vx_call_cb fn, void *arg, struct vx_err *err)
{
    struct vx_call *call = domain_call(domain, eject_work, fn, arg, err);
    struct vx_buf xml = { 0 };

    if (call == NULL)
        return NULL;
    drive_xml(&xml, arch, target);
    call->text = vx_strdup(vx_buf_cstr(&xml));
    vx_buf_free(&xml);
    return call_start(call, err);
}

static int monitor_work(struct vx_call *call)
{
    unsigned flags = call->flag ? VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP
                                : VIR_DOMAIN_QEMU_MONITOR_COMMAND_DEFAULT;

    if (virDomainQemuMonitorCommand(call->vir_domain, call->text, &call->result.text, flags) <
        0)
        return call_fail(call, "cannot send a command to QEMU's monitor");
    return 0;
}

struct vx_call *vx_domain_monitor(struct vx_domain *domain, const char *command, bool human,
                                  vx_call_cb fn, void *arg, struct vx_err *err)
{
    struct vx_call *call = domain_call(domain, monitor_work, fn, arg, err);

    if (call == NULL)
        return NULL;
    call->text = vx_strdup(command);
    call->flag = human;
    return call_start(call, err);
}

static int agent_work(struct vx_call *call)
{
    int seconds = (int)call->flags;

    call->result.text = virDomainQemuAgentCommand(call->vir_domain, call->text, seconds, 0);
    return call->result.text != NULL ? 0 : call_fail(call, "cannot ask its guest agent");
}

struct vx_call *vx_domain_agent(struct vx_domain *domain, const char *command, int seconds,
                                vx_call_cb fn, void *arg, struct vx_err *err)
{
    struct vx_call *call = domain_call(domain, agent_work, fn, arg, err);

    if (call == NULL)
        return NULL;
    call->text = vx_strdup(command);
    call->flags = (unsigned)(seconds < 0 ? VIR_DOMAIN_QEMU_AGENT_COMMAND_BLOCK : seconds);
    return call_start(call, err);
}
