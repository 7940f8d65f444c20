/* The tree. Four things are given to QEMU past libvirt, in qemu:commandline, because libvirt
 * has no words for them:
 *
 * - RAM in a file of ours (memory-backend-file, named vmram), so that a guest can be frozen and
 * forked.
 * - User-mode networking: <interface type='user'> knows neither restrict nor forwards. On the
 * command line a forward is there from the first instruction, stays through a guest's reboot
 * and through a revert in place, comes back whenever libvirt starts QEMU anew (start after
 * stop, a revert to a stopped state), and a taken port makes the start fail with QEMU's own
 * message. More are added to the running guest by the monitor's hostfwd_add; those end with
 * that QEMU.
 * - Private networks, and the root ports their cards are plugged into (card.c).
 * - Options of the machine, and pvpanic-pci.
 *
 * Devices on PCI get addresses on the root bus: without root ports the kernel has less to
 * probe. */
#include "runtime/virt/domain_xml.h"

#include <libxml/parser.h>
#include <libxml/tree.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/buf.h"
#include "runtime/virt/arch.h"
#include "runtime/virt/internal.h"

/* Slots of the root bus: 1 and 0x1f belong to the machine; those of cards are in card.c. */
enum { SLOT_DISK = 0x02, SLOT_RNG = 0x18, SLOT_PANIC = 0x19, SLOT_SCSI = 0x1a };
enum { DISKS_ADDRESSED = SLOT_CARD - SLOT_DISK };
_Static_assert(SLOT_RNG - SLOT_CARD >= VX_NICS_MAX, "every card has a slot");

struct build {
    const struct vx_domain_desc *desc;
    const struct vx_arch *arch;
    xmlNodePtr domain;
    xmlNodePtr devices;
    xmlNsPtr qemu;
    xmlNodePtr commandline;
    const char *bad; /* a text that XML cannot hold */
};

/* ---- the tree's small change ---- */

static const char *checked(struct build *b, const char *text)
{
    bool fine = xmlCheckUTF8(BAD_CAST text) == 1;

    for (const char *p = text; *p != '\0'; p++) {
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            fine = false;
    }
    if (fine)
        return text;
    b->bad = text;
    return "";
}

static xmlNodePtr add(xmlNodePtr parent, const char *name)
{
    return xmlNewChild(parent, NULL, BAD_CAST name, NULL);
}

static void attr(struct build *b, xmlNodePtr node, const char *name, const char *value)
{
    if (value != NULL)
        xmlNewProp(node, BAD_CAST name, BAD_CAST checked(b, value));
}

static xmlNodePtr add_with(struct build *b, xmlNodePtr parent, const char *name,
                           const char *key, const char *value)
{
    xmlNodePtr node = add(parent, name);

    attr(b, node, key, value);
    return node;
}

static xmlNodePtr add_text(struct build *b, xmlNodePtr parent, const char *name,
                           const char *text)
{
    if (text == NULL)
        return NULL;
    return xmlNewTextChild(parent, NULL, BAD_CAST name, BAD_CAST checked(b, text));
}

static void add_number(struct build *b, xmlNodePtr parent, const char *name,
                       unsigned long long n, const char *unit)
{
    char text[32];

    snprintf(text, sizeof text, "%llu", n);
    attr(b, add_text(b, parent, name, text), "unit", unit);
}

static void add_slot(struct build *b, xmlNodePtr device, unsigned slot)
{
    xmlNodePtr node = NULL;
    char text[16];

    if (b->arch->bus != VX_BUS_PCI)
        return; /* libvirt numbers the channels of s390x itself */
    snprintf(text, sizeof text, "0x%02x", slot);
    node = add_with(b, device, "address", "type", "pci");
    attr(b, node, "domain", "0x0000");
    attr(b, node, "bus", "0x00");
    attr(b, node, "slot", text);
    attr(b, node, "function", "0x0");
}

static void add_arg(struct build *b, const char *arg)
{
    xmlNodePtr node = NULL;

    if (b->commandline == NULL)
        b->commandline = xmlNewChild(b->domain, b->qemu, BAD_CAST "commandline", NULL);
    node = xmlNewChild(b->commandline, b->qemu, BAD_CAST "arg", NULL);
    attr(b, node, "value", arg);
}

static void add_args(struct build *b, const char *option, struct vx_buf *value)
{
    add_arg(b, option);
    add_arg(b, vx_buf_cstr(value));
    vx_buf_free(value);
}

/* ---- what the guest is ---- */

static bool is_tcg(const struct build *b)
{
    return strcmp(b->desc->accel, "tcg") == 0;
}

static const char *domain_type(const struct build *b)
{
    return is_tcg(b) ? "qemu" : b->desc->accel;
}

static bool is_uefi(const struct vx_domain_desc *desc)
{
    return desc->firmware == VX_FIRMWARE_UEFI || desc->firmware == VX_FIRMWARE_UEFI_SECURE;
}

static void add_boot_feature(struct build *b, xmlNodePtr firmware, const char *name,
                             const char *enabled)
{
    xmlNodePtr feature = add_with(b, firmware, "feature", "enabled", enabled);

    attr(b, feature, "name", name);
}

static void add_os(struct build *b)
{
    const struct vx_domain_desc *desc = b->desc;
    xmlNodePtr os = add(b->domain, "os");
    xmlNodePtr type = NULL;
    const char *secure = NULL;

    if (is_uefi(desc) && desc->loader == NULL) {
        attr(b, os, "firmware", "efi");
        secure = desc->firmware == VX_FIRMWARE_UEFI_SECURE ? "yes" : "no";
    }
    type = add_text(b, os, "type", "hvm");
    attr(b, type, "arch", b->arch->libvirt);
    attr(b, type, "machine", desc->machine != NULL ? desc->machine : b->arch->machine);
    if (secure != NULL) {
        xmlNodePtr firmware = add(os, "firmware");

        add_boot_feature(b, firmware, "enrolled-keys", secure);
        add_boot_feature(b, firmware, "secure-boot", secure);
    }
    if (desc->loader != NULL) {
        xmlNodePtr loader = add_text(b, os, "loader", desc->loader);

        attr(b, loader, "readonly", "yes");
        attr(b, loader, "type", "pflash");
        add_text(b, os, "nvram", desc->nvram);
    }
    add_text(b, os, "kernel", desc->kernel);
    add_text(b, os, "initrd", desc->initrd);
    add_text(b, os, "cmdline", desc->append);
}

static void add_features(struct build *b)
{
    const struct vx_domain_desc *desc = b->desc;
    bool acpi = b->arch->acpi || (is_uefi(desc) && strcmp(b->arch->name, "aarch64") == 0);
    bool smm = desc->firmware == VX_FIRMWARE_UEFI_SECURE && b->arch->acpi;
    bool cache = is_tcg(b) && desc->tb_cache > 0;
    xmlNodePtr features = NULL;

    if (!acpi && !cache)
        return;
    features = add(b->domain, "features");
    if (acpi)
        add(features, "acpi");
    if (b->arch->acpi)
        add(features, "apic");
    if (smm)
        add_with(b, features, "smm", "state", "on");
    if (cache)
        add_number(b, add(features, "tcg"), "tb-cache", desc->tb_cache >> 20, "MiB");
}

static void add_feature(struct build *b, xmlNodePtr cpu, const char *policy, const char *name)
{
    xmlNodePtr feature = add_with(b, cpu, "feature", "policy", policy);

    attr(b, feature, "name", name);
}

static bool names_feature(const char *const *features, const char *name)
{
    for (; features != NULL && *features != NULL; features++) {
        if (strcmp(**features == '+' || **features == '-' ? *features + 1 : *features, name) ==
            0)
            return true;
    }
    return false;
}

static void add_cpu(struct build *b)
{
    const struct vx_domain_desc *desc = b->desc;
    const char *off = is_tcg(b) ? b->arch->tcg_cpu_off : NULL;
    xmlNodePtr cpu = NULL;

    if (is_tcg(b) && desc->cpu_model == NULL && b->arch->tcg_cpu_default)
        return;
    cpu = add(b->domain, "cpu");

    if (desc->cpu_model != NULL) {
        attr(b, cpu, "mode", "custom");
        attr(b, cpu, "match", "exact");
        attr(b, cpu, "check", "none");
        attr(b, add_text(b, cpu, "model", desc->cpu_model), "fallback", "forbid");
    } else {
        attr(b, cpu, "mode", is_tcg(b) ? "maximum" : "host-passthrough");
        attr(b, cpu, "check", "none");
        if (off != NULL && !names_feature(desc->cpu_features, off))
            add_feature(b, cpu, "disable", off);
    }
    for (const char *const *f = desc->cpu_features; f != NULL && *f != NULL; f++) {
        const char *policy = **f == '-' ? "disable" : "require";

        add_feature(b, cpu, policy, **f == '-' || **f == '+' ? *f + 1 : *f);
    }
}

/* ---- devices ---- */

static void add_disk(struct build *b, size_t i, unsigned boot)
{
    const struct vx_disk_desc *disk = &b->desc->disks[i];
    const char *bus = disk->cdrom ? b->arch->cdrom_bus : "virtio";
    char target[8];
    char order[16];
    xmlNodePtr node = add_with(b, b->devices, "disk", "type", "file");
    xmlNodePtr driver = NULL;

    attr(b, node, "device", disk->cdrom ? "cdrom" : "disk");
    driver = add_with(b, node, "driver", "name", "qemu");
    attr(b, driver, "type", disk->format);
    attr(b, driver, "cache", disk->cache);
    if (disk->path != NULL)
        attr(b, driver, "io", b->desc->disk_io);
    if (!disk->cdrom && !disk->readonly)
        attr(b, driver, "discard", "unmap");
    if (disk->path != NULL)
        add_with(b, node, "source", "file", disk->path);
    snprintf(target, sizeof target, "%cd%c", disk->cdrom ? 's' : 'v', (char)('a' + i));
    attr(b, add_with(b, node, "target", "dev", disk->target != NULL ? disk->target : target),
         "bus", bus);
    if (disk->cdrom || disk->readonly)
        add(node, "readonly");
    add_text(b, node, "serial", disk->serial);
    if (boot > 0) {
        snprintf(order, sizeof order, "%u", boot);
        add_with(b, node, "boot", "order", order);
    }
    if (!disk->cdrom && i < DISKS_ADDRESSED)
        add_slot(b, node, SLOT_DISK + (unsigned)i);
}

static void add_disks(struct build *b)
{
    bool scsi = false;

    for (size_t i = 0; i < b->desc->disks_len; i++) {
        add_disk(b, i, b->desc->kernel == NULL ? (unsigned)i + 1 : 0);
        scsi = scsi || (b->desc->disks[i].cdrom && strcmp(b->arch->cdrom_bus, "scsi") == 0);
    }
    if (scsi) {
        xmlNodePtr node = add_with(b, b->devices, "controller", "type", "scsi");

        attr(b, node, "index", "0");
        attr(b, node, "model", "virtio-scsi");
        add_slot(b, node, SLOT_SCSI);
    }
}

/* A pty takes input (virsh console, and whoever opens it), while QEMU itself appends what comes
 * out to the log, whether somebody reads the pty or not. */
static void add_console(struct build *b)
{
    xmlNodePtr serial = add_with(b, b->devices, "serial", "type", "pty");

    if (b->desc->console_log != NULL) {
        xmlNodePtr log = add_with(b, serial, "log", "file", b->desc->console_log);

        attr(b, log, "append", "on");
    }
    add_with(b, serial, "target", "port", "0");
}

static void add_devices(struct build *b)
{
    xmlNodePtr node = NULL;

    b->devices = add(b->domain, "devices");
    add_text(b, b->devices, "emulator", b->desc->emulator);
    add_disks(b);
    if (b->arch->bus == VX_BUS_PCI)
        attr(b, add_with(b, b->devices, "controller", "type", "usb"), "model", "none");
    add_console(b);
    add_with(b, b->devices, "memballoon", "model", "none");
    node = add_with(b, b->devices, "rng", "model", "virtio");
    attr(b, add_text(b, node, "backend", "/dev/urandom"), "model", "random");
    add_slot(b, node, SLOT_RNG);
    if (b->arch->panic_model != NULL)
        add_with(b, b->devices, "panic", "model", b->arch->panic_model);
}

/* ---- past libvirt ---- */

static void add_ram(struct build *b)
{
    struct vx_buf buf = { 0 };

    vx_buf_fmt(&buf, "memory-backend-file,id=vmram,size=%llu,mem-path=", b->desc->memory);
    qemu_value(&buf, b->desc->ram_path);
    vx_buf_str(&buf, b->desc->ram_private ? ",share=off" : ",share=on");
    add_args(b, "-object", &buf);
    vx_buf_str(&buf, "memory-backend=vmram");
    add_args(b, "-machine", &buf);
}

static void add_cards(struct build *b)
{
    struct vx_buf buf = { 0 };

    for (unsigned i = 0; b->arch->root_ports && i < b->desc->card_slots; i++) {
        card_port(&buf, b->arch, i);
        add_args(b, "-device", &buf);
    }
    for (size_t i = 0; i < b->desc->nics_len; i++) {
        card_netdev(&buf, &b->desc->nics[i], i);
        add_args(b, "-netdev", &buf);
        card_device(&buf, b->desc, b->arch, i);
        add_args(b, "-device", &buf);
    }
}

static void add_commandline(struct build *b)
{
    struct vx_buf buf = { 0 };

    if (b->desc->ram_path != NULL)
        add_ram(b);
    if (b->arch->machine_opts != NULL) {
        vx_buf_str(&buf, b->arch->machine_opts);
        add_args(b, "-machine", &buf);
    }
    if (b->desc->qemu_global != NULL) {
        add_arg(b, "-global");
        add_arg(b, b->desc->qemu_global);
    }
    add_cards(b);
    if (b->arch->panic_pci) {
        vx_buf_fmt(&buf, "pvpanic-pci,bus=%s,addr=0x%02x", b->arch->pci_bus, SLOT_PANIC);
        add_args(b, "-device", &buf);
    }
    /* Its number is new in every QEMU: a guest that was forked or went back to a snapshot sees it
     * change, and its kernel reseeds its random pool. */
    if (b->arch->generation_id) {
        add_arg(b, "-device");
        add_arg(b, "vmgenid,guid=auto,id=vxgenid");
    }
    /* A panic is told by an event, and the guest goes on: its kernel says why only after
     * that. */
    add_arg(b, "-action");
    add_arg(b, "panic=none");
    for (const char *const *arg = b->desc->qemu_args; arg != NULL && *arg != NULL; arg++)
        add_arg(b, *arg);
}

/* libvirt asks a QEMU that has just started for each property of its x86 cpu in turn, some 400
 * questions that take longer than all else in a start, to note what the cpu came out as. Without
 * this capability it believes the description, which is all that we need: no check of the cpu is
 * asked for (see add_cpu), and QEMU itself refuses a feature that it does not have. */
static void add_capabilities(struct build *b)
{
    xmlNodePtr list = xmlNewChild(b->domain, b->qemu, BAD_CAST "capabilities", NULL);
    xmlNodePtr node = xmlNewChild(list, b->qemu, BAD_CAST "del", NULL);

    attr(b, node, "capability", "cpu-unavailable-features");
}

/* A libvirt of the system runs QEMU as a user of its own, who cannot reach our files, unless
 * the guest says otherwise; nothing of ours then changes its owner. */
static void add_label(struct build *b)
{
    xmlNodePtr label = NULL;

    if (b->desc->owner == NULL)
        return;
    label = add_with(b, b->domain, "seclabel", "type", "static");
    attr(b, label, "model", "dac");
    attr(b, label, "relabel", "no");
    add_text(b, label, "label", b->desc->owner);
}

static void add_domain(struct build *b)
{
    const struct vx_domain_desc *desc = b->desc;

    b->qemu = xmlNewNs(b->domain, BAD_CAST "http://libvirt.org/schemas/domain/qemu/1.0",
                       BAD_CAST "qemu");
    attr(b, b->domain, "type", domain_type(b));
    add_text(b, b->domain, "name", desc->name);
    add_text(b, b->domain, "uuid", desc->uuid);
    add_number(b, b->domain, "memory", desc->memory / 1024, "KiB");
    add_number(b, b->domain, "vcpu", desc->cpus, NULL);
    add_os(b);
    add_features(b);
    add_cpu(b);
    add_with(b, b->domain, "clock", "offset", "utc");
    add_text(b, b->domain, "on_poweroff", "destroy");
    add_text(b, b->domain, "on_reboot", "restart");
    add_text(b, b->domain, "on_crash", "preserve"); /* see add_commandline */
    add_devices(b);
    add_label(b);
    add_commandline(b);
    add_capabilities(b);
}

char *vx_domain_xml_build(const struct vx_domain_desc *desc, struct vx_err *err)
{
    struct build b = { .desc = desc };
    xmlDocPtr doc = NULL;
    xmlChar *text = NULL;
    char *copy = NULL;
    int len = 0;

    if (domain_desc_check(desc, err) < 0)
        return NULL;
    b.arch = vx_arch_find(desc->arch);
    if (b.arch == NULL) {
        vx_err_set(err, VX_UNSUPPORTED, 0, "guest %s: unknown architecture %s", desc->name,
                   desc->arch);
        return NULL;
    }
    doc = xmlNewDoc(BAD_CAST "1.0");
    b.domain = xmlNewNode(NULL, BAD_CAST "domain");
    xmlDocSetRootElement(doc, b.domain);
    add_domain(&b);
    if (b.bad != NULL) {
        vx_err_set(
            err, VX_USAGE, 0,
            "guest %s: a text with control characters, or that is no UTF-8, cannot be put "
            "into its XML",
            desc->name);
    } else {
        xmlDocDumpFormatMemoryEnc(doc, &text, &len, "UTF-8", 1);
        copy = vx_strdup((const char *)text);
        xmlFree(text);
    }
    xmlFreeDoc(doc);
    return copy;
}
