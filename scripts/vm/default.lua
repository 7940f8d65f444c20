-- vm.create and vm.boot: on the embedded driver of this process.
local connection = require "vm.guest.connection"
local create = require "vm.guest.create"

local M = {}

---Creates a guest that is not started yet. It belongs to the running task, which deletes it at its
---end unless it returns it.
---@param opts vm.CreateOptions
---@return vm.Guest
function M.create(opts)
    if type(opts) == "table" and opts.keep then
        return require("vm.owner.make").create("vm.create", opts)
    end
    return create.create(connection.connect(), opts)
end

---Creates a guest and starts it; waits until commands can be run where a login is known.
---@param opts vm.CreateOptions and `wait`, `timeout` of guest:start
---@return vm.Guest
function M.boot(opts)
    if type(opts) == "table" and opts.keep then
        return require("vm.owner.make").boot("vm.boot", opts)
    end
    return create.boot(connection.connect(), opts)
end

return M
