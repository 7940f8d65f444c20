-- What can be done with a guest here.
local errors = require "vm.errors"
local firmware = require "vm.guest.firmware"
local options = require "vm.options"

local M = {}

---What vm.features returns.
---@class vm.Features
---@field fork "live"|"snapshot"|"boot" how forks of it are made
---@field why string|nil why not live
---@field snapshot boolean whether its present state can be kept inside its disks
---@field commands boolean whether commands can be run in it

-- Devices that QEMU cannot move: it would refuse to write their state.
local blocked <const> = { "vfio", "vhost%-user", "virtfs", "virtio%-9p", "ivshmem" }

local function why_not_live(guest)
    if not guest.desc.ram then
        return "its memory is in no file"
    end
    for _, arg in ipairs(guest.spec.qemu_args or {}) do
        for _, name in ipairs(blocked) do
            if arg:find(name) then
                return ("the state of a device that was added by qemu_args (%s) cannot be written"):format(arg)
            end
        end
        if arg:find("memory%-backend") then
            return "its memory is not the file that vmatrix gives it (qemu_args)"
        end
    end
end

local function snapshots_work(guest)
    for _, item in ipairs(guest.desc.disks) do
        if not item.readonly and not item.cdrom and item.format ~= "qcow2" then
            return false, ("its disk %s is %s, and a snapshot wants qcow2"):format(item.path, item.format)
        end
    end
    if firmware.has_variables(guest) then
        return false, "the variables of its UEFI firmware are in a file that cannot hold a snapshot"
    end
    return true
end

---What can be done with a guest, and why not more.
---@param guest vm.Guest
---@return vm.Features
function M.of(guest)
    if type(guest) ~= "table" or type(guest.spec) ~= "table" then
        errors.fail("usage", "vm.features: a guest expected, got %s", options.show(guest))
    end
    local why = why_not_live(guest)
    local snapshot, no_snapshot = snapshots_work(guest)
    local fork = "live"
    if why then
        local blocks = why:find("qemu_args", 1, true) and not why:find("memory", 1, true)
        fork = snapshot and not blocks and "snapshot" or "boot"
        if fork == "boot" and no_snapshot then
            why = why .. "; " .. no_snapshot
        end
    end
    return {
        fork = fork,
        why = why,
        snapshot = snapshot,
        commands = guest.login ~= nil and guest.spec.nat ~= nil,
    }
end

return M
