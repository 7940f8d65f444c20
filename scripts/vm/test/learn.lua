-- Guessing how long something takes by what it has in common with others that have ended.
local M = {}

---@class vm.test.Model
local Model = {}
Model.__index = Model

---Makes a model that knows nothing yet.
---@return vm.test.Model
function M.new()
    return setmetatable({ sum = 0, count = 0, by_trait = {} }, Model)
end

---Learns from one that has ended.
---@param traits string[]|nil
---@param seconds number
function Model:add(traits, seconds)
    self.sum, self.count = self.sum + seconds, self.count + 1
    for _, trait in ipairs(traits or {}) do
        local known = self.by_trait[trait]
        if not known then
            known = { sum = 0, count = 0 }
            self.by_trait[trait] = known
        end
        known.sum, known.count = known.sum + seconds, known.count + 1
    end
end

---Seconds that one with these traits may take: the mean, times how much longer those of each trait
---took than the mean; few of them say little. nil when nothing is known.
---@param traits string[]|nil
---@return number|nil
function Model:guess(traits)
    if self.count == 0 then
        return nil
    end
    local mean = self.sum / self.count
    local guess = mean
    if mean > 0 then
        for _, trait in ipairs(traits or {}) do
            local known = self.by_trait[trait]
            if known then
                guess = guess * (known.sum + mean) / (known.count + 1) / mean
            end
        end
    end
    return guess
end

return M
