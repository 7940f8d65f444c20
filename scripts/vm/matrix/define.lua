-- vm.matrix: what a script says about a matrix, kept with the place where it says it.
local errors = require "vm.errors"
local options = require "vm.options"
local problems = require "vm.matrix.problems"

local M = {}

---A test of a matrix: a function, or a table of this.
---@class vm.MatrixTest
---@field run fun(guest: vm.Guest, t: table) the test itself; with `guests` it is given a table of guests by name
---@field name? string in a list of tests
---@field when? fun(cell: table): boolean|string|nil as the matrix's own
---@field from? string the test whose state this one starts from
---@field tags? string[]|string added to the matrix's
---@field timeout? number|string "10m" unless told otherwise
---@field retries? integer on a fresh guest; 0 unless told otherwise
---@field env? table<string, string> added to the matrix's
---@field artifacts? string[]|string added to the matrix's
---@field secrets? string[]|string added to the matrix's
---@field variants? any[] as an axis's values: the test runs once for each, as "check@small"
---@field expect_fail? boolean|string|fun(cell: table): boolean|string|nil why it is expected to fail
---@field priority? integer of those that wait, the highest first

---What vm.matrix is told.
---@class vm.MatrixOptions
---@field tests table<string, vm.MatrixTest>|vm.MatrixTest[] functions, or tables of more: by name, or a list
---@field name? string comes first in the ids of its cells
---@field axes? table name -> list of values (strings, numbers, booleans, tables with a name), or a list of such
---@field exclude? table[] cells that are left out: axis -> value, glob or list of these
---@field include? table[] further cells (a value for every axis), or fields for those that match
---@field when? fun(cell: table): boolean|string|nil skips a cell: with a reason, or false and a reason
---@field guest? table|fun(cell: table): vm.CreateOptions what each cell's guest is
---@field guests? table<string, table|function> several guests by name, instead of guest
---@field prepare? table[] steps, from vm.step
---@field inputs? string[]|string paths and globs of the host that tests use themselves: for --changed
---@field setup? function before each test, with what the test is given
---@field teardown? function after each test, also a failed one
---@field tags? string[]|string
---@field timeout? number|string of each test; "10m" unless told otherwise
---@field cell_timeout? number|string of all tests of a cell
---@field retries? integer
---@field artifacts? string[]|string absolute paths or globs of the guest: collected after each test
---@field env? table<string, string> the environment of the tests' commands
---@field secrets? string[]|string values that are masked in logs and reports
---@field max_parallel? integer tests of this matrix at once
---@field priority? integer of those that wait, the highest first
---@field isolation? string "test" (default): each test gets a guest of its own; "cell": they share one;
---"revert", "boot": a guest of its own in that very way

---A matrix, as vm.matrix returns it.
---@class vm.Matrix
---@field def vm.MatrixOptions
---@field file string where it was defined
---@field line? integer not known after a tail call; vm.matrix.source finds it
local Matrix = {}
Matrix.__index = Matrix
Matrix.__name = "vm.Matrix"

---Whether a value is a matrix.
---@param value any
---@return boolean
function M.is(value)
    return getmetatable(value) == Matrix
end

---The matrices among what a script returned: one, a list, or named ones, which get their keys as
---names. nil when there is none.
---@param value any
---@return vm.Matrix[]|nil
function M.of(value)
    if M.is(value) then
        return { value }
    elseif type(value) ~= "table" or getmetatable(value) ~= nil then
        return nil
    end
    local list, keys = {}, {}
    for key, item in pairs(value) do
        if not M.is(item) then
            return nil
        end
        if type(key) ~= "number" then
            item.key = tostring(key)
        end
        keys[item] = key
        list[#list + 1] = item
    end
    -- Both a list and a table of names stand in the order of their lines; equal ones in that of keys.
    table.sort(list, function(a, b)
        local x, y = keys[a], keys[b]
        if type(x) == "number" and type(y) == "number" then
            return x < y
        elseif a.line ~= b.line then
            return a.line < b.line
        end
        return tostring(x) < tostring(y)
    end)
    return #list > 0 and list or nil
end

-- Where the script calls vm.matrix, or nil after a tail call, as `return vm.matrix {...}` is one: then no
-- frame of the script's is left.
local function caller()
    if debug.getinfo(2, "t").istailcall then
        return nil
    end
    local info = debug.getinfo(3, "Sl")
    return problems.file(info), info.currentline
end

---Defines a matrix of tests, for `vmatrix test` to run: the script returns it. Nothing is checked or
---started here.
---@param def vm.MatrixOptions
---@return vm.Matrix
function M.matrix(def)
    if type(def) ~= "table" then
        errors.fail("usage", "vm.matrix: a table expected, got %s", options.show(def))
    end
    local file, line = caller()
    return setmetatable({ def = def, file = file or M.loading or "?", line = line }, Matrix)
end

return M
