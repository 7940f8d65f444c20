-- What is written into a run's folder: data only, text in UTF-8, everything bounded.
local raw = require "vm.raw"
local errors = require "vm.errors"
local escape = require "vm.report.escape"

local M = {}

-- Bytes of one text: in an event, a message, the end of an output, a recorded value.
local EVENT <const>, MESSAGE <const>, TAIL <const>, RECORD <const> = 4096, 16384, 16384, 65536
-- Entries of one list, so that a test in a loop cannot fill the disk with its checks.
local LIST <const> = 1000

local function number(value)
    if value ~= value or value == math.huge or value == -math.huge then
        return nil -- JSON has no such numbers
    end
    return value
end

local function is_list(value)
    return value[1] ~= nil and #value > 0
end

-- Whatever it is as data: an error object becomes its kind and message, functions are left out.
local function clean(value, max, depth)
    local kind = type(value)
    if kind == "string" then
        return escape.head(value, max)
    elseif kind == "number" then
        return number(value)
    elseif kind == "boolean" then
        return value
    elseif errors.is(value) then
        return { kind = escape.head(tostring(value.kind), 64), message = escape.head(value.message, max) }
    elseif kind ~= "table" or depth > 8 then
        return kind ~= "nil" and kind ~= "function" and kind ~= "table" and escape.head(tostring(value), max) or nil
    end
    local out = {}
    if is_list(value) then
        for at = 1, math.min(#value, LIST) do
            local item = clean(value[at], max, depth + 1)
            out[#out + 1] = item == nil and "" or item
        end
        return out
    end
    for key, item in pairs(value) do
        if type(key) == "string" then
            out[escape.head(key, 256)] = clean(item, max, depth + 1)
        end
    end
    return out
end

---Any value as data that JSON can hold.
---@param value any
---@param max? integer bytes of a text
---@return any
function M.value(value, max)
    return clean(value, max or MESSAGE, 0)
end

---An event with its texts bounded to 4 KiB.
---@param event table
---@return table
function M.event(event)
    local out = {}
    for name, value in pairs(event) do
        if type(value) == "string" and #value <= EVENT and not value:find "[\0\128-\255]" then
            out[name] = value
        elseif name == "tail" and type(value) == "string" then
            out[name] = escape.tail(value, EVENT)
        else
            out[name] = clean(value, EVENT, 1)
        end
    end
    return out
end

-- What a good attempt printed is in its log; it would be most of what reports have to read.
local function attempt(given)
    local out = clean(given, MESSAGE, 1)
    out.tail = nil
    if type(given.tail) == "string" and not (given.log and (given.outcome == "passed" or given.outcome == "skipped"))
        then
        out.tail = escape.tail(given.tail, TAIL)
    end
    return out
end

local function records(given)
    local out = {}
    for name, record in pairs(given) do
        local text = type(record) == "table" and record.text or record
        local whole = type(text) == "string" and text or tostring(text)
        out[escape.head(tostring(name), 256)] = {
            digest = type(record) == "table" and record.digest or raw.data.sha256(whole),
            size = type(record) == "table" and record.size or #whole,
            text = escape.head(whole, RECORD),
        }
    end
    return out
end

---A test's result as it is kept.
---@param given table
---@return table
function M.result(given)
    local out = clean(given, MESSAGE, 1)
    out.attempts = nil
    for at, one in ipairs(given.attempts or {}) do
        out.attempts = out.attempts or {}
        out.attempts[at] = attempt(one)
    end
    if given.tail then
        out.tail = escape.tail(given.tail, TAIL)
    end
    if given.records then
        out.records = records(given.records)
    end
    return out
end

local function scalars(values)
    local out = {}
    for name, value in pairs(values or {}) do
        if type(name) == "string" and (type(value) == "string" or type(value) == "boolean"
                or type(value) == "number" and number(value)) then
            out[escape.head(name, 256)] = clean(value, EVENT, 1)
        elseif type(name) == "string" and type(value) == "table" and type(value.name) == "string" then
            out[escape.head(name, 256)] = clean(value.name, EVENT, 1)
        end
    end
    return out
end

local function axes(matrix)
    local out = {}
    for at, axis in ipairs(matrix.axes or {}) do
        local values = {}
        for i, value in ipairs(axis.values or {}) do
            values[i] = clean(tostring(type(value) == "table" and (value.name or value.value) or value), EVENT, 1)
        end
        out[at] = { name = clean(axis.name, EVENT, 1), values = values }
    end
    return out
end

---What a cell's matrix is called; nil for one without a name.
---@param matrix table|string
---@return string|nil
function M.matrix(matrix)
    if type(matrix) == "table" then
        return matrix.name
    end
    return matrix
end

local function plan_cells(cells)
    local out = {}
    for at, cell in ipairs(cells) do
        local pairs_of = {}
        for i, pair in ipairs(cell.axes) do
            pairs_of[i] = { clean(tostring(pair[1]), EVENT, 1), clean(tostring(pair[2]), EVENT, 1) }
        end
        local matrix = cell.matrix
        out[at] = { id = cell.id, axes = pairs_of, values = scalars(cell.values),
            matrix = M.matrix(matrix) }
    end
    return out
end

local function plan_tests(tests)
    local out = {}
    for at, test in ipairs(tests) do
        out[at] = { id = test.id, name = test.name, cell = type(test.cell) == "table" and test.cell.id or test.cell,
            from = test.from, variant = test.variant, estimate = test.estimate and number(test.estimate),
            tags = test.tags and is_list(test.tags) and clean(test.tags, EVENT, 1) or nil,
            skip = test.skip and clean(tostring(test.skip), EVENT, 1) or nil,
            file = test.file, line = test.line }
    end
    return out
end

---A plan without its functions: what is needed to say what was to be run. Ids go in as they are; lists
---are whole, however long.
---@param plan table
---@return table
function M.plan(plan)
    local matrices = {}
    for at, matrix in ipairs(plan.matrices or {}) do
        matrices[at] = { name = matrix.name, file = matrix.file, line = matrix.line, axes = axes(matrix),
            digest = matrix.digest }
    end
    local skipped = {}
    for at, one in ipairs(plan.skipped or {}) do
        skipped[at] = clean({ id = one.id, reason = one.reason, rule = one.rule }, EVENT, 1)
    end
    return {
        format = 1,
        matrices = matrices,
        cells = plan_cells(plan.cells),
        tests = plan_tests(plan.tests),
        skipped = skipped,
        params = scalars(plan.params),
        seed = plan.seed,
        warnings = plan.warnings and clean(plan.warnings, EVENT, 1) or nil,
    }
end

return M
