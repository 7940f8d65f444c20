-- vm.prepared: a guest in a state that is found in the cache or built, and forked from there on.
local raw = require "vm.raw"
local build = require "vm.state.build"
local chain_of = require "vm.state.chain"
local errors = require "vm.errors"
local options = require "vm.options"
local prepare = require "vm.state.prepare"
local reaper = require "vm.task.reaper"
local scope = require "vm.task.scope"
local spec_of = require "vm.guest.spec"
local step_of = require "vm.state.step"
local store = require "vm.state.store"
local task = require "vm.task"

local M = {}

---A prepared state: what vm.prepared returns.
---@class vm.State
---@field key string
---@field name string of its last step, "boot" for none
---@field how string "found", "built", or "cold": each guest boots and does the steps, as was measured to be faster
---@field path string|nil the folder that keeps it
---@field private chain vm.StateChain
---@field private entry vm.StateHold|nil
local State = {}
State.__index = State
State.__name = "vm.State"

function State:__tostring()
    return ("state %s (%s, %s)"):format(self.name, self.key:sub(1, 12), self.closed and "closed" or self.how)
end

-- The options without the networks, whose cards each guest of the state is given by itself; these
-- checked; and the cards.
local function check_spec(spec)
    if type(spec) ~= "table" then
        errors.fail("usage", "vm.prepared: a table of vm.create's options expected, got %s", options.show(spec))
    elseif spec.name ~= nil then
        errors.fail("usage", "vm.prepared: option 'name': the guests of a state get theirs from state:fork")
    end
    local plain = {}
    for name, value in pairs(spec) do
        plain[name] = value
    end
    local checked = spec_of.check("vm.prepared", plain)
    local cards, nets = {}, {}
    for i, nic in ipairs(checked.nics) do
        if nic.net then
            nets[#nets + 1] = nic
        else
            cards[#cards + 1] = spec.nics and spec.nics[i] or nic[1]
        end
    end
    if #nets == 0 then
        return plain, checked, nets
    end
    plain.nics, plain.card_slots = cards, checked.card_slots
    return plain, spec_of.check("vm.prepared", plain), nets
end

local ENOUGH <const> = 3 -- measurements before they decide

-- Whether forks of a state were measured to take longer than booting and doing all steps.
local function is_slower(key)
    local record, times = store.read(key), store.times(key)
    if not record or #times < ENOUGH or type(record.cold) ~= "number" then
        return false
    end
    table.sort(times)
    return times[(#times + 1) // 2] > record.cold
end

local prepared_spec = { cell = "table", fields = "table", progress = "function", timeout = "time" }

---How to prepare.
---@class vm.PreparedOptions
---@field cell? table the value of each axis, for the steps that use them
---@field fields? table further names that a cell may have, absent in this one: a list, or keys
---@field progress? fun(event: table) is told "step_started", "step_ended" and "waiting"; the log when absent
---@field timeout? number|string for the boot, if there has to be one; that of vm.boot unless told otherwise

---A guest in the state that the steps lead to. The deepest state that is kept is used, the rest is built
---from it and kept. It belongs to the running task.
---@param spec vm.CreateOptions without a name
---@param steps vm.Step[]
---@param opts? vm.PreparedOptions
---@return vm.State
function M.prepared(spec, steps, opts)
    opts = options.check("vm.prepared", opts, prepared_spec)
    local plain, checked, nets = check_spec(spec)
    steps = step_of.list("vm.prepared", steps)
    for _, step in ipairs(steps) do
        step:check_uses(opts.cell, opts.fields)
    end
    local chain = chain_of.new { spec = plain, checked = checked, steps = steps, cell = opts.cell,
        progress = opts.progress, timeout = opts.timeout }
    local node = chain:last()
    local self = setmetatable({ chain = chain, key = node.key, name = node.name, nets = nets, closed = false }, State)
    if is_slower(node.key) then
        self.how = "cold"
        raw.log.write("info", nil, ("the state '%s' (%s): booting was measured to be faster than its forks")
            :format(node.name, node.key:sub(1, 12)))
    else
        self.entry = prepare.last(chain)
        node = self.entry.node
        self.key, self.how = node.key, self.entry.found and "found" or "built"
        self.path = self.entry.kept and store.path(node.key) or nil
    end
    scope.own(self)
    return self
end

local function cold_one(self, opts, name)
    local guest = build.boot(self.chain, { name = name, forward = opts.forward, timeout = opts.timeout })
    scope.or_close(guest, function()
        for _, node in ipairs(self.chain.nodes) do
            if node.step then
                build.perform(self.chain, node, guest)
            end
        end
    end)
    guest.origin = { how = "boot" }
    return guest
end

local function cold(self, opts)
    if not opts.count then
        return cold_one(self, opts, opts.name)
    end
    local numbers = {}
    for i = 1, opts.count do
        numbers[i] = i
    end
    return task.parallel(numbers, function(i)
        return cold_one(self, opts, opts.name and ("%s-%d"):format(opts.name, i))
    end)
end

-- Plugs a new guest, or several, into the networks that were asked for.
local function connect(self, made)
    local guests = made.name and { made } or made
    local ok, err = pcall(task.parallel, #self.nets > 0 and guests or {}, function(guest)
        for _, nic in ipairs(self.nets) do
            nic.net:plug(guest, { address = nic.address, mac = nic.mac, hostname = nic.hostname })
        end
    end)
    if not ok then
        for _, guest in ipairs(guests) do
            guest:close()
        end
        error(err, 0)
    end
    return made
end

---Makes a live guest in this state, as template:fork does. If it was found and the first guest of it does
---not come to life, it is built anew.
---@param opts? vm.ForkOptions
---@return vm.Guest|vm.Guest[] with `count` a list
function State:fork(opts)
    if self.closed then
        errors.fail("closed", "state %s: fork: the state is closed", self.name)
    elseif opts ~= nil and type(opts) ~= "table" then
        errors.fail("usage", "state %s: fork: a table of options expected, got %s", self.name, options.show(opts))
    elseif self.how == "cold" then
        return connect(self, cold(self, opts or {}))
    end
    return connect(self, prepare.fork(self.chain, self.entry, opts or {}, function(entry)
        self.entry, self.how = entry, entry.found and "found" or "built"
        self.path = entry.kept and store.path(entry.node.key) or nil
    end))
end

---Lets go of it; it stays in the cache, and its guests live on. Harmless when repeated.
function State:close()
    if not self.closed then
        self.closed = true
        scope.disown(self)
        if self.entry then
            prepare.release(self.entry)
        end
    end
end

State.__close = reaper.close

return M
