-- `vmatrix fork`: a second kept guest that is a copy of one that runs.
local command = require "vm.cli.command"
local find = require "vm.owner.find"
local target = require "vm.cli.target"

local function handler(opts, operands)
    local guest <close> = find.need(operands.guest)
    local fork <close> = guest:fork(operands.name, { hostname = not opts.same_hostname })
    if opts.json then
        return target.json(find.entry(fork))
    end
    print(fork.name)
    target.say("guest %s is a copy of %s; `vmatrix shell %s` opens a shell in it", fork.name, guest.name, fork.name)
end

return command.define {
    name = "fork",
    help = "make a copy of a guest that runs",
    operands = { { name = "GUEST", complete = { "guest" } }, { name = "NAME" } },
    options = {
        { name = "--same-hostname", help = "the copy calls itself as the first does" },
        target.JSON,
    },
    text = [[
The copy runs on from the same state, memory and all, with disks and ports of its own; its clock and its
random numbers are put right. The first pauses while it is copied, and goes on.]],
    examples = { "vmatrix fork dev try-1" },
    handler = handler,
}
