/* The documents of every architecture, compared with tests/virt/xml/ARCH.xml. To write these files
 * anew after a wanted change: VX_UPDATE_XML=1 ctest -R test_domain_xml, then read the diff. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <libxml/parser.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/buf.h"
#include "runtime/virt/arch.h"
#include "runtime/virt/domain_xml.h"

static char *expected_path(const char *name)
{
    const char *source = getenv("VMATRIX_SOURCE");

    return vx_strfmt("%s/tests/virt/xml/%s.xml", source != NULL ? source : ".", name);
}

static void read_file(const char *path, struct vx_buf *buf)
{
    FILE *file = fopen(path, "re");
    size_t n = 0;

    if (file == NULL)
        fail_msg("there is no %s: make it as the top of this file says", path);
    do {
        n = fread(vx_buf_room(buf, 4096), 1, 4096, file);
        vx_buf_added(buf, n);
    } while (n > 0);
    fclose(file);
}

static void expect(const char *name, const struct vx_domain_desc *desc)
{
    struct vx_err err = { 0 };
    char *xml = vx_domain_xml_build(desc, &err);
    char *path = expected_path(name);
    struct vx_buf wanted = { 0 };

    if (xml == NULL)
        fail_msg("%s", err.msg);
    if (getenv("VX_UPDATE_XML") != NULL) {
        FILE *file = fopen(path, "we");

        assert_non_null(file);
        fputs(xml, file);
        assert_int_equal(fclose(file), 0);
    }
    read_file(path, &wanted);
    assert_string_equal(xml, vx_buf_cstr(&wanted));
    vx_buf_free(&wanted);
    free(path);
    free(xml);
}

static const struct vx_disk_desc disks[] = {
    { .path = "/disks/root.qcow2", .format = "qcow2", .cache = "unsafe" },
    { .path = "/disks/more & more.raw", .format = "raw", .readonly = true, .serial = "MORE" },
    { .path = "/disks/seed.iso", .format = "raw", .cdrom = true },
};
static const struct vx_forward_desc forwards[] = {
    { .host_port = 0, .guest_port = 22 },
    { .host_addr = "0.0.0.0", .host_port = 5353, .guest_port = 53, .udp = true },
};
static const struct vx_nic_desc nics[] = {
    { .mac = "52:54:00:12:34:56", .forwards = forwards, .forwards_len = 2 },
    { .mac = "52:54:00:12:34:57", .restricted = true },
};

static struct vx_domain_desc full(const char *arch)
{
    return (struct vx_domain_desc){
        .name = "guest-1",
        .uuid = "6c3b5c4e-1f6e-4a52-8d25-3a9c3f7b9c11",
        .arch = arch,
        .accel = "tcg",
        .emulator = "/usr/bin/qemu-system-any",
        .cpus = 2,
        .memory = 256ULL << 20,
        .kernel = "/boot/vmlinuz",
        .initrd = "/boot/initrd",
        .append = "console=any \"quoted\" <x>",
        .ram_path = "/dev/shm/a,b/ram",
        .console_log = "/logs/console.log",
        .disk_io = "io_uring",
        .tb_cache = 256ULL << 20,
        .disks = disks,
        .disks_len = 3,
        .nics = nics,
        .nics_len = 2,
    };
}

static void every_architecture_gives_the_expected_document(void **state)
{
    (void)state;
    for (const struct vx_arch *arch = vx_arch_all(); arch->name != NULL; arch++) {
        struct vx_domain_desc desc = full(arch->name);

        expect(arch->name, &desc);
    }
}

static void a_bare_guest_boots_from_its_disk(void **state)
{
    struct vx_domain_desc desc = { .name = "bare", .arch = "amd64", .accel = "kvm", .cpus = 1 };

    (void)state;
    desc.memory = 64ULL << 20;
    desc.disks = disks;
    desc.disks_len = 1;
    expect("bare", &desc);
}

static const struct vx_nic_desc networked[] = {
    { .mac = "52:54:00:12:34:56" },
    { .mac = "52:54:00:12:34:57", .socket = "/run/a,b/n1/1" },
    { .mac = "52:54:00:12:34:58", .socket = "/run/a,b/n2/1" },
};

static void cards_of_networks_are_in_slots_of_their_own(void **state)
{
    (void)state;
    for (const struct vx_arch *arch = vx_arch_all(); arch->name != NULL; arch++) {
        struct vx_domain_desc desc = full(arch->name);
        char *name = vx_strfmt("net-%s", arch->name);

        desc.nics = networked;
        desc.nics_len = 3;
        desc.card_slots = 3;
        expect(name, &desc);
        free(name);
    }
}

static void cpu_firmware_fork_and_further_arguments_show(void **state)
{
    const char *const features[] = { "-cx16", "+aes", "rdrand", NULL };
    const char *const args[] = { "-incoming", "defer", NULL };
    struct vx_domain_desc desc = full("x86_64");

    (void)state;
    desc.kernel = desc.initrd = desc.append = NULL;
    desc.cpu_model = "Nehalem";
    desc.cpu_features = features;
    desc.firmware = VX_FIRMWARE_UEFI;
    desc.loader = "/usr/share/OVMF/OVMF_CODE.fd";
    desc.nvram = "/disks/vars.fd";
    desc.ram_private = true;
    desc.qemu_global = "max-arm-cpu.pauth-impdef=on";
    desc.qemu_args = args;
    expect("fork", &desc);
}

static void a_named_feature_takes_the_place_of_the_default(void **state)
{
    const char *const features[] = { "+cx16", NULL };
    struct vx_domain_desc desc = full("x86_64");
    struct vx_err err = { 0 };
    char *xml = NULL;

    (void)state;
    desc.cpu_features = features;
    xml = vx_domain_xml_build(&desc, &err);
    assert_non_null(xml);
    assert_non_null(strstr(xml, "<feature policy=\"require\" name=\"cx16\"/>"));
    assert_null(strstr(xml, "disable"));
    free(xml);
}

static void validate(const char *name)
{
    char *path = expected_path(name);
    char *command = vx_strfmt("virt-xml-validate '%s' domain >/dev/null", path);

    if (system(command) != 0)
        fail_msg("virt-xml-validate does not accept %s", path);
    free(command);
    free(path);
}

static void libvirts_schema_accepts_every_document(void **state)
{
    (void)state;
    if (system("command -v virt-xml-validate >/dev/null") != 0) {
        print_message("skipped: virt-xml-validate (libvirt-clients) is not installed\n");
        skip();
    }
    for (const struct vx_arch *arch = vx_arch_all(); arch->name != NULL; arch++)
        validate(arch->name);
    for (const struct vx_arch *arch = vx_arch_all(); arch->name != NULL; arch++) {
        char *name = vx_strfmt("net-%s", arch->name);

        validate(name);
        free(name);
    }
    validate("bare");
    validate("fork");
}

static void refuse(const struct vx_domain_desc *desc, enum vx_kind kind, const char *words)
{
    struct vx_err err = { 0 };
    char *xml = vx_domain_xml_build(desc, &err);

    assert_null(xml);
    assert_int_equal(err.kind, kind);
    if (strstr(err.msg, words) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", err.msg, words);
}

static void what_makes_no_guest_is_refused_with_a_reason(void **state)
{
    const struct vx_forward_desc no_port = { .host_port = 80 };
    const struct vx_forward_desc injected = { .guest_port = 22,
                                              .host_addr = "1.2.3.4:1-:2,x=y" };
    struct vx_nic_desc nic = { .forwards = &no_port, .forwards_len = 1 };
    struct vx_domain_desc desc = full("x86_64");

    (void)state;
    desc.arch = "vax";
    refuse(&desc, VX_UNSUPPORTED, "unknown architecture vax");
    desc = full("x86_64");
    desc.name = "../up";
    refuse(&desc, VX_USAGE, "a file name");
    desc = full("x86_64");
    desc.name = "driver";
    refuse(&desc, VX_USAGE, "cannot be named driver");
    desc = full("x86_64");
    desc.cpus = 0;
    refuse(&desc, VX_USAGE, "at least 1 cpu");
    desc = full("x86_64");
    desc.append = "a\001b";
    refuse(&desc, VX_USAGE, "control characters");
    desc = full("x86_64");
    desc.append = "a\xff";
    refuse(&desc, VX_USAGE, "no UTF-8");
    desc = full("x86_64");
    desc.nics = &nic;
    desc.nics_len = 1;
    refuse(&desc, VX_USAGE, "ports up to 65535");
    nic.forwards = &injected;
    refuse(&desc, VX_USAGE, "IPv4 address");
    desc = full("x86_64");
    desc.nics = networked;
    desc.nics_len = 3;
    desc.card_slots = 1;
    refuse(&desc, VX_LIMIT, "has 1 slots for cards of private networks, needs 2");
    desc = full("x86_64");
    desc.card_slots = VX_NICS_MAX + 1;
    refuse(&desc, VX_LIMIT, "may have 8");
    desc = full("x86_64");
    desc.loader = "/code.fd";
    refuse(&desc, VX_USAGE, "go together");
}

static int forget_parser(void **state)
{
    (void)state;
    xmlCleanupParser();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_architecture_gives_the_expected_document),
        cmocka_unit_test(a_bare_guest_boots_from_its_disk),
        cmocka_unit_test(cards_of_networks_are_in_slots_of_their_own),
        cmocka_unit_test(cpu_firmware_fork_and_further_arguments_show),
        cmocka_unit_test(a_named_feature_takes_the_place_of_the_default),
        cmocka_unit_test(libvirts_schema_accepts_every_document),
        cmocka_unit_test(what_makes_no_guest_is_refused_with_a_reason),
    };

    return cmocka_run_group_tests(tests, NULL, forget_parser);
}
