/* raw.virt.xml: domain XML from a plain table; no connection and no file is touched. */
#include <stdlib.h>
#include <string.h>

#include "bindings/error.h"
#include "bindings/fields.h"
#include "bindings/virt.h"
#include "runtime/virt/arch.h"
#include "runtime/virt/domain_xml.h"

/* Leaves the list (or nil) on the stack, and below it an array with a place for each entry;
 * NULL when there is none. Every entry must be a table. */
static void *new_array(lua_State *L, int table, const char *name, size_t size, size_t *len)
{
    void *array = NULL;

    *len = 0;
    if (lua_getfield(L, table, name) == LUA_TNIL)
        return NULL;
    if (!lua_istable(L, -1))
        luaL_error(L, "field '%s' must be a list of tables", name);
    *len = lua_rawlen(L, -1);
    array = lua_newuserdatauv(L, size * (*len + 1), 0);
    memset(array, 0, size * (*len + 1));
    lua_insert(L, -2);
    for (size_t i = 1; i <= *len; i++) {
        if (lua_rawgeti(L, -1, (lua_Integer)i) != LUA_TTABLE)
            luaL_error(L, "entry %d of field '%s' must be a table", (int)i, name);
        lua_pop(L, 1);
    }
    return array;
}

static unsigned field_port(lua_State *L, int table, const char *name)
{
    long long port = field_integer(L, table, name, 0);

    return port < 0 || port > 65536 ? 65536u
                                    : (unsigned)port; /* 65536 is refused with a reason */
}

static void get_disks(lua_State *L, struct vx_domain_desc *desc)
{
    struct vx_disk_desc *disks = new_array(L, 1, "disks", sizeof *disks, &desc->disks_len);
    int list = lua_gettop(L);

    for (size_t i = 0; i < desc->disks_len; i++) {
        int entry = list + 1;

        lua_rawgeti(L, list, (lua_Integer)i + 1);
        disks[i].path = field_string(L, entry, "path", NULL);
        disks[i].format = field_string(L, entry, "format", NULL);
        disks[i].target = field_string(L, entry, "target", NULL);
        disks[i].cache = field_string(L, entry, "cache", NULL);
        disks[i].serial = field_string(L, entry, "serial", NULL);
        disks[i].readonly = field_bool(L, entry, "readonly", false);
        disks[i].cdrom = field_bool(L, entry, "cdrom", false);
        lua_pop(L, 1);
    }
    desc->disks = disks;
}

/* The card's table is on the top of the stack; the arrays stay on it, below. */
static void get_forwards(lua_State *L, int card, struct vx_nic_desc *nic)
{
    struct vx_forward_desc *forwards =
        new_array(L, card, "forwards", sizeof *forwards, &nic->forwards_len);
    int list = lua_gettop(L);

    for (size_t i = 0; i < nic->forwards_len; i++) {
        int entry = list + 1;

        lua_rawgeti(L, list, (lua_Integer)i + 1);
        forwards[i].host_addr = field_string(L, entry, "host_addr", NULL);
        forwards[i].host_port = field_port(L, entry, "host_port");
        forwards[i].guest_port = field_port(L, entry, "guest_port");
        forwards[i].udp = field_bool(L, entry, "udp", false);
        lua_pop(L, 1);
    }
    nic->forwards = forwards;
}

static void get_nics(lua_State *L, struct vx_domain_desc *desc)
{
    struct vx_nic_desc *nics = new_array(L, 1, "nics", sizeof *nics, &desc->nics_len);
    int list = lua_gettop(L);

    if (desc->nics_len > VX_NICS_MAX)
        luaL_error(L, "at most %d network cards", (int)VX_NICS_MAX);
    luaL_checkstack(L, 4 * (int)desc->nics_len, "too many network cards");
    for (size_t i = 0; i < desc->nics_len; i++) {
        int card = 0;

        lua_rawgeti(L, list, (lua_Integer)i + 1);
        card = lua_gettop(L);
        nics[i].mac = field_string(L, card, "mac", NULL);
        nics[i].place = (unsigned)field_integer(L, card, "place", 0);
        nics[i].socket = field_string(L, card, "socket", NULL);
        nics[i].restricted = field_bool(L, card, "restrict", false);
        get_forwards(L, card, &nics[i]);
    }
    desc->nics = nics;
}

static enum vx_firmware get_firmware(lua_State *L)
{
    const char *name = field_string(L, 1, "firmware", "none");

    if (strcmp(name, "none") == 0)
        return VX_FIRMWARE_NONE;
    if (strcmp(name, "bios") == 0)
        return VX_FIRMWARE_BIOS;
    if (strcmp(name, "uefi-secure") == 0)
        return VX_FIRMWARE_UEFI_SECURE;
    if (strcmp(name, "uefi") != 0)
        luaL_error(L, "field 'firmware' must be none, bios, uefi or uefi-secure, not %s", name);
    return VX_FIRMWARE_UEFI;
}

static unsigned long long field_bytes(lua_State *L, const char *name)
{
    long long n = field_integer(L, 1, name, 0);

    return n > 0 ? (unsigned long long)n : 0;
}

/* virt.xml{ name =, uuid =, arch =, machine =, accel = "tcg"|"kvm"|"hvf", emulator = path,
 * cpus =, memory = bytes, cpu_model =, cpu_features = { "aes", "-cx16" }, kernel =, initrd
 * =, append =, firmware = "none"|"bios"|"uefi"|"uefi-secure", loader =, nvram =, ram = path,
 * ram_private =
 * bool, owner = "+uid:+gid", console_log = path, disk_io =, tb_cache = bytes,
 * qemu_global = "driver.property=value", qemu_args = { ... },
 * disks = { { path =, format =, target =, cache =, serial =, readonly =, cdrom = } }, nics =
 * { { mac =, place =, restrict =, socket = path of a private network, forwards = { {
 * host_addr =, host_port =, guest_port =, udp = } } } }, card_slots = how many such cards
 * can be plugged } Needs name, arch, accel, cpus and memory. A host_port of 0 lets QEMU take
 * a free one; the network of card i (from 0) is vxnet<i> in the monitor's hostfwd_add, its
 * card vxnic<i> in set_link; the slots are vxport<i> where the architecture has root ports.
 * Does not wait. Raises on wrong types. Returns the document, or nil, err. */
int l_virt_xml(lua_State *L)
{
    struct vx_domain_desc desc = { 0 };
    struct vx_err err = { 0 };
    long long cpus = 0;
    long long slots = 0;
    char *xml = NULL;

    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    cpus = field_integer(L, 1, "cpus", 0);
    desc.name = field_string(L, 1, "name", NULL);
    desc.uuid = field_string(L, 1, "uuid", NULL);
    desc.arch = field_string(L, 1, "arch", NULL);
    desc.machine = field_string(L, 1, "machine", NULL);
    desc.accel = field_string(L, 1, "accel", NULL);
    desc.emulator = field_string(L, 1, "emulator", NULL);
    desc.cpus = cpus > 0 && cpus < 1 << 16 ? (unsigned)cpus : 0;
    desc.memory = field_bytes(L, "memory");
    desc.cpu_model = field_string(L, 1, "cpu_model", NULL);
    desc.kernel = field_string(L, 1, "kernel", NULL);
    desc.initrd = field_string(L, 1, "initrd", NULL);
    desc.append = field_string(L, 1, "append", NULL);
    desc.firmware = get_firmware(L);
    desc.loader = field_string(L, 1, "loader", NULL);
    desc.nvram = field_string(L, 1, "nvram", NULL);
    desc.ram_path = field_string(L, 1, "ram", NULL);
    desc.ram_private = field_bool(L, 1, "ram_private", false);
    desc.owner = field_string(L, 1, "owner", NULL);
    desc.console_log = field_string(L, 1, "console_log", NULL);
    desc.disk_io = field_string(L, 1, "disk_io", NULL);
    desc.tb_cache = field_bytes(L, "tb_cache");
    desc.cpu_features = field_strings(L, 1, "cpu_features");
    desc.qemu_global = field_string(L, 1, "qemu_global", NULL);
    desc.qemu_args = field_strings(L, 1, "qemu_args");
    slots = field_integer(L, 1, "card_slots", 0);
    desc.card_slots = slots > 0 && slots < 1 << 16 ? (unsigned)slots : 0;
    get_disks(L, &desc);
    get_nics(L, &desc);
    xml = vx_domain_xml_build(&desc, &err);
    if (xml == NULL)
        return l_push_fail(L, &err);
    lua_pushstring(L, xml);
    free(xml);
    return 1;
}

static void set_string(lua_State *L, const char *name, const char *value)
{
    lua_pushstring(L, value);
    lua_setfield(L, -2, name);
}

/* virt.arches(): what is known of each architecture, as a list of { name =, alias =, emulator =
 * program's name, machine =, console = the kernel's name of the serial line, acpi = bool,
 * pci_bus = QEMU's name of the root bus, nil on channels; root_ports = bool, tcg_global = for the
 * emulated cpu "max", or nil }. */
int l_virt_arches(lua_State *L)
{
    lua_Integer i = 0;

    lua_newtable(L);
    for (const struct vx_arch *arch = vx_arch_all(); arch->name != NULL; arch++) {
        lua_createtable(L, 0, 9);
        set_string(L, "name", arch->name);
        set_string(L, "alias", arch->alias);
        set_string(L, "emulator", arch->emulator);
        set_string(L, "machine", arch->machine);
        set_string(L, "console", arch->console);
        lua_pushboolean(L, arch->acpi);
        lua_setfield(L, -2, "acpi");
        set_string(L, "pci_bus", arch->pci_bus);
        lua_pushboolean(L, arch->root_ports);
        lua_setfield(L, -2, "root_ports");
        set_string(L, "tcg_global", arch->tcg_global);
        lua_seti(L, -2, ++i);
    }
    return 1;
}
