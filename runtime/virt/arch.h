/* What an architecture needs: the one table of per-architecture facts. */
#ifndef VX_VIRT_ARCH_H
#define VX_VIRT_ARCH_H

#include <stdbool.h>

enum vx_bus { VX_BUS_PCI, VX_BUS_CCW };

struct vx_arch {
    const char *name;     /* as users say it: uname -m, or Debian's name where they differ */
    const char *alias;    /* another name that is understood, or NULL */
    const char *libvirt;  /* as libvirt says it */
    const char *emulator; /* the program's name */
    const char *machine;
    const char *console; /* the kernel's name of the serial line: console=... */
    const char *pci_bus; /* QEMU's name of the root bus */
    const char *cdrom_bus;
    const char *panic_model;  /* libvirt's, NULL when it has none for this machine */
    const char *machine_opts; /* further -machine options, NULL for none */
    const char *tcg_cpu_off;  /* a feature to leave out under emulation, NULL for none */
    const char *tcg_global;   /* a -global of QEMU for that "max" cpu, NULL for none */
    bool tcg_cpu_default; /* there is no "max" of it under emulation: the machine's own cpu */
    enum vx_bus bus;
    bool acpi;          /* without UEFI */
    bool root_ports;    /* cards are plugged into pcie-root-port, the root bus takes none */
    bool panic_pci;     /* QEMU's pvpanic-pci can be added, which libvirt 9.0 has no name for */
    bool generation_id; /* QEMU's vmgenid can be had: it needs ACPI */
    bool panic_auto;    /* libvirt adds the panic device by itself */
};

/* By name or alias; NULL when it is unknown. */
const struct vx_arch *vx_arch_find(const char *name);
/* The whole table, ending with a NULL name. */
const struct vx_arch *vx_arch_all(void);

#endif
