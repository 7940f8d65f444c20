-- What the host can take now: the scheduler's capacity on a real machine. Memory is a hard limit, and
-- what other runs hold counts; cpus are one only where the user has not said how many tests run at once.
local raw = require "vm.raw"
local capacity = require "vm.test.capacity"
local errors = require "vm.errors"
local held = require "vm.guest.held"
local options = require "vm.options"
local run = require "vm.run"

local M = {}

local fs = raw.fs

local MIB <const> = 1024 * 1024

-- Memory that is left to the host, at least, and room on the disk.
local MARGIN <const>, DISK_MARGIN <const> = 256 * MIB, 512 * MIB

---What this host could give to guests if nothing else ran on it.
---@param memory? integer no more than this
---@return { cpus: integer, memory: integer, disk: integer }
function M.limits(memory)
    local _, total = fs.memory_available()
    local space = fs.space(require("vm.host.paths").files()[1]:match "^(.*)/[^/]*/[^/]*$") or fs.space "/var/tmp"
    return {
        cpus = fs.cpu_count(),
        memory = math.min(total - MARGIN, memory or math.maxinteger),
        disk = space and space.free or math.huge,
    }
end

---@class vm.test.Admission
local Admission = {}
Admission.__index = Admission

-- What is asked of the host; tests of the runner give a host of their own.
local host = {
    memory = function() return (fs.memory_available()) end,
    disk = function()
        local space = fs.space(run.open().dir)
        return space and space.free or math.huge
    end,
    others = held.others,
    touched = function() return held.own().touched end,
    lock = held.lock,
    reserve = held.reserve,
    limits = M.limits,
}

---Makes the capacity of this host.
---@param jobs "auto"|integer how many tests run at once at most
---@param given? table a host
---@param memory? integer bytes that the guests of all runs may have together
---@return vm.test.Admission
function M.new(jobs, given, memory)
    if jobs ~= "auto" and (math.type(jobs) ~= "integer" or jobs < 1) then
        errors.fail("usage", "jobs: 'auto' or a whole number of at least 1 expected, got %s", options.show(jobs))
    end
    local self = setmetatable({ host = given or host, used = capacity.new {} }, Admission)
    self.limits, self.memory = self.host.limits(memory), memory
    self.limits.slots = jobs ~= "auto" and jobs or nil
    if jobs ~= "auto" then
        self.limits.cpus = nil
    end
    self.used:take { slots = 0, memory = 0, cpus = 0, disk = 0 }
    return self
end

---How many slots there are at most, for reports.
---@return integer
function Admission:slots()
    return self.limits.slots or math.max(1, math.ceil(self.limits.cpus / 0.5))
end

---Whether the host could ever give this; what it has too little of otherwise.
---@param needs table
---@return boolean possible
---@return string|nil why
function Admission:possible(needs)
    if (needs.memory or 0) > self.limits.memory then
        return false, ("it needs %d MiB of memory, and this host has %d MiB for guests"):format(
            needs.memory // MIB, self.limits.memory // MIB)
    end
    return true
end

-- What there is too little of now, or nil.
local function lacks(self, needs)
    local used, limits = self.used.used, self.limits
    local others = self.host.others()
    if limits.cpus and used.slots > 0 and used.cpus + others.cpus + (needs.cpus or 0) > limits.cpus then
        return "cpus"
    end
    if self.memory and (needs.memory or 0) > 0 and used.memory + others.memory + needs.memory > self.memory then
        return "memory"
    end
    local untouched = math.max(0, used.memory - self.host.touched()) + math.max(0, others.memory - others.touched)
    if (needs.memory or 0) > 0 and needs.memory + untouched + MARGIN > self.host.memory() then
        return "memory"
    end
    if (needs.disk or 0) + used.disk + others.disk + DISK_MARGIN > self.host.disk() then
        return "disk"
    end
end

---Whether no more than this was refused a moment ago: the host is not asked again for each of many tests.
---@param needs table
---@return boolean|nil
---@private
function Admission:refused(needs)
    local last = self.refusal
    return last and raw.task.now() - last.at < 0.05 and (needs.memory or 0) >= (last.needs.memory or 0)
        and (needs.cpus or 0) >= (last.needs.cpus or 0)
end

---Takes these amounts if the host has them. Waits while another run does the same.
---@param needs { slots?: integer, memory?: number, cpus?: number, disk?: number }
---@return boolean taken
---@return string|nil what there is too little of
function Admission:take(needs)
    local used = self.used.used
    if self.limits.slots and used.slots + (needs.slots or 0) > self.limits.slots then
        return false, "slots"
    end
    if (needs.memory or 0) > 0 or (needs.cpus or 0) > 0 then
        if self:refused(needs) then
            return false, self.lack
        end
        local lock <close> = self.host.lock()
        self.lack = lacks(self, needs)
        if self.lack then
            self.refusal = { needs = needs, at = raw.task.now() }
            return false, self.lack
        end
        self.refusal = nil
        self.used:take(needs)
        self.host.reserve(used)
        lock:close()
    else
        if self.limits.cpus and used.slots >= self:slots() then
            return false, "slots"
        end
        self.used:take(needs)
    end
    return true
end

---Gives amounts back, but for those that are kept.
---@param needs table
---@param kept? table
function Admission:give(needs, kept)
    self.used:give(needs, kept)
    self.refusal = nil
    if (needs.memory or 0) > 0 then
        self.host.reserve(self.used.used)
    end
end

return M
