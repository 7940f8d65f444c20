-- `vmatrix images lock` and `mirror`: what names mean, pinned; and images for where there is no network.
local raw = require "vm.raw"
local checksums = require "vm.images.checksums"
local choose = require "vm.commands.images.choose"
local command = require "vm.cli.command"
local digests = require "vm.images.digest"
local download = require "vm.images.download"
local errors = require "vm.errors"
local lock = require "vm.images.lock"
local mirror = require "vm.images.mirror"
local script = require "vm.script"
local several = require "vm.commands.images.several"
local store = require "vm.images.store"

local M = {}

local fs = raw.fs
local raise = errors.raise

-- What an image means now: { digest, url }.
local function pin(entry, opts)
    local key = ("%s@%s"):format(entry.name, entry.arch)
    if opts.latest then
        for _, location in ipairs(entry.locations) do
            if location.latest then
                local digest, signed = checksums.digest(entry, location, {
                    unsigned = opts.unsigned, ca = opts.ca, proxy = opts.proxy, retries = opts.retries })
                return { digest = digest, url = location.url, note = signed and "signed" or "not signed" }
            end
        end
        errors.fail("notfound", "image %s: the catalogue has no location of its latest build", key)
    end
    local note = store.named(entry.name, entry.arch)
    if note then
        return { digest = note.digest, note = note.built and "built here" or "added here" }
    end
    for _, location in ipairs(entry.locations) do
        local digest = digests.of_location(location)
        if digest then
            return { digest = digest, url = location.url, note = "by the catalogue" }
        end
    end
    return errors.fail("notfound", "image %s: there is no digest to pin; --latest looks at what is there now", key)
end

local function lock_images(opts, operands)
    local entries = choose.named_or_used(operands.names, opts)
    local path = opts.lock or script.path "vmatrix.lock"
    local pins, failed = several.each("lock", entries, function(entry) return pin(entry, opts) end)
    local all = lock.read(path)
    for key, item in pairs(pins) do
        all[key] = { digest = item.digest, url = item.url }
    end
    if next(pins) then
        lock.write(path, all)
    end
    local list = {}
    for _, entry in ipairs(entries) do
        local key = ("%s@%s"):format(entry.name, entry.arch)
        local item = pins[key]
        if item then
            list[#list + 1] = { name = entry.name, arch = entry.arch, digest = item.digest, url = item.url,
                note = item.note }
            if not opts.json then
                print(("%s  %s  %s"):format(key, item.digest:sub(1, 23), item.note))
            end
        end
    end
    if opts.json then
        print(raw.json.encode { images = raw.json.list(list), failed = failed, lock = path })
    end
    return failed > 0 and 1 or 0
end

M.lock = command.define {
    name = "images lock",
    help = "writes what each name means now into vmatrix.lock, so that it means the same from then on",
    operands = { { name = "NAME", key = "names", many = true, optional = true, complete = { "image" } } },
    options = several.with_network {
        choose.ARCH,
        { name = "--latest", help = "the build that the distribution has now, by the checksums beside it" },
        { name = "--unsigned", help = "believes checksums whose signature cannot be checked" },
        { name = "--lock", value = "FILE", complete = { "file" }, help = "instead of vmatrix.lock beside the matrix" },
        choose.MATRIX,
        { name = "--json", help = "says what was pinned as JSON" },
    },
    text = [[
Without names, the images that ./matrix.lua uses. What else the lock holds stays. Matrices and scripts
beside a vmatrix.lock use what it says; `vmatrix test --locked` refuses all else.]],
    examples = { "vmatrix images lock", "vmatrix images lock --latest debian-12 --arch x86_64" },
    handler = lock_images,
}

-- Copies one image's download into the mirror; returns what the index says of it.
local function mirror_one(entry, folder, opts, report)
    local pinned = lock.pinned(("%s@%s"):format(entry.name, entry.arch), opts)
    local item = pinned or pin(entry, opts)
    if not item.url then
        errors.fail("unsupported", "image %s@%s: it was built or added here; a mirror holds downloads", entry.name,
            entry.arch)
    end
    local algorithm = digests.parse(entry.name, item.digest)
    local path = ("%s/%s"):format(folder, mirror.name(item.digest))
    if not fs.exists(path) or digests.of_file(path, algorithm) ~= item.digest then
        local part = path .. ".part"
        local record = not entry.compression and store.open(item.digest)
        if record then
            fs.unlink(part)
            raise(fs.copy(store.path(record, "disk"), part, 420)) -- 0644
        else
            download.file { what = "image " .. entry.name, url = item.url, part = part, algorithm = algorithm,
                digest = item.digest, progress = report, entry = entry, ca = opts.ca, proxy = opts.proxy,
                rate = opts.rate, retries = opts.retries }
        end
        raise(fs.chmod(part, 420))
        raise(fs.sync(part))
        raise(fs.rename(part, path))
    end
    return { digest = item.digest, url = item.url, file = mirror.name(item.digest), size = fs.stat(path).size }
end

local function mirror_images(opts, operands)
    local folder = operands.dir
    raise(fs.mkdir_p(folder))
    local entries = choose.named_or_used(operands.names, opts)
    local done, failed = several.each("mirror", entries, function(entry, report)
        return mirror_one(entry, folder, opts, report)
    end)
    local index = raw.json.decode(fs.read(folder .. "/index.json", 4 << 20) or "{}") or {}
    local list = {}
    for _, entry in ipairs(entries) do
        local key = ("%s@%s"):format(entry.name, entry.arch)
        local item = done[key]
        if item then
            index[key] = item
            list[#list + 1] = { name = entry.name, arch = entry.arch, file = item.file, digest = item.digest,
                size = item.size }
            if not opts.json then
                print(("%s  %s"):format(key, item.file))
            end
        end
    end
    if next(index) then
        raise(fs.write_atomic(folder .. "/index.json", raise(raw.json.encode(index)) .. "\n"))
    end
    if opts.json then
        print(raw.json.encode { images = raw.json.list(list), failed = failed })
    end
    return failed > 0 and 1 or 0
end

M.mirror = command.define {
    name = "images mirror",
    help = "makes a folder with images for machines without a network, or adds to it",
    operands = {
        { name = "DIR", complete = { "file" } },
        { name = "NAME", key = "names", many = true, optional = true, complete = { "image" } },
    },
    options = several.with_network {
        choose.ARCH,
        choose.LOCK,
        choose.MATRIX,
        { name = "--json", help = "says what the folder has got as JSON" },
    },
    text = [[
Files are called by their digests; index.json says what they are. VMATRIX_MIRROR names the folder, or the
URL of a web server that serves it; images then come from there and from nowhere else.]],
    examples = { "vmatrix images mirror /srv/images debian-12 --arch all", "VMATRIX_MIRROR=/srv/images vmatrix test" },
    handler = mirror_images,
}

return M
