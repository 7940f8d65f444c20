-- `vmatrix help`: the commands, or the help of one.
local command = require "vm.cli.command"
local errors = require "vm.errors"
local options = require "vm.options"
local usages = require "vm.cli.usage"

-- The item of a list of commands that is called so.
local function find(list, name)
    local names = {}
    for i, each in ipairs(list) do
        if each.name == name then
            return each
        end
        names[i] = each.name
    end
    options.unknown("help", "command", name, names)
end

local function handler(_, operands)
    local cli = require "vm.cli"
    local list, module = cli.commands, nil
    for _, name in ipairs(operands.command) do
        if not list then
            errors.fail("usage", "help: '%s' is one word too many", name)
        end
        module = usages.module(find(list, name))
        list = module.commands
    end
    return (module or cli).main { "--help" }
end

return command.define {
    name = "help",
    help = "this text, or that of a command",
    operands = { { name = "COMMAND", optional = true, many = true, complete = { "command" } } },
    examples = { "vmatrix help boot", "vmatrix help images pull" },
    handler = handler,
}
