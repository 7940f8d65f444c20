-- The rules of exclude and include, compiled: which values of which axes they ask for.
local options = require "vm.options"
local names = require "vm.matrix.names"

local M = {}

-- The names of axes, or of an axis's values.
local function names_of(items)
    local list = {}
    for i, item in ipairs(items) do
        list[i] = item.name
    end
    return list
end

-- The values of an axis that one thing asks for, as a set; nil and a reason when there is none.
local function wanted_values(axis, wanted)
    local set, any = {}, false
    for _, value in ipairs(axis.values) do
        if names.matches(value, wanted) then
            set[value.pair], any = true, true
        end
    end
    if any then
        return set
    end
    local shown = type(wanted) == "table" and wanted.name or wanted
    local near = type(shown) == "string" and options.nearest(shown, names_of(axis.values))
    return nil, ("axis '%s' has no value %s%s"):format(axis.name, options.show(shown),
        near and ("; did you mean '%s'?"):format(near) or "")
end

-- Every item of a list must match something, or it is a slip of the pen.
local function check_values(axis, wanted)
    if type(wanted) ~= "table" or wanted.name ~= nil then
        return wanted_values(axis, wanted)
    end
    local set = {}
    for _, one in ipairs(wanted) do
        local found, why = wanted_values(axis, one)
        if not found then
            return nil, why
        end
        for pair in pairs(found) do
            set[pair] = true
        end
    end
    if next(set) == nil then
        return nil, ("axis '%s': an empty list matches nothing"):format(axis.name)
    end
    return set
end

-- What a rule asks for, as a list of { number of the axis, set of pairs }.
local function compile(matrix, rule)
    for i, axis in ipairs(matrix.axes) do
        if rule.sets[axis] then
            rule[#rule + 1] = { i, rule.sets[axis] }
        end
    end
    return rule
end

---Compiles the rules of `exclude`: { index, hits = 0, and what M.matches reads }.
---@param matrix table
---@param problems vm.matrix.Problems
---@return table[]
function M.exclude(matrix, problems)
    local out = {}
    for i, given in ipairs(matrix.exclude or {}) do
        local rule = { index = i, sets = {}, hits = 0 }
        local good = type(given) == "table" and next(given) ~= nil
        if not good then
            problems:add(matrix, { "exclude", i },
                "vm.matrix: exclude[%d]: a table such as { %s = ... } expected, got %s", i,
                matrix.axes[1] and matrix.axes[1].name or "axis", type(given) == "table"
                and "an empty one, which would exclude every cell" or options.show(given))
        end
        for name, wanted in pairs(good and given or {}) do
            local axis = matrix.axes[name]
            if not axis then
                problems:try(matrix, { "exclude", i, name }, options.unknown, ("vm.matrix: exclude[%d]"):format(i),
                    "axis", name, names_of(matrix.axes))
                good = false
            else
                local set, why = check_values(axis, wanted)
                if not set then
                    problems:add(matrix, { "exclude", i, name }, "vm.matrix: exclude[%d] matches nothing: %s", i, why)
                    good = false
                end
                rule.sets[axis] = set
            end
        end
        if good then
            out[#out + 1] = compile(matrix, rule)
        end
    end
    return out
end

---Whether a cell's { axis, value } pairs are what a rule asks for.
---@param rule table
---@param cell_pairs table[] in the order of the axes
---@return boolean
function M.matches(rule, cell_pairs)
    for i = 1, #rule do
        local part = rule[i]
        if not part[2][cell_pairs[part[1]]] then
            return false
        end
    end
    return true
end

-- A value that include brings: one that the axis has, or a new one.
local function value_of(axis, wanted)
    for _, value in ipairs(axis.values) do
        if names.matches(value, wanted) then
            return value
        end
    end
    return require("vm.matrix.check").value(axis.name, wanted)
end

-- One value for every axis and no glob or list: such a rule may add a cell.
local function whole_cell(matrix, given)
    for _, axis in ipairs(matrix.axes) do
        local wanted = given[axis.name]
        if wanted == nil or (type(wanted) == "table" and wanted.name == nil)
            or (type(wanted) == "string" and names.is_glob(wanted)) then
            return false
        end
    end
    return #matrix.axes > 0
end

---Compiles the rules of `include`: as those of exclude, with fields = { name -> value } and whole = the
---values of a cell that it adds when none matches, or nil.
---@param matrix table
---@param problems vm.matrix.Problems
---@return table[]
function M.include(matrix, problems)
    local out = {}
    for i, given in ipairs(matrix.include or {}) do
        local rule = { index = i, sets = {}, hits = 0, fields = {} }
        local good = type(given) == "table" and next(given) ~= nil
        if not good then
            problems:add(matrix, { "include", i },
                "vm.matrix: include[%d]: a table with something in it expected, got %s", i, options.show(given))
        end
        local whole = good and whole_cell(matrix, given)
        rule.whole = whole and {} or nil
        for name, wanted in pairs(good and given or {}) do
            local axis, at = matrix.axes[name], { "include", i, name }
            if not axis and (type(name) ~= "string" or not name:find "^[%a_][%w_]*$" or names.reserved[name]) then
                problems:add(matrix, at, "vm.matrix: include[%d]: %s cannot be the name of a field", i,
                    options.show(name))
                good = false
            elseif not axis then
                local near = options.nearest(name, names_of(matrix.axes))
                if near and #name > 3 and math.abs(#near - #name) <= 1 and given[near] == nil then
                    problems:add(matrix, at, "vm.matrix: include[%d]: unknown axis '%s'; did you mean '%s'?", i, name,
                        near)
                    good = false
                end
                rule.fields[name] = wanted
            elseif whole then
                local value, why = value_of(axis, wanted)
                if not value then
                    problems:add(matrix, at, "vm.matrix: include[%d]: axis '%s': %s", i, name, why)
                    good = false
                end
                rule.whole[axis] = value
                rule.sets[axis] = value and { [value.pair] = true }
            else
                local set, why = check_values(axis, wanted)
                if not set then
                    problems:add(matrix, at, "vm.matrix: include[%d] matches nothing: %s", i, why)
                    good = false
                end
                rule.sets[axis] = set
            end
        end
        if good and not whole and next(rule.fields) == nil then
            problems:add(matrix, { "include", i },
                "vm.matrix: include[%d] adds nothing: a value for every axis makes a cell, another name a field", i)
            good = false
        end
        if good then
            out[#out + 1] = compile(matrix, rule)
        end
    end
    return out
end

return M
