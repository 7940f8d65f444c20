-- `vmatrix delete`: deletes kept guests with their disks, or one of a guest's snapshots.
local command = require "vm.cli.command"
local errors = require "vm.errors"
local find = require "vm.owner.find"
local target = require "vm.cli.target"
local task = require "vm.task"

local function handler(opts, operands)
    if opts.snapshot then
        for _, name in ipairs(operands.guest) do
            local guest <close> = find.need(name)
            guest:delete_snapshot(opts.snapshot)
            target.say("snapshot %s of guest %s is deleted", opts.snapshot, guest.name)
        end
        return
    end
    local guests = find.need_all(operands.guest)
    for _, name in ipairs(operands.guest) do
        local found = find.match(name)
        if found ~= name and not opts.force then
            errors.fail("usage", "delete wants whole names: %s is the beginning of %s; --force takes it", name, found)
        end
    end
    task.parallel(guests, function(guest)
        guest:delete()
        target.say("guest %s is deleted", guest.name)
    end, { keep_going = true })
end

return command.define {
    name = "delete",
    help = "delete kept guests with their disks",
    operands = { { name = "GUEST", complete = { "guest" }, many = true } },
    options = {
        { name = "--snapshot", value = "NAME", complete = { "snapshot" }, help = "only this snapshot" },
        { name = "--force", short = "-f", help = "the beginning of a name will do" },
    },
    text = "A guest that runs is ended first. There is no way back.",
    examples = { "vmatrix delete dev", "vmatrix delete dev --snapshot clean" },
    handler = handler,
}
