-- Where the tests of a cell run: clean guests, one after the other or many at once. A fork of a prepared
-- guest where that can be, else the cell's guest taken back to a snapshot, else a new boot each time, which
-- isolation = "revert" and "boot" ask for; with "cell" one guest for all; or a machine that is there already.
local raw = require "vm.raw"
local errors = require "vm.errors"
local guests = require "vm.matrix.guests"
local held = require "vm.guest.held"
local prepare = require "vm.test.prepare"

local M = {}

local now = raw.task.now

-- A limit that no longer limits, and the snapshot to go back to.
local ENOUGH <const>, CLEAN <const> = 1 << 30, "vmatrix-clean"

---@class vm.test.Stand
---@field cell table of the plan
---@field way? string "machine", "fork", "revert", "boot" or "same", once it is known
local Stand = {}
Stand.__index = Stand

local function is_machine(value)
    return type(value) == "table" and value.exec ~= nil
end

-- What the matrix says each guest is: a list of { role =, options = } or { role =, machine = }; without a
-- role it is the only one.
local function roles_of(matrix, cell)
    local roles = {}
    for i, item in ipairs(guests.of(cell)) do
        roles[i] = { role = matrix.guests and item.name or nil }
        roles[i][is_machine(item.options) and "machine" or "options"] = item.options
    end
    return roles
end

---Makes the stand of a cell. Asks the matrix what its guests are; boots nothing.
---@param cell table
---@param ctx table emit(event), scope: that of the run, widen(limit, n)
---@return vm.test.Stand
function M.new(cell, ctx)
    local matrix = cell.matrix
    local self = setmetatable({ cell = cell, matrix = matrix, ctx = ctx, left = {}, count = 0 }, Stand)
    self.roles = roles_of(matrix, cell)
    self.limit = "cell:" .. cell.id
    self.needs = { slots = 1 }
    for _, role in ipairs(self.roles) do
        if role.machine then
            self.way = "machine"
            self.limit = "machine:" .. tostring(role.machine.name or role.machine)
        else
            local options = {}
            for name, value in pairs(role.options) do
                if name ~= "wait" and name ~= "timeout" then
                    options[name] = value
                end
            end
            role.spec = require("vm.guest.spec").check("cell " .. cell.id .. ": guest", options)
            for name, amount in pairs(held.cost(role.spec)) do
                self.needs[name] = (self.needs[name] or 0) + amount
            end
            self.emulated = self.emulated or role.spec.emulated
        end
    end
    return self
end

-- Guests outlive the task that happens to make them: they belong to the run.
local function adopt(self, object)
    self.ctx.scope:take(object)
    return object
end

local function name_for(self, role)
    self.count = self.count + 1
    local id = self.cell.id:gsub("[^%w._-]+", "-"):gsub("^[^%w]+", "")
    local tail = (role.role and "-" .. role.role or "") .. "." .. self.count
    return (id == "" and "cell" or id):sub(1, 40 - #tail) .. tail
end

-- Tells of something that happens to a guest, with its time.
local function told(self, info, name, phase, fn)
    local begun = now()
    local event = { event = "guest", cell = self.cell.id, guest = name, phase = phase, test = info and info.test,
        attempt = info and info.attempt, slot = info and info.slot }
    local ok, value = pcall(fn)
    event.duration, event.ok = now() - begun, ok
    if ok then
        event.how = type(value) == "table" and value.origin and value.origin.how or nil
    else
        event.error = { kind = errors.is(value) and value.kind or "script", message = tostring(value) }
    end
    self.ctx.emit(event)
    if not ok then
        error(value, 0)
    end
    return value
end

-- Boots and prepares one guest.
local function boot(self, role, info)
    local options = {}
    for name, value in pairs(role.options) do
        options[name] = value
    end
    options.name = name_for(self, role)
    local guest = told(self, info, options.name, "boot", function()
        return adopt(self, require("vm.default").boot(options))
    end)
    prepare.run(guest, self.cell, self.ctx.emit)
    return guest
end

-- Runs fn(role, index) for every role at once; returns the results in the roles' order.
local function each(self, fn)
    if #self.roles == 1 then
        return { fn(self.roles[1], 1) }
    end
    return require("vm.task").parallel(self.roles, fn)
end

local function close_all(list)
    for _, object in pairs(list or {}) do
        local ok, err = pcall(object.close, object)
        if not ok then
            raw.log.write("warn", object.name, "while closing: " .. tostring(err))
        end
    end
end

-- Booted and prepared once: templates where guests can be frozen, else a snapshot to go back to.
local function build(self, info)
    if self.matrix.isolation == "cell" then
        self.way = "same"
        return
    elseif self.matrix.isolation == "boot" then
        self.way = "boot"
        return
    end
    local may_fork = self.matrix.isolation ~= "revert"
    local states = may_fork and prepare.states(self.cell, self.roles, self.ctx.emit)
    if states then
        for _, state in ipairs(states) do
            adopt(self, state)
        end
        self.bases, self.way = states, "fork"
        return
    end
    local made = each(self, function(role) return boot(self, role, info) end)
    if may_fork and made[1].template then
        local ok, bases = pcall(each, self, function(_, i)
            return adopt(self, made[i]:template { name = made[i].name })
        end)
        if ok then
            self.bases, self.way = bases, "fork"
            return
        elseif not errors.is(bases, "unsupported") then
            error(bases, 0)
        end
        self.ctx.emit { event = "warning", kind = "fork", cell = self.cell.id,
            text = "guests cannot be forked: " .. bases.message }
    end
    local ok, why = pcall(each, self, function(_, i) return made[i]:snapshot(CLEAN) end)
    if ok then
        self.guests, self.way, self.clean, self.pristine = made, "revert", true, true
    else
        self.ctx.emit { event = "warning", kind = "fork", cell = self.cell.id,
            text = "there can be no snapshots, so each test boots: " .. tostring(why) }
        self.way = "boot"
        close_all(made)
    end
end

-- Whoever comes first builds; the others wait. One that fails leaves it to the next.
local function ready(self, info)
    while self.building do
        self.building:wait()
    end
    if self.way then
        return
    end
    self.building = raw.task.event()
    local _ <close> = setmetatable({}, { __close = function()
        local building = self.building
        self.building = nil
        building:broadcast()
    end })
    build(self, info)
    if self.way == "fork" or self.way == "boot" then
        self.ctx.widen(self.limit, ENOUGH)
    end
end

local function fork(self, bases, info)
    return each(self, function(role, i)
        local name = name_for(self, role)
        return told(self, info, name, "fork", function()
            return adopt(self, bases[i]:fork { name = name })
        end)
    end)
end

-- Takes the cell's guests back; boots new ones when that fails.
local function revert(self, info, name)
    if self.pristine and name == CLEAN then
        self.pristine = false
        return self.guests, "boot"
    elseif self.guests and self.clean then
        self.pristine = false
        local ok, err = pcall(each, self, function(_, i)
            local guest = self.guests[i]
            told(self, info, guest.name, "revert", function() guest:revert(name) end)
            guest:check_alive "revert"
        end)
        if ok then
            return self.guests, "revert"
        elseif name ~= CLEAN then
            error(err, 0)
        end
        close_all(self.guests)
        self.guests = nil
    end
    self.guests = each(self, function(role) return boot(self, role, info) end)
    each(self, function(_, i) self.guests[i]:snapshot(CLEAN) end)
    self.clean = true
    return self.guests, "boot"
end

-- A machine as one test sees it: what it watches is its own affair.
local function seen(machine)
    local meta = getmetatable(machine)
    if not (meta and meta.__name == "vm.Ssh") then
        return machine
    end
    local copy = {}
    for name, value in next, machine do
        copy[name] = value
    end
    return setmetatable(copy, meta)
end

---What a test runs on.
---@class vm.test.Lease
---@field how string
---@field list table[] the guests, in the roles' order
---@field given any what the test's function gets: a guest, or a table of them by name
---@field by_name table<string, table>
local Lease = {}
Lease.__index = Lease

---Guests for an attempt. Waits; raises what keeps it from having them.
---@param test table of the plan
---@param info { test: string, attempt: integer, slot: integer, fresh: boolean }
---@return vm.test.Lease
function Stand:lease(test, info)
    local list, how, own
    if self.way ~= "machine" then
        ready(self, info)
    end
    if self.way == "machine" then
        list, how = {}, "machine"
        for i, role in ipairs(self.roles) do
            list[i] = seen(role.machine)
        end
    elseif self.way == "same" then
        if self.guests and info.fresh then
            close_all(self.guests)
            self.guests = nil
        end
        how = self.guests and "same" or "boot"
        self.guests = self.guests or each(self, function(role) return boot(self, role, info) end)
        list = self.guests
    elseif self.way == "fork" then
        local bases = test.from and self.left[test.from] or self.bases
        list, own = fork(self, bases, info), true
        how = "fork:" .. tostring(list[1].origin and list[1].origin.how or "live")
    elseif self.way == "revert" then
        list, how = revert(self, info, test.from and self.left[test.from] or CLEAN)
    else
        if test.from then
            errors.fail("unsupported", "%s: the state that %s left cannot be kept: its guest has neither templates nor "
                .. "snapshots; use isolation = \"cell\"", test.id, test.from)
        end
        list, how, own = each(self, function(role) return boot(self, role, info) end), "boot", true
    end
    local lease = setmetatable({ stand = self, list = list, how = how, own = own, by_name = {}, info = info }, Lease)
    for i, role in ipairs(self.roles) do
        lease.by_name[role.role or "guest"] = list[i]
    end
    lease.given = self.roles[1].role and lease.by_name or list[1]
    return lease
end

---A test's guests were frozen by somebody else: others may start from that.
---@param id string of the test
---@param templates vm.Template[]
function Stand:left_by(id, templates)
    self.left[id] = templates
end

---Keeps the state of the lease's guests, from which other tests start. The guests are gone then.
---@param lease vm.test.Lease
---@param id string of the test that left it
function Stand:leave(lease, id)
    if self.left[id] then
        return
    elseif self.way == "fork" then
        local list = lease.list
        lease.list = {}
        self.left[id] = each(self, function(_, i)
            return told(self, lease.info, list[i].name, "freeze", function()
                return adopt(self, list[i]:template { name = list[i].name })
            end)
        end)
    elseif self.way == "revert" then
        self.count = self.count + 1
        local name = ("vmatrix-left-%d"):format(self.count)
        for _, guest in ipairs(lease.list) do
            told(self, lease.info, guest.name, "snapshot", function() guest:snapshot(name) end)
        end
        self.left[id] = name
    end
end

---Nobody starts from the state of this test any more.
---@param id string
function Stand:forget(id)
    local left = self.left[id]
    self.left[id] = nil
    if type(left) == "table" then
        close_all(left)
    elseif left and self.guests then
        for _, guest in ipairs(self.guests) do
            pcall(guest.delete_snapshot, guest, left)
        end
    end
end

---What of its needs it holds between tests.
---@return table|nil
function Stand:holds()
    if self.guests then
        return { memory = self.needs.memory, disk = self.needs.disk }
    end
end

---Ends it: nothing of it is left. Harmless when repeated.
function Stand:close()
    close_all(self.guests)
    self.guests = nil
    for id in pairs(self.left) do
        self:forget(id)
    end
    if self.bases then
        close_all(self.bases)
        self.bases = nil
    end
end

---Gives the guests back. Harmless when repeated.
function Lease:close()
    for _, guest in ipairs(self.list) do
        guest.watch, guest.default_env = nil, nil
    end
    if self.own then
        local list = self.list
        self.list = {}
        close_all(list)
    end
end

Lease.__close = Lease.close

return M
