-- How sure a rate is.
local M = {}

local Z <const> = 1.959963984540054 -- 95 %

---The rate of failures among runs, with Wilson's interval of 95 % confidence.
---@param failed integer
---@param runs integer
---@return { runs: integer, failed: integer, rate: number, low: number, high: number }
function M.rate(failed, runs)
    if runs == 0 then
        return { runs = 0, failed = 0, rate = 0, low = 0, high = 1 }
    end
    local p, z2 = failed / runs, Z * Z
    local centre = (p + z2 / (2 * runs)) / (1 + z2 / runs)
    local half = Z * math.sqrt(p * (1 - p) / runs + z2 / (4 * runs * runs)) / (1 + z2 / runs)
    return {
        runs = runs,
        failed = failed,
        rate = p,
        low = failed == 0 and 0 or math.max(0, centre - half),
        high = failed == runs and 1 or math.min(1, centre + half),
    }
end

---The same in words: "3 of 50 runs failed (6.0 %, 95 % confidence: 2.1 to 16.2 %)".
---@param rate { runs: integer, failed: integer, rate: number, low: number, high: number }
---@return string
function M.show(rate)
    return ("%d of %d runs failed (%.1f %%, 95 %% confidence: %.1f to %.1f %%)"):format(rate.failed, rate.runs,
        rate.rate * 100, rate.low * 100, rate.high * 100)
end

return M
