-- What the library ends when the program does, newest first.
local log = require("vm.raw").log

local M = {}

local steps = {}

---Adds a step; it may wait.
---@param name string for the log
---@param fn function
function M.add(name, fn)
    steps[#steps + 1] = { name = name, fn = fn }
end

---Runs all steps; one that fails is logged and does not keep the others from running.
---@return boolean all_well
function M.run()
    local all_well = true
    while #steps > 0 do
        local step = table.remove(steps)
        local ok, err = pcall(step.fn)
        if not ok then
            all_well = false
            log.write("error", nil, ("while ending: %s: %s"):format(step.name, tostring(err)))
        end
    end
    return all_well
end

return M
