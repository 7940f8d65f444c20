-- A command that has commands of its own, such as `vmatrix images`: their list is all there is to say.
local options = require "vm.options"
local usages = require "vm.cli.usage"

local M = {}

local USAGE <const> = [[
usage: vmatrix %s COMMAND [ARG...]

%s

commands, each with a --help of its own:
%s]]

local function usage(def)
    local lines = {}
    for i, item in ipairs(def.commands) do
        lines[i] = ("  %-8s %s\n"):format(item.name, usages.module(item).command.help)
    end
    return USAGE:format(def.name, def.text, table.concat(lines))
end

local function run(def, args)
    local verb, names = args[1], {}
    for i, item in ipairs(def.commands) do
        if item.name == verb then
            return usages.module(item).main(table.move(args, 2, #args, 1, {}))
        end
        names[i] = item.name
    end
    for _, word in ipairs(args) do
        if word == "-h" or word == "--help" then
            io.stdout:write(usage(def))
            return 0
        end
    end
    local near = verb and options.nearest(verb, names)
    local hint = near and ("; did you mean '%s'?"):format(near) or ""
    io.stderr:write(("vmatrix %s: %s\n"):format(def.name, not verb and "a command is missing"
        or ("unknown command '%s'%s"):format(verb:gsub("%c", "?"), hint)), usage(def))
    return 2
end

---Makes the module of such a command: the list of its commands, and `main`, which runs one of them.
---@param def { name: string, text: string, commands: { name: string, module: string, field?: string }[] }
---@return { commands: table[], main: fun(args: string[]): integer }
function M.define(def)
    return {
        commands = def.commands,
        main = function(args)
            return run(def, args)
        end,
    }
end

return M
