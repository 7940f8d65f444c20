-- `vmatrix stop`: asks kept guests to power off, and pulls the plug when they do not.
local command = require "vm.cli.command"
local find = require "vm.owner.find"
local target = require "vm.cli.target"
local task = require "vm.task"

local function handler(opts, operands)
    task.parallel(find.need_all(operands.guest), function(guest)
        local how = guest:stop { timeout = opts.timeout }
        target.say(how == "polite" and "guest %s is off; `vmatrix start %s` starts it again"
            or "guest %s did not power off when asked: its plug was pulled", guest.name, guest.name)
    end, { keep_going = true })
end

return command.define {
    name = "stop",
    help = "power kept guests off",
    operands = { { name = "GUEST", complete = { "guest" }, many = true } },
    options = {
        { name = "--timeout", value = "TIME", type = "time",
            help = "pull the plug after so long: 30 s, longer when emulated" },
    },
    examples = { "vmatrix stop dev" },
    handler = handler,
}
