/* Domain XML: from a plain description of a guest to the document that libvirt takes. */
#ifndef VX_VIRT_DOMAIN_XML_H
#define VX_VIRT_DOMAIN_XML_H

#include <stdbool.h>
#include <stddef.h>

#include "runtime/base/err.h"

enum { VX_DISKS_MAX = 26, VX_NICS_MAX = 8 };

enum vx_firmware {
    VX_FIRMWARE_NONE, /* a kernel is given; or the machine's own */
    VX_FIRMWARE_BIOS, /* the machine's own, said aloud */
    VX_FIRMWARE_UEFI, /* libvirt finds one; snapshots of a running guest do not work with it */
    VX_FIRMWARE_UEFI_SECURE, /* one with secure boot, and the usual keys */
};

struct vx_disk_desc {
    const char *path;   /* NULL: a cdrom with nothing in it */
    const char *format; /* "qcow2", "raw" */
    const char *target; /* "vda", or for a cdrom "sda"; NULL: the next free one */
    const char *cache;  /* libvirt's: "writeback", "unsafe", "none"; NULL: its default */
    const char *serial; /* /dev/disk/by-id in the guest; NULL for none */
    bool readonly;
    bool cdrom; /* read-only, and on a bus that has such drives */
};

/* host_port 0: QEMU takes a free one, which `info usernet` tells. */
struct vx_forward_desc {
    const char *host_addr; /* NULL: 127.0.0.1 */
    unsigned host_port;
    unsigned guest_port;
    bool udp;
};

/* A network card, on user-mode networking of its own (NAT) or on a private network. Its names in
 * QEMU are vxnet0 (the network: hostfwd_add vxnet0 tcp:127.0.0.1:0-:22, info usernet) and vxnic0
 * (the card: set_link). Cards of private networks take the slots 0 and up, see card_slots. */
struct vx_nic_desc {
    const char *mac; /* NULL: QEMU's own, which is the same in every guest */
    unsigned place;  /* of the card in all that follows, counted from 1; 0: where it stands */
    const char *socket; /* of a private network's switch, where QEMU connects; NULL: NAT */
    bool restricted;    /* no way out; forwards still work */
    const struct vx_forward_desc *forwards;
    size_t forwards_len;
};

struct vx_domain_desc {
    const char *name;
    const char *uuid; /* NULL: libvirt makes one */
    const char *arch;
    const char *machine;  /* NULL: the architecture's */
    const char *accel;    /* "tcg", "kvm", "hvf" */
    const char *emulator; /* absolute path; NULL: libvirt's choice */
    unsigned cpus;
    unsigned long long memory; /* bytes, whole KiB */
    const char *cpu_model;     /* NULL: the most that accel gives */
    const char *const
        *cpu_features; /* "aes" or "+aes" on, "-aes" off; ends with NULL, may be NULL */
    const char *kernel;
    const char *initrd;
    const char *append;
    enum vx_firmware firmware;
    const char *loader; /* UEFI: code and variables, given rather than found; both or none */
    const char *nvram;
    const char *ram_path;    /* the file that is its RAM; NULL: none */
    bool ram_private;        /* the file is not written: a fork's copy-on-write */
    const char *owner;       /* "+uid:+gid" that QEMU runs as; NULL: libvirt's choice */
    const char *console_log; /* what the serial line printed is appended; NULL: not kept */
    const char *disk_io; /* how QEMU does its disks: "threads", "io_uring"; NULL: its default */
    const char *qemu_global;     /* "driver.property=value", NULL: none */
    unsigned long long tb_cache; /* bytes of translated code under tcg; 0: QEMU's default */
    const struct vx_disk_desc *disks;
    size_t disks_len;
    const struct vx_nic_desc *nics;
    size_t nics_len;
    unsigned card_slots; /* where cards can be plugged and unplugged while it runs: root ports
                          * vxport0 and up; nothing on a machine that needs none */
    const char *const
        *qemu_args; /* appended to QEMU's command line; ends with NULL, may be NULL */
};

/* The document, to be freed, or NULL with err. Asks nobody anything and opens no file. */
char *vx_domain_xml_build(const struct vx_domain_desc *desc, struct vx_err *err);

#endif
