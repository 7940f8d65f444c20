-- The verbs that change a kept guest: each is a question to the owner. What then happens inside the guest is
-- awaited here, by the guest's description and its console.
local raw = require "vm.raw"
local client = require "vm.owner.client"
local options = require "vm.options"

local M = { methods = {} }

---@class vm.KeptGuest
local Guest = M.methods

-- Asks the owner about this guest.
local function ask(self, verb, args)
    self:check_open(verb)
    args = args or {}
    args.guest = self.name
    local took = self.note.took
    local result = client.call(verb, args, { place = self.place, expect = took and took[verb] })
    self:refresh()
    return result
end

local start_spec = { wait = { "string", one_of = { "none", "console", "commands" } }, timeout = "time" }

-- Waits as start does, and tells the owner how long that took.
local function await(self, opts)
    local wait = opts.wait or (self:has_ssh() and "commands" or "none")
    local begun = raw.task.now()
    if wait == "console" then
        self:wait_console(self:sign(), { timeout = opts.timeout, since = "boot" })
    elseif wait == "commands" then
        self:wait_ready { timeout = opts.timeout }
        client.call("ready", { guest = self.name, seconds = raw.task.now() - begun }, { place = self.place })
    end
    return self
end

---Starts the guest and waits until it is of use, as for any guest.
---@param opts? vm.StartOptions
---@return vm.KeptGuest self
function Guest:start(opts)
    opts = options.check(self:what "start", opts, start_spec)
    ask(self, "start")
    return await(self, opts)
end

---Waits for a guest that was just started, as start does.
---@param opts? vm.StartOptions
---@return vm.KeptGuest self
---@private
function Guest:await_start(opts)
    return await(self, options.check(self:what "start", opts, start_spec))
end

---Takes out what cloud-init was told by, now and for the next starts.
---@private
function Guest:eject_medium()
    ask(self, "eject")
end

---Asks the guest to power off, and pulls the plug when it has not after the timeout.
---@param opts? { timeout?: number|string }
---@return string how "polite" or "firm"
function Guest:stop(opts)
    opts = options.check(self:what "stop", opts, { timeout = "time" })
    return ask(self, "stop", opts)
end

---Pulls the plug. Harmless when it is off already.
function Guest:kill()
    ask(self, "kill")
end

---Restarts the guest.
---@param opts? vm.StartOptions
---@return vm.KeptGuest self
function Guest:reboot(opts)
    opts = options.check(self:what "reboot", opts, start_spec)
    ask(self, "reboot", { timeout = opts.timeout })
    self:lose_connection()
    return await(self, opts)
end

---Stops its cpus; everything stays as it is until resume.
function Guest:suspend()
    ask(self, "suspend")
end

---Lets its cpus run again.
function Guest:resume()
    ask(self, "resume")
end

---Figures about the guest.
---@return vm.GuestInfo
function Guest:info()
    return ask(self, "info")
end

---@class vm.KeptSnapshot: vm.Snapshot
local Snapshot = { __name = "vm.Snapshot" }
Snapshot.__index = Snapshot

---Takes the guest back to this state.
function Snapshot:revert()
    self.guest:revert(self.name)
end

---Deletes the snapshot; the guest stays as it is.
---@param opts? { children?: boolean }
function Snapshot:delete(opts)
    self.guest:delete_snapshot(self.name, opts)
end

---Keeps the guest's present state.
---@param name? string made up when absent
---@param opts? { description?: string }
---@return vm.Snapshot
function Guest:snapshot(name, opts)
    opts = options.check(self:what "snapshot", opts, { description = "string" })
    local made = ask(self, "snapshot", { name = name, description = opts.description })
    return setmetatable({ guest = self, name = made }, Snapshot)
end

---The guest's snapshots: those without a parent, each with its children.
---@return vm.SnapshotInfo[]
function Guest:snapshots()
    local list = ask(self, "snapshots")
    return list[1] and list or {}
end

local function name_of(snapshot)
    return type(snapshot) == "table" and snapshot.name or snapshot
end

---Takes the guest back to a snapshot. Connections are made anew.
---@param snapshot string|vm.Snapshot
function Guest:revert(snapshot)
    ask(self, "revert", { name = name_of(snapshot) })
    self.failure = nil
    self:lose_connection()
end

---Deletes a snapshot; the guest stays as it is.
---@param snapshot string|vm.Snapshot
---@param opts? { children?: boolean }
function Guest:delete_snapshot(snapshot, opts)
    opts = options.check(self:what "delete_snapshot", opts, { children = { "boolean", default = false } })
    ask(self, "delete_snapshot", { name = name_of(snapshot), children = opts.children })
end

---Forwards one more port of the running guest, until it stops.
---@param forward integer|table 80, or { guest = 80, host = 8080, address = "127.0.0.1", udp = false }
---@return integer port the host's
function Guest:forward(forward)
    local item = require("vm.guest.spec").forward(self:what "forward", forward)
    return ask(self, "forward", { forward = item })
end

---Makes a second kept guest that is a copy of this one as it is now. This one pauses meanwhile and goes on.
---@param name string
---@param opts? { hostname?: boolean } hostname: whether it calls itself by its name, unless false
---@return vm.KeptGuest
function Guest:fork(name, opts)
    opts = options.check(self:what "fork", opts, { hostname = "boolean" })
    ask(self, "fork", { name = name, hostname = opts.hostname })
    return require("vm.owner.kept").open(self.place, name)
end

---Deletes the guest with its disks; returns when all of it is gone.
function Guest:delete()
    ask(self, "delete")
    self:close()
end

return M
