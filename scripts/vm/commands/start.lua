-- `vmatrix start`: starts kept guests that were stopped.
local command = require "vm.cli.command"
local find = require "vm.owner.find"
local make = require "vm.owner.make"
local target = require "vm.cli.target"
local task = require "vm.task"

local function handler(opts, operands)
    task.parallel(find.need_all(operands.guest), function(guest)
        guest:start { wait = "none" }
        make.await(guest, { wait = opts.no_wait and "none" or nil, timeout = opts.timeout }, "start")
        target.say(opts.no_wait and "guest %s boots; `vmatrix console %s --follow` shows how far it is"
            or "guest %s is up; `vmatrix shell %s` opens a shell", guest.name, guest.name)
    end, { keep_going = true })
end

return command.define {
    name = "start",
    help = "start kept guests",
    operands = { { name = "GUEST", complete = { "guest" }, many = true } },
    options = {
        { name = "--no-wait", help = "do not wait until commands can be run in it" },
        { name = "--timeout", value = "TIME", type = "time", help = "how long the boot may take" },
    },
    examples = { "vmatrix start dev" },
    handler = handler,
}
