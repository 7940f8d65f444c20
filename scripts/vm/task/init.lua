-- Tasks: straight-line code that waits, many at once. The engine is bindings/task.c.
local raw = require("vm.raw").task
local log = require("vm.raw").log
local scope = require "vm.task.scope"
local errors = require "vm.errors"
local options = require "vm.options"
local script = require "vm.script"

local M = {}

---A task: what vm.spawn returns.
---@class vm.Task
---@field cancel fun(self: vm.Task) Asks it to end, and does not wait for that.
---@field status fun(self: vm.Task): string Says "running" (also while it waits), "done", "failed" or "cancelled".
---@field name fun(self: vm.Task): string Its name in messages: a number and where its function stands.
---@field ended fun(self: vm.Task) Waits for its end, and leaves its error to its owner.
local Task = raw.methods

local raw_join = raw.methods.join

---Waits for the task to end and returns what it returned; raises its error. Guests that it returns
---belong to the caller from now on.
---@return any ...
function Task:join()
    local ok, results = raw_join(self)
    if not ok then
        error(results, 0)
    end
    for _, object in ipairs(results.handed_on) do
        scope.own(object)
    end
    results.handed_on = {} -- whoever joins first has them
    return table.unpack(results, 1, results.n)
end

-- The body of every task: runs fn, waits for its tasks, closes what it still owns, and hands on what
-- it returns: until somebody joins, to the scope of the task that spawned it.
local function run(owner, here, fn, ...)
    script.inherit(here)
    local mine <close> = scope.current()
    local results = table.pack(fn(...))
    -- One that fails meanwhile fails us too: the wait raises.
    local children = raw.children()
    while #children > 0 do
        for _, child in ipairs(children) do
            child:ended()
        end
        children = raw.children()
    end
    results.handed_on = mine:hand_on(results, owner)
    return results
end

local count = 0

local function name_of(fn)
    local info = debug.getinfo(fn, "S")
    count = count + 1
    return ("%d:%s:%d"):format(count, info.short_src:match("[^/]*$"), info.linedefined)
end

---Starts fn(...) as a task of its own, owned by the running task: it ends before its owner does,
---and an error that nobody joins fails the owner at once and cancels its other tasks.
---@param fn function
---@param ... any arguments
---@return vm.Task
function M.spawn(fn, ...)
    if type(fn) ~= "function" then
        errors.fail("usage", "vm.spawn: a function expected, got %s", options.show(fn))
    end
    if raw.running() == nil then
        errors.fail("usage", "vm.spawn: no task is running here")
    end
    return raw.spawn(name_of(fn), false, run, scope.current(), script.here(), fn, ...)
end

---Starts a task that belongs to the host: the main script, and the library's own long-lived work.
---@param name string
---@param fn function
---@param ... any arguments
---@return vm.Task
function M.spawn_detached(name, fn, ...)
    return raw.spawn(name, true, run, nil, nil, fn, ...)
end

---Pauses the task.
---@param seconds number|string such as 0.5 or "10m"
function M.sleep(seconds)
    raw.sleep(options.time("vm.sleep", seconds))
end

---Seconds on a clock that never goes back; only differences mean something.
---@return number
function M.now()
    return raw.now()
end

---Runs fn(...) and returns its results, or nil and the error. Never catches a cancellation.
---@param fn function
---@param ... any arguments
---@return any ...
function M.try(fn, ...)
    local results = table.pack(pcall(fn, ...))
    if results[1] then
        return table.unpack(results, 2, results.n)
    end
    local err = results[2]
    if not errors.is(err) then
        err = errors.new("script", tostring(err), { value = err })
    end
    return nil, err
end

---A to-be-closed value that cancels a task and waits for its end.
---@param task vm.Task
---@return table
function M.closing(task)
    return setmetatable({}, {
        __close = function()
            task:cancel()
            task:ended()
        end,
    })
end

---Runs fn(...) in a task of its own that is cancelled when the time is over; the error then has
---kind "timeout".
---@param seconds number|string
---@param fn function
---@param ... any arguments
---@return any ... what fn returned
function M.timeout(seconds, fn, ...)
    local limit = options.time("vm.timeout", seconds)
    if type(fn) ~= "function" then
        errors.fail("usage", "vm.timeout: a function expected, got %s", options.show(fn))
    end
    local task = M.spawn(fn, ...)
    task:limit(limit, errors.new("timeout", ("vm.timeout: not done after %g s"):format(limit)))
    return task:join()
end

---Runs fn(item, index) for every item of a list at once, at most `limit` at a time. The first error
---cancels the rest and is raised; with `keep_going` the rest goes on and the first error is raised at the end.
---@param list any[]
---@param fn fun(item: any, index: integer): any
---@param opts? { limit?: integer, keep_going?: boolean }
---@return any[] results the first result of each, in the list's order
function M.parallel(list, fn, opts)
    opts = options.check("vm.parallel", opts, {
        limit = { "integer", min = 1 },
        keep_going = { "boolean", default = false },
    })
    if type(list) ~= "table" or type(fn) ~= "function" then
        errors.fail("usage", "vm.parallel: a list and a function expected, got %s and %s",
            options.show(list), options.show(fn))
    end
    local results, first = {}, nil
    local total, at = #list, 0

    -- Each call is a task of its own: what it leaves, in tasks and in guests, ends with it.
    local function worker()
        while at < total do
            at = at + 1
            local index = at
            local call = M.spawn(fn, list[index], index)
            if opts.keep_going then
                local ok, value = pcall(call.join, call)
                if ok then
                    results[index] = value
                elseif first then
                    log.write("warn", nil, "vm.parallel: one more error: " .. tostring(value))
                else
                    first = { value = value }
                end
            else
                results[index] = call:join()
            end
        end
        return results
    end

    -- The workers belong to a task between us and them: a failure ends it and its other workers, and
    -- reaches us through join, where it can be caught.
    M.spawn(function()
        local workers = {}
        for i = 1, math.min(opts.limit or total, total) do
            workers[i] = M.spawn(worker)
        end
        for _, task in ipairs(workers) do
            task:ended()
            task:join()
        end
        return results
    end):join()
    if first then
        error(first.value, 0)
    end
    return results
end

---A counting semaphore.
---@class vm.Semaphore
local Semaphore = {}
Semaphore.__index = Semaphore

---Waits for a permit. Closing the permit gives it back: `local permit <close> = s:acquire()`.
---@return table permit
function Semaphore:acquire()
    self.event:wait()
    local held = true
    local function release()
        if held then
            held = false
            self.event:notify()
        end
    end
    return setmetatable({ release = release }, { __close = release, __gc = release })
end

---Makes a semaphore with n permits.
---@param n integer
---@return vm.Semaphore
function M.semaphore(n)
    if math.type(n) ~= "integer" or n < 1 then
        errors.fail("usage", "vm.semaphore: a whole number of at least 1 expected, got %s", options.show(n))
    end
    return setmetatable({ event = raw.event(n) }, Semaphore)
end

return M
