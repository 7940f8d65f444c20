-- `vmatrix list`: the kept guests. Asks no other process.
local command = require "vm.cli.command"
local find = require "vm.owner.find"
local progress = require "vm.terminal.progress"
local target = require "vm.cli.target"
local width = require "vm.terminal.width"

local columns = {
    { "NAME", function(e) return e.name end },
    { "STATE", function(e) return e.state end },
    { "IMAGE", function(e) return e.image and e.image:match "[^/]*$" or "-" end },
    { "ARCH", function(e) return e.arch end },
    { "CPUS", function(e) return tostring(e.cpus) end },
    { "MEMORY", function(e) return progress.bytes(e.memory) end },
    { "SSH", function(e) return e.address or "-" end },
}

local function table_of(list)
    local rows = { {} }
    for c, column in ipairs(columns) do
        rows[1][c] = column[1]
    end
    for i, entry in ipairs(list) do
        rows[i + 1] = {}
        for c, column in ipairs(columns) do
            rows[i + 1][c] = width.plain(column[2](entry))
        end
    end
    return width.table(rows)
end

local function handler(opts)
    local list, damaged = find.kept()
    if opts.running then
        local some = {}
        for _, entry in ipairs(list) do
            some[#some + 1] = entry.state ~= "stopped" and entry or nil
        end
        list = some
    end
    for _, why in ipairs(damaged) do
        target.say("vmatrix list: %s", why)
    end
    if opts.json then
        target.json(list, true)
    elseif opts.names then
        for _, entry in ipairs(list) do
            print(entry.name)
        end
    elseif #list > 0 then
        print(table_of(list))
    else
        target.say "there are no kept guests; `vmatrix boot seed --name dev` makes one"
    end
    return #damaged > 0 and command.FAILED or command.OK
end

return command.define {
    name = "list",
    help = "the kept guests",
    options = {
        { name = "--running", help = "only those that run" },
        { name = "--names", help = "only their names, a line each" },
        target.JSON,
    },
    handler = handler,
}
