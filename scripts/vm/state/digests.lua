-- Digests of files on the host. Those of big files are kept in the cache for as long as the file is the
-- same one by its place, size and times.
local raw = require "vm.raw"
local paths = require "vm.host.paths"

local M = {}

local fs = raw.fs

local SMALL <const> = 128 * 1024 -- bytes that are read sooner than looked up
local RACY <const> = 2 * 10 ^ 9 // 1 -- ns: a file that changed so lately may change again unseen
local MOST <const> = 4096 -- entries kept

local known -- stamp -> digest, once read
local kept = 0

local function cache_path()
    return paths.cache() .. "/digests"
end

local function load_known()
    if not known then
        known, kept = {}, 0
        for stamp, digest in (fs.read(cache_path(), 4 << 20) or ""):gmatch "([%d:]+) (%x+)\n" do
            known[stamp], kept = digest, kept + 1
        end
    end
    return known
end

local function stamp_of(stat)
    return ("%d:%d:%d:%d:%d"):format(stat.dev, stat.ino, stat.size, stat.mtime_ns, stat.ctime_ns)
end

-- Another process may add its own meanwhile: a line that is lost is made again.
local function keep(stamp, digest)
    local path = cache_path()
    if kept >= MOST then
        fs.unlink(path)
        known, kept = {}, 0
    end
    known[stamp], kept = digest, kept + 1
    if fs.mkdir_p(paths.cache(), 448) then -- 0700
        local file = io.open(path, "a")
        if file then
            file:write(stamp, " ", digest, "\n")
            file:close()
        end
    end
end

local function big_file(path)
    local before, err = fs.stat(path)
    if not before then
        return nil, err
    end
    local stamp = stamp_of(before)
    local digest = load_known()[stamp]
    if digest then
        return digest
    end
    digest, err = fs.sha256(path)
    if not digest then
        return nil, err
    end
    local after = fs.stat(path)
    if not after or stamp_of(after) ~= stamp
        or fs.now_unix() * 1e9 - math.max(after.mtime_ns, after.ctime_ns) < RACY then
        return digest -- it may be another one next time
    end
    keep(stamp, digest)
    return digest
end

---The SHA-256 of a file. Waits for big ones.
---@param path string
---@return string|nil digest
---@return vm.Error|nil err
function M.file(path)
    local text = fs.read(path, SMALL)
    if text then
        return raw.data.sha256(text)
    end
    return big_file(path)
end

return M
