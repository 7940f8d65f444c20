-- `vmatrix images add`, `verify` and `prune`: what is in the cache.
local raw = require "vm.raw"
local catalogue = require "vm.images.catalogue"
local choose = require "vm.commands.images.choose"
local command = require "vm.cli.command"
local digests = require "vm.images.digest"
local download = require "vm.images.download"
local errors = require "vm.errors"
local progress = require "vm.terminal.progress"
local qcow2 = require "vm.images.qcow2"
local store = require "vm.images.store"

local M = {}

local fs = raw.fs
local raise = errors.raise
local GIB <const> = 1 << 30

-- How a file is compressed, by its first bytes.
local function compression_of(bytes)
    if bytes:sub(1, 6) == "\xfd7zXZ\0" then
        return "xz"
    elseif bytes:sub(1, 4) == "\x28\xb5\x2f\xfd" then
        return "zst"
    elseif bytes:sub(1, 2) == "\x1f\x8b" then
        return "gz"
    elseif bytes:sub(1, 3) == "BZh" then
        return "bz2"
    end
end

local function head_of(path, length)
    local file, why = io.open(path, "rb")
    if not file then
        errors.fail("notfound", "%s", why)
    end
    local bytes = file:read(length)
    file:close()
    if not bytes then
        errors.fail("format", "%s is empty, or no file", path)
    end
    return bytes
end

-- A folder in the cache that goes when it is closed; prune leaves it alone until then.
local function workplace()
    raise(fs.mkdir_p(store.root(), 448))
    local folder = ("%s/add-%d.new"):format(store.root(), fs.pid())
    local lock = raise(fs.lock(folder .. ".lock"))
    raise(fs.remove_tree(folder))
    raise(fs.mkdir_p(folder, 448))
    return setmetatable({ path = folder, disk = folder .. "/disk" }, { __close = function()
        fs.remove_tree(folder)
        fs.unlink(folder .. ".lock")
        lock:close()
    end })
end

-- Copies the file into the cache's own file system, decompressed; its digest is checked on the way.
local function take_in(path, wanted, place, bar)
    local url = download.file_url(raise(fs.realpath(path)))
    local packed = compression_of(head_of(path, 6))
    download.file {
        what = path, url = url, part = packed and place.path .. "/part" or place.disk,
        into = packed and place.disk or nil,
        algorithm = wanted and digests.parse("--digest", wanted) or "sha256", digest = wanted, retries = 0,
        progress = function(state) bar:update(state.received, state.total > 0 and state.total or nil) end,
    }
end

local function add(opts, operands)
    local name, arch = operands.file:match "([^/]*)$", opts.arch
    name = opts.name or name:gsub("%.%a%w*$", ""):gsub("%.%a%w*$", "")
    if name:find "@" then
        name, arch = name:match "^(.-)@(.*)$"
    end
    local bar <close> = progress.start("add " .. name)
    local copy <close> = workplace()
    take_in(operands.file, opts.digest, copy, bar)
    local is_qcow2 = head_of(copy.disk, 4) == "QFI\xfb"
    local _, known_arch = catalogue.split(name, arch)
    local format = opts.format or (is_qcow2 and "qcow2" or "raw")
    qcow2.check_file(copy.disk, format, "image " .. name, operands.file)
    local record = store.register { name = name, arch = known_arch, path = copy.disk, format = format, built = false,
        user = opts.user, reach = opts.reach, packages = opts.packages, firmware = opts.firmware,
        url = operands.file }
    bar:close()
    if opts.json then
        print(raw.json.encode { name = name, arch = known_arch, format = format, digest = record.digest,
            path = store.path(record, "disk") })
    else
        print(("%s@%s  %s  %s  %s"):format(name, known_arch, format, record.digest:sub(1, 23),
            store.path(record, "disk")))
    end
end

M.add = command.define {
    name = "images add",
    help = "takes a disk image into the cache, under a name of its own",
    operands = { { name = "FILE", complete = { "file" } } },
    options = {
        { name = "--name", value = "NAME", help = "what it is called from now on; else the file's name" },
        { name = "--arch", value = "ARCH", complete = { "arch" }, help = "this machine's unless told otherwise" },
        { name = "--format", value = "FORMAT", words = { "qcow2", "raw" }, help = "else what its first bytes say" },
        { name = "--digest", value = "DIGEST", help = "what the file must have, as it is: sha256:... or sha512:..." },
        { name = "--user", value = "USER", help = "who logs in" },
        { name = "--reach", value = "HOW", words = { "cloud-init", "agent", "ssh" }, help = "how commands reach it" },
        { name = "--packages", value = "NAME", help = "its package manager: apt, dnf, zypper, pacman, apk, pkg" },
        { name = "--firmware", value = "NAME", words = { "bios", "uefi" }, help = "what starts it" },
        { name = "--json", help = "says what it is now as JSON" },
    },
    text = [[
The file is copied, and decompressed if it is compressed by xz, zstd, gzip or bzip2. A qcow2 file that names
another file is refused. Its name means this image from then on, whatever the catalogue has of that name.]],
    examples = { "vmatrix images add disk.qcow2 --name mine --user root --reach ssh" },
    handler = add,
}

local function label(record)
    return record.name and ("%s@%s"):format(record.name, record.arch) or record.digest:sub(1, 23)
end

local function records_of(names, arches)
    if #names == 0 then
        return store.list()
    end
    local wanted, out = {}, {}
    for _, entry in ipairs(choose.entries(names, arches)) do
        wanted[entry.name .. "@" .. entry.arch] = true
    end
    for _, record in ipairs(store.list()) do
        if wanted[label(record)] then
            out[#out + 1] = record
        end
    end
    return out
end

local function size_of(record)
    local bytes = 0
    for _, file in ipairs(record.files) do
        bytes = bytes + file.size
    end
    return bytes
end

M.verify = command.define {
    name = "images verify",
    help = "reads images in the cache and compares their digests; status 1 when one is damaged",
    operands = { { name = "NAME", key = "names", many = true, optional = true, complete = { "image" } } },
    options = {
        { name = "--arch", value = "ARCH", many = true, complete = { "arch" }, help = "only of these" },
        { name = "--remove", help = "removes what is damaged; it is downloaded again when it is needed" },
        { name = "--json", help = "says it as JSON" },
    },
    text = "Without names all of them. Each use looks only whether a file was touched, which takes no time.",
    handler = function(opts, operands)
        local list, bad = {}, 0
        local records, total, done = records_of(operands.names, opts.arch), 0, 0
        for _, record in ipairs(records) do
            total = total + size_of(record)
        end
        local bar <close> = progress.start("verify", { total = total })
        bar:update(0)
        for _, record in ipairs(records) do
            bar:note(label(record))
            local ok, problem = store.verify(record)
            done = done + size_of(record)
            bar:update(done)
            local note, removed = ok and "" or "  " .. problem, nil
            bad = bad + (ok and 0 or 1)
            if not ok and opts.remove then
                local err
                removed, err = pcall(store.remove, record)
                note = note .. (removed and "; removed" or "; not removed: " .. tostring(err))
            end
            list[#list + 1] = { name = record.name, arch = record.arch, digest = record.digest, ok = ok,
                problem = problem, removed = removed }
            if not opts.json then
                progress.hide()
                print(("%-3s %s  %s%s"):format(ok and "ok" or "BAD", label(record), record.digest:sub(1, 23), note))
            end
        end
        if opts.json then
            print(raw.json.encode { images = raw.json.list(list), damaged = bad })
        elseif #list == 0 then
            print "there is none in the cache"
        end
        return bad > 0 and 1 or 0
    end,
}

local function bytes_of(folder)
    local bytes = 0
    for _, name in ipairs(fs.list(folder) or {}) do
        local stat = fs.lstat(folder .. "/" .. name)
        bytes = bytes + (stat and stat.blocks * 512 or 0)
    end
    return bytes
end

-- What may go: images that were not used for so long, the oldest first, until the rest is small enough.
local function doomed(opts)
    local list, total = {}, 0
    for _, record in ipairs(store.list()) do
        local used = fs.stat(record.folder .. "/used") or fs.stat(record.folder .. "/image.json")
        local item = { record = record, used = used and used.mtime or 0, bytes = bytes_of(record.folder) }
        total = total + item.bytes
        list[#list + 1] = item
    end
    table.sort(list, function(a, b) return a.used < b.used end)
    local out = {}
    for _, item in ipairs(list) do
        if opts.all or (opts.older and item.used <= os.time() - opts.older)
            or (opts.max_size and total > opts.max_size) then
            out[#out + 1] = item
            total = total - item.bytes
        end
    end
    return out, total
end

M.prune = command.define {
    name = "images prune",
    help = "removes images from the cache that nobody uses",
    options = {
        { name = "--older", value = "TIME", type = "time", help = "those that were not used for so long: 30d" },
        { name = "--max-size", value = "SIZE", type = "size",
            help = "the longest unused, until all take no more: 20GiB" },
        { name = "--all", help = "all of them" },
        { name = "--dry-run", help = "only says what would be removed" },
        { name = "--json", help = "says it as JSON" },
    },
    text = [[
Without an option those that were not used for 30 days. What a running process uses stays, and so do the
seed guests. `vmatrix prune` removes what interrupted downloads have left.]],
    handler = function(opts)
        if not (opts.older or opts.max_size or opts.all) then
            opts.older = 30 * 86400
        end
        local items, left = doomed(opts)
        local list, failed = {}, 0
        for _, item in ipairs(items) do
            local ok, err = true, nil
            if not opts.dry_run then
                ok, err = pcall(store.remove, item.record)
            end
            if ok then
                list[#list + 1] = { name = item.record.name, arch = item.record.arch, digest = item.record.digest,
                    bytes = item.bytes, done = not opts.dry_run }
            else
                left = left + item.bytes
                failed = failed + (errors.is(err, "busy") and 0 or 1)
                io.stderr:write(("vmatrix images prune: %s\n"):format(tostring(err)))
            end
        end
        if opts.json then
            print(raw.json.encode { images = raw.json.list(list), left = left })
            return failed > 0 and 1 or 0
        end
        for _, item in ipairs(list) do
            print(("%s  %s  %s"):format(label(item), progress.bytes(item.bytes),
                item.done and "removed" or "would be removed"))
        end
        print(("%.1f GiB are left"):format(left / GIB))
        return failed > 0 and 1 or 0
    end,
}

return M
