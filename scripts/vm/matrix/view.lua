-- What a script's functions see of a cell: its values, read-only; a name that no cell has raises.
local errors = require "vm.errors"
local options = require "vm.options"

local M = {}

local function fields(matrix)
    local known = { "id" }
    for name in pairs(matrix.fields) do
        known[#known + 1] = name
    end
    return known
end

---A read-only view of a cell's values, as guest(cell), when(cell) and t.cell have it: the axes'
---values, what include added, `id`, and the test's `variant`.
---@param cell table of a plan
---@param variant? any the value of a test's variant
---@return table
function M.of(cell, variant)
    local values, matrix = cell.values, cell.matrix
    return setmetatable({}, {
        __index = function(_, name)
            local value = values[name]
            if value ~= nil then
                return value
            elseif name == "id" then
                return cell.id
            elseif name == "variant" then
                return variant
            elseif not matrix.fields[name] then
                options.unknown("cell " .. cell.id, "field", name, fields(matrix))
            end
            return nil
        end,
        __newindex = function(_, name)
            errors.fail("usage", "cell %s: field '%s': a cell cannot be changed", cell.id, tostring(name))
        end,
        __pairs = function()
            local copy = { id = cell.id, variant = variant }
            for name, value in pairs(values) do
                copy[name] = value
            end
            return next, copy, nil
        end,
        __name = "vm.Cell",
    })
end

return M
