-- What the owner can be asked: each verb takes the owner, its arguments and, where it is about one, the
-- guest. What they return goes to the caller as JSON. None waits for what happens inside a guest that can be
-- awaited from outside: callers do that themselves.
local raw = require "vm.raw"
local adopt = require "vm.owner.adopt"
local cloud = require "vm.cloud"
local errors = require "vm.errors"
local note_of = require "vm.owner.note"
local scope = require "vm.task.scope"
local task = require "vm.task"

local verbs = {}

local fs = raw.fs

-- A to-be-closed turn of the guest: one change at a time.
local function turn(guest)
    local permit = guest.turn:acquire()
    if guest.closed then
        permit.release()
        guest:check_open "use"
    end
    guest.busy = true
    return setmetatable({}, { __close = function()
        guest.busy = false
        permit.release()
        guest.changed:broadcast()
    end })
end

-- The forwards in a guest's description, all of its cards'.
local function each_forward(guest, fn)
    for _, nic in ipairs(guest.desc.nics) do
        for _, forward in ipairs(nic.forwards or {}) do
            fn(forward)
        end
    end
end

-- The ports that QEMU chose stay the same at later starts, so that what knows them goes on working.
local function pin_ports(guest)
    local changed = false
    each_forward(guest, function(forward)
        if forward.host_port == 0 then
            forward.host_port = note_of.port({ ports = guest.known_ports }, forward.guest_port, forward.udp) or 0
            forward.pinned = forward.host_port ~= 0 or nil
            changed = changed or forward.pinned
        end
    end)
    if changed then
        guest:redefine "start"
    end
end

local function unpin_ports(guest)
    local changed = false
    each_forward(guest, function(forward)
        if forward.pinned then
            forward.host_port, forward.pinned, changed = 0, nil, true
        end
    end)
    if changed then
        guest:redefine "start"
    end
    return changed
end

-- The RAM file is gone after a stop, and with a restart of the host.
local function ensure_ram(guest)
    local desc = guest.desc
    if desc.ram and not desc.ram_private and not fs.exists(desc.ram) then
        local path = guest.files:ram(guest:what "start", guest.spec.memory)
        if path ~= desc.ram then
            desc.ram = path
            guest:redefine "start"
        end
    end
end

local function start(owner, guest)
    ensure_ram(guest)
    guest.ready = nil
    local ok, err = pcall(guest.start, guest, { wait = "none" })
    if not ok and errors.is(err, "exists") and unpin_ports(guest) then -- somebody else has its port now
        ok, err = pcall(guest.start, guest, { wait = "none" })
    end
    if not ok then
        error(err, 0)
    end
    guest.booted = os.time()
    guest.known_ports = guest:forwards()
    pin_ports(guest)
    adopt.save(owner.place, guest)
end

-- What a caller is told of a guest: the description says the rest.
local function told(guest)
    return { name = guest.name, state = guest.last_state }
end

-- A verb that changes the guest: it has its turn, and what it has come to is written into the description, with
-- how long that took. What fn returns is the answer, or else what there is to be told of the guest.
local function changing(verb, fn)
    verbs[verb] = function(owner, args, guest)
        local _ <close> = turn(guest)
        local begun = raw.task.now()
        local answer = fn(guest, args, owner)
        guest.took = guest.took or {}
        guest.took[verb] = raw.task.now() - begun
        adopt.save(owner.place, guest)
        return answer or told(guest)
    end
end

function verbs.create(owner, args)
    local spec = note_of.unpack_spec(args.spec)
    local guest = adopt.create(owner.place, owner.connection, spec, args.token)
    local done = false
    local undo <close> = setmetatable({}, { __close = function() -- luacheck: ignore 211
        if not done then -- it could not be started, or whoever asked has gone
            verbs.delete(owner, {}, guest)
        end
    end })
    if args.start then
        local _ <close> = turn(guest)
        start(owner, guest)
    end
    done = true
    return told(guest)
end

function verbs.start(owner, _, guest)
    local _ <close> = turn(guest)
    start(owner, guest)
    return told(guest)
end

-- A guest without a power button is asked by a command, for which one has to be logged in.
local function be_reachable(guest)
    local features = guest.boot_files.features or {}
    if guest.last_state == "running" and guest:has_ssh() and not guest.failure
        and (features.power_button == false or not guest.spec.arch_info.acpi) then
        pcall(function() guest:transport("stop", "ssh"):open { timeout = 20 } end)
    end
end

changing("stop", function(guest, args)
    local calm <close> = setmetatable({}, { __close = function() -- luacheck: ignore 211
        if guest.last_state ~= "stopped" then
            guest.stopping = false -- whoever asked has gone: its end would be no stop any more
        end
    end })
    be_reachable(guest)
    return guest:stop { timeout = args.timeout }
end)

-- How long a change that is under way may take before the plug is pulled, in seconds.
local CHANGE <const> = 5

-- Pulls the plug, without a turn: that of whoever waits for a stop is what this is to end. libvirt takes a
-- destroy while it starts QEMU badly: the start then waits half a minute for what is gone.
local function pull_plug(guest)
    local deadline = raw.task.now() + CHANGE
    while next(guest.changes) and raw.task.now() < deadline do
        pcall(task.timeout, CHANGE, next(guest.changes).ended, next(guest.changes))
    end
    guest:kill()
end

function verbs.kill(owner, _, guest)
    pull_plug(guest)
    adopt.save(owner.place, guest)
    return told(guest)
end

changing("reboot", function(guest, args)
    be_reachable(guest)
    guest.ready = nil
    guest:reboot { wait = "none", timeout = args.timeout }
    guest.booted = os.time()
end)

changing("suspend", function(guest)
    guest:suspend()
end)

changing("resume", function(guest)
    guest:resume()
end)

function verbs.xml(_, _, guest)
    return guest:raise("console", guest.domain:xml(false))
end

-- How long its boot took until it was of use, as whoever waited for that has seen.
function verbs.ready(owner, args, guest)
    guest.boot_seconds, guest.ready = args.seconds, true
    adopt.save(owner.place, guest)
    return true
end

changing("eject", function(guest)
    if guest.seed_iso then
        cloud.eject(guest)
    end
end)

function verbs.info(_, _, guest)
    return guest:info()
end

function verbs.delete(owner, _, guest)
    -- Without its description it is no kept guest any more: whatever happens now, the rest goes, too.
    errors.raise(fs.unlink(note_of.path(owner.place, guest.name)))
    -- In a task of the host: whoever asked may be gone, and what is left of its time with it.
    task.spawn_detached("delete " .. guest.name, function()
        pcall(pull_plug, guest)
        local _ <close> = guest.turn:acquire()
        guest.busy = true
        guest:close()
        if guest.watcher then
            guest.watcher:ended()
        end
    end):join()
    return true
end

changing("snapshot", function(guest, args)
    local name = args.name
    if not name then
        local taken = {}
        for _, item in ipairs(guest:raise("snapshots", guest.domain:snapshots())) do
            taken[item.name] = true
        end
        local number = 1
        while taken[("snapshot-%d"):format(number)] do
            number = number + 1
        end
        name = ("snapshot-%d"):format(number)
    end
    guest:snapshot(name, { description = args.description })
    return name
end)

function verbs.snapshots(_, _, guest)
    return guest:snapshots()
end

changing("revert", function(guest, args)
    guest:revert(args.name)
    guest.ready = guest.last_state ~= "stopped" or nil
    guest.life = guest.last_state ~= "stopped" and "started" or guest.life
    guest.known_ports = nil
end)

function verbs.delete_snapshot(_, args, guest)
    local _ <close> = turn(guest)
    guest:delete_snapshot(args.name, { children = args.children })
    return true
end

function verbs.forward(owner, args, guest)
    local _ <close> = turn(guest)
    local port = guest:forward(args.forward)
    adopt.save(owner.place, guest, true)
    return port
end

changing("fork", function(guest, args, owner)
    local fork = require("vm.owner.fork").make(owner, guest, args)
    scope.disown(fork)
    return told(fork)
end)

function verbs.tidy(owner)
    return require("vm.owner.tidy").run(owner)
end

function verbs.ping()
    return true
end

return {
    verbs = verbs,
    alone = { create = true, tidy = true, ping = true }, -- those that are about no guest that is there
}
