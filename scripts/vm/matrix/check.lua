-- A matrix's definition, checked key by key and completed: what is wrong is collected, and what is
-- right is kept, so that the rest can be checked as well.
local options = require "vm.options"
local names = require "vm.matrix.names"
local tests = require "vm.matrix.tests"

local M = {}

local MOST_AXES <const> = 50

local spec = {
    name = "string",
    axes = "table",
    exclude = "table",
    include = "table",
    when = "function",
    guest = "function|table",
    guests = "function|table",
    prepare = "table",
    inputs = "string|table",
    tests = "table",
    setup = "function",
    teardown = "function",
    tags = "string|table",
    timeout = { "time", min = 0.001 },
    cell_timeout = { "time", min = 0.001 },
    retries = { "integer", min = 0, max = 100 },
    artifacts = "string|table",
    env = "table",
    secrets = "string|table",
    max_parallel = { "integer", min = 1 },
    priority = { "integer" },
    isolation = { "string", one_of = { "test", "cell", "revert", "boot" } },
}

-- A table that is no plain one (that of vm.params, say, raises for names that it does not have) as a
-- plain one. Guests and steps may be objects.
local function plain(key, value)
    if type(value) ~= "table" or getmetatable(value) == nil or key == "guest" or key == "guests"
        or getmetatable(value) == require("vm.state.step").Step then
        return value
    end
    local copy = {}
    for name, item in next, value do
        copy[name] = item
    end
    return copy
end

---Checks each key of a table on its own against a description as options.check takes it.
---@param problems vm.matrix.Problems
---@param matrix table
---@param path any[] where the table stands
---@param what string for messages
---@param given table
---@param rules table
---@return table out the values that are right
function M.keys(problems, matrix, path, what, given, rules)
    local keys, out = {}, {}
    for key in pairs(given) do
        keys[#keys + 1] = key
    end
    table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
    for _, key in ipairs(keys) do
        local at = table.move(path, 1, #path, 1, {})
        at[#at + 1] = key
        local checked
        if rules[key] ~= nil then
            checked = problems:try(matrix, at, options.check, what, { [key] = given[key] }, { [key] = rules[key] })
        else
            problems:try(matrix, at, options.check, what, { [key] = given[key] }, rules)
        end
        if checked then
            out[key] = plain(key, checked[key])
        end
    end
    return out
end

-- One value of an axis, or nil with why not.
local function axis_value(axis, item)
    local name
    if type(item) == "table" then
        name = item.name
        if type(name) == "number" then
            name = names.number(name)
        end
        if type(name) ~= "string" or name == "" then
            return nil, "a table as a value needs a 'name'"
        end
        return { name = name, value = item, part = names.part(axis, name, name) }
    elseif type(item) == "number" then
        if item ~= item then
            return nil, "nan is no value"
        end
        name = names.number(item)
    elseif type(item) == "string" or type(item) == "boolean" then
        name = tostring(item)
    else
        return nil, ("a string, a number, a boolean or a table with a 'name' expected, got %s"):format(
            options.show(item))
    end
    return { name = name, value = item, part = names.part(axis, item, name) }
end

---A value of an axis from what a script wrote; the pair stands in every cell that has it.
---@param axis string
---@param item any
---@return table|nil value { name, value, part, pair }
---@return string|nil why
function M.value(axis, item)
    local value, why = axis_value(axis, item)
    if value and value.part == "" then
        return nil, ("nothing of %s can stand in an id; give it a name: { name = \"...\" }"):format(
            options.show(value.name))
    elseif value then
        value.pair = { axis, value.name }
    end
    return value, why
end

---The values of one axis (or the variants of a test), each checked.
---@param problems vm.matrix.Problems
---@param matrix table
---@param path any[]
---@param what string for messages
---@param axis string
---@param list any
---@return table[] values
function M.values(problems, matrix, path, what, axis, list)
    local out, parts = {}, {}
    if type(list) ~= "table" or list.name ~= nil then
        problems:add(matrix, path, "%s: a list of values expected, got %s", what, options.show(list))
        return out
    end
    for key in pairs(list) do
        if math.type(key) ~= "integer" or key < 1 or key > #list then
            problems:add(matrix, path, "%s: a list of values expected, and it has the key %s", what, options.show(key))
        end
    end
    for i, item in ipairs(list) do
        local at = table.move(path, 1, #path, 1, {})
        at[#at + 1] = i
        local value, why = M.value(axis, item)
        if not value then
            problems:add(matrix, at, "%s: value %d: %s", what, i, why)
        elseif parts[value.part] then
            local first = parts[value.part]
            problems:add(matrix, at, first.name == value.name and "%s: the value '%s' is there twice"
                or "%s: the values '%s' and '%s' would have the same id; give one a name: { name = \"...\" }",
                what, first.name, value.name)
        else
            parts[value.part] = value
            out[#out + 1] = value
        end
    end
    if next(list) == nil then
        problems:add(matrix, path, "%s has no values, so there would be no cell", what)
    end
    return out
end

-- The axes' names, in the order they have in ids: as a list says, as the file has them, or else image
-- and arch first and the rest by the alphabet.
local function axis_order(matrix, axes)
    local order, where = {}, {}
    local first = { image = 1, arch = 2 }
    for name in pairs(axes) do
        order[#order + 1] = name
    end
    local node = matrix.places and matrix.places.below and matrix.places.below.axes
    for i, key in ipairs(node and node.keys or {}) do
        where[key] = i
    end
    local written = true
    for _, name in ipairs(order) do
        written = written and where[name] ~= nil
    end
    table.sort(order, function(a, b)
        if written then
            return where[a] < where[b]
        end
        local x, y = first[a] or 3, first[b] or 3
        return x ~= y and x < y or x == y and tostring(a) < tostring(b)
    end)
    return order
end

local function check_axes(problems, matrix, axes)
    local out = {}
    local function add(name, list, path)
        if type(name) ~= "string" or not name:find("^[%a_][%w_]*$") then
            problems:add(matrix, path, "vm.matrix: axis %s: a name of letters, digits and '_' expected",
                options.show(name))
        elseif names.reserved[name] then
            problems:add(matrix, path, "vm.matrix: axis '%s': that name means something else in filters and cells",
                name)
        elseif out[name] then
            problems:add(matrix, path, "vm.matrix: axis '%s' is there twice", name)
        else
            local axis = { name = name, values = M.values(problems, matrix, path,
                ("vm.matrix: axis '%s'"):format(name), name, list) }
            out[name] = axis
            out[#out + 1] = axis
        end
    end
    if #axes > 0 then
        for i, item in ipairs(axes) do
            local name, list = nil, nil
            if type(item) == "table" then
                name, list = next(item)
            end
            if name == nil or next(item, name) ~= nil then
                problems:add(matrix, { "axes", i },
                    "vm.matrix: axes[%d]: in a list each axis is a table with one key: { arch = {...} }", i)
            else
                add(name, list, { "axes", i, name })
            end
        end
    else
        for _, name in ipairs(axis_order(matrix, axes)) do
            add(name, axes[name], { "axes", name })
        end
    end
    if #out > MOST_AXES then
        problems:add(matrix, { "axes" }, "vm.matrix: axes: there are %d, and at most %d can be", #out, MOST_AXES)
        return {}
    end
    return out
end

local function check_guest(problems, matrix, out)
    if out.guest ~= nil and out.guests ~= nil then
        problems:add(matrix, { "guests" }, "vm.matrix: 'guest' and 'guests' exclude each other")
    elseif type(out.guests) == "table" then
        if next(out.guests) == nil then
            problems:add(matrix, { "guests" }, "vm.matrix: guests: it is empty")
        end
        for name, guest in pairs(out.guests) do
            if type(name) ~= "string" or not name:find("^%a[%w_]*$") then
                problems:add(matrix, { "guests" },
                    "vm.matrix: guests: a name of letters, digits and '_' expected, got %s", options.show(name))
            elseif type(guest) ~= "function" and type(guest) ~= "table" then
                problems:add(matrix, { "guests", name }, "vm.matrix: guests.%s: a table or a function expected, got %s",
                    name, options.show(guest))
            end
        end
    end
end

local function check_steps(problems, matrix, steps)
    local is_step = require("vm.state.step").Step
    if getmetatable(steps) == is_step then
        return { steps }
    end
    local out = {}
    for i, step in ipairs(steps) do
        if getmetatable(step) == is_step then
            out[#out + 1] = step
        else
            problems:add(matrix, { "prepare", i }, "vm.matrix: prepare[%d]: a step from vm.step expected, got %s", i,
                options.show(step))
        end
    end
    for key in pairs(steps) do
        if math.type(key) ~= "integer" or key < 1 or key > #steps then
            problems:add(matrix, { "prepare", key },
                "vm.matrix: prepare: a list of steps expected, and it has the key %s", options.show(key))
        end
    end
    return out
end

---Checks a definition. Returns what it says, completed, as the plan has it; what is wrong is left out
---and in `problems`.
---@param given vm.Matrix
---@param problems vm.matrix.Problems
---@return table matrix
function M.matrix(given, problems)
    local matrix = { file = given.file, line = given.line or 1, places = given.places, def = given.def,
        script = given.script, sources = given.sources }
    local def = M.keys(problems, matrix, {}, "vm.matrix", given.def, spec)
    for key, value in pairs(def) do
        matrix[key] = value
    end
    -- Ids begin with a name that was given; reports call a matrix by its file otherwise.
    matrix.prefix = matrix.name or given.key
    if matrix.prefix and (names.clean(matrix.prefix) ~= matrix.prefix or matrix.prefix == "") then
        problems:add(matrix, { "name" }, "vm.matrix: name: letters, digits, '.', '_', '+' and '-' expected, got %s",
            options.show(matrix.prefix))
        matrix.prefix = names.clean(matrix.prefix)
    end
    local file = names.clean((matrix.file:match "([^/]+)$" or ""):gsub("%.lua$", ""))
    matrix.name = matrix.prefix or (file ~= "" and file or "matrix")
    matrix.axes = check_axes(problems, matrix, def.axes or {})
    matrix.prepare = check_steps(problems, matrix, def.prepare or {})
    matrix.isolation = def.isolation or "test"
    matrix.priority = def.priority or 0
    check_guest(problems, matrix, matrix)
    tests.check(problems, matrix, M)
    return matrix
end

return M
