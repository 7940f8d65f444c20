-- `vmatrix revert`: takes a kept guest back to one of its snapshots.
local command = require "vm.cli.command"
local find = require "vm.owner.find"
local options = require "vm.options"
local target = require "vm.cli.target"

local function handler(_, operands)
    local guest <close> = find.need(operands.guest)
    local names, known = {}, false
    for i, item in ipairs(target.snapshots(guest)) do
        names[i] = item.name
        known = known or item.name == operands.snapshot
    end
    if not known then
        options.unknown("guest " .. guest.name, "snapshot", operands.snapshot, names)
    end
    guest:revert(operands.snapshot)
    target.say("guest %s is as it was at snapshot %s (%s)", guest.name, operands.snapshot, guest:state())
end

return command.define {
    name = "revert",
    help = "take a guest back to a snapshot",
    operands = { { name = "GUEST", complete = { "guest" } }, { name = "SNAPSHOT", complete = { "snapshot" } } },
    examples = { "vmatrix revert dev clean" },
    handler = handler,
}
