-- From axes to cells, and from cells to the tests of each. Pure: no host, no clock.
local errors = require "vm.errors"
local faults = require "vm.matrix.faults"
local options = require "vm.options"
local rules = require "vm.matrix.rules"
local view = require "vm.matrix.view"

local M = {}

-- A test of a cell. What its functions see of the cell is made when it is first asked for.
local Test = {
    __index = function(test, name)
        if name == "values" then
            local values = view.of(test.cell, test.variant_value)
            rawset(test, "values", values)
            return values
        elseif name == "file" or name == "line" then
            return test.def[name]
        end
    end,
    __name = "vm.PlannedTest",
}

-- A function that makes a cell from its id and values. It is compiled for the axes there are: a table
-- that is written out has its size from the start, which is half of the time.
local function cell_maker(matrix)
    local variables, pairs_, fields = {}, {}, {}
    for i, axis in ipairs(matrix.axes) do
        variables[i] = "v" .. i
        pairs_[i] = ("v%d.pair"):format(i)
        fields[i] = ("[%q] = v%d.value"):format(axis.name, i)
    end
    local text = ("local matrix = ... return function(id%s) return { id = id, matrix = matrix, axes = { %s }, "
        .. "values = { %s } } end"):format(#variables > 0 and ", " .. table.concat(variables, ", ") or "",
        table.concat(pairs_, ", "), table.concat(fields, ", "))
    local make = load(text, "=(cells)", "t")(matrix)
    return function(id, values)
        return make(id, table.unpack(values, 1, #variables))
    end
end

local function excluded_by(exclude, cell_pairs)
    local by
    for i = 1, #exclude do
        local rule = exclude[i]
        if rules.matches(rule, cell_pairs) then
            rule.hits = rule.hits + 1
            by = by or rule
        end
    end
    return by
end

-- Every combination, the last axis turning fastest. Calls each(values, id, pairs).
local function product(matrix, each)
    local axes = matrix.axes
    local values, cell_pairs = {}, {}
    local function turn(level, prefix)
        local list = axes[level].values
        for i = 1, #list do
            local value = list[i]
            values[level], cell_pairs[level] = value, value.pair
            local id = prefix and prefix .. "/" .. value.part or value.part
            if level == #axes then
                each(values, id, cell_pairs)
            else
                turn(level + 1, id)
            end
        end
    end
    if #axes > 0 then
        turn(1, matrix.prefix)
    else
        each(values, matrix.name, cell_pairs)
    end
end

-- What include says: fields for the cells that match, or a cell.
local function include_cells(matrix, problems, cells, make)
    local axes = matrix.axes
    for _, rule in ipairs(rules.include(matrix, problems)) do
        for _, cell in ipairs(cells) do
            if rules.matches(rule, cell.axes) then
                rule.hits = rule.hits + 1
                for name, value in pairs(rule.fields) do
                    cell.values[name] = value
                end
                cell.included = cell.included or {}
                cell.included[#cell.included + 1] = rule.index
            end
        end
        for name in pairs(rule.fields) do
            matrix.fields[name] = true
        end
        if rule.hits == 0 and rule.whole then
            local values, parts = {}, { matrix.prefix }
            for i, axis in ipairs(axes) do
                local value = rule.whole[axis]
                values[i] = value
                parts[#parts + 1] = value.part
                local known = false
                for _, other in ipairs(axis.values) do
                    known = known or other == value
                end
                if not known then
                    axis.values[#axis.values + 1] = value
                end
            end
            local cell = make(table.concat(parts, "/"), values)
            for name, value in pairs(rule.fields) do
                cell.values[name] = value
            end
            cell.added = rule.index
            cells[#cells + 1] = cell
        elseif rule.hits == 0 then
            problems:add(matrix, { "include", rule.index },
                "vm.matrix: include[%d] matches nothing: there is no such cell, all of them are excluded", rule.index)
        elseif rule.whole and next(rule.fields) == nil then
            problems:add(matrix, { "include", rule.index }, "vm.matrix: include[%d]: that cell is there already",
                rule.index)
        end
    end
end

---What a `when` said: nil when it is to run, or why not.
---@param fn function
---@param cell table the view
---@return string|nil reason
function M.reason(fn, cell)
    local answer, reason = fn(cell)
    if answer == nil or answer == true then
        return nil
    elseif type(answer) == "string" then
        return answer
    elseif answer == false then
        return type(reason) == "string" and reason or "`when` said no"
    end
    return errors.fail("usage", "true, nil, a reason, or false and a reason expected, got %s", options.show(answer))
end

-- Why a test is expected to fail in a cell, or nil.
local function expected_failure(given, cell)
    if type(given) ~= "function" then
        return given and (given == true and "expected to fail" or given) or nil
    end
    local answer, reason = given(cell)
    if answer == nil or answer == false then
        return nil
    elseif answer == true then
        return type(reason) == "string" and reason or "expected to fail"
    elseif type(answer) == "string" then
        return answer
    end
    return errors.fail("usage", "a reason, true, false or nil expected, got %s", options.show(answer))
end

---The cells of a checked matrix, in order. Adds matrix.fields, the names that cells may be asked for.
---@param matrix table from vm.matrix.check
---@param problems vm.matrix.Problems
---@param opts? { excluded?: boolean } excluded: also returns the cells that exclude left out
---@return table[] cells
---@return { id: string, rule: integer }[] excluded
function M.cells(matrix, problems, opts)
    local axes, cells, excluded = matrix.axes, {}, {}
    local exclude = rules.exclude(matrix, problems)
    local make = cell_maker(matrix)
    matrix.fields = {}
    for _, axis in ipairs(axes) do
        matrix.fields[axis.name] = true
        if #axis.values == 0 then
            return {}, {} -- said already
        end
    end
    product(matrix, function(values, id, cell_pairs)
        local by = excluded_by(exclude, cell_pairs)
        if not by then
            cells[#cells + 1] = make(id, values)
        elseif opts and opts.excluded then
            excluded[#excluded + 1] = { id = id, rule = by.index, matrix = matrix }
        end
    end)
    for _, rule in ipairs(exclude) do
        if rule.hits == 0 then
            problems:add(matrix, { "exclude", rule.index },
                "vm.matrix: exclude[%d] matches nothing: no cell has all of these values", rule.index)
        end
    end
    if matrix.include then
        include_cells(matrix, problems, cells, make)
    end
    if #cells == 0 then
        problems:add(matrix, { "exclude" }, "vm.matrix: no cell is left: exclude leaves out all of them")
    end
    return cells, excluded
end

local function start_of(def, variant)
    local from = def.from
    if from and def.start_variants and not from:find("@", 1, true) then
        return from .. "@" .. variant.part
    end
    return from
end

---The tests of cells, in order, those of a cell together. Each `when` is asked here.
---@param matrix table
---@param cells table[]
---@param problems vm.matrix.Problems
---@return table[] tests
function M.tests(matrix, cells, problems)
    local out = {}
    local found = faults.new(matrix, problems)
    local plain = { false }
    for _, def in ipairs(matrix.test_list) do
        for _, other in ipairs(matrix.test_list) do
            def.start_variants = def.start_variants or (def.from == other.name and other.variants ~= nil)
        end
        def.tag_set = {}
        for _, tag in ipairs(def.tags) do
            def.tag_set[tag] = true
        end
    end
    for _, cell in ipairs(cells) do
        local why
        if matrix.when then
            why = found:try(matrix.when, "when", cell.id, M.reason, matrix.when, view.of(cell))
            cell.skip = why
        end
        for _, def in ipairs(matrix.test_list) do
            for _, variant in ipairs(def.variants or plain) do
                local name = variant and def.name .. "@" .. variant.part or def.name
                local test = setmetatable({
                    id = cell.id .. ":" .. name,
                    name = name,
                    cell = cell,
                    def = def,
                    tags = def.tags,
                    skip = why,
                }, Test)
                if variant then
                    test.variant, test.variant_value = variant.name, variant.value
                end
                if def.from then
                    test.from = cell.id .. ":" .. start_of(def, variant)
                end
                if why then
                    test.skip_rule = { "when" }
                elseif def.when then
                    test.skip = found:try(def.when, "when", test.id, M.reason, def.when, test.values)
                    test.skip_rule = test.skip and { "tests", def.path[2], "when" } or nil
                end
                if def.expected then
                    test.expect_fail = found:try(def.expected, "expect_fail", test.id, expected_failure,
                        def.expected, test.values)
                end
                out[#out + 1] = test
            end
        end
    end
    found:say()
    return out
end

return M
