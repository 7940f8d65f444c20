-- Snapshots: a guest's disks, and its memory when it runs, kept inside its qcow2 disks.
local raw = require "vm.raw"
local options = require "vm.options"
local progress = require "vm.terminal.progress"

local M = { methods = {} }

---@class vm.Guest
local Guest = M.methods

---A kept state of a guest.
---@class vm.Snapshot
---@field guest vm.Guest
---@field name string
local Snapshot = {}
Snapshot.__index = Snapshot
Snapshot.__name = "vm.Snapshot"

---Takes the guest back to this state.
function Snapshot:revert()
    self.guest:revert(self.name)
end

---Deletes the snapshot; the guest stays as it is.
---@param opts? { children?: boolean } children: also those made from it
function Snapshot:delete(opts)
    self.guest:delete_snapshot(self.name, opts)
end

local count = 0

---Keeps the guest's present state.
---@param name? string made up when absent
---@param opts? { description?: string }
---@return vm.Snapshot
function Guest:snapshot(name, opts)
    self:check_open("snapshot")
    opts = options.check(self:what("snapshot"), opts, { description = "string" })
    if name == nil then
        count = count + 1
        name = ("snapshot-%d"):format(count)
    elseif type(name) ~= "string" or name == "" then
        self:fail("usage", "snapshot", "a name expected, got %s", options.show(name))
    end
    if self.failure and self.failure.kind ~= "closed" then
        self:check_alive("snapshot")
    end
    local bar <close> = progress.call(("snapshot %s of %s"):format(name, self.name)) -- luacheck: ignore 211
    self:raise("snapshot " .. name, self:change(self.domain.snapshot_create, self.domain,
        { name = name, description = opts.description }))
    require("vm.network.cards").note_snapshot(self, name)
    return setmetatable({ guest = self, name = name }, Snapshot)
end

---What guest:snapshots says of each.
---@class vm.SnapshotInfo
---@field name string
---@field parent string|nil
---@field description string|nil
---@field state string of the guest when it was made
---@field created integer unix time
---@field current boolean
---@field vm_size integer|nil bytes of memory and device state
---@field children vm.SnapshotInfo[]

---The guest's snapshots: those without a parent, each with its children.
---@return vm.SnapshotInfo[]
function Guest:snapshots()
    self:check_open("snapshots")
    local by_name, roots = {}, {}
    for _, item in ipairs(self:raise("snapshots", self.domain:snapshots())) do
        item.children = {}
        by_name[item.name] = item
        local siblings = item.parent and by_name[item.parent] and by_name[item.parent].children or roots
        siblings[#siblings + 1] = item
    end
    return roots
end

---Takes the guest back to a snapshot: its memory too if it ran then. Connections are made anew.
---@param snapshot string|vm.Snapshot
function Guest:revert(snapshot)
    self:check_open("revert")
    local name = type(snapshot) == "table" and snapshot.name or snapshot
    if type(name) ~= "string" then
        self:fail("usage", "revert", "a snapshot or its name expected, got %s", options.show(snapshot))
    end
    require("vm.network.cards").check_revert(self, name)
    local bar <close> = progress.call(("revert %s to %s"):format(self.name, name)) -- luacheck: ignore 211
    self:lose_connection()
    self.stopping = true
    if self.failure and self.failure.kind == "panic" then
        -- libvirt destroys a guest that panicked, at a moment of its own: that must not be after the revert.
        self:change(self.domain.destroy, self.domain)
        self.life = "starting"
    end
    local how, err = self:change(self.domain.snapshot_revert, self.domain, name)
    self.stopping = false
    if how == nil then
        self:raise("revert to " .. name, how, err)
    end
    self.ports = nil
    self.failure = nil
    self.console_log:forget_panic()
    self.last_state = self:state()
    if how == "restarted" then
        require("vm.network.cards").reset(self)
    else
        require("vm.network.link").restore(self)
    end
    raw.log.write("info", self.name, ("reverted to %s (%s)"):format(name, how))
end

---Deletes a snapshot; the guest stays as it is.
---@param snapshot string|vm.Snapshot
---@param opts? { children?: boolean }
function Guest:delete_snapshot(snapshot, opts)
    self:check_open("delete_snapshot")
    opts = options.check(self:what("delete_snapshot"), opts, { children = { "boolean", default = false } })
    local name = type(snapshot) == "table" and snapshot.name or snapshot
    self:raise("delete snapshot " .. tostring(name), self.domain:snapshot_delete(name, opts))
end

return M
