-- Guests of images with cloud-init: what they are told at their first boot, on a small ISO image that is
-- taken out again, and when they are ready.
local raw = require "vm.raw"
local data = require "vm.cloud.data"
local errors = require "vm.errors"
local random_hex = require "vm.random_hex"
local run_of = require "vm.run"

local M = {}

local raise = errors.raise

---The name of the ISO image among a guest's files.
M.MEDIUM = "cidata.iso"

---Makes the ISO image of a guest.
---@param guest vm.Guest
---@param run vm.Run
---@param entry table of the catalogue; {} for a file of the user's
---@return table login
---@return table boot
function M.prepare(guest, run, entry)
    local spec = guest.spec
    local cloud = spec.cloud or data.check("vm.create", {})
    local key = run_of.key(run)
    local host_key = raise(raw.data.ed25519(guest.name))
    local user = spec.user or "root"
    local own = cloud.user_data and raise(raw.fs.read(cloud.user_data, 1 << 20))
    local ours = data.config(cloud, {
        user = user, default_user = entry.user, public = key.public, host_key = host_key, name = guest.name,
    })
    guest.seed_iso = guest.files:path(M.MEDIUM)
    raise(raw.data.iso(guest.seed_iso, "cidata", {
        { name = "meta-data", data = data.meta_data("vmatrix-" .. random_hex(8), cloud.hostname or guest.name) },
        { name = "network-config", data = data.network_config(guest.cards) },
        { name = "user-data", data = data.user_data(ours, own or nil, cloud.plain) },
    }))
    return {
        user = user, key = key.path, port = 22, host_key = not cloud.plain and host_key.public or nil,
    }, {
        -- A kernel that is started directly may look for the drive before it has its driver.
        kernel = spec.kernel, initrd = spec.initrd,
        append = spec.kernel and (spec.append or "") .. " ds=nocloud vmatrix.cdrom" or spec.append, ready = spec.ready,
        firmware = not spec.kernel and entry.firmware == "uefi" and "uefi" or nil, features = {},
    }
end

-- What cloud-init has noted as failed.
local function complaints(guest, left)
    local result = guest:exec("cat /run/cloud-init/result.json 2>/dev/null", { timeout = left })
    local known = raw.json.decode(result.stdout)
    local list = type(known) == "table" and type(known.v1) == "table" and known.v1.errors
    local out = {}
    for i, line in ipairs(type(list) == "table" and list or {}) do
        out[i] = tostring(line):gsub("%c", " "):sub(1, 300)
        if i == 5 then
            break
        end
    end
    return table.concat(out, "; ")
end

---Waits until cloud-init has finished, and takes its ISO image out. Its errors are raised; what it calls
---recoverable is logged.
---@param guest vm.Guest
---@param deadline number
function M.finish(guest, deadline)
    local function left()
        return math.max(1, deadline - raw.task.now())
    end
    local result = guest:exec("command -v cloud-init >/dev/null || exit 3; cloud-init status --wait >/dev/null 2>&1",
        { timeout = left() })
    if result.status == 3 then
        guest:fail("unsupported", "wait_ready", "there is no cloud-init in the image, and it was told what to do")
    end
    local said = complaints(guest, left())
    if result.status == 1 or (result.status ~= 2 and said ~= "") then
        guest:fail("exit", "wait_ready", "cloud-init ended with errors: %s; its log is "
            .. "/var/log/cloud-init-output.log in the guest", said ~= "" and said or "it does not say which")
    elseif result.status == 2 then
        raw.log.write("warn", guest.name, "cloud-init recovered from errors: " .. said)
    end
    (guest.eject_medium or M.eject)(guest) -- of a kept guest it is its owner who can
end

---Takes the ISO image out, now and for the next starts.
---@param guest vm.Guest
function M.eject(guest)
    local path = guest.seed_iso
    local target = ("sd%s"):format(string.char(96 + guest.seed_drive))
    guest:raise("wait_ready", guest:change(guest.domain.eject, guest.domain, guest.arch, target))
    guest.desc.disks[guest.seed_drive].path = nil
    guest.seed_iso = nil
    raw.fs.unlink(path)
end

return M
