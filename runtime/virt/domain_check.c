/* What can be said of a description before anything is made of it. */
#include <string.h>

#include "runtime/virt/domain_xml.h"
#include "runtime/virt/internal.h"

static int check_forward(const struct vx_domain_desc *desc, const struct vx_forward_desc *f,
                         struct vx_err *err)
{
    if (f->guest_port < 1 || f->guest_port > 65535 || f->host_port > 65535)
        return vx_err_set(err, VX_USAGE, 0,
                          "guest %s: a forward wants ports up to 65535: %u to %u", desc->name,
                          f->host_port, f->guest_port);
    if (f->host_addr != NULL &&
        (f->host_addr[0] == '\0' || f->host_addr[strspn(f->host_addr, "0123456789.")] != '\0'))
        return vx_err_set(
            err, VX_USAGE, 0,
            "guest %s: a forward listens on an IPv4 address of the host, not on \"%s\"",
            desc->name, f->host_addr);
    return 0;
}

static unsigned cards_on_networks(const struct vx_domain_desc *desc)
{
    unsigned n = 0;

    for (size_t i = 0; i < desc->nics_len; i++)
        n += desc->nics[i].socket != NULL;
    return n;
}

int domain_desc_check(const struct vx_domain_desc *desc, struct vx_err *err)
{
    if (desc->name == NULL || desc->name[0] == '\0' || strchr(desc->name, '/') != NULL ||
        desc->name[0] == '.')
        return vx_err_set(
            err, VX_USAGE, 0,
            "a guest wants a name that is a file name, without a slash or a dot at "
            "its start: \"%s\"",
            desc->name != NULL ? desc->name : "");
    if (strcmp(desc->name, "driver") == 0)
        return vx_err_set(
            err, VX_USAGE, 0,
            "a guest cannot be named driver: libvirt's own pid file has that name");
    if (desc->accel == NULL || desc->arch == NULL || desc->cpus < 1 || desc->memory < 1 << 20)
        return vx_err_set(
            err, VX_USAGE, 0,
            "guest %s: arch, accel, at least 1 cpu and 1 MiB of memory are needed", desc->name);
    if (desc->memory % 1024 != 0)
        return vx_err_set(err, VX_USAGE, 0,
                          "guest %s: its memory is no whole number of KiB: %llu", desc->name,
                          desc->memory);
    if (desc->disks_len > VX_DISKS_MAX || desc->nics_len > VX_NICS_MAX)
        return vx_err_set(err, VX_LIMIT, 0, "guest %s: at most %d disks and %d network cards",
                          desc->name, (int)VX_DISKS_MAX, (int)VX_NICS_MAX);
    if (cards_on_networks(desc) > desc->card_slots || desc->card_slots > VX_NICS_MAX)
        return vx_err_set(err, VX_LIMIT, 0,
                          "guest %s: it has %u slots for cards of private networks, needs %u, "
                          "and may have %d",
                          desc->name, desc->card_slots, cards_on_networks(desc),
                          (int)VX_NICS_MAX);
    if ((desc->loader == NULL) != (desc->nvram == NULL))
        return vx_err_set(err, VX_USAGE, 0, "guest %s: loader and nvram go together",
                          desc->name);
    for (size_t i = 0; i < desc->disks_len; i++) {
        bool empty = desc->disks[i].path == NULL && !desc->disks[i].cdrom;

        if (empty || desc->disks[i].format == NULL)
            return vx_err_set(err, VX_USAGE, 0, "guest %s: disk %zu wants a path and a format",
                              desc->name, i + 1);
    }
    for (size_t i = 0; i < desc->nics_len; i++) {
        if (desc->nics[i].place > VX_NICS_MAX)
            return vx_err_set(err, VX_LIMIT, 0, "guest %s: a card's place is from 1 to %d",
                              desc->name, (int)VX_NICS_MAX);
        for (size_t k = 0; k < desc->nics[i].forwards_len; k++) {
            if (check_forward(desc, &desc->nics[i].forwards[k], err) < 0)
                return -1;
        }
    }
    return 0;
}
