-- What a run has come to: computed from its plan and the results that were written, nothing else.
local schema = require "vm.report.schema"

local M = {}

-- From best to worst: a cell is as good as its worst test.
local RANK <const> = { "skipped", "passed", "xfail", "flaky", "interrupted", "lost", "error", "xpass", "failed" }
local rank = {}
for at, outcome in ipairs(RANK) do
    rank[outcome] = at
end

---The worse of two outcomes; one may be nil.
---@param a string|nil
---@param b string|nil
---@return string|nil
function M.worse(a, b)
    if (rank[a] or 0) >= (rank[b] or 0) then
        return a
    end
    return b
end

---Whether an outcome counts as passed: passed, flaky, xfail.
---@param outcome string
---@return boolean
function M.is_good(outcome)
    return outcome == "passed" or outcome == "flaky" or outcome == "xfail"
end

---Whether an outcome is the tested thing's fault: failed, xpass.
---@param outcome string
---@return boolean
function M.is_failure(outcome)
    return outcome == "failed" or outcome == "xpass"
end

---The outcome of a planned test: what its result says, "skipped" when the plan says so, else "lost".
---@param test table of the plan
---@param result table|nil
---@return string outcome
---@return string|nil reason
function M.outcome(test, result)
    if result and schema.is_outcome(result.outcome) then
        return result.outcome, result.reason
    elseif not result and test.skip then
        return "skipped", test.skip
    end
    return "lost", result and "its result cannot be read" or "it has no verdict"
end

---Tests by outcome, and `total`: every outcome has a number.
---@param outcomes string[]
---@return table<string, integer>
function M.count(outcomes)
    local counts = { total = #outcomes }
    for _, outcome in ipairs(schema.OUTCOMES) do
        counts[outcome] = 0
    end
    for _, outcome in ipairs(outcomes) do
        counts[outcome] = counts[outcome] + 1
    end
    return counts
end

---The exit status: 130 interrupted, 1 any failure, 3 errors or lost tests only, else 0.
---@param counts table<string, integer>
---@return integer
function M.exit(counts)
    if counts.interrupted > 0 then
        return 130
    elseif counts.failed + counts.xpass > 0 then
        return 1
    elseif counts.error + counts.lost > 0 then
        return 3
    end
    return 0
end

return M
