-- `vmatrix images pull` and `path`: images of the catalogue, downloaded and found.
local raw = require "vm.raw"
local bars = require "vm.terminal.bars"
local choose = require "vm.commands.images.choose"
local command = require "vm.cli.command"
local images = require "vm.images"
local progress = require "vm.terminal.progress"
local task = require "vm.task"

local M = {}

local fs = raw.fs
local AT_ONCE <const> = 4

---Options that say how downloads are made, for the commands that make some.
---@type vm.CommandOption[]
M.NETWORK = {
    { name = "--ca", value = "FILE", complete = { "file" }, help = "certificates to believe, instead of the system's" },
    { name = "--proxy", value = "URL", help = "instead of what https_proxy and the like say" },
    { name = "--rate", value = "SIZE", type = "size", help = "bytes a second at most, of each download: 2MiB" },
    { name = "--retries", value = "N", type = "integer", help = "of what a moment may cure, in a row; 5" },
}

---The options of a command and those of the network.
---@param list vm.CommandOption[]
---@return vm.CommandOption[]
function M.with_network(list)
    return table.move(M.NETWORK, 1, #M.NETWORK, #list + 1, list)
end

---Does something for each entry, several at once. What fails is said at once and does not stop the others.
---@param what string
---@param entries vm.ImageEntry[]
---@param fn fun(entry: vm.ImageEntry, progress: fun(state: table)): any
---@return table results by "name@arch"
---@return integer failed
function M.each(what, entries, fn)
    local results, failed = {}, 0
    local shown <close> = bars.new()
    task.parallel(entries, function(entry)
        local key = ("%s@%s"):format(entry.name, entry.arch)
        local ok, result = pcall(fn, entry, shown:callback(key))
        shown:done(key)
        if ok then
            results[key] = result
        else
            failed = failed + 1
            shown:erase()
            io.stderr:write(("vmatrix images %s: %s\n"):format(what, (tostring(result):gsub("[%c\127]", "?"))))
        end
    end, { limit = AT_ONCE })
    return results, failed
end

local function pull(opts, operands)
    local entries = choose.entries(operands.names, opts.arch)
    local started = raw.task.now()
    local results, failed = M.each("pull", entries, function(entry, report)
        return images.get(entry.name, entry.arch, { progress = report, lock = opts.lock, locked = opts.locked,
            digest = opts.digest, ca = opts.ca, proxy = opts.proxy, rate = opts.rate, retries = opts.retries })
    end)
    local list = {}
    for _, entry in ipairs(entries) do
        local got = results[("%s@%s"):format(entry.name, entry.arch)]
        if got then
            list[#list + 1] = { name = entry.name, arch = entry.arch, digest = got.digest, path = got.path,
                format = got.format, built = got.built, verified = entry.verified }
            if not opts.json then
                print(("%s@%s  %s  %s"):format(entry.name, entry.arch, progress.bytes(fs.stat(got.path).size),
                    got.path))
            end
        end
    end
    if opts.json then
        print(raw.json.encode { images = raw.json.list(list), failed = failed,
            seconds = raw.task.now() - started })
    end
    return failed > 0 and 1 or 0
end

M.pull = command.define {
    name = "images pull",
    help = "downloads images of the catalogue into the cache, unless they are there",
    operands = { { name = "NAME", key = "names", many = true, complete = { "image" } } },
    options = M.with_network {
        { name = "--arch", value = "ARCH", many = true, complete = { "arch" },
            help = "for which architecture, 'all' for each there is; several times" },
        { name = "--digest", value = "DIGEST", help = "the one it must have, instead of the catalogue's" },
        { name = "--lock", value = "FILE", complete = { "file" },
            help = "what the names mean; ./vmatrix.lock if it is there" },
        { name = "--locked", help = "refuses what is not in the lock" },
        { name = "--json", help = "says what came as JSON" },
    },
    text = [[
A name is one of `vmatrix images list`, or an alias, and may say its architecture: debian-12@aarch64.
A download that was interrupted is gone on with. Its digest is checked before it gets its name.]],
    examples = {
        "vmatrix images pull debian-13",
        "vmatrix images pull debian-12 ubuntu-24.04 --arch x86_64 --arch aarch64",
    },
    handler = pull,
}

M.path = command.define {
    name = "images path",
    help = "prints where an image is in the cache; status 1 when it is not there",
    operands = { { name = "NAME", complete = { "image" } } },
    options = {
        { name = "--arch", value = "ARCH", complete = { "arch" }, help = "this machine's unless told otherwise" },
        { name = "--json", help = "everything that is known of it, as JSON" },
    },
    handler = function(opts, operands)
        local got = images.get(operands.name, opts.arch, { offline = true })
        print(opts.json and raw.json.encode(got) or got.path)
    end,
}

return M
