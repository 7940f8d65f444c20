-- What may be used at once, as plain sums: the scheduler's capacity where nothing but us counts.
local M = {}

---@class vm.test.Capacity
local Capacity = {}
Capacity.__index = Capacity

---Makes a capacity of these totals.
---@param totals table<string, number> such as { slots = 8, memory = 2^33 }; what is not named is not limited
---@return vm.test.Capacity
function M.new(totals)
    return setmetatable({ totals = totals, used = {} }, Capacity)
end

---Whether these needs could ever be met; the name of what is not enough otherwise.
---@param needs table<string, number>
---@return boolean possible
---@return string|nil name
function Capacity:possible(needs)
    for name, amount in pairs(needs) do
        if self.totals[name] and amount > self.totals[name] then
            return false, name
        end
    end
    return true
end

---Takes these amounts if all are there.
---@param needs table<string, number>
---@return boolean taken
---@return string|nil name what is not there
function Capacity:take(needs)
    for name, amount in pairs(needs) do
        local total = self.totals[name]
        if total and (self.used[name] or 0) + amount > total + 1e-9 then
            return false, name
        end
    end
    for name, amount in pairs(needs) do
        self.used[name] = (self.used[name] or 0) + amount
    end
    return true
end

---Gives amounts back, but for those that are kept.
---@param needs table<string, number>
---@param kept? table<string, number>
function Capacity:give(needs, kept)
    for name, amount in pairs(needs) do
        self.used[name] = self.used[name] - amount + (kept and kept[name] or 0)
    end
end

return M
