-- What a task owns: things with a close method, closed when the task ends unless it hands them on.
local raw = require "vm.raw"
local task = raw.task
local log = raw.log

local M = {}

---@class vm.Scope
local Scope = {}
Scope.__index = Scope

---The running task's scope; nil outside of any task.
---@return vm.Scope|nil
function M.current()
    local locals = task.locals()
    if locals and locals.scope == nil then
        locals.scope = setmetatable({ owned = {}, order = {} }, Scope)
    end
    return locals and locals.scope
end

---Makes the running task the owner of an object: it is closed when the task ends, unless the task
---returns it to whoever joins.
---@param object table anything with a close method
function M.own(object)
    local scope = M.current()
    if scope and not scope.owned[object] then
        scope.owned[object] = true
        scope.order[#scope.order + 1] = object
    end
end

---Nobody owns the object any more: it was closed, or is kept.
---@param object table
function M.disown(object)
    local scope = M.current()
    if scope then
        scope:drop(object)
    end
end

---Forgets one object.
---@param object table
function Scope:drop(object)
    if not self.owned[object] then
        return
    end
    self.owned[object] = nil
    for i = #self.order, 1, -1 do
        if self.order[i] == object then
            table.remove(self.order, i)
            return
        end
    end
end

---Forgets the owned objects among the values, also one level down in plain tables, and returns them.
---@param values table
---@return table[]
function Scope:hand_on(values)
    local found = {}
    local function take(value)
        if type(value) == "table" and self.owned[value] then
            found[#found + 1] = value
            self:drop(value)
            return true
        end
    end
    for i = 1, values.n do
        local value = values[i]
        if not take(value) and type(value) == "table" and getmetatable(value) == nil then
            for _, inner in pairs(value) do
                take(inner)
            end
        end
    end
    return found
end

---Ends what the task left: with an error its tasks first, then everything it owns, newest first.
function Scope:__close(err)
    if err ~= nil then
        for _, child in ipairs(task.children()) do
            child:cancel()
        end
        for _, child in ipairs(task.children()) do
            child:ended()
        end
    end
    local first
    for i = #self.order, 1, -1 do
        local object = self.order[i]
        self.order[i] = nil
        if object then
            self.owned[object] = nil
            local ok, problem = pcall(object.close, object)
            if not ok and (first or err ~= nil) then
                log.write("warn", object.name, "while closing: " .. tostring(problem))
            elseif not ok then
                first = problem
            end
        end
    end
    if first then
        error(first, 0)
    end
end

return M
