-- An executor without machines: units take the time that they are said to take, on a clock that jumps.
-- For tests of the scheduler and for estimates.
local heap = require "vm.test.heap"

local M = {}

---@class vm.test.Simulation
---@field now number the clock, in seconds
---@field peak integer how many ran at once
---@field order string[] ids in the order in which they were started
local Simulation = {}
Simulation.__index = Simulation

---Makes an executor.
---@param duration fun(unit: vm.test.Unit): number
---@return vm.test.Simulation
function M.new(duration)
    return setmetatable({
        now = 0,
        peak = 0,
        order = {},
        duration = duration,
        running = heap.new(function(a, b) return a.ends < b.ends end),
    }, Simulation)
end

---Starts a unit.
---@param unit vm.test.Unit
function Simulation:start(unit)
    self.order[#self.order + 1] = unit.id
    self.running:push { unit = unit, begun = self.now, ends = self.now + self.duration(unit) }
    self.peak = math.max(self.peak, self.running:size())
end

---Goes on to the next end.
---@param stuck boolean
---@return table[] ended of { unit, seconds }
function Simulation:wait(stuck)
    if stuck then
        error("nothing runs and nothing can be started", 0)
    end
    local entry = self.running:pop()
    self.now = entry.ends
    return { { entry.unit, entry.ends - entry.begun } }
end

return M
