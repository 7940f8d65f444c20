-- The firmware that a guest starts with. libvirt finds UEFI by the descriptions that its packages install; where
-- there is none for riscv64, U-Boot is started in its place, which is UEFI, too, and is loaded as a kernel is.
local raw = require "vm.raw"
local errors = require "vm.errors"

local M = {}

local fs = raw.fs

-- Where libvirt looks: https://libvirt.org/kbase/secureboot.html; QEMU's docs/interop/firmware.json.
local DESCRIPTIONS <const> = { "/usr/share/qemu/firmware", "/etc/qemu/firmware", "/opt/homebrew/share/qemu/firmware" }

-- U-Boot for QEMU's machine "virt", to be started by OpenSBI: of Debian's package u-boot-qemu, and of Fedora's
-- uboot-images-riscv64.
local UBOOT <const> = {
    "/usr/lib/u-boot/qemu-riscv64_smode/u-boot.bin", "/usr/share/uboot/qemu-riscv64_smode/u-boot.bin",
}

local function is_described(arch)
    for _, folder in ipairs(DESCRIPTIONS) do
        for _, path in ipairs(fs.glob(folder .. "/*.json") or {}) do
            if (fs.read(path, 1 << 20) or ""):find(('"%s"'):format(arch), 1, true) then
                return true
            end
        end
    end
    return false
end

local function uboot(what)
    for _, path in ipairs(UBOOT) do
        if fs.exists(path) then
            return path
        end
    end
    errors.fail("unsupported", "%s: there is no UEFI firmware for riscv64: install the package u-boot-qemu (Debian, "
        .. "Ubuntu) or uboot-images-riscv64 (Fedora)", what)
end

---What starts a guest.
---@param what string for messages
---@param spec table from vm.guest.spec
---@param boot table what its image is started with
---@return string firmware as raw.virt.xml takes it
---@return string|nil kernel
function M.choose(what, spec, boot)
    local name = spec.firmware or boot.firmware or "none"
    if name ~= "uefi" or spec.arch ~= "riscv64" or boot.kernel or is_described(spec.arch) then
        return name, boot.kernel
    end
    return "none", uboot(what)
end

---Whether a guest has UEFI variables in a file of its own, which no snapshot and no copy of a running guest holds.
---@param guest vm.Guest
---@return boolean
function M.has_variables(guest)
    return guest.desc.firmware:find "^uefi" ~= nil
end

return M
