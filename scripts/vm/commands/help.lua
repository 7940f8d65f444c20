-- `vmatrix help`: the commands, or the help of one.
local command = require "vm.cli.command"
local options = require "vm.options"

local function handler(_, operands)
    local cli = require "vm.cli"
    if not operands.command then
        return cli.main { "--help" }
    end
    local names = {}
    for _, each in ipairs(cli.commands) do
        if each.name == operands.command then
            return require(each.module).main { "--help" }
        end
        names[#names + 1] = each.name
    end
    options.unknown("vmatrix help", "command", operands.command, names)
end

return command.define {
    name = "help",
    help = "this text, or that of a command",
    operands = { { name = "COMMAND", optional = true, complete = { "command" } } },
    handler = handler,
}
