-- `vmatrix snapshot`: keeps the present state of a kept guest, or lists what was kept.
local command = require "vm.cli.command"
local find = require "vm.owner.find"
local target = require "vm.cli.target"
local width = require "vm.terminal.width"

local function list(guest, json)
    local all = target.snapshots(guest)
    if json then
        return target.json(all, true)
    end
    for _, item in ipairs(all) do
        print(("%s%-20s %s%s"):format(("  "):rep(item.depth), width.plain(item.name),
            os.date("%Y-%m-%d %H:%M:%S", item.created), item.current and "  (here)" or ""))
    end
end

local function handler(opts, operands)
    local guest <close> = find.need(operands.guest)
    if opts.list then
        return list(guest, opts.json)
    end
    local made = guest:snapshot(operands.name, { description = opts.description })
    if opts.json then
        return target.json { guest = guest.name, name = made.name }
    end
    print(made.name)
    target.say("snapshot %s is kept; `vmatrix revert %s %s` goes back to it", made.name, guest.name, made.name)
end

return command.define {
    name = "snapshot",
    help = "keep the present state of a guest",
    operands = { { name = "GUEST", complete = { "guest" } }, { name = "NAME", optional = true } },
    options = {
        { name = "--list", short = "-l", help = "list the guest's snapshots instead" },
        { name = "--description", value = "TEXT", help = "kept with it" },
        target.JSON,
    },
    text = "Memory is kept as well when the guest runs. `vmatrix delete GUEST --snapshot NAME` deletes one.",
    examples = { "vmatrix snapshot dev clean", "vmatrix snapshot dev --list" },
    handler = handler,
}
