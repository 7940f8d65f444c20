-- What `vmatrix test --list` prints: the chosen tests, how many, and how long they may take.
local raw = require "vm.raw"

local M = {}

---A duration for people: "12 s", "4 min 10 s", "2 h 5 min".
---@param seconds number
---@return string
function M.duration(seconds)
    local whole = math.floor(seconds + 0.5)
    if seconds < 9.95 then
        return ("%.1f s"):format(seconds)
    elseif whole < 60 then
        return ("%d s"):format(whole)
    elseif whole < 3600 then
        return ("%d min %d s"):format(whole // 60, whole % 60)
    end
    whole = (whole + 30) // 60
    return ("%d h %d min"):format(whole // 60, whole % 60)
end

local function count_of(number, noun)
    return ("%d %s%s"):format(number, noun, number == 1 and "" or "s")
end

---How many tests there are, and how long they take as far as earlier runs know.
---@param plan table
---@return table { tests, cells, skipped, known, seconds }
function M.totals(plan)
    local totals = { tests = #plan.tests, cells = #plan.cells, skipped = 0, known = 0, seconds = 0 }
    for _, test in ipairs(plan.tests) do
        if test.skip then
            totals.skipped = totals.skipped + 1
        elseif test.estimate then
            totals.known, totals.seconds = totals.known + 1, totals.seconds + test.estimate
        end
    end
    return totals
end

---One line about all of it.
---@param plan table
---@return string
function M.summary(plan)
    local totals = M.totals(plan)
    local to_run = totals.tests - totals.skipped
    local text = ("%s in %s"):format(count_of(totals.tests, "test"), count_of(totals.cells, "cell"))
    if totals.skipped > 0 then
        text = ("%s, %d of them skipped"):format(text, totals.skipped)
    end
    if totals.known == 0 then
        return text .. (to_run > 0 and "; how long they take is not known yet" or "")
    end
    -- Those that were never run are taken for the average of the others.
    local seconds = totals.seconds / totals.known * to_run
    local unknown = to_run - totals.known
    return ("%s; about %s one after the other%s"):format(text, M.duration(seconds),
        unknown > 0 and (", though %d %s never run"):format(unknown, unknown == 1 and "was" or "were") or "")
end

---The tests, one a line, each with its id first.
---@param plan table
---@param pulled table<table, table> tests that others start from
---@return string
function M.text(plan, pulled)
    local lines, width = {}, 0
    for _, test in ipairs(plan.tests) do
        width = math.max(width, math.min(#test.id, 60))
    end
    for i, test in ipairs(plan.tests) do
        local notes = {}
        if test.skip then
            notes[#notes + 1] = "skipped: " .. test.skip:gsub("%c", " ")
        elseif test.estimate then
            notes[#notes + 1] = M.duration(test.estimate)
        end
        for _, tag in ipairs(test.tags) do
            notes[#notes + 1] = "@" .. tag
        end
        if test.from then
            notes[#notes + 1] = "from " .. test.from:match "[^:]*$"
        end
        if pulled[test] then
            notes[#notes + 1] = ("for %s"):format(pulled[test].name)
        end
        lines[i] = #notes > 0 and ("%s%s  %s"):format(test.id, (" "):rep(width - #test.id), table.concat(notes, "  "))
            or test.id
    end
    lines[#lines + 1] = "\n" .. M.summary(plan) .. "\n"
    return table.concat(lines, "\n")
end

local function plain(value)
    return type(value) == "string" or type(value) == "number" or type(value) == "boolean"
end

---The same as JSON.
---@param plan table
---@param pulled table<table, table>
---@return string
function M.json(plan, pulled)
    local totals = M.totals(plan)
    local tests = {}
    for i, test in ipairs(plan.tests) do
        local axes, values = {}, {}
        for at, pair in ipairs(test.cell.axes) do
            axes[at] = { pair[1], pair[2] }
        end
        for name, value in pairs(test.cell.values) do
            values[name] = plain(value) and value or nil
        end
        tests[i] = {
            id = test.id, cell = test.cell.id, name = test.name, matrix = test.cell.matrix.name, axes = axes,
            values = next(values) and values or nil, from = test.from, variant = test.variant, skipped = test.skip,
            tags = #test.tags > 0 and test.tags or nil, estimate = test.estimate, file = test.file, line = test.line,
            ["for"] = pulled[test] and pulled[test].id or nil,
        }
    end
    return raw.json.encode {
        tests = tests, count = totals.tests, cells = totals.cells, skipped = totals.skipped, seed = plan.seed,
        params = next(plan.params) and plan.params or nil,
        estimate = totals.known > 0 and totals.seconds / totals.known * (totals.tests - totals.skipped) or nil,
        unknown = totals.tests - totals.skipped - totals.known,
    }
end

return M
