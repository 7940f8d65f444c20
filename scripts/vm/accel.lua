-- Which accelerator can run an architecture here: kvm, hvf, or emulation (tcg).
local raw = require "vm.raw"
local host = require "vm.host"

local M = {}

local function is_native(arch)
    local own = raw.build.arch
    return arch == own or (own == "x86_64" and arch == "i386") or (own == "aarch64" and arch == "armhf")
end

-- What the answer of a probe depends on: the machine's boot, the device's owner, and the emulator.
local function probe_key(emulator)
    local boot = raw.fs.read("/proc/sys/kernel/random/boot_id", 100) or ""
    local stat = raw.fs.stat(emulator)
    return ("%s %d %d"):format(boot:gsub("%s", ""), raw.fs.uid(), stat and stat.mtime // 1 or 0)
end

-- /dev/kvm may be there and yet be of no use (inside some virtual machines): QEMU is asked to make a
-- virtual cpu, once a boot of this host.
local function probe_kvm(arch, emulator)
    local folder = host.cache_dir() .. "/qemu"
    local file = ("%s/kvm-%s"):format(folder, arch.name)
    local key = probe_key(emulator)
    local known = raw.fs.read(file, 4096)
    if known and known:sub(1, #key + 1) == key .. "\n" then
        return known:sub(#key + 2)
    end
    local ok, result = pcall(host.run, {
        emulator, "-accel", "kvm", "-cpu", "max", "-machine", arch.machine, "-nodefaults", "-display", "none",
        "-S", "-monitor", "stdio",
    }, { stdin = "quit\n", timeout = 20, check = false })
    local reason = ""
    if not ok then
        reason = tostring(result)
    elseif result.status ~= 0 or result.signal ~= 0 then
        reason = result.stderr:match("error: ([^\n]*)") or result.stderr:match("^([^\n]*)") or ""
        reason = "QEMU cannot use it: " .. (reason ~= "" and reason or ("signal %d"):format(result.signal))
    end
    raw.fs.mkdir_p(folder, 448) -- 0700
    raw.fs.write_atomic(file, key .. "\n" .. reason)
    return reason
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
    local reason = probe_kvm(arch, emulator)
    return reason ~= "" and "/dev/kvm is there, but " .. reason or nil
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
