-- QEMU's monitor, by the way of libvirt.
local raw = require "vm.raw"
local errors = require "vm.errors"

local M = {}

---Sends a command of QMP. What QEMU returned, or nil and its error.
---@param guest vm.Guest
---@param verb string for messages
---@param command string
---@param arguments? table
---@return any value
---@return { class: string, desc: string }|nil problem
function M.call(guest, verb, command, arguments)
    local text = errors.raise(raw.json.encode { execute = command, arguments = arguments })
    local reply = errors.raise(raw.json.decode((guest:raise(verb, guest.domain:monitor(text)))))
    if reply.error then
        return nil, reply.error
    end
    return reply["return"] or true
end

---Sends a command of QMP; raises what QEMU refuses.
---@param guest vm.Guest
---@param verb string for messages
---@param command string
---@param arguments? table
---@return any
function M.must(guest, verb, command, arguments)
    local value, problem = M.call(guest, verb, command, arguments)
    if value == nil then
        guest:fail("libvirt", verb, "QEMU refused %s: %s", command, tostring(problem.desc))
    end
    return value
end

return M
