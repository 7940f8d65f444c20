-- `vmatrix images`: the catalogue, what is in the cache, and building seed guests.
local raw = require "vm.raw"
local paths = require "vm.host.paths"
local options = require "vm.options"
local seed = require "vm.seed"

local M = {}

local USAGE = [[
usage: vmatrix images build seed [--arch ARCH]... [--agent] [--force] [--json]
       vmatrix images build RELEASE [OPTION...]
       vmatrix images COMMAND [ARG...]

  build seed   builds the tiny guest from Debian packages, for this machine's architecture unless told
               otherwise, if it is not there already
    --arch ARCH   one of %s, or 'all'; may be given several times
    --agent       with the QEMU guest agent, for guests that are made with agent = true
    --force       builds it again, with the packages of today
    --json        says what there is now as JSON
  build RELEASE  builds an image of Debian: `vmatrix images build debian-13 --help` says more

commands, each with a --help of its own (the cache is in %s):
%s]]

-- Commands of `vmatrix images`: name, module, and its field there.
M.commands = {
    { name = "list", module = "vm.commands.images.list" },
    { name = "pull", module = "vm.commands.images.pull", field = "pull" },
    { name = "path", module = "vm.commands.images.pull", field = "path" },
    { name = "add", module = "vm.commands.images.keep", field = "add" },
    { name = "verify", module = "vm.commands.images.keep", field = "verify" },
    { name = "prune", module = "vm.commands.images.keep", field = "prune" },
    { name = "lock", module = "vm.commands.images.lock", field = "lock" },
    { name = "mirror", module = "vm.commands.images.lock", field = "mirror" },
}

local function find(item)
    local module = require(item.module)
    return item.field and module[item.field] or module
end

local function usage(out)
    local lines = {}
    for i, item in ipairs(M.commands) do
        lines[i] = ("  %-8s %s\n"):format(item.name, find(item).command.help)
    end
    out:write((USAGE:format(table.concat(seed.arches(), ", "), paths.cache() .. "/images", table.concat(lines))))
end

local function complain(text)
    io.stderr:write("vmatrix images: ", text, "\n")
    usage(io.stderr)
    return 2
end

local function known(arch)
    for _, name in ipairs(seed.arches()) do
        if name == arch then
            return true
        end
    end
    return false
end

local function mib(bytes)
    return ("%.1f MiB"):format(bytes / 2 ^ 20)
end

local function size_of(image)
    return raw.fs.stat(image.kernel).size + raw.fs.stat(image.initrd).size
end

local function build(arches, force, agent, json)
    local made = {}
    for i, arch in ipairs(arches) do
        local started = raw.task.now()
        local image = seed.build(arch, {
            force = force,
            agent = agent,
            progress = function(line)
                io.stderr:write(("%s: %s\n"):format(arch, line))
            end,
        })
        made[i] = { name = "seed", arch = arch, path = image.folder, bytes = size_of(image),
            seconds = raw.task.now() - started }
        if not json then
            print(("%s  %s  %s  (%.1f s)"):format(arch, mib(made[i].bytes), image.folder, made[i].seconds))
        end
    end
    if json then
        print(raw.json.encode(made))
    end
    return 0
end

local function build_command(args)
    if args[1] ~= "seed" and not (args[1] or "-"):find "^%-" then
        return require("vm.commands.images.build").main(args)
    end
    local arches, force, agent, json, what = {}, false, false, false, nil
    local at = 1
    while args[at] do
        local word = args[at]
        local value = word:match("^%-%-arch=(.*)$")
        if word == "--arch" then
            at = at + 1
            value = args[at]
            if not value then
                return complain("--arch wants the name of an architecture")
            end
        end
        if value == "all" then
            arches = seed.arches()
        elseif value and not known(value) then
            local near = options.nearest(value, seed.arches())
            return complain(("unknown architecture '%s'%s"):format(value,
                near and ("; did you mean '%s'?"):format(near) or ""))
        elseif value then
            arches[#arches + 1] = value
        elseif word == "--force" then
            force = true
        elseif word == "--agent" then
            agent = true
        elseif word == "--json" then
            json = true
        elseif word:sub(1, 1) == "-" or what then
            return complain(("unknown argument '%s'"):format(word))
        else
            what = word
        end
        at = at + 1
    end
    if what ~= "seed" then
        return complain("only 'seed' can be built")
    end
    return build(#arches > 0 and arches or { raw.build.arch }, force, agent, json)
end

---Runs `vmatrix images ARGS`; returns the exit code.
---@param args string[]
---@return integer
function M.main(args)
    local verb = args[1]
    local rest = table.move(args, 2, #args, 1, {})
    for _, item in ipairs(M.commands) do
        if item.name == verb then
            return find(item).main(rest)
        end
    end
    for _, word in ipairs(args) do
        if word == "-h" or word == "--help" then
            usage(io.stdout)
            return 0
        end
    end
    if verb == "build" then
        return build_command(rest)
    end
    return complain(verb and ("unknown command '%s'"):format(verb) or "a command is missing")
end

return M
