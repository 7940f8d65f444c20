-- A second kept guest from one that is there, in the state that it is in. The first goes on: it only pauses
-- while its disks, which hold its memory meanwhile, are copied.
local raw = require "vm.raw"
local adopt = require "vm.owner.adopt"
local errors = require "vm.errors"
local firmware = require "vm.guest.firmware"
local freeze = require "vm.template.freeze"
local note_of = require "vm.owner.note"
local place_of = require "vm.owner.place"
local spec_of = require "vm.guest.spec"
local scope = require "vm.task.scope"
local task = require "vm.task"
local template = require "vm.template"
local wake = require "vm.guest.wake"

local M = {}

local fs = raw.fs
local raise = errors.raise

-- The first guest as what vm.template.fork makes guests of; its disks are copied, its machine is the same one.
local function stand_in(guest, way)
    local xml = guest:raise("fork", guest.domain:xml(false))
    local desc = note_of.plain(guest.desc)
    desc.machine = xml:match("<type[^>]- machine=['\"]([^'\"]+)['\"]") or desc.machine
    desc.uuid, desc.ram_private = nil, nil
    for _, nic in ipairs(desc.nics) do
        for _, forward in ipairs(nic.forwards or {}) do
            forward.host_port, forward.pinned = 0, nil
        end
    end
    local spec = note_of.unpack_spec(note_of.pack_spec(guest.spec))
    for i, card in ipairs(guest.cards) do
        spec.nics[i].mac = card.mac -- each has a network of its own, and the kernel knows its card by this
    end
    return template.new {
        name = guest.name, connection = guest.connection, folder = guest.files.folder,
        info = { way = way, spec = spec, login = guest.login, boot = guest.boot_files, desc = desc, outside = {} },
    }
end

-- What it boots from is its own from now on: the first may be deleted. So is its name at later boots.
local function own_files(fork, hostname)
    local changed, home = false, require("vm.run").open().dir
    local function own(path)
        if not path or path:match "^(.*)/guests/[^/]+/[^/]*$" ~= home
            or path:sub(1, #fork.files.folder + 1) == fork.files.folder .. "/" then
            return path
        end
        local copy = fork.files:path(path:match "[^/]*$")
        if not fs.exists(copy) then
            raise(fs.copy(path, copy))
        end
        changed = true
        return copy
    end
    for _, name in ipairs { "initrd", "kernel" } do
        fork.desc[name] = own(fork.desc[name])
        fork.boot_files[name] = fork.desc[name]
    end
    for _, item in ipairs(fork.desc.disks) do
        item.path = own(item.path) -- such as the medium that configures it
    end
    if hostname and fork.desc.append then
        fork.desc.append = fork.desc.append:gsub("(vmatrix%.hostname=)[%w._-]+", "%1" .. fork.name)
        fork.boot_files.append, changed = fork.desc.append, true
    end
    fork.desc.uuid = fork.domain:uuid()
    if changed then
        fork:redefine "fork"
    end
end

-- Says to the next owner, should this one be killed, that the guest is not to stay paused.
local function mark(owner, guest, on)
    local path = place_of.folder(owner.place, guest.name) .. "/forking"
    if on then
        raise(fs.write_atomic(path, "", 384)) -- 0600
    else
        fs.unlink(path)
    end
end

---Ends what a killed owner left of a fork: the guest goes on.
---@param place vm.owner.Place
---@param guest vm.Guest
function M.recover(place, guest)
    local path = place_of.folder(place, guest.name) .. "/forking"
    if fs.exists(path) then
        guest.domain:snapshot_delete(freeze.SNAPSHOT, {})
        if guest.last_state == "paused" then
            guest.domain:resume()
            guest.last_state = "running"
        end
        fs.unlink(path)
    end
end

local function live(owner, guest, opts, was)
    mark(owner, guest, true)
    local resume <close> = setmetatable({}, { __close = function() -- luacheck: ignore 211
        guest.domain:snapshot_delete(freeze.SNAPSHOT, {})
        if was == "running" and guest.last_state == "paused" then
            guest:resume()
        end
        mark(owner, guest, false)
        adopt.save(owner.place, guest)
    end })
    if was == "running" then
        guest:suspend()
    end
    guest:raise("fork", guest.domain:snapshot_create { name = freeze.SNAPSHOT })
    local from <close> = stand_in(guest, "snapshot")
    return from:fork(opts)
end

---Makes a kept guest that is a copy of one that is there.
---@param owner table place, connection
---@param guest vm.Guest
---@param args { name: string, hostname?: boolean }
---@return vm.Guest
function M.make(owner, guest, args)
    spec_of.check_name("fork", args.name)
    local was = guest.last_state
    if was ~= "running" and was ~= "paused" then
        guest:fail("closed", "fork", "it is %s; start it first", was)
    elseif firmware.has_variables(guest) then
        guest:fail("unsupported", "fork", "the variables of its UEFI firmware cannot be copied while it runs")
    end
    local fork = live(owner, guest, { name = args.name, hostname = args.hostname ~= false and args.name or nil,
        wait = "none" }, was)
    scope.or_close(fork, function()
        fork.fork_of:let_go()
        fork.fork_of = nil
        fork.domain:hmp("delvm " .. freeze.SNAPSHOT) -- its copy of what the first guest kept for it
        own_files(fork, args.hostname ~= false)
        fork.kept, fork.ready, fork.created, fork.booted = true, true, os.time(), os.time()
        fork.known_ports = fork:forwards()
        adopt.save(owner.place, fork)
        if fork.waking then
            task.timeout(fork:limit(60), wake.await, fork, "fork")
        end
    end)
    adopt.watch(owner.place, fork)
    return fork
end

return M
