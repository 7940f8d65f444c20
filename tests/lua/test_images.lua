-- The catalogue and the cache of images, without a network.
local t = require "harness"
local vm = require "vm"
local raw = require "vm.raw"
local catalogue = require "vm.images.catalogue"
local check = require "vm.images.check"
local images = require "vm.images"
local lock = require "vm.images.lock"
local qcow2 = require "vm.images.qcow2"
local script = require "vm.script"
local store = require "vm.images.store"

local fs = raw.fs

-- The cache is this program's own: nothing here may touch the user's.
local work = assert(fs.mkdtemp())
local _ <close> = setmetatable({}, { __close = function() fs.remove_tree(work) end })
local paths = require "vm.host.paths"
paths.cache = function() return work .. "/cache" end
script.set(work .. "/x.lua")

-- A qcow2 header with what a test changes of it; the tables are where they should be.
local function header(change)
    local h = { version = 3, backing = 0, backing_length = 0, bits = 16, size = 1 << 30, crypt = 0, l1_size = 2,
        l1 = 3 << 16, refcounts = 1 << 16, refcount_clusters = 1, snapshots = 0, incompatible = 0, length = 104 }
    for name, value in pairs(change or {}) do
        h[name] = value
    end
    return "QFI\xfb" .. string.pack(">I4I8I4I4I8I4I4I8I8I4I4I8", h.version, h.backing, h.backing_length, h.bits,
        h.size, h.crypt, h.l1_size, h.l1, h.refcounts, h.refcount_clusters, h.snapshots, 0)
        .. string.pack(">I8I8I8I4I4", h.incompatible, 0, 0, 4, h.length) .. (h.after or "")
end

local function write(name, text)
    local path = work .. "/" .. name
    assert(fs.write_atomic(path, text))
    return path
end

local function disk(name, change)
    return write(name, header(change) .. ("\0"):rep(1 << 19))
end

t.test("every file of the catalogue is as it should be, and every one is listed", function()
    for _, name in ipairs(catalogue.files) do
        t.equal(check.file(require("images." .. name)), nil, name .. ": ")
    end
    local found = {}
    for _, path in ipairs(fs.glob(os.getenv "VMATRIX_SOURCE" .. "/scripts/images/*.lua")) do
        found[#found + 1] = path:match "([^/]*)%.lua$"
    end
    t.equal(found, catalogue.files)
end)

t.test("names and aliases are unique over all of the catalogue", function()
    local seen = {}
    for _, name in ipairs(catalogue.files) do
        for _, release in ipairs(require("images." .. name).releases) do
            for _, each in ipairs { release.name, table.unpack(release.aliases or {}) } do
                t.check(not seen[each], each .. " is there twice")
                seen[each] = true
            end
        end
    end
end)

t.test("every entry says where and when it was read, and claims no more than was seen", function()
    local all = catalogue.all()
    -- Whose digests were compared with the distribution's own: the source says which.
    local compared = { freebsd = "freebsd/freebsd%-doc %x+, website/content/en/releases/" }
    for _, name in ipairs(all.names) do
        for arch, entry in pairs(all.by_name[name].arches) do
            local what = name .. "@" .. arch .. ": "
            t.match(entry.read.when, "^%d%d%d%d%-%d%d%-%d%d$")
            t.check(#entry.read.where > 10, what .. "no source")
            local own = compared[entry.distro]
            t.equal(entry.verified, own and "digest" or "unverified", what)
            t.match(entry.read.where, own or "/", what)
            t.check(entry.user and entry.packages, what .. "no user or package manager")
        end
    end
end)

t.test("a name is found by alias and with its architecture", function()
    local entry = images.find "bookworm@arm64"
    t.equal({ entry.name, entry.arch, entry.distro, entry.user }, { "debian-12", "aarch64", "debian", "debian" })
    t.equal(images.find("debian-13", "riscv64").firmware, "uefi")
    t.equal(images.find("freebsd-15", "x86_64").compression, "xz")
    t.equal(images.find("freebsd-14", "aarch64").name, "freebsd-14.4")
end)

t.test("a name that is not there raises and names the nearest, an architecture those there are", function()
    t.raises(function() images.find "debain-12" end, "notfound", "did you mean 'debian%-12'")
    t.raises(function() images.find("debian-12", "riscv64") end, "notfound", "for aarch64, ppc64le, x86_64, not for")
    t.raises(function() images.find("debian-12@aarch64", "x86_64") end, "usage", "aarch64 here and x86_64 there")
end)

t.test("a file of the project adds images, overrides others, and runs nothing", function()
    local folder = work .. "/.vmatrix/images"
    assert(fs.mkdir_p(folder))
    local digest = ("ab"):rep(32)
    local text = [[return { distro = "mine", format = "raw", user = "me", releases = { { name = "%s", arches = {
        x86_64 = { { url = "https://example.org/x.img", sha256 = "%s" } } } } } }]]
    assert(fs.write_atomic(folder .. "/mine.lua", text:format("mine-1", digest)))
    t.equal(images.find("mine-1", "x86_64").locations[1].sha256, digest)
    assert(fs.write_atomic(folder .. "/mine.lua", text:format("debian-12", digest)))
    t.equal(images.find("debian-12", "x86_64").format, "raw")
    t.equal(images.find("debian-12", "aarch64").format, "qcow2")
    for code, pattern in pairs {
        ["os.exit(1)"] = "calls nothing",
        ["return 7"] = "must return a table",
        ["return {"] = "mine.lua:1:",
        ["return { distro = 'x', relases = {} }"] = "unknown field 'relases'",
        ["return { distro = 'x', releases = { { name = 'a/b', arches = {} } } }"] = "letters, digits",
        [text:format("x", "12")] = "64 hexadecimal digits",
        [text:format("x", digest):gsub("https", "ftp")] = "https:// expected",
        [text:format("x", digest):gsub("sha256 = \"%x+\"", "latest = true")] = "checksums by https",
        [text:format("x", digest):gsub("sha256 = \"%x+\"", "dated = true")] = "needs its digest",
    } do
        assert(fs.write_atomic(folder .. "/mine.lua", code))
        t.raises(function() images.find("mine-1", "x86_64") end, "format", pattern)
    end
    assert(fs.remove_tree(folder))
    t.raises(function() images.find("mine-1", "x86_64") end, "notfound")
end)

t.test("a registered image takes its place, read-only, and answers to its name before the download", function()
    images.register { name = "debian-12", arch = "x86_64", path = disk "built.qcow2", format = "qcow2",
        kernel = write("vmlinuz", "kernel"), append = "root=/dev/vda", user = "root", reach = "agent" }
    local got = images.get("debian-12", "x86_64", { offline = true })
    t.equal({ got.format, got.append, got.built, got.entry.reach, got.entry.distro, got.entry.firmware },
        { "qcow2", "root=/dev/vda", true, "agent", "debian", "kernel" })
    t.equal(fs.read(got.kernel, 100), "kernel")
    t.equal(fs.stat(got.path).mode, 292) -- 0444
    t.match(got.digest, "^sha256:%x+$")
    t.check(not fs.exists(work .. "/built.qcow2"), "it was copied")
    t.raises(function() images.get("debian-12", "aarch64", { offline = true }) end, "notfound", "not in the cache")
    store.remove(store.record(got.digest))
    t.raises(function() images.get("debian-12", "x86_64", { offline = true }) end, "notfound")
end)

t.test("an image that was changed in the cache is never used", function()
    images.register { name = "other", arch = "x86_64", path = disk "other.qcow2", format = "qcow2" }
    local got = images.get("other", "x86_64")
    assert(fs.chmod(got.path, 420)) -- 0644
    local file = assert(io.open(got.path, "r+b"))
    file:seek("set", 70000)
    file:write "x"
    file:close()
    t.raises(function() images.get("other", "x86_64") end, "notfound")
    t.check(not fs.exists(got.path), "it is still there")
end)

t.test("a damaged image is not removed while somebody makes it", function()
    images.register { name = "other", arch = "x86_64", path = disk "other.qcow2", format = "qcow2" }
    local got = images.get("other", "x86_64")
    assert(fs.chmod(got.path, 420))
    assert(fs.write_atomic(got.path, "no disk"))
    local held = store.lock(got.digest)
    local finding = vm.spawn(function() return pcall(images.get, "other", "x86_64") end)
    vm.sleep(0.2)
    t.check(fs.exists(got.path), "it was removed")
    held:close()
    t.equal((finding:join()), false)
    t.check(not fs.exists(got.path), "it is still there")
end)

t.test("one that was only touched is read again and used", function()
    images.register { name = "other", arch = "x86_64", path = disk "other.qcow2", format = "qcow2" }
    local got = images.get("other", "x86_64")
    raw.task.sleep(0.02)
    assert(fs.chmod(got.path, 420))
    local file = assert(io.open(got.path, "r+b"))
    file:write "Q"
    file:close()
    t.equal(images.get("other", "x86_64").path, got.path)
    store.remove(store.record(got.digest))
end)

t.test("an image in use is not removed", function()
    local record = images.register { name = "other", arch = "x86_64", path = disk "other.qcow2", format = "qcow2" }
    local user <close> = assert(fs.lock(record.folder .. "/in-use", true, true)) -- luacheck: ignore 211
    t.raises(function() store.remove(record) end, "busy", "in use")
    t.equal(images.get("other", "x86_64").digest, record.digest)
end)

t.test("what is in the lock is used, and nothing else where it is locked", function()
    local path = work .. "/vmatrix.lock"
    local digest = "sha512:" .. ("c"):rep(128)
    t.raises(function() images.get("debian-12", "x86_64", { lock = path, locked = true }) end, "unsafe",
        "not in .*vmatrix.lock.*images lock debian%-12@x86_64")
    lock.write(path, { ["debian-12@x86_64"] = { digest = digest, url = "https://example.org/old.qcow2" } })
    t.equal(lock.read(path)["debian-12@x86_64"].url, "https://example.org/old.qcow2")
    t.raises(function()
        images.get("debian-12", "x86_64", { lock = path, locked = true, offline = true })
    end, "notfound", "sha512:ccccccccccccc is not in the cache")
    images.register { name = "debian-12", arch = "x86_64", path = disk "built.qcow2", format = "qcow2" }
    t.raises(function() images.get("debian-12", "x86_64", { lock = path, offline = true }) end, "notfound")
    store.remove(store.record(store.named("debian-12", "x86_64").digest))
    assert(fs.write_atomic(path, '{ "format": 1, "images": { "x": { "digest": "md5:12" } } }'))
    t.raises(function() lock.read(path) end, "usage", "a digest such as")
    assert(fs.write_atomic(path, "{}"))
    t.raises(function() lock.read(path) end, "format", "no lock")
end)

t.test("a qcow2 file that stands on another file, or lies about itself, is refused", function()
    local function refused(change, kind, pattern)
        t.raises(function() qcow2.check_file(disk("bad", change), "qcow2", "image x") end, kind, pattern)
    end
    qcow2.check_file(disk "good", "qcow2", "image x")
    refused({ backing = 200, backing_length = 11 }, "unsafe", "backing file")
    refused({ backing_length = 11 }, "unsafe", "backing file")
    refused({ incompatible = 4 }, "unsafe", "external data file")
    refused({ after = string.pack(">I4I4", 0x44415441, 8) .. "/etc/pwd" }, "unsafe", "external data file")
    refused({ after = string.pack(">I4I4", 0x6803f857, 1 << 20) }, "format", "extension is too long")
    refused({ incompatible = 1 << 20 }, "format", "features that are not known")
    refused({ incompatible = 2 }, "format", "marked corrupt")
    refused({ crypt = 2 }, "unsupported", "encrypted")
    refused({ version = 4 }, "format", "version 4")
    refused({ bits = 40 }, "format", "clusters")
    refused({ size = 1 << 60 }, "format", "larger than 16 TiB")
    refused({ size = 1 << 40 }, "format", "L1 table has a wrong size")
    refused({ l1 = 1 << 40 }, "format", "L1 table is not inside")
    refused({ refcounts = 1 << 40 }, "format", "refcount table")
    refused({ length = 6 }, "format", "header's length")
    t.raises(function() qcow2.check_file(write("bad", "QFI\xfb\0\0"), "qcow2", "x") end, "format", "cut off")
    t.raises(function() qcow2.check_file(write("bad", "<html>"), "qcow2", "x") end, "format", "not a qcow2 file")
    t.raises(function() qcow2.check_file(disk "bad", "raw", "x") end, "unsafe", "said to be raw")
    t.raises(function() qcow2.check_file(work .. "/none", "raw", "x") end, "notfound", "No such file")
end)

t.test("no header of random bytes is believed or fails", function()
    local good = header() .. ("\0"):rep(1000)
    for i = 1, 3000 do
        local at = math.random(5, 120)
        local bytes = good:sub(1, at - 1) .. string.char(math.random(0, 255)) .. good:sub(at + 1)
        bytes = bytes:sub(1, math.random(0, 4) == 0 and math.random(0, #bytes) or #bytes)
        local ok, err = pcall(qcow2.problem, bytes, 1 << 20, "qcow2")
        t.check(ok, ("%d: %s"):format(i, tostring(err)))
    end
end)

t.test("misuse of register and get names the option", function()
    t.raises(function() images.get("debian-12", nil, { lokced = true }) end, "usage", "did you mean 'locked'")
    t.raises(function() images.register { name = "x" } end, "usage", "is missing")
    t.raises(function()
        images.register { name = "a/b", arch = "x86_64", path = disk "built.qcow2", format = "qcow2" }
    end, "usage", "letters, digits")
end)

t.finish()
