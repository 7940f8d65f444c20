-- `vmatrix images pull` and `path`: images of the catalogue, downloaded and found.
local raw = require "vm.raw"
local choose = require "vm.commands.images.choose"
local command = require "vm.cli.command"
local images = require "vm.images"
local progress = require "vm.terminal.progress"
local several = require "vm.commands.images.several"

local M = {}

local fs = raw.fs

local function pull(opts, operands)
    local entries = choose.entries(operands.names, opts.arch)
    local started = raw.task.now()
    local results, failed = several.each("pull", entries, function(entry, report)
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
    options = several.with_network {
        choose.ARCH,
        { name = "--digest", value = "DIGEST", help = "the one it must have, instead of the catalogue's" },
        choose.LOCK,
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
