-- What is wrong with matrices, collected so that all of it is said at once, each with file and line.
local errors = require "vm.errors"

local M = {}

---@class vm.matrix.Problems
---@field list { file: string, line: integer, message: string }[]
local Problems = {}
Problems.__index = Problems

---A collection without anything in it.
---@return vm.matrix.Problems
function M.new()
    return setmetatable({ list = {}, seen = {} }, Problems)
end

---The file a function's debug information names.
---@param info table from debug.getinfo with "S"
---@return string
function M.file(info)
    return info.source:match("^@(.*)$") or info.short_src
end

---Where a part of a matrix's definition stands: the line of the last key of `path` that is known,
---a function's own line when `path` ends with one, or that of the definition.
---@param matrix table with file, line and places
---@param path? any[] keys below the definition, such as { "exclude", 2 }; the last may be a function
---@return string file
---@return integer line
function M.place(matrix, path)
    local line = matrix.line
    local node = matrix.places
    for _, key in ipairs(path or {}) do
        if type(key) == "function" then
            local info = debug.getinfo(key, "S")
            return M.file(info), info.linedefined
        end
        node = node and node.below and node.below[key]
        line = node and node.line or line
    end
    return matrix.file, line
end

---Adds one; the rest is formatted as by string.format. The same one is kept once.
---@param matrix table
---@param path? any[]
---@param format string
---@param ... any
function Problems:add(matrix, path, format, ...)
    local file, line = M.place(matrix, path)
    self:at(file, line, string.format(format, ...))
end

---Adds one whose place is known.
---@param file string
---@param line integer
---@param message string
function Problems:at(file, line, message)
    local key = ("%s:%d:%s"):format(file, line, message)
    if not self.seen[key] then
        self.seen[key] = true
        self.list[#self.list + 1] = { file = file, line = line, message = message }
    end
end

---Calls fn(...); what it raises becomes a problem.
---@param matrix table
---@param path? any[]
---@param fn function
---@param ... any
---@return any value the first result, or nil
function Problems:try(matrix, path, fn, ...)
    local ok, value = pcall(fn, ...)
    if ok then
        return value
    end
    self:add(matrix, path, "%s", errors.is(value) and value.message or tostring(value))
    return nil
end

---All of them as lines "file:line: message", in the order of the files' lines.
---@return string[]
function Problems:lines()
    local order, sorted = {}, {}
    for i, problem in ipairs(self.list) do
        order[problem.file] = order[problem.file] or i
        sorted[i] = { problem = problem, at = i }
    end
    table.sort(sorted, function(a, b)
        local p, q = a.problem, b.problem
        if p.file ~= q.file then
            return order[p.file] < order[q.file]
        elseif p.line ~= q.line then
            return p.line < q.line
        end
        return a.at < b.at
    end)
    local lines = {}
    for i, item in ipairs(sorted) do
        local p = item.problem
        lines[i] = ("%s:%d: %s"):format(p.file, p.line, p.message)
    end
    return lines
end

return M
