-- A guest that its UEFI firmware starts from a disk: the firmware is found by libvirt, reads the disk's file system,
-- and the kernel on it is a program of the firmware's. With VMATRIX_CHECK_ALL=1 of aarch64 and riscv64, too.
-- timeout: 1200
local t = require "harness"
local raw = require "vm.raw"
local host = require "vm.host"
local seed = require "vm.seed"
local vm = require "vm"

local fs = raw.fs

local ALL <const> = os.getenv "VMATRIX_CHECK_ALL" == "1"

-- What the firmware's shell runs by itself; U-Boot has no shell, but scripts, in an envelope of its own.
local STARTUP <const> = "\\linux.efi initrd=\\initrd %s\r\n"
local SCRIPT <const> = [[
setenv bootargs "initrd=/initrd %s"
load ${devtype} ${devnum}:${distro_bootpart} ${kernel_addr_r} linux.efi
bootefi ${kernel_addr_r} ${fdtcontroladdr}
]]

-- A disk with the seed on it, and who may log in.
local function make_disk(folder, arch)
    local tree = seed.fetch(arch, folder)
    local image = seed.build(arch)
    local login, host_key = raw.data.ed25519 "login", raw.data.ed25519 "host"
    seed.keys(folder .. "/initrd", image, { public = login.public, host_key = host_key.dropbear })
    assert(fs.write_atomic(folder .. "/login", login.private, 384))
    local start = arch == "riscv64" and "boot.scr" or "startup.nsh"
    assert(fs.write_atomic(folder .. "/startup.nsh", STARTUP:format(image.append)))
    if arch == "riscv64" then
        assert(fs.write_atomic(folder .. "/script", SCRIPT:format(image.append)))
        host.run { "mkimage", "-A", "riscv", "-O", "linux", "-T", "script", "-C", "none", "-d", folder .. "/script",
            folder .. "/boot.scr" }
    end
    local disk, system = folder .. "/disk.img", folder .. "/disk.img@@1M"
    local sectors <const> = 95 * 2048 -- of one partition of type EF, an EFI system's, behind the first MiB
    assert(fs.write_atomic(disk, ("\0"):rep(446) .. ("<BBBBBBBBI4I4"):pack(0, 0, 2, 0, 0xef, 255, 255, 255, 2048,
        sectors) .. ("\0"):rep(48) .. "\x55\xaa"))
    host.run { "truncate", "-s", "96M", disk }
    host.run { "mformat", "-i", system, "-T", ("%d"):format(sectors), "-h", "64", "-s", "32", "::" }
    host.run { "mcopy", "-i", system, assert(fs.glob(tree .. "/boot/vmlinu[xz]-*"))[1], "::linux.efi" }
    host.run { "mcopy", "-i", system, folder .. "/initrd", folder .. "/" .. start, "::" }
    return disk, { key = folder .. "/login", host_key = host_key.public }
end

do -- the run and its connection are there from now on
    local _ <close> = vm.create { image = "seed", memory = "256MiB" }
end
t.baseline()

local function boots(arch)
    local folder = assert(fs.mkdtemp())
    local _ <close> = setmetatable({}, { __close = function() fs.remove_tree(folder) end })
    local disk, login = make_disk(folder, arch)
    local guest <close> = vm.boot { image = disk, arch = arch, firmware = "uefi", memory = "512MiB", ssh = login,
        ready = "vmatrix: ready", timeout = 600 }
    t.equal(guest:output "uname -m; cat /sys/firmware/efi/fw_platform_size", arch .. "\n64")
    guest:run "mkdir -p /e && mount -t vfat /dev/vda1 /e && test -s /e/linux.efi"
    t.check(guest:stop() == "polite")
end

local function needs(...)
    if not host.which "mcopy" then
        t.skip "mcopy is not installed: package mtools"
    end
    for _, pattern in ipairs { ... } do
        if #fs.glob(pattern) > 0 then
            return
        end
    end
    t.skip "the firmware is not installed: packages ovmf, qemu-efi-aarch64, u-boot-qemu, u-boot-tools"
end

t.test("uefi_firmware_starts_a_kernel_from_a_disk", function()
    needs("/usr/share/OVMF/OVMF_CODE*.fd", "/usr/share/edk2/ovmf/OVMF_CODE*.fd")
    boots "x86_64"
end)

t.test("uefi_firmware_of_aarch64_starts_a_kernel_from_a_disk", function()
    if not ALL then
        t.skip "it takes a minute or more: VMATRIX_CHECK_ALL=1 asks for it"
    end
    needs("/usr/share/AAVMF/AAVMF_CODE*.fd", "/usr/share/edk2/aarch64/QEMU_EFI*.fd")
    boots "aarch64"
end)

t.test("uefi_of_riscv64_is_found_or_the_package_that_has_it_is_named", function()
    local folder = assert(fs.mkdtemp())
    local _ <close> = setmetatable({}, { __close = function() fs.remove_tree(folder) end })
    assert(fs.write_atomic(folder .. "/disk.img", ("\0"):rep(4096)))
    local ok, result = pcall(vm.create, { image = folder .. "/disk.img", arch = "riscv64", firmware = "uefi" })
    if ok then
        local guest <close> = result
        t.check(guest.desc.firmware == "uefi" or guest.desc.kernel:find("u-boot", 1, true), guest.desc.kernel)
        t.equal(vm.features(guest).snapshot, guest.desc.firmware == "none" and guest.desc.disks[1].format == "qcow2")
    else
        t.equal(result.kind, "unsupported")
        t.match(result.message, "install the package u%-boot%-qemu")
    end
end)

t.test("u_boot_is_the_uefi_firmware_of_riscv64_where_there_is_no_other", function()
    if not ALL then
        t.skip "it takes a minute or more: VMATRIX_CHECK_ALL=1 asks for it"
    end
    needs("/usr/lib/u-boot/qemu-riscv64_smode/u-boot.bin", "/usr/share/uboot/qemu-riscv64_smode/u-boot.bin")
    boots "riscv64"
end)

t.finish()
