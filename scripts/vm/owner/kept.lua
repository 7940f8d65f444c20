-- A kept guest, as any process may use it: commands, copies, waits and the console go straight to the guest,
-- by its description; what changes it is asked of the owner.
local raw = require "vm.raw"
local client = require "vm.owner.client"
local cloud = require "vm.cloud"
local console = require "vm.guest.console"
local errors = require "vm.errors"
local GuestOfRun = require "vm.guest"
local note_of = require "vm.owner.note"
local options = require "vm.options"
local place_of = require "vm.owner.place"
local reaper = require "vm.task.reaper"
local scope = require "vm.task.scope"
local task = require "vm.task"

local M = {}

local fs = raw.fs

---A guest that lives on when the process that made it ends: what vm.get returns, and vm.create and vm.boot
---with `keep = true`. It has the verbs of any guest but template, plug and those of networks.
---@class vm.KeptGuest
---@field name string
---@field arch string
---@field accel string "kvm", "hvf" or "tcg"
---@field emulated boolean
---@field kept boolean true
---@field private cards table[] those on networks of this process: none
local Guest = { __name = "vm.KeptGuest", kept = true, cards = {} }
M.Guest = Guest

-- The same code as for guests of a run.
for _, part in ipairs { "vm.guest.transport", "vm.guest.ready", "vm.remote.exec", "vm.copy", "vm.terminal",
    "vm.owner.kept_verbs" } do
    for name, method in pairs(require(part).methods) do
        Guest[name] = method
    end
end
for _, name in ipairs { "what", "fail", "raise", "limit", "await_fate" } do
    Guest[name] = GuestOfRun[name]
end

-- Seconds between two looks at a guest that is waited for.
local LOOK <const> = 0.25

-- Looks at the guest while something waits for it: nobody else tells that it is gone.
local function watch(self)
    while not self.closed do
        local before = self.last_state
        self:refresh()
        if self.last_state ~= before then
            self.changed:broadcast()
            self.console_log.grown:broadcast()
        end
        self.over:wait(LOOK)
    end
end

-- The console is followed when it is first needed.
local function follow(self)
    local note = self.note
    local log = console.of(self, self:path "console.log", note.boot_offset, note.boot_offset)
    rawset(self, "console_log", log)
    self.watcher = task.spawn_detached("kept " .. self.name, watch, self)
    return log
end

-- Verbs of any guest that are made of those that a kept one has.
local composed <const> = { install = true }

function Guest.__index(self, key)
    if key == "console_log" then
        return follow(self)
    end
    return Guest[key] or (composed[key] and GuestOfRun[key])
end

function Guest:__tostring()
    return ("guest %s (%s, %s, kept)"):format(self.name, self.arch, self.closed and "closed" or self:state())
end

---The path of one of the guest's files.
---@param name string
---@return string
---@private
function Guest:path(name)
    return place_of.folder(self.place, self.name) .. "/" .. name
end

local function take(self, note)
    local again = self.note and (self.note.pid ~= note.pid or self.note.boot_offset ~= note.boot_offset)
    self.note, self.spec, self.login, self.boot_files = note, note.spec, note.login, note.boot
    self.package_manager, self.seed_iso = note.package_manager, nil
    for _, item in ipairs(note.desc.disks) do
        if item.cdrom and item.path == self:path(cloud.MEDIUM) then
            self.seed_iso = item.path -- it has not come to the end of its first boot
        end
    end
    if again then
        self.failure = nil
        self:lose_connection "the guest was started anew"
        local log = rawget(self, "console_log")
        if log then
            log.boot = note.boot_offset
            log:forget_panic()
        end
    end
end

---Reads the description again if it has changed, and looks how the guest is.
---@private
function Guest:refresh()
    local stat = fs.stat(self:path "guest.json")
    local stamp = stat and ("%d.%d"):format(stat.ino, stat.mtime_ns)
    if not stat then
        self.deleted, self.last_state = true, "stopped"
        return
    elseif stamp ~= self.stamp then
        local note = note_of.read(self.place, self.name)
        if note then
            self.stamp = stamp
            take(self, note)
        end
    end
    self.last_state, self.pid = note_of.state(self.place, self.note)
end

-- The owner was killed before it could note that the guest runs anew: the next one does.
local function catch_up(self)
    if self.pid and self.note.pid ~= self.pid then
        client.call("ping", nil, { place = self.place })
        self:refresh()
    end
end

---Raises when the guest was closed or deleted.
---@param verb string
---@private
function Guest:check_open(verb)
    if self.closed then
        self:fail("closed", verb, "the guest is closed")
    end
    self:refresh()
    if self.deleted then
        self:fail("closed", verb, "the guest was deleted")
    end
end

---Raises what ended the guest, or that it does not run.
---@param verb string
---@private
function Guest:check_alive(verb)
    self:check_open(verb)
    catch_up(self)
    local failure = self.failure or (self.last_state == "stopped" and self.note.failure)
    if failure then
        error(errors.new(failure.kind, ("%s: %s; `vmatrix start %s` starts it anew"):format(self:what(verb),
            failure.reason, self.name), { guest = self.name, signal = failure.signal, console = failure.console }), 0)
    elseif self.last_state == "stopped" then
        self:fail("closed", verb, "the guest is not running; `vmatrix start %s` starts it", self.name)
    end
end

---Ends every wait on this guest with an error.
---@param kind string
---@param reason string
---@private
function Guest:fail_waits(kind, reason)
    if not self.failure then
        local tail = self.console_log:tail(12)
        local text = tail ~= "" and ("%s; the console's last lines:\n%s"):format(reason, tail) or reason
        self.failure = { kind = kind, reason = text, console = tail }
        self:fail_connections(errors.new(kind, text, { console = tail }))
        self.changed:broadcast()
        self.console_log.grown:broadcast()
    end
end

-- What is known of the end of a guest that does not run any more; nil while its owner may still say it.
local function end_of(self, over)
    local failure = self.note.failure
    if failure then
        return failure.kind, failure.reason, failure.signal
    elseif self.deleted then
        return "closed", "the guest was deleted"
    elseif self.note.state == "stopped" then
        return "closed", "the guest was stopped"
    elseif over then
        return "closed", "the guest does not run any more, and nobody saw why"
    end
end

---A connection was lost: whether that is because the guest is gone, and why.
---@private
function Guest:await_fate()
    local deadline = raw.task.now() + 1
    while not self.closed and not self.failure do
        self:refresh()
        local over = raw.task.now() >= deadline
        local kind, why, signal
        if self.last_state == "stopped" then
            kind, why, signal = end_of(self, over)
        end
        if kind then
            self:fail_connections(errors.new(kind, why, { signal = signal }))
        end
        if kind or over then
            return
        end
        self.changed:wait(0.05)
    end
end

---Whether commands reach it; there is no agent for kept guests, whose channel one process alone could have.
---@param verb string
---@param wanted? string
---@param beyond? string
---@return vm.Conn
---@private
function Guest:transport(verb, wanted, beyond)
    self:check_alive(verb)
    if wanted == "agent" or not self:has_ssh() then
        self:fail("unsupported", verb, "commands reach a kept guest by SSH alone%s",
            wanted == "agent" and "" or ", and it has no login or no \"nat\" network card")
    end
    return GuestOfRun.transport(self, verb, "ssh", beyond)
end

---How it is: "running", "paused" or "stopped". Asks no other process.
---@return string
function Guest:state()
    if not self.closed then
        self:refresh()
    end
    return self.last_state
end

---Whether it runs and may not be through its boot yet: nobody has seen the end of that, and it began not long
---ago.
---@return boolean
---@private
function Guest:boots()
    return self:state() == "running" and not self.note.ready and not self.failure and self:has_ssh()
        and (self.seed_iso ~= nil or os.time() - (self.note.booted or 0) < self:limit(120))
end

---The port of this host that leads to a port of the guest.
---@param guest_port integer
---@param opts? { udp?: boolean }
---@return integer
function Guest:port(guest_port, opts)
    self:check_alive "port"
    opts = options.check(self:what "port", opts, { udp = { "boolean", default = false } })
    return note_of.port(self.note, guest_port, opts.udp) or self:fail("notfound", "port",
        "no forward leads to port %s of the guest; `vmatrix forward %s %s` makes one", tostring(guest_port), self.name,
        tostring(guest_port))
end

---The forwards that it has.
---@return table[]
function Guest:forwards()
    self:check_alive "forwards"
    return note_of.plain(self.note.ports)
end

-- What the terminal of the console asks of libvirt.
local function stand_in(self)
    return { xml = function()
        return client.call("xml", { guest = self.name }, { place = self.place })
    end }
end

---What the serial console has said so far, as for any guest; "attach" gives it this program's terminal.
---@param how? "attach"
---@return string|nil text nothing when it was attached
function Guest:console(how)
    self:check_open "console"
    if how == "attach" then
        self.domain = stand_in(self)
        return require("vm.terminal").attach_console(self)
    elseif how ~= nil then
        self:fail("usage", "console", "\"attach\" or nothing expected, got %s", options.show(how))
    end
    return self.console_log:all()
end

---Lets go of it: the guest goes on. Harmless when repeated.
function Guest:close()
    if self.closed then
        return
    end
    self.closed = true
    scope.disown(self)
    self.changed:broadcast()
    self.over:broadcast()
    local log = rawget(self, "console_log")
    if log then
        log:close()
        self.watcher:ended()
    end
    self:close_connections()
end

Guest.__close = reaper.close

---The object of a kept guest; nil when there is none of that name.
---@param place vm.owner.Place
---@param name string
---@return vm.KeptGuest|nil
---@return string|nil why
function M.open(place, name)
    local note, why = note_of.read(place, name)
    if not note then
        return nil, why
    end
    local self = setmetatable({ name = name, place = place, arch = note.arch, accel = note.accel,
        emulated = note.emulated, changed = raw.task.event(), over = raw.task.event(), closed = false }, Guest)
    take(self, note)
    self:refresh()
    scope.own(self)
    return self
end

return M
