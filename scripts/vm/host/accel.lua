-- Which accelerator can run an architecture here: kvm, hvf, or emulation (tcg).
local raw = require "vm.raw"
local host = require "vm.host"
local probe = require "vm.host.probe"

local M = {}

local function is_native(arch)
    local own = raw.build.arch
    return arch == own or (own == "x86_64" and arch == "i386") or (own == "aarch64" and arch == "armhf")
end

-- /dev/kvm may be there and yet be of no use (inside some virtual machines): QEMU is asked to make a
-- virtual cpu.
local function probe_kvm(arch, emulator)
    local reason = probe.refusal("kvm-" .. arch.name, emulator,
        { "-accel", "kvm", "-cpu", "max", "-machine", arch.machine })
    return reason and "/dev/kvm is there, but " .. reason
end

---Why kvm cannot be used for an architecture here, or nil when it can.
---@param arch table from raw.virt.arches
---@return string|nil reason
function M.why_not_kvm(arch)
    if raw.build.system ~= "linux" then
        return "this is not Linux"
    elseif not is_native(arch.name) then
        return ("the host is %s"):format(raw.build.arch)
    elseif not raw.fs.exists("/dev/kvm") then
        return "there is no /dev/kvm: the processor's virtualization is off, or this is a virtual machine without it"
    end
    local kvm, why = io.open("/dev/kvm", "r+b")
    if not kvm then
        return ("%s; add this user to the group that owns it (usually kvm)"):format(why)
    end
    kvm:close()
    local emulator = host.which(arch.emulator)
    if not emulator then
        return ("%s is not installed"):format(arch.emulator)
    end
    return probe_kvm(arch, emulator)
end

---The accelerators that can run an architecture here, the best first; "tcg" is always there.
---@param arch table from raw.virt.arches
---@return string[]
function M.possible(arch)
    if raw.build.system == "macos" and arch.name == raw.build.arch then
        return { "hvf", "tcg" }
    elseif M.why_not_kvm(arch) == nil then
        return { "kvm", "tcg" }
    end
    return { "tcg" }
end

return M
