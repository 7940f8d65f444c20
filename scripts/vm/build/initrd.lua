-- The first file system of an image that was built here: busybox, modules, and a script. And the small
-- archive behind it that makes one guest.
local raw = require "vm.raw"
local errors = require "vm.errors"
local random_hex = require "vm.random_hex"
local parts = require("vm.seed.initramfs").parts

local M = {}

local raise = errors.raise

local MODULES = {
    "virtio_pci", "virtio_mmio", "virtio_blk", "virtio_net", "virtio_scsi", "virtio_console", "virtio_rng",
    "ext4", "crc32c_generic", "crc32c", "libcrc32c", "ahci", "sr_mod", "isofs",
}

---Writes the first file system; the same files give the same bytes.
---@param path string
---@param tree string the folder with the files of the kernel's package and busybox
function M.write(path, tree)
    local out = {}
    local busybox = raise(raw.fs.read(tree .. "/usr/bin/busybox", 1 << 26))
    for _, folder in ipairs { "usr/bin", "dev", "proc", "sys", "root", "tmp" } do
        parts.add_dir(out, folder)
    end
    parts.add_file(out, "usr/bin/busybox", busybox, 493) -- 0755
    parts.add_applets(out, busybox)
    parts.add_modules(out, tree, MODULES)
    for _, name in ipairs { "bin", "sbin" } do
        out[name] = { path = name, mode = 0xA000 | 511, link = "usr/bin" }
    end
    out.lib = { path = "lib", mode = 0xA000 | 511, link = "usr/lib" }
    out["dev/console"] = { path = "dev/console", mode = 0x2000 | 384, major = 5, minor = 1 }
    parts.add_file(out, "init", require "vm.build.boot_init", 493)
    raise(raw.data.cpio(path, parts.sorted_entries(out), { compress = "gzip" }))
end

---Writes the initrd of one guest: the image's, and what makes the guest itself behind it.
---@param path string
---@param initrd string the image's
---@param keys { public: string, host_key: table } who may log in; the host's own pair, of raw.data.ed25519
function M.keys(path, initrd, keys)
    local out = {}
    local id = random_hex(16)
    parts.add_file(out, "vmatrix/authorized_keys", keys.public .. "\n")
    parts.add_file(out, "vmatrix/machine-id", id .. "\n")
    parts.add_file(out, "vmatrix/ssh_host_ed25519_key", keys.host_key.private, 384) -- 0600
    parts.add_file(out, "vmatrix/ssh_host_ed25519_key.pub", keys.host_key.public .. "\n")
    raise(raw.data.cpio(path, parts.sorted_entries(out), { after = initrd, mode = 384, scratch = true }))
end

return M
