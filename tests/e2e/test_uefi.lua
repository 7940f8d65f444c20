-- A guest of x86_64 that its UEFI firmware starts from a disk: the firmware is found by libvirt, reads the disk's
-- file system, and the kernel on it is a program of the firmware's.
-- timeout: 600
local t = require "harness"
local raw = require "vm.raw"
local host = require "vm.host"
local seed = require "vm.seed"
local vm = require "vm"

local fs = raw.fs

-- What the firmware's shell runs by itself.
local STARTUP <const> = "\\linux.efi initrd=\\initrd %s\r\n"

-- A disk with the seed on it, and who may log in.
local function make_disk(folder)
    local tree = seed.fetch("x86_64", folder)
    local image = seed.build "x86_64"
    local login, host_key = raw.data.ed25519 "login", raw.data.ed25519 "host"
    seed.keys(folder .. "/initrd", image, { public = login.public, host_key = host_key.dropbear })
    assert(fs.write_atomic(folder .. "/login", login.private, 384))
    assert(fs.write_atomic(folder .. "/startup.nsh", STARTUP:format(image.append)))
    local disk = folder .. "/disk.img"
    host.run { "mformat", "-C", "-i", disk, "-T", "131072", "-h", "64", "-s", "32", "::" }
    host.run { "mcopy", "-i", disk, assert(fs.glob(tree .. "/boot/vmlinuz-*"))[1], "::linux.efi" }
    host.run { "mcopy", "-i", disk, folder .. "/initrd", folder .. "/startup.nsh", "::" }
    return disk, { key = folder .. "/login", host_key = host_key.public }
end

do -- the run and its connection are there from now on
    local _ <close> = vm.create { image = "seed", memory = "256MiB" }
end
t.baseline()

t.test("uefi_firmware_starts_a_kernel_from_a_disk", function()
    if not host.which "mcopy" then
        t.skip "mcopy is not installed: package mtools"
    elseif #fs.glob "/usr/share/OVMF/OVMF_CODE*.fd" + #fs.glob "/usr/share/edk2/ovmf/OVMF_CODE*.fd" == 0 then
        t.skip "the firmware is not installed: package ovmf"
    end
    local folder = assert(fs.mkdtemp())
    local _ <close> = setmetatable({}, { __close = function() fs.remove_tree(folder) end })
    local disk, login = make_disk(folder)
    local guest <close> = vm.boot { image = disk, arch = "x86_64", firmware = "uefi", memory = "512MiB", ssh = login,
        ready = "vmatrix: ready", timeout = 300 }
    t.equal(guest:output "cat /sys/firmware/efi/fw_platform_size", "64")
    guest:run "mkdir -p /e && mount -t vfat /dev/vda /e && test -s /e/linux.efi"
    t.check(guest:stop() == "polite")
end)

t.finish()
