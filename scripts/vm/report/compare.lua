-- Two runs compared: what newly fails, what is fixed, what became flaky or slower, what is new or gone.
local escape = require "vm.report.escape"
local model_of = require "vm.report.model"
local verdict = require "vm.report.verdict"
local words = require "vm.report.words"

local M = {}

-- A test is slower when its time grew by more than this factor and by more than the noise of all
-- tests, and by this many seconds.
local FACTOR <const>, SECONDS <const> = 1.25, 0.25
-- Below so many tests that passed in both runs, their noise cannot be told: the factor counts double.
local ENOUGH <const> = 8

local function median(list)
    local sorted = table.move(list, 1, #list, 1, {})
    table.sort(sorted)
    local middle = (#sorted + 1) // 2
    return #sorted % 2 == 1 and sorted[middle] or (sorted[middle] + sorted[middle + 1]) / 2
end

local function index(model)
    local by_id = {}
    for _, test in ipairs(model.tests) do
        by_id[test.id] = test
    end
    return by_id
end

local function runs(outcome)
    return verdict.is_good(outcome) or verdict.is_failure(outcome)
end

-- Pairs of times of tests that passed in both, as the logarithm of their ratio.
local function timed(a_by_id, b)
    local list = {}
    for _, test in ipairs(b.tests) do
        local old = a_by_id[test.id]
        local before, after = old and old.duration, test.duration
        if old and verdict.is_good(old.outcome) and verdict.is_good(test.outcome) and type(before) == "number"
            and type(after) == "number" and before > 0 and after > 0 and #test.attempts == #old.attempts then
            list[#list + 1] = { test = test, before = before, after = after, ratio = math.log(after / before) }
        end
    end
    return list
end

-- Which tests changed their time beyond what all of them did.
local function judge_times(result, list)
    if #list == 0 then
        return
    end
    local ratios, spread = {}, {}
    for at, one in ipairs(list) do
        ratios[at] = one.ratio
    end
    local shift = #list >= ENOUGH and median(ratios) or 0
    for at, ratio in ipairs(ratios) do
        spread[at] = math.abs(ratio - shift)
    end
    local noise = #list >= ENOUGH and 3 * 1.4826 * median(spread) or math.log(FACTOR)
    local limit = math.max(math.log(FACTOR), noise + (#list < ENOUGH and math.log(FACTOR) or 0))
    result.shift = math.exp(shift)
    for _, one in ipairs(list) do
        local expected = one.before * result.shift
        if math.abs(one.ratio - shift) > limit and math.abs(one.after - expected) > SECONDS then
            table.insert(one.ratio > shift and result.slower or result.faster, one)
        end
    end
    local function by_difference(x, y)
        return math.abs(x.after - x.before) > math.abs(y.after - y.before)
    end
    table.sort(result.slower, by_difference)
    table.sort(result.faster, by_difference)
end

local function judge_outcome(result, old, test)
    local was, is = old.outcome, test.outcome
    if verdict.is_failure(is) and verdict.is_good(was) then
        table.insert(result.newly_failing, { test = test, old = old })
    elseif verdict.is_failure(is) and not verdict.is_failure(was) then
        table.insert(result.failing_now, { test = test, old = old })
    elseif verdict.is_failure(is) then
        table.insert(result.still_failing, { test = test, old = old })
    elseif verdict.is_good(is) and verdict.is_failure(was) then
        table.insert(result.fixed, { test = test, old = old })
    elseif not runs(is) and runs(was) then
        table.insert(result.no_verdict, { test = test, old = old })
    end
    if is == "flaky" and was ~= "flaky" and verdict.is_good(was) then
        table.insert(result.newly_flaky, { test = test, old = old })
    end
end

---Compares run b with the earlier run a. The lists are in b's order; added and removed hold tests.
---@param a vm.report.Model
---@param b vm.report.Model
---@return table { a, b, shift, newly_failing, fixed, ... }: the lists are those of M.LISTS
function M.compare(a, b)
    local result = { a = a.run.id, b = b.run.id, newly_failing = {}, failing_now = {}, still_failing = {}, fixed = {},
        newly_flaky = {}, no_verdict = {}, slower = {}, faster = {}, added = {}, removed = {} }
    local a_by_id, b_by_id = index(a), index(b)
    for _, test in ipairs(b.tests) do
        local old = a_by_id[test.id]
        if old then
            judge_outcome(result, old, test)
        else
            table.insert(result.added, { test = test })
            if verdict.is_failure(test.outcome) then
                table.insert(result.failing_now, { test = test })
            end
        end
    end
    for _, test in ipairs(a.tests) do
        if not b_by_id[test.id] then
            table.insert(result.removed, { test = test })
        end
    end
    judge_times(result, timed(a_by_id, b))
    return result
end

-- The lists in the order they are told: field, title, what is said of each.
local function why(one)
    local text = escape.line(escape.head(words.first_line(model_of.why(one.test)), 200))
    return text ~= "" and ": " .. text or ""
end

local function was(one)
    return (" (was %s)"):format(one.old.outcome)
end

local function times(one)
    return (": %s, was %s (%.2fx)"):format(words.duration(one.after), words.duration(one.before),
        one.after / one.before)
end

local function outcome(one)
    return (" (%s)"):format(one.test.outcome)
end

M.LISTS = {
    { "newly_failing", "newly failing", why },
    { "failing_now", "failing, without a pass before", why },
    { "still_failing", "still failing", why },
    { "fixed", "fixed", was },
    { "newly_flaky", "newly flaky", why },
    { "no_verdict", "without a verdict now", function(one) return outcome(one) .. why(one) end },
    { "slower", "slower", times },
    { "faster", "faster", times },
    { "added", "added", outcome },
    { "removed", "removed", outcome },
}

-- Entries of a list that are told.
local SHOWN <const> = 50

---The comparison as text.
---@param result table of M.compare
---@return string
function M.render(result)
    local out, silent = { ("%s compared with %s\n"):format(result.b, result.a) }, true
    for _, list in ipairs(M.LISTS) do
        local entries = result[list[1]]
        if #entries > 0 then
            silent = false
            out[#out + 1] = ("\n%s: %d\n"):format(list[2], #entries)
            for at = 1, math.min(#entries, SHOWN) do
                out[#out + 1] = ("  %s%s\n"):format(escape.line(entries[at].test.id), list[3](entries[at]))
            end
            if #entries > SHOWN then
                out[#out + 1] = ("  and %d more\n"):format(#entries - SHOWN)
            end
        end
    end
    if silent then
        out[#out + 1] = "no difference\n"
    end
    if result.shift and math.abs(math.log(result.shift)) > math.log(1.05) then
        out[#out + 1] = ("\nall in all tests took %.2fx the time\n"):format(result.shift)
    end
    return table.concat(out)
end

---The comparison as plain data, for JSON.
---@param result table of M.compare
---@return table
function M.data(result)
    local out = { format = 1, a = result.a, b = result.b, shift = result.shift }
    for _, list in ipairs(M.LISTS) do
        for at, one in ipairs(result[list[1]]) do
            out[list[1]] = out[list[1]] or {}
            out[list[1]][at] = { id = one.test.id, outcome = one.test.outcome, was = one.old and one.old.outcome,
                before = one.before, after = one.after }
        end
    end
    return out
end

return M
