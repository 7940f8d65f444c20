-- Preparing guests: the steps of a matrix, by prepared states where there are such.
local raw = require "vm.raw"
local errors = require "vm.errors"
local vm = require "vm"

local M = {}

local now = raw.task.now

---Runs the steps of a cell's matrix on a guest that was booted.
---@param guest vm.Guest
---@param cell table of the plan
---@param emit fun(event: table)
function M.run(guest, cell, emit)
    for _, step in ipairs(cell.matrix.prepare or {}) do
        local begun = now()
        local event = { event = "step_started", key = step.name, name = step.name, guest = guest.name, cell = cell.id }
        emit(event)
        local ok, err = pcall(step.perform, step, guest, cell.values)
        event.event, event.duration, event.ok, event.how = "step_ended", now() - begun, ok, "built"
        event.error = not ok and { kind = errors.is(err) and err.kind or "script", message = tostring(err) } or nil
        emit(event)
        if not ok then
            error(errors.prefix(err, ("cell %s: step '%s'"):format(cell.id, step.name)), 0)
        end
    end
end

-- What building a state tells, as an event of ours.
local function tell(event, cell, emit)
    if event.event == "waiting" then
        return
    end
    local out = { cell = cell.id }
    for _, name in ipairs { "event", "key", "name", "guest", "how", "duration", "ok" } do
        out[name] = event[name]
    end
    if event.error then
        out.error = { kind = errors.is(event.error) and event.error.kind or "step", message = tostring(event.error) }
    end
    emit(out)
end

---The prepared states of a cell's guests, in the order of its roles; nil where there can be none.
---@param cell table of the plan
---@param roles table[]
---@param emit fun(event: table)
---@return table[]|nil
function M.states(cell, roles, emit)
    if not vm.prepared or not require("vm.guest").template then
        return nil
    end
    local ok, states = pcall(require("vm.task").parallel, roles, function(role)
        local spec = {}
        for name, value in pairs(role.options) do
            if name ~= "name" and name ~= "wait" and name ~= "timeout" then
                spec[name] = value
            end
        end
        return vm.prepared(spec, cell.matrix.prepare or {}, { cell = cell.values, fields = cell.matrix.fields,
            timeout = role.options.timeout, progress = function(event) tell(event, cell, emit) end })
    end)
    if ok then
        return states
    elseif not errors.is(states, "unsupported") then
        error(states, 0)
    end
    emit { event = "warning", kind = "prepared", cell = cell.id,
        text = "its guests are prepared for this run only: " .. states.message }
end

return M
