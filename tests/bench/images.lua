-- What images cost beside the plain tools: making a digest beside sha512sum, a download that is decompressed
-- and checked on its way beside curl and xz; and finding an image in the cache, and making a guest of it. A private
-- https server on loopback; all take turns, so that all meet the same load.
-- Run with a release build: cmake --build --preset release --target bench_images
--   vmatrix tests/bench/images.lua [MEBIBYTES] [ROUNDS]     (500 and 3 unless told otherwise)
local vm = require "vm"
local host = require "vm.host"
local images = require "vm.images"
local nginx = require "lua.nginx"
local script = require "vm.script"
local store = require "vm.images.store"

local raw = vm.raw
local fs = raw.fs
local size = tonumber(arg[1] or 500)
local rounds = tonumber(arg[2] or 3)

io.stdout:setvbuf "line"
local work = assert(fs.mkdtemp())
local _ <close> = setmetatable({}, { __close = function() fs.remove_tree(work) end })
require("vm.host.paths").cache = function() return work .. "/cache" end
script.set(work .. "/x.lua")
assert(fs.mkdir_p(work .. "/.vmatrix/images"))
local server <close> = nginx.start()

-- Something like a disk: by turns of 3 MiB noise, text and nothing, so that no part of it is all download and
-- another all decompression.
print(("making an image of %d MiB ..."):format(size))
do
    local line = "a line of a file of text, 1234567890\n"
    local text = line:rep((3 << 20) // #line)
    local random <close> = assert(io.open("/dev/urandom", "rb"))
    local disk <close> = assert(io.open(server.root .. "/disk", "wb"))
    for _ = 1, size // 9 do
        assert(disk:write(random:read(3 << 20), text, ("\0"):rep(3 << 20)))
    end
end
host.run { "xz", "-k", "-T2", "-1", "--block-size=1GiB", server.root .. "/disk" }

-- Processor time of this program and of those it ran, in seconds; nil where /proc does not say.
local function processor()
    local text = fs.read("/proc/self/stat", 4096)
    local fields = {}
    for word in (text or ""):gsub("^.*%) ", ""):gmatch "%S+" do
        fields[#fields + 1] = tonumber(word) or 0
    end
    return text and (fields[12] + fields[13] + fields[14] + fields[15]) / 100
end

local function time(fn)
    local started, used = vm.now(), processor()
    fn()
    return vm.now() - started, used and processor() - used
end

local function run(...)
    local argv = { ... }
    return function() host.run(argv, { timeout = 600 }) end
end

local function median(list)
    table.sort(list)
    return list[(#list + 1) // 2]
end

-- Runs all by turns; returns the medians of their times, and of the processor's.
local function measure(list)
    local times, used = {}, {}
    for _ = 1, rounds do
        for name, fn in pairs(list) do
            times[name], used[name] = times[name] or {}, used[name] or {}
            local wall, cpu = time(fn)
            table.insert(times[name], wall)
            table.insert(used[name], cpu or 0)
        end
    end
    for name in pairs(list) do
        times[name], used[name] = median(times[name]), median(used[name])
    end
    return times, used
end

local function publish(name, file, how)
    local digest = assert(raw.image.digest(server.root .. "/" .. file, "sha512"))
    assert(fs.write_atomic(work .. "/.vmatrix/images/bench.lua", ([[return { distro = "bench", format = "raw",
        compression = %s, releases = { { name = %q, arches = { %s = { { url = "%s/%s", dated = true,
        sha512 = %q } } } } } }]]):format(how or "nil", name, raw.build.arch, server.url,
        file, digest)))
    return digest
end

local function pull(name)
    return function()
        local got = images.get(name, raw.build.arch, { ca = server.ca })
        store.remove(store.record(got.digest))
    end
end

local digest = measure {
    ours = function() assert(raw.image.digest(server.root .. "/disk", "sha512")) end,
    theirs = run("sha512sum", server.root .. "/disk"),
}
print(("digest of %d MiB: %.2f s, sha512sum %.2f s: %.2fx of its speed (wanted >= 0.8x)"):format(size, digest.ours,
    digest.theirs, digest.theirs / digest.ours))

publish("packed", "disk.xz", '"xz"')
local packed, used = measure {
    ours = pull "packed",
    curl = run("curl", "-sS", "--cacert", server.ca, "-o", work .. "/out.xz", server.url .. "/disk.xz"),
    xz = run("sh", "-c", 'xz -dc "$1" >"$2"', "sh", server.root .. "/disk.xz", work .. "/out"),
}
local slower = math.max(packed.curl, packed.xz)
print(("download, decompression and digests: %.2f s; curl %.2f s, xz -dc %.2f s: %.2fx of the slower (wanted <= 1.15x)")
    :format(packed.ours, packed.curl, packed.xz, packed.ours / slower))

print(("  processor time, which load changes little: %.2f s; curl %.2f s and xz %.2f s: %.2fx of both")
    :format(used.ours, used.curl, used.xz, used.ours / (used.curl + used.xz)))

publish("plain", "disk")
local plain = measure {
    ours = pull "plain",
    curl = run("curl", "-sS", "--cacert", server.ca, "-o", work .. "/out.img", server.url .. "/disk"),
}
print(("download and digest, not compressed: %.2f s; curl %.2f s: %.2fx"):format(plain.ours, plain.curl,
    plain.ours / plain.curl))

images.get("plain", raw.build.arch, { ca = server.ca })
local found = {}
for i = 1, 51 do
    found[i] = time(function() images.get("plain", raw.build.arch, { offline = true }) end)
end
print(("an image in the cache, found and looked at: %.2f ms"):format(median(found) * 1000))

local defined = {}
for i = 0, 20 do -- the first one starts the run and its connection
    local guest
    local took = time(function()
        guest = vm.create { image = "plain", arch = raw.build.arch, memory = "256MiB" }
    end)
    guest:close()
    defined[i] = took
end
print(("a cached image to a defined guest, with its overlay and its configuration: %.0f ms (wanted <= 150)"):format(
    median(defined) * 1000))
