-- `vmatrix images`: the catalogue, what is in the cache, and building images.
local options = require "vm.options"
local paths = require "vm.host.paths"
local usages = require "vm.cli.usage"

local M = {}

local USAGE = [[
usage: vmatrix images COMMAND [ARG...]

Images of distributions, and those that are built or added here.

commands, each with a --help of its own (the cache is in %s):
%s]]

-- Commands of `vmatrix images`: name, module, and its field there.
M.commands = {
    { name = "list", module = "vm.commands.images.list" },
    { name = "pull", module = "vm.commands.images.pull", field = "pull" },
    { name = "path", module = "vm.commands.images.pull", field = "path" },
    { name = "build", module = "vm.commands.images.build" },
    { name = "add", module = "vm.commands.images.keep", field = "add" },
    { name = "verify", module = "vm.commands.images.keep", field = "verify" },
    { name = "prune", module = "vm.commands.images.keep", field = "prune" },
    { name = "lock", module = "vm.commands.images.lock", field = "lock" },
    { name = "mirror", module = "vm.commands.images.lock", field = "mirror" },
}

local function usage(out)
    local lines = {}
    for i, item in ipairs(M.commands) do
        lines[i] = ("  %-8s %s\n"):format(item.name, usages.module(item).command.help)
    end
    out:write((USAGE:format(paths.cache() .. "/images", table.concat(lines))))
end

local function complain(text)
    io.stderr:write("vmatrix images: ", text, "\n")
    usage(io.stderr)
    return 2
end

---Runs `vmatrix images ARGS`; returns the exit code.
---@param args string[]
---@return integer
function M.main(args)
    local verb, names = args[1], {}
    for i, item in ipairs(M.commands) do
        if item.name == verb then
            return usages.module(item).main(table.move(args, 2, #args, 1, {}))
        end
        names[i] = item.name
    end
    for _, word in ipairs(args) do
        if word == "-h" or word == "--help" then
            usage(io.stdout)
            return 0
        end
    end
    local near = verb and options.nearest(verb, names)
    return complain(not verb and "a command is missing"
        or ("unknown command '%s'%s"):format(verb, near and ("; did you mean '%s'?"):format(near) or ""))
end

return M
