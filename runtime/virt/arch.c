#include "runtime/virt/arch.h"

#include <stddef.h>
#include <string.h>

/* x86_64: the emulated cmpxchg16b of QEMU 7.2 makes kernel 6.12 hang or oops now and then.
 * aarch64: half of an emulated guest's time goes into signing pointers with the cipher of Arm's
 * choice; one of QEMU's own (docs/system/arm/cpu-features.rst) takes hardly any.
 * armhf: with highmem there is no PCI network card. ppc64le: x-vof starts in a third of the
 * time. s390x: with vx, TCP from the host never works under emulation. */
static const struct vx_arch arches[] = {
    {
        .name = "x86_64",
        .alias = "amd64",
        .libvirt = "x86_64",
        .emulator = "qemu-system-x86_64",
        .machine = "q35",
        .console = "ttyS0",
        .pci_bus = "pcie.0",
        .root_ports = true,
        .cdrom_bus = "sata",
        .panic_model = "isa",
        .tcg_cpu_off = "cx16",
        .acpi = true,
        .generation_id = true,
    },
    {
        .name = "aarch64",
        .alias = "arm64",
        .libvirt = "aarch64",
        .emulator = "qemu-system-aarch64",
        .machine = "virt",
        .console = "ttyAMA0",
        .pci_bus = "pcie.0",
        .root_ports = true,
        .cdrom_bus = "scsi",
        .tcg_global = "max-arm-cpu.pauth-impdef=on",
        .panic_pci = true,
    },
    {
        .name = "riscv64",
        .libvirt = "riscv64",
        .emulator = "qemu-system-riscv64",
        .tcg_cpu_default = true,
        .machine = "virt",
        .console = "ttyS0",
        .pci_bus = "pcie.0",
        .root_ports = true,
        .cdrom_bus = "scsi",
        .panic_pci = true,
    },
    {
        .name = "i386",
        .alias = "i686",
        .libvirt = "i686",
        .emulator = "qemu-system-i386",
        .machine = "q35",
        .console = "ttyS0",
        .pci_bus = "pcie.0",
        .root_ports = true,
        .cdrom_bus = "sata",
        .panic_model = "isa",
        .acpi = true,
        .generation_id = true,
    },
    {
        .name = "armhf",
        .alias = "armv7l",
        .libvirt = "armv7l",
        .emulator = "qemu-system-arm",
        .machine = "virt",
        .console = "ttyAMA0",
        .pci_bus = "pcie.0",
        .root_ports = true,
        .cdrom_bus = "scsi",
        .machine_opts = "highmem=off",
        .panic_pci = true,
    },
    {
        .name = "ppc64le",
        .alias = "ppc64el",
        .libvirt = "ppc64le",
        .emulator = "qemu-system-ppc64",
        .tcg_cpu_default = true,
        .machine = "pseries",
        .console = "hvc0",
        .pci_bus = "pci.0",
        .cdrom_bus = "scsi",
        .machine_opts = "x-vof=on",
        .panic_auto = true,
    },
    {
        .name = "s390x",
        .libvirt = "s390x",
        .emulator = "qemu-system-s390x",
        .machine = "s390-ccw-virtio",
        .console = "ttysclp0",
        .cdrom_bus = "scsi",
        .tcg_cpu_off = "vx",
        .bus = VX_BUS_CCW,
        .panic_model = "s390",
    },
    { .name = NULL },
};

const struct vx_arch *vx_arch_find(const char *name)
{
    for (const struct vx_arch *arch = arches; arch->name != NULL; arch++) {
        if (strcmp(arch->name, name) == 0 ||
            (arch->alias != NULL && strcmp(arch->alias, name) == 0))
            return arch;
    }
    return NULL;
}

const struct vx_arch *vx_arch_all(void)
{
    return arches;
}
