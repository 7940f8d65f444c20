-- What `vmatrix test --explain ID` prints: why a cell or a test is in or out, and which line says so.
local options = require "vm.options"
local plans = require "vm.matrix.plan"
local problems = require "vm.matrix.problems"

local M = {}

local function place(matrix, path)
    return ("%s:%d"):format(problems.place(matrix, path))
end

local function values_of(cell)
    local parts = {}
    for i, pair in ipairs(cell.axes) do
        parts[i] = ("%s=%s"):format(pair[1], pair[2])
    end
    return #parts > 0 and table.concat(parts, ", ") or "the matrix has no axes"
end

local function say_cell(lines, cell)
    local matrix = cell.matrix
    if cell.added then
        lines[#lines + 1] = ("  %s: include[%d] adds this cell (%s)"):format(
            place(matrix, { "include", cell.added }), cell.added, values_of(cell))
    else
        lines[#lines + 1] = ("  %s: the axes have this cell (%s)"):format(place(matrix, { "axes" }), values_of(cell))
    end
    for _, index in ipairs(cell.included or {}) do
        lines[#lines + 1] = ("  %s: include[%d] adds fields to it"):format(place(matrix, { "include", index }), index)
    end
    if cell.skip then
        lines[#lines + 1] = ("  %s: when: %s"):format(place(matrix, { matrix.when }), cell.skip)
    end
end

local function say_filters(lines, selection, test)
    for _, filter in ipairs(selection.filters) do
        local matches = filter.matches(test)
        lines[#lines + 1] = ("  filter '%s': %s"):format(filter.text, matches
            and (filter.negated and "leaves it out" or "matches")
            or (filter.negated and "does not concern it" or "does not match"))
    end
end

-- Why one test is in or out; returns "in", "skipped" or "out".
local function say_test(lines, selection, chosen, test)
    local verdict = not chosen[test] and "out" or test.skip and "skipped" or "in"
    lines[#lines + 1] = ("%s: %s"):format(test.id, verdict)
    lines[#lines + 1] = ("  %s:%d: test '%s'"):format(test.file, test.line, test.def.title)
    say_cell(lines, test.cell)
    if test.skip and not test.cell.skip then
        lines[#lines + 1] = ("  %s: %s"):format(plans.rule_of(test), test.skip)
    end
    if test.expect_fail then
        lines[#lines + 1] = ("  %s: it is expected to fail: %s"):format(
            place(test.cell.matrix, { "tests", test.def.path[2], "expect_fail" }), test.expect_fail)
    end
    say_filters(lines, selection, test)
    if test.from then
        lines[#lines + 1] = ("  it starts from %s"):format(test.from)
    end
    if selection.why[test] then
        lines[#lines + 1] = "  in: " .. selection.why[test]
    end
    if selection.pulled[test] then
        lines[#lines + 1] = ("  in: %s is chosen and starts from it"):format(selection.pulled[test].id)
    elseif selection.out[test] then
        lines[#lines + 1] = "  out: " .. selection.out[test]
    end
end

local function nearest(all, id)
    local ids = {}
    for _, cell in ipairs(all.cells) do
        ids[#ids + 1] = cell.id
    end
    for _, one in ipairs(all.excluded) do
        ids[#ids + 1] = one.id
    end
    if id:find ":" then
        for _, test in ipairs(all.tests) do
            ids[#ids + 1] = test.id
        end
    end
    return #ids < 20000 and options.nearest(id, ids) or nil
end

---Explains one id, of a cell or of a test.
---@param all table from vm.matrix.plan, with what exclude left out
---@param selection table from vm.matrix.select
---@param id string
---@return string|nil text
---@return string|nil complaint that there is nothing of this id
function M.text(all, selection, id)
    local lines, chosen = {}, {}
    for _, test in ipairs(selection.tests) do
        chosen[test] = true
    end
    local cell_id = id:match "^[^:]*"
    for _, one in ipairs(all.excluded) do
        if one.id == cell_id then
            lines[#lines + 1] = ("%s: out"):format(id)
            lines[#lines + 1] = ("  %s: the axes have this cell"):format(place(one.matrix, { "axes" }))
            lines[#lines + 1] = ("  %s: exclude[%d] leaves it out"):format(
                place(one.matrix, { "exclude", one.rule }), one.rule)
        end
    end
    if id:find ":" then
        local test = all.tests_by_id[id]
        if test then
            lines = {}
            say_test(lines, selection, chosen, test)
        end
    elseif all.cells_by_id[id] then
        local count, total = 0, 0
        lines = {}
        for _, test in ipairs(all.tests) do
            if test.cell.id == id then
                total, count = total + 1, count + (chosen[test] and 1 or 0)
                say_test(lines, selection, chosen, test)
            end
        end
        table.insert(lines, 1, ("%s: %d of its %d tests %s in"):format(id, count, total, count == 1 and "is" or "are"))
    end
    if #lines == 0 then
        local near = nearest(all, id)
        return nil, ("there is no cell or test '%s'%s"):format(id, near and ("; did you mean '%s'?"):format(near)
            or "; `vmatrix test --list` shows those that there are")
    end
    return table.concat(lines, "\n") .. "\n"
end

return M
