-- Closing where nothing can wait: in a __gc method, or under coroutine.close. The object is handed to
-- a task of the host, which the program's end waits for.
local raw = require "vm.raw"
local shutdown = require "vm.task.shutdown"
local task = require "vm.task"

local M = {}

local queue = {}
local woken

local function reap()
    while true do
        while #queue > 0 do
            local object = table.remove(queue, 1)
            local ok, err = pcall(object.close, object)
            if not ok then
                raw.log.write("warn", object.name, "while closing: " .. tostring(err))
            end
        end
        woken:wait()
    end
end

-- What is left when the program ends is closed by the end itself.
local function drain()
    while #queue > 0 do
        local object = table.remove(queue, 1)
        object:close()
    end
end

---Closes an object now, or soon when the caller cannot wait.
---@param object table
function M.close(object)
    if raw.task.can_wait() then
        object:close()
        return
    end
    queue[#queue + 1] = object
    if not woken then
        woken = raw.task.event()
        task.spawn_detached("reaper", reap)
        shutdown.add("reaper", drain)
    end
    woken:notify()
end

return M
