-- `vmatrix kill`: pulls the plug of kept guests.
local command = require "vm.cli.command"
local find = require "vm.owner.find"
local target = require "vm.cli.target"
local task = require "vm.task"

local function handler(_, operands)
    task.parallel(find.need_all(operands.guest), function(guest)
        guest:kill()
        target.say("guest %s is off; `vmatrix start %s` starts it again", guest.name, guest.name)
    end, { keep_going = true })
end

return command.define {
    name = "kill",
    help = "pull the plug of kept guests",
    operands = { { name = "GUEST", complete = { "guest" }, many = true } },
    text = "The guest stays, with its disks as they are at that moment. `vmatrix stop` asks it first.",
    handler = handler,
}
