/* Network cards, as QEMU takes them. A card of a private network sits in a slot of its own, so that
 * it can be unplugged while the guest runs: on PCI Express behind a root port, all of which share
 * one slot of the root bus; on channels (s390x) and on the bus of pseries nothing is needed. */
#include <stdlib.h>

#include "runtime/base/buf.h"
#include "runtime/virt/arch.h"
#include "runtime/virt/domain_xml.h"
#include "runtime/virt/internal.h"

/* The chassis tells one root port from another, and the slot is what the guest's kernel calls it;
 * libvirt counts its own from 1. */
enum { SLOT_PORTS = 0x1b, FIRST_CHASSIS = 101 };

void qemu_value(struct vx_buf *buf, const char *value)
{
    for (; *value != '\0'; value++) {
        if (*value == ',')
            vx_buf_str(buf, ",");
        vx_buf_add(buf, value, 1);
    }
}

void card_port(struct vx_buf *buf, const struct vx_arch *arch, unsigned slot)
{
    vx_buf_fmt(buf,
               "pcie-root-port,id=vxport%u,bus=%s,chassis=%u,slot=%u,addr=0x%02x.0x%u,"
               "multifunction=on",
               slot, arch->pci_bus, FIRST_CHASSIS + slot, FIRST_CHASSIS + slot, SLOT_PORTS,
               slot);
}

/* The number that a card's names and its place on the bus are made of. */
static size_t number_of(const struct vx_nic_desc *nic, size_t i)
{
    return nic->place > 0 ? nic->place - 1 : i;
}

void card_netdev(struct vx_buf *buf, const struct vx_nic_desc *nic, size_t i)
{
    size_t n = number_of(nic, i);

    if (nic->socket != NULL) {
        vx_buf_fmt(buf, "stream,id=vxnet%zu,server=off,addr.type=unix,addr.path=", n);
        qemu_value(buf, nic->socket);
        return;
    }
    vx_buf_fmt(buf, "user,id=vxnet%zu", n);
    if (nic->restricted)
        vx_buf_str(buf, ",restrict=on");
    for (size_t k = 0; k < nic->forwards_len; k++) {
        const struct vx_forward_desc *f = &nic->forwards[k];

        vx_buf_fmt(buf, ",hostfwd=%s:", f->udp ? "udp" : "tcp");
        qemu_value(buf, f->host_addr != NULL ? f->host_addr : "127.0.0.1");
        vx_buf_fmt(buf, ":%u-:%u", f->host_port, f->guest_port);
    }
}

/* How many cards before this one are on private networks. */
static unsigned slot_of(const struct vx_domain_desc *desc, size_t card)
{
    unsigned slot = 0;

    for (size_t i = 0; i < card; i++)
        slot += desc->nics[i].socket != NULL;
    return slot;
}

void card_device(struct vx_buf *buf, const struct vx_domain_desc *desc,
                 const struct vx_arch *arch, size_t i)
{
    const struct vx_nic_desc *nic = &desc->nics[i];
    size_t n = number_of(nic, i);

    if (arch->bus == VX_BUS_CCW)
        vx_buf_fmt(buf, "virtio-net-ccw,id=vxnic%zu,netdev=vxnet%zu,devno=fe.0.01%02zx", n, n,
                   n);
    else if (nic->socket != NULL && arch->root_ports)
        vx_buf_fmt(buf, "virtio-net-pci,id=vxnic%zu,netdev=vxnet%zu,bus=vxport%u", n, n,
                   slot_of(desc, i));
    else
        vx_buf_fmt(buf, "virtio-net-pci,id=vxnic%zu,netdev=vxnet%zu,bus=%s,addr=0x%02zx", n, n,
                   arch->pci_bus, SLOT_CARD + n);
    if (nic->mac != NULL) {
        vx_buf_str(buf, ",mac=");
        qemu_value(buf, nic->mac);
    }
    if (arch->bus == VX_BUS_PCI && desc->kernel != NULL)
        vx_buf_str(buf, ",romfile="); /* nobody boots from the network: no boot ROM to load */
}
