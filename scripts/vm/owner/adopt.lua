-- The owner's side of a kept guest: the object of the library that it is, made from its description and
-- written back to it, and letting go of it without ending it.
local raw = require "vm.raw"
local cards = require "vm.network.cards"
local cloud = require "vm.cloud"
local console = require "vm.guest.console"
local create = require "vm.guest.create"
local errors = require "vm.errors"
local Guest = require "vm.guest"
local note_of = require "vm.owner.note"
local place_of = require "vm.owner.place"
local scope = require "vm.task.scope"
local storage = require "vm.guest.storage"
local task = require "vm.task"
local transport = require "vm.guest.transport"

local M = {}

local fs = raw.fs

-- The public key of a host's, as a file for ssh: known under a name of its own, whatever its port.
local function write_known_hosts(place, guest)
    local key = guest.login and guest.login.host_key
    local path = place_of.folder(place, guest.name) .. "/known_hosts"
    if key and key:find "^%S+ %S+" and not fs.exists(path) then
        errors.raise(fs.write_atomic(path, ("vmatrix-%s %s\n"):format(guest.name, key:match "^%S+ %S+"), 384)) -- 0600
    end
end

-- The forwards of a running guest. QEMU asked to list them may be about to end.
local function ports_of(guest)
    if guest.last_state ~= "running" and guest.last_state ~= "paused" then
        return {}
    end
    guest.ports = nil
    local ok, list = pcall(guest.forwards, guest)
    return ok and list or {}
end

---Writes the description of a guest as it is now.
---@param place vm.owner.Place
---@param guest vm.Guest
---@param ask? boolean whether its ports may have changed
function M.save(place, guest, ask)
    if ask or not guest.known_ports then
        guest.known_ports = ports_of(guest)
    end
    local spec = note_of.pack_spec(guest.spec)
    for i, card in ipairs(guest.cards) do
        spec.nics[i].mac = card.mac -- the same from now on
    end
    write_known_hosts(place, guest)
    local failure = guest.failure
    note_of.write(place, {
        name = guest.name, image = guest.spec.image_name or guest.spec.image, arch = guest.arch, accel = guest.accel,
        emulated = guest.emulated, created = guest.created, booted = guest.booted,
        boot_seconds = guest.boot_seconds, ready = guest.ready, uuid = guest.domain:uuid(),
        state = guest.last_state, pid = note_of.pid(place, guest.name), boot_offset = guest.console_log.boot,
        ports = guest.known_ports, login = note_of.plain(guest.login), boot = note_of.plain(guest.boot_files),
        spec = spec, desc = note_of.plain(guest.desc), forked = guest.forked,
        agent = guest.agent and guest.agent.link.path or nil, package_manager = guest.package_manager,
        token = guest.token, took = guest.took,
        failure = failure and { kind = failure.kind, reason = failure.reason, signal = failure.signal } or nil,
    })
    guest.saved = guest.last_state
end

-- RAM that nobody uses any more need not be held.
local function drop_ram(guest)
    if guest.last_state == "stopped" and not guest.busy and not guest.desc.ram_private then
        fs.unlink(guest.desc.ram)
    end
end

---Keeps the description of a guest up to date from now on.
---@param place vm.owner.Place
---@param guest vm.Guest
function M.watch(place, guest)
    guest.turn = task.semaphore(1)
    guest.watcher = task.spawn_detached("kept " .. guest.name, function()
        while not guest.closed do
            if guest.last_state ~= guest.saved and not guest.busy then
                local ok, err = pcall(M.save, place, guest)
                if not ok then
                    raw.log.write("warn", guest.name, tostring(err))
                    guest.saved = guest.last_state
                end
            end
            drop_ram(guest)
            guest.changed:wait()
        end
    end)
end

---The guest of a description: taken over where it runs, and defined anew where libvirt has lost it.
---@param place vm.owner.Place
---@param connection vm.Connection
---@param note vm.KeptNote
---@return vm.Guest
function M.adopt(place, connection, note)
    local spec = note_of.unpack_spec(note.spec)
    local folder = place_of.folder(place, note.name)
    local self = setmetatable({
        name = note.name, arch = note.arch, accel = note.accel, emulated = note.emulated, spec = spec,
        connection = connection, changed = raw.task.event(), changes = {}, closed = false,
        desc = note.desc, login = note.login, boot_files = note.boot, emulator = note.desc.emulator,
        files = storage.at(folder, note.name, note.desc.ram), disk_paths = {}, created = note.created,
        booted = note.booted, boot_seconds = note.boot_seconds, ready = note.ready, forked = note.forked,
        known_ports = note.ports, agent_path = note.agent, package_manager = note.package_manager,
        token = note.token, took = note.took, kept = true,
    }, Guest)
    for i, item in ipairs(note.desc.disks) do
        if not item.cdrom then
            self.disk_paths[#self.disk_paths + 1] = item.path
        elseif item.path == self.files:path(cloud.MEDIUM) then
            self.seed_iso, self.seed_drive = item.path, i
        end
    end
    cards.allocate(self)
    self.domain = connection.raw:lookup(self.name)
    if not self.domain then
        self.domain = errors.raise(connection.raw:define(errors.raise(raw.virt.xml(note.desc))))
    end
    local pid
    self.last_state, pid = note_of.state(place, note)
    if pid then
        -- libvirt has just taken it over itself: what it says of one that runs is true.
        local state = self.domain:state()
        self.last_state = state == "paused" and "paused" or "running"
        self.life, self.pid = "started", pid
    else
        self.failure = note.failure
    end
    local log = self.files:path "console.log"
    local stat = fs.stat(log)
    self.console_log = console.of(self, log, stat and stat.size, note.boot_offset)
    transport.prepare(self, require("vm.run").open())
    connection.guests[self.name] = self
    require("vm.owner.fork").recover(place, self)
    M.save(place, self, pid ~= nil)
    M.watch(place, self)
    return self
end

---Lets go of a guest, which goes on.
---@param guest vm.Guest
function M.let_go(guest)
    if guest.closed then
        return
    end
    while next(guest.changes) do
        next(guest.changes):ended()
    end
    guest.closed = true
    guest.closing = task.spawn_detached("let go of " .. guest.name, function() end)
    guest.connection.guests[guest.name] = nil
    scope.disown(guest)
    guest.changed:broadcast()
    pcall(guest.close_connections, guest)
    guest.console_log:close()
    if guest.watcher then
        guest.watcher:ended()
    end
end

---Makes a guest that is kept.
---@param place vm.owner.Place
---@param connection vm.Connection
---@param spec table from vm.guest.spec
---@param token? string by which whoever asked knows it again
---@return vm.Guest
function M.create(place, connection, spec, token)
    local guest = create.of_spec(connection, spec, "vm.create")
    scope.or_close(guest, function()
        guest.kept, guest.created, guest.token = true, os.time(), token
        guest.desc.uuid = guest.domain:uuid()
        M.save(place, guest)
    end)
    scope.disown(guest)
    M.watch(place, guest)
    return guest
end

return M
