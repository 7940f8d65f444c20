-- Content keys: a state is known by what went into it, part by part.
local raw = require "vm.raw"
local digests = require "vm.state.digests"
local errors = require "vm.errors"
local host = require "vm.host"
local value = require "vm.state.value"

local M = {}

local fs = raw.fs

---Raised when what is kept, or how keys are made, changes.
M.FORMAT = 1

local LENGTH <const> = 40 -- hexadecimal digits of a key: names of folders

---The key that parts make.
---@param parts vm.KeyPart[]
---@return string
function M.key(parts)
    local words = { "vmatrix state\n" }
    for _, part in ipairs(parts) do
        words[#words + 1] = ("%d:%s%d:%s"):format(#part[1], part[1], #part[2], part[2])
    end
    return errors.raise(raw.data.sha256(table.concat(words))):sub(1, LENGTH)
end

local versions = {} -- emulator -> what it says of itself

local function qemu_version(path)
    if not versions[path] then
        local text = host.run({ path, "--version" }, { timeout = 30 }).stdout
        versions[path] = text:match "version%s+([^\n]+)" or text
    end
    return versions[path]
end

local function library_version(name)
    for _, library in ipairs(raw.version.libraries()) do
        if library.name == name then
            return library.version
        end
    end
    return ""
end

-- What of the host's processor a guest may see when it runs on it.
local function host_cpu()
    local info = fs.read("/proc/cpuinfo", 4 << 20)
    if not info then
        return host.run({ "sysctl", "-n", "machdep.cpu.brand_string" }, { timeout = 10 }).stdout
    end
    local first = info:match "^(.-)\n\n" or info
    local words = {}
    for line in first:gmatch "[^\n]+" do
        local name = line:match "^([^:]-)%s*:"
        if name and not name:find "MHz" and name ~= "processor" and name ~= "bogomips" and name ~= "apicid"
            and name ~= "BogoMIPS" and name ~= "initial apicid" and name ~= "core id" and name ~= "physical id" then
            words[#words + 1] = line
        end
    end
    return table.concat(words, "\n")
end

local function file_part(parts, name, path)
    local digest, err = digests.file(path)
    if not digest then
        error(err, 0)
    end
    parts[#parts + 1] = { name, digest }
end

-- Fields of a checked spec that have a part of their own, or do not decide what is in the guest.
local apart = { name = true, arch = true, arch_info = true, accel = true, emulated = true, image = true,
    kernel = true, initrd = true, media = true, disks = true, machine = true, ssh = true, named = true }

local function add_all(parts, more)
    table.move(more, 1, #more, #parts + 1, parts)
end

local function sorted_names(of)
    local names = {}
    for name in pairs(of) do
        names[#names + 1] = name
    end
    table.sort(names)
    return names
end

local function image_part(what, parts, spec)
    if spec.image == "seed" then
        local seed = require "vm.seed"
        local image = seed.image(spec.arch, spec.agent)
            or seed.build(spec.arch, { agent = spec.agent, progress = function(line)
                raw.log.write("info", nil, line)
            end })
        file_part(parts, "image seed", image.folder .. "/manifest.lua")
    elseif spec.named then
        local got = require("vm.guest.named").get(spec)
        for _, name in ipairs { "path", "kernel", "initrd" } do
            if got[name] then
                file_part(parts, "image " .. name, got[name])
            end
        end
        parts[#parts + 1] = { "image append", got.append or "" }
    elseif spec.image then
        file_part(parts, "image", spec.image)
    elseif not spec.kernel then
        errors.fail("usage", "%s: a guest without an image and a kernel has nothing to prepare", what)
    end
end

---The parts of a booted guest: everything that its content depends on before the first step.
---@param what string for messages
---@param spec table from vm.spec.check
---@return vm.KeyPart[]
function M.base(what, spec)
    local emulator = host.which(spec.arch_info.emulator)
    if not emulator then
        errors.fail("unsupported", "%s: no QEMU for %s: %s is not installed; `vmatrix doctor` names the package",
            what, spec.arch, spec.arch_info.emulator)
    end
    local parts = {
        { "format", tostring(M.FORMAT) },
        { "vmatrix", _G._VMATRIX },
        { "libvirt", library_version "libvirt" },
        { "arch", spec.arch },
        { "accel", spec.accel },
        { "qemu", qemu_version(emulator) },
        { "machine", spec.machine or spec.arch_info.machine },
    }
    if spec.accel ~= "tcg" then
        parts[#parts + 1] = { "host cpu", value.short(host_cpu()) }
    end
    image_part(what, parts, spec)
    for _, name in ipairs { "kernel", "initrd" } do
        if spec[name] then
            file_part(parts, name, spec[name])
        end
    end
    for i, path in ipairs(spec.media) do
        file_part(parts, ("media %d"):format(i), path)
    end
    for i, disk in ipairs(spec.disks) do
        if disk.path then
            errors.fail("unsupported", "%s: disks[%d]: a disk of your own (%s) is written to as it is, and cannot be "
                .. "part of a kept state; give a size", what, i, disk.path)
        end
        add_all(parts, value.parts(what, ("disk %d"):format(i), disk))
    end
    if spec.ssh then
        local login = {}
        for name, given in pairs(spec.ssh) do
            login[name] = name ~= "password" and given or nil
        end
        add_all(parts, value.parts(what, "ssh", login))
    end
    for _, name in ipairs(sorted_names(spec)) do
        if not apart[name] then
            add_all(parts, value.parts(what, name, spec[name]))
        end
    end
    return parts
end

---What differs between two lists of parts, in words: for `--why`.
---@param old vm.KeyPart[]
---@param new vm.KeyPart[]
---@return string[]
function M.changes(old, new)
    local before, after, out = {}, {}, {}
    for _, part in ipairs(old) do
        before[part[1]] = part[2]
    end
    for _, part in ipairs(new) do
        after[part[1]] = part[2]
    end
    for _, part in ipairs(new) do
        local name, now = part[1], part[2]
        if before[name] == nil then
            out[#out + 1] = name .. ": new"
        elseif before[name] ~= now then
            local shown = not (now .. before[name]):find "%x%x%x%x%x%x%x%x%x%x%x%x%x%x%x%x"
            out[#out + 1] = shown and ("%s: was %s, is %s"):format(name, before[name], now) or name .. ": changed"
        end
    end
    for _, part in ipairs(old) do
        if after[part[1]] == nil then
            out[#out + 1] = part[1] .. ": gone"
        end
    end
    return out
end

return M
