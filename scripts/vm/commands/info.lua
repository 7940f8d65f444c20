-- `vmatrix info`: what is known of one kept guest.
local command = require "vm.cli.command"
local find = require "vm.owner.find"
local progress = require "vm.terminal.progress"
local raw = require "vm.raw"
local target = require "vm.cli.target"
local width = require "vm.terminal.width"

local function handler(opts, operands)
    local guest <close> = find.need(operands.guest)
    local figures = guest:info()
    local entry = find.entry(guest)
    entry.cpu_time, entry.disks = figures.cpu_time, figures.disks
    entry.snapshots = target.snapshots(guest)
    entry.folder = guest:path "console.log":match "^(.*)/"
    if opts.json then
        entry.snapshots = raw.json.list(entry.snapshots)
        target.json(entry)
        return
    end
    local function line(name, text)
        print(("%-10s %s"):format(name, width.plain(text)))
    end
    line("name", entry.name)
    line("state", entry.state .. (entry.booted and os.date(" since %Y-%m-%d %H:%M:%S", entry.booted) or ""))
    line("image", entry.image or "-")
    line("machine", ("%s (%s), %d cpu%s, %s"):format(entry.arch, entry.accel, entry.cpus,
        entry.cpus == 1 and "" or "s", progress.bytes(entry.memory)))
    line("process", entry.pid or "-")
    for _, port in ipairs(entry.ports) do
        line("port", target.port(port))
    end
    for _, disk in ipairs(entry.disks or {}) do
        line("disk", ("%s, %s of %s used"):format(disk.path, progress.bytes(disk.used), progress.bytes(disk.size)))
    end
    for _, item in ipairs(entry.snapshots) do
        line("snapshot", ("%s%s%s, %s"):format(("  "):rep(item.depth), item.name, item.current and " (here)" or "",
            os.date("%Y-%m-%d %H:%M:%S", item.created)))
    end
    line("folder", entry.folder)
    line("created", os.date("%Y-%m-%d %H:%M:%S", entry.created))
end

return command.define {
    name = "info",
    help = "what is known of a kept guest",
    operands = { { name = "GUEST", complete = { "guest" } } },
    options = { target.JSON },
    handler = handler,
}
