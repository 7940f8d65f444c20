-- `vmatrix images list`: what there is, how far it can be trusted, and what is in the cache.
local raw = require "vm.raw"
local catalogue = require "vm.images.catalogue"
local command = require "vm.cli.command"
local digests = require "vm.images.digest"
local options = require "vm.options"
local progress = require "vm.terminal.progress"
local seed = require "vm.seed"
local store = require "vm.images.store"

local fs = raw.fs

local function seeds()
    local list = {}
    for _, arch in ipairs(seed.arches()) do
        for _, agent in ipairs { false, true } do
            local image = seed.image(arch, agent)
            if image or not agent then
                list[#list + 1] = { name = agent and "seed with agent" or "seed", arch = arch,
                    path = image and image.folder,
                    size = image and fs.stat(image.kernel).size + fs.stat(image.initrd).size }
            end
        end
    end
    return list
end

-- The digest a download is pinned to; nil where only the latest is to be had.
local function pinned(entry)
    for _, location in ipairs(entry.locations) do
        local digest = digests.of_location(location)
        if digest then
            return digest
        end
    end
end

local function cached_of(digest)
    local record = digest and store.record(digest)
    if record then
        local bytes = 0
        for _, file in ipairs(record.files) do
            bytes = bytes + file.size
        end
        return { path = record.folder, bytes = bytes }
    end
end

local function row(entry, note)
    local pin = entry and pinned(entry)
    local digest = note and note.digest or pin
    local cached = cached_of(digest)
    return {
        name = entry and entry.name or note.name, arch = entry and entry.arch or note.arch,
        aliases = entry and #entry.aliases > 0 and entry.aliases or nil,
        distro = entry and entry.distro or note.distro, version = entry and entry.version or note.version,
        eol = entry and entry.eol, verified = entry and not note and entry.verified or nil,
        local_image = note and (note.built and "built here" or "added here") or nil,
        build = entry and entry.build and true or nil, pinned = pin ~= nil,
        digest = digest, cached = cached and cached.path, bytes = cached and cached.bytes,
        read = entry and entry.read,
    }
end

---All images there are: of the catalogue, and those that were registered.
---@param arches table<string, boolean>|nil
---@return table[]
local function rows(arches)
    local list, all, notes = {}, catalogue.all(), {}
    for _, note in ipairs(store.names()) do
        notes[note.name .. "@" .. note.arch] = note
    end
    for _, name in ipairs(all.names) do
        local order = {}
        for arch in pairs(all.by_name[name].arches) do
            order[#order + 1] = arch
        end
        table.sort(order)
        for _, arch in ipairs(order) do
            local key = name .. "@" .. arch
            list[#list + 1] = row(all.by_name[name].arches[arch], notes[key])
            notes[key] = nil
        end
    end
    local rest = {}
    for key in pairs(notes) do
        rest[#rest + 1] = key
    end
    table.sort(rest)
    for _, key in ipairs(rest) do
        list[#list + 1] = row(nil, notes[key])
    end
    local out = {}
    for _, each in ipairs(list) do
        if not arches or arches[each.arch] then
            out[#out + 1] = each
        end
    end
    return out
end

local function status(each, today)
    local words = { each.local_image or each.verified }
    if not each.pinned and not each.local_image then
        words[#words + 1] = "no fixed build, see `images lock --latest`"
    end
    if each.eol and each.eol < today then
        words[#words + 1] = "ended " .. each.eol
    end
    return table.concat(words, ", ")
end

local function print_table(list, tiny)
    local today = os.date "!%Y-%m-%d"
    local function line(name, arch, bytes, said)
        print(("%-20s %-8s %10s  %s"):format(name, arch, bytes and progress.bytes(bytes) or "-", said))
    end
    if #list + #tiny > 0 then
        print(("%-20s %-8s %10s  %s"):format("NAME", "ARCH", "CACHED", "STATUS"))
    end
    for _, each in ipairs(list) do
        line(each.name, each.arch, each.bytes, status(each, today))
    end
    for _, each in ipairs(tiny) do
        line(each.name, each.arch, each.size, each.path
            or ("not built; `vmatrix images build seed --arch %s` does it"):format(each.arch))
    end
end

return command.define {
    name = "images list",
    help = "the images there are: of the catalogue, built or added here, and the seed guests",
    operands = { { name = "NAME", optional = true, complete = { "image" } } },
    options = {
        { name = "--arch", value = "ARCH", many = true, complete = { "arch" }, help = "only for these" },
        { name = "--cached", help = "only what is in the cache" },
        { name = "--json", help = "everything that is known of them, as JSON" },
    },
    text = [[
NAME shows those whose name begins so. What STATUS says of a download:
  unverified   its digest was read elsewhere (--json says where and when) and not compared with the
               distribution's own
  digest       its digest was compared with the distribution's own
  booted       it was started by the project's tests
Whatever it is, nothing is used whose digest is another one than is noted.]],
    examples = { "vmatrix images list debian", "vmatrix images list --arch riscv64 --cached" },
    handler = function(opts, operands)
        local arches
        for _, arch in ipairs(opts.arch or {}) do
            arches = arches or {}
            arches[select(2, catalogue.split("x", arch))] = true
        end
        local list = {}
        for _, each in ipairs(rows(arches)) do
            local prefix = operands.name or ""
            if each.name:sub(1, #prefix) == prefix and (each.cached or not opts.cached) then
                list[#list + 1] = each
            end
        end
        local tiny = {}
        for _, each in ipairs(("seed"):find(operands.name or "", 1, true) == 1 and seeds() or {}) do
            if (not arches or arches[each.arch]) and (each.path or not opts.cached) then
                tiny[#tiny + 1] = each
            end
        end
        if opts.json then
            print(raw.json.encode { images = raw.json.list(list), seeds = raw.json.list(tiny) })
        elseif #list + #tiny == 0 and operands.name and not opts.cached then
            local names = { table.unpack(catalogue.files) } -- called by the distributions
            table.move(catalogue.all().names, 1, #catalogue.all().names, #names + 1, names)
            local near = options.nearest(operands.name, names)
            io.stderr:write(("vmatrix images list: no image is called '%s'%s\n"):format(
                (operands.name:gsub("%c", "?")), near and ("; did you mean '%s'?"):format(near) or ""))
            return 1
        else
            print_table(list, tiny)
        end
    end,
}
