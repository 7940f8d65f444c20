-- The library's face: `local vm = require "vm"`. Its parts are loaded when they are first used.
local task = require "vm.task"

---@class vm
local vm = {
    raw = require "vm.raw",
    closing = task.closing,
    now = task.now,
    parallel = task.parallel,
    semaphore = task.semaphore,
    sleep = task.sleep,
    spawn = task.spawn,
    timeout = task.timeout,
    try = task.try,
}

-- name -> { module, field }: what is here is not loaded before a script names it.
local lazy = {
    boot = { "vm.default", "boot" },
    connect = { "vm.guest.connection", "connect" },
    create = { "vm.default", "create" },
    features = { "vm.guest.features", "of" },
    get = { "vm.owner.find", "get" },
    list = { "vm.owner.find", "list" },
    matrix = { "vm.matrix.define", "matrix" },
    network = { "vm.network", "network" },
    params = { "vm.matrix.params", "params" },
    prepared = { "vm.state.prepared", "prepared" },
    ssh = { "vm.remote.ssh", "open" },
    step = { "vm.state.step", "step" },
    template = { "vm.template", "open" },
}

return setmetatable(vm, {
    __index = function(_, name)
        local where = lazy[name]
        if where == nil then
            return nil
        end
        local value = require(where[1])[where[2]]
        rawset(vm, name, value)
        return value
    end,
})
