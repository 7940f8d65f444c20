-- What a script's own functions raise while a matrix is expanded: the same for a thousand cells is said
-- once, with the cells.
local errors = require "vm.errors"

local M = {}

local MOST <const> = 3

local Faults = {}
Faults.__index = Faults

---A collection for one matrix.
---@param matrix table
---@param problems vm.matrix.Problems
---@return table
function M.new(matrix, problems)
    return setmetatable({ matrix = matrix, problems = problems, list = {}, by = {} }, Faults)
end

---Notes what is wrong with one cell or test.
---@param fn any the function that said it, or the path of the place
---@param what string
---@param id string
---@param message string
function Faults:add(fn, what, id, message)
    local by = self.by[fn]
    if not by then
        by = {}
        self.by[fn] = by
    end
    -- The cell's own name in a message would make each one different.
    local key = what .. ": " .. message:gsub("cell " .. id:gsub("%p", "%%%0"):gsub(":.*", "") .. ": ", "")
    local fault = by[key]
    if not fault then
        fault = { fn = fn, text = key, ids = {} }
        by[key] = fault
        self.list[#self.list + 1] = fault
    end
    fault.ids[#fault.ids + 1] = id
end

---Calls fn(...) for a cell or test; what it raises is noted.
---@param of function the script's function, whose line it is
---@param what string
---@param id string
---@param fn function
---@param ... any
---@return any value the first result, or nil
---@return boolean ok
function Faults:try(of, what, id, fn, ...)
    local ok, value = pcall(fn, ...)
    if ok then
        return value, true
    end
    self:add(of, what, id, errors.is(value) and value.message or tostring(value))
    return nil, false
end

---Says all of them.
function Faults:say()
    local count = {}
    for _, fault in ipairs(self.list) do
        count[fault.fn] = (count[fault.fn] or 0) + 1
        local ids = fault.ids
        local shown = table.concat(ids, ", ", 1, math.min(#ids, MOST))
        local more = #ids > MOST and (" and %d more"):format(#ids - MOST) or ""
        local path = type(fault.fn) == "function" and { fault.fn } or fault.fn
        if count[fault.fn] <= 2 * MOST then
            self.problems:add(self.matrix, path, "%s (%s%s)", fault.text, shown, more)
        end
    end
end

return M
