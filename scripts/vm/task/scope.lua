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
        locals.scope = setmetatable({ order = {} }, Scope)
    end
    return locals and locals.scope
end

-- object -> the scope that owns it
local owner_of = setmetatable({}, { __mode = "k" })

---Forgets one object.
---@param object table
function Scope:drop(object)
    if owner_of[object] ~= self then
        return
    end
    owner_of[object] = nil
    for i = #self.order, 1, -1 do
        if self.order[i] == object then
            table.remove(self.order, i)
            return
        end
    end
end

---Makes this the owner of an object, whoever was it before.
---@param object table anything with a close method
function Scope:take(object)
    local before = owner_of[object]
    if before == self then
        return
    elseif before then
        before:drop(object)
    end
    owner_of[object] = self
    self.order[#self.order + 1] = object
end

---Makes the running task the owner of an object: it is closed when the task ends, unless the task
---returns it to whoever joins.
---@param object table anything with a close method
function M.own(object)
    local scope = M.current()
    if scope then
        scope:take(object)
    end
end

---Nobody owns the object any more: it was closed, or is kept.
---@param object table
function M.disown(object)
    local scope = owner_of[object]
    if scope then
        scope:drop(object)
    end
end

---Calls fn(...), with which the making of an object goes on; closes the object when that fails or is cancelled.
---@param object table anything with a close method
---@param fn function
---@param ... any
---@return any result what fn returns
function M.or_close(object, fn, ...)
    local made = false
    local _ <close> = setmetatable({}, { __close = function()
        if not made then
            object:close()
        end
    end })
    local result = fn(...)
    made = true
    return result
end

---Passes the owned objects among the values, also those in plain tables, to another scope, which
---keeps them for whoever joins; returns them.
---@param values table
---@param to vm.Scope|nil
---@return table[]
function Scope:hand_on(values, to)
    local found, seen = {}, {}
    local function look(value)
        if type(value) ~= "table" or seen[value] then
            return
        end
        seen[value] = true
        if owner_of[value] == self then
            found[#found + 1] = value
            self:drop(value)
            if to then
                to:take(value)
            end
        elseif getmetatable(value) == nil then
            for _, inner in next, value do
                look(inner)
            end
        end
    end
    if #self.order > 0 then
        look(values)
    end
    return found
end

-- Closes everything, newest first; a cancellation that comes meanwhile does not spare the rest.
local function close_all(self, failing)
    local first
    local _ <close> = setmetatable({}, { __close = function(_, err)
        if err ~= nil and #self.order > 0 then
            close_all(self, true)
        end
    end })
    while #self.order > 0 do
        local object = table.remove(self.order)
        owner_of[object] = nil
        local ok, problem = pcall(object.close, object)
        if not ok and (first or failing) then
            log.write("warn", object.name, "while closing: " .. tostring(problem))
        elseif not ok then
            first = problem
        end
    end
    return first
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
    local first = close_all(self, err ~= nil)
    if first then
        error(first, 0)
    end
end

return M
