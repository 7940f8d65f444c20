-- Which unit of work starts next: pure, without a clock and without a machine. Whoever drives it says
-- what ended; what the host can take is asked of a capacity that is given.
local heap = require "vm.test.heap"
local learn = require "vm.test.learn"

local M = {}

---One thing to run: a test, or one of its repetitions.
---@class vm.test.Unit
---@field id string
---@field needs? table what the capacity is asked for
---@field estimate? number seconds, where known
---@field traits? string[] what it has in common with others, to guess its time by
---@field deps? vm.test.Unit[] must have ended before
---@field limits? string[] names of things that only so many units may use at once
---@field group? string units of one group are started together where nothing speaks against it
---@field priority? number higher goes first, 0

---@class vm.test.Scheduler
local Scheduler = {}
Scheduler.__index = Scheduler

-- How many others may be started past a unit that does not fit before nothing else is.
local PATIENCE <const> = 8
-- How many units that do not fit are looked at before the rest is left for later.
local LOOKAHEAD <const> = 32

local function before(a, b)
    if a.priority ~= b.priority then
        return a.priority > b.priority
    elseif a.rank ~= b.rank then
        return a.rank > b.rank
    elseif a.group_order ~= b.group_order then
        return a.group_order < b.group_order
    end
    return a.shuffle < b.shuffle
end

-- A generator of our own: the order belongs to the seed, whoever else draws numbers meanwhile.
local function generator(seed)
    local state = seed & 0x7fffffffffffffff
    return function()
        state = state + 0x9e3779b97f4a7c15
        local z = state
        z = (z ~ z >> 30) * 0xbf58476d1ce4e5b9
        z = (z ~ z >> 27) * 0x94d049bb133111eb
        return (z ~ z >> 31) >> 11
    end
end

---@class vm.test.SchedulerOptions
---@field capacity table take(needs) -> whether they were there; give(needs, kept)
---@field seed? integer of the order of what is otherwise alike
---@field limits? table<string, integer> how many units may use a thing at once; 1 where nothing is said
---@field patience? integer

---Makes a scheduler of units, all of which are given now.
---@param units vm.test.Unit[]
---@param opts vm.test.SchedulerOptions
---@return vm.test.Scheduler
function M.new(units, opts)
    local self = setmetatable({
        capacity = opts.capacity,
        limits = opts.limits or {},
        patience = opts.patience or PATIENCE,
        ready = heap.new(before),
        parked = {}, -- limit -> heap of units that wait for it
        using = {}, -- limit -> how many use it now
        running = 0,
        left = #units, -- not ended yet
        ended = 0,
        model = learn.new(),
        relearn = 1,
        entries = {},
    }, Scheduler)
    local draw = generator(opts.seed or 0)
    local group_orders = {}
    local by_unit = {}
    for i, unit in ipairs(units) do
        local group = unit.group
        if group and not group_orders[group] then
            group_orders[group] = draw()
        end
        local entry = {
            unit = unit,
            priority = unit.priority or 0,
            shuffle = draw(),
            group_order = group and group_orders[group] or draw(),
            waits_for = 0,
            dependents = {},
            passed = 0,
        }
        self.entries[i], by_unit[unit] = entry, entry
    end
    self.by_unit = by_unit
    for _, entry in ipairs(self.entries) do
        for _, dep in ipairs(entry.unit.deps or {}) do
            entry.waits_for = entry.waits_for + 1
            table.insert(by_unit[dep].dependents, entry)
        end
    end
    self:rank()
    for _, entry in ipairs(self.entries) do
        if entry.waits_for == 0 then
            self.ready:push(entry)
        end
    end
    return self
end

-- The time from the unit's start to the end of the longest chain that hangs on it. What nothing is known
-- of goes first: it may be long.
local function rank_of(self, entry)
    if entry.fresh == self.relearn then
        return entry.rank
    end
    entry.fresh = self.relearn
    local estimate = entry.unit.estimate or self.model:guess(entry.unit.traits)
    local longest = 0
    for _, dependent in ipairs(entry.dependents) do
        longest = math.max(longest, rank_of(self, dependent))
    end
    entry.rank = (estimate or math.huge) + longest
    return entry.rank
end

---Ranks all units anew, by what has been learnt.
---@private
function Scheduler:rank()
    for _, entry in ipairs(self.entries) do
        if not entry.started then
            rank_of(self, entry)
        end
    end
    self.ready:reorder()
end

-- The first of the entry's limits that is used up, or nil.
local function used_up(self, entry)
    for _, name in ipairs(entry.unit.limits or {}) do
        if (self.using[name] or 0) >= (self.limits[name] or 1) then
            return name
        end
    end
end

local function begin(self, entry)
    entry.started = true
    self.running = self.running + 1
    for _, name in ipairs(entry.unit.limits or {}) do
        self.using[name] = (self.using[name] or 0) + 1
    end
    return entry.unit
end

local function park(self, entry, name)
    self.parked[name] = self.parked[name] or heap.new(before)
    self.parked[name]:push(entry)
end

-- Whether the one that all others wait for may start now: returned, or nil.
local function try_reserved(self)
    local entry = self.reserved
    if entry.dropped then
        self.reserved = nil
        return nil
    elseif used_up(self, entry) or not self.capacity:take(entry.unit.needs or {}) then
        return nil
    end
    self.reserved = nil
    return begin(self, entry)
end

---The next unit to start, for which the capacity has been taken; nil when nothing can start now.
---@return vm.test.Unit|nil
function Scheduler:next()
    if self.reserved then
        local unit = try_reserved(self)
        if unit or self.reserved then
            return unit
        end
    end
    local misfits, found = {}, nil
    while #misfits < LOOKAHEAD do
        local entry = self.ready:pop()
        if not entry then
            break
        end
        local limit = used_up(self, entry)
        if limit and not entry.dropped then
            park(self, entry, limit)
        elseif not entry.dropped and self.capacity:take(entry.unit.needs or {}) then
            found = entry
            break
        elseif not entry.dropped then
            misfits[#misfits + 1] = entry
        end
    end
    -- Who waits longest for its turn gets it: nothing else starts from then on.
    for _, entry in ipairs(misfits) do
        if found then
            entry.passed = entry.passed + 1
        end
        if entry.passed >= self.patience and not self.reserved then
            self.reserved = entry
        else
            self.ready:push(entry)
        end
    end
    return found and begin(self, found)
end

---Whoever waits for this one alone is ready now.
---@param entry table
---@private
function Scheduler:release(entry)
    for _, dependent in ipairs(entry.dependents) do
        dependent.waits_for = dependent.waits_for - 1
        if dependent.waits_for == 0 and dependent.dropped then
            self:release(dependent)
        elseif dependent.waits_for == 0 then
            self.ready:push(dependent)
        end
    end
end

---A unit that was started has ended: gives back what it held, and lets go of what waited for it.
---@param unit vm.test.Unit
---@param seconds? number how long it took, to guess others by
---@param kept? table what of its needs goes on being held by somebody else, who gives it back later
function Scheduler:finish(unit, seconds, kept)
    self.running = self.running - 1
    self.left = self.left - 1
    self.ended = self.ended + 1
    self.capacity:give(unit.needs or {}, kept)
    for _, name in ipairs(unit.limits or {}) do
        self.using[name] = self.using[name] - 1
        local waiting = self.parked[name]
        if waiting and waiting:size() > 0 then
            self.ready:push(waiting:pop())
        end
    end
    self:release(self.by_unit[unit])
    if seconds then
        self.model:add(unit.traits, seconds)
    end
    if self.ended >= self.relearn then
        self.relearn = self.relearn * 2
        self:rank()
    end
end

---Takes a unit that has not been started out of the plan. What waits for it then waits for what it
---waited for.
---@param unit vm.test.Unit
---@return boolean dropped
function Scheduler:drop(unit)
    local entry = self.by_unit[unit]
    if entry.started or entry.dropped then
        return false
    end
    entry.dropped = true
    self.left = self.left - 1
    if entry.waits_for == 0 then
        self:release(entry)
    end
    return true
end

---The units that were neither started nor dropped, in the order in which they were given.
---@return vm.test.Unit[]
function Scheduler:waiting()
    local list = {}
    for _, entry in ipairs(self.entries) do
        if not entry.started and not entry.dropped then
            list[#list + 1] = entry.unit
        end
    end
    return list
end

---Seconds that what has not ended would take one after the other, as far as can be guessed, and how
---many units nothing is known of.
---@return number seconds
---@return integer unknown
function Scheduler:remaining()
    local sum, unknown = 0, 0
    for _, unit in ipairs(self:waiting()) do
        local estimate = unit.estimate or self.model:guess(unit.traits)
        sum = sum + (estimate or 0)
        unknown = unknown + (estimate and 0 or 1)
    end
    return sum, unknown
end

---Raises a limit: whoever waited for it may start.
---@param name string
---@param n integer
function Scheduler:widen(name, n)
    self.limits[name] = math.max(n, self.limits[name] or 1)
    local waiting = self.parked[name]
    while waiting and waiting:size() > 0 do
        self.ready:push(waiting:pop())
    end
end

---Runs everything: the executor starts units and says which have ended. A unit may end nothing at all:
---an executor that was woken otherwise returns an empty list.
---@param executor table start(unit); wait(stuck) -> list of { unit, seconds, kept }, where stuck says that nothing runs
---@param after? fun(ended: table[]) called when what has ended was taken in
function Scheduler:drive(executor, after)
    while self.left > 0 do
        local unit = self:next()
        while unit do
            executor:start(unit)
            unit = self:next()
        end
        if self.left > 0 then
            local ended = executor:wait(self.running == 0)
            for _, done in ipairs(ended) do
                self:finish(done[1], done[2], done[3])
            end
            if after then
                after(ended)
            end
        end
    end
end

return M
