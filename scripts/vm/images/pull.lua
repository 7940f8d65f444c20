-- Getting an image that is not in the cache: one process downloads it, the others wait for it.
local raw = require "vm.raw"
local digests = require "vm.images.digest"
local errors = require "vm.errors"
local download = require "vm.images.download"
local mirror = require "vm.images.mirror"
local qcow2 = require "vm.images.qcow2"
local store = require "vm.images.store"

local M = {}

local fs = raw.fs

-- Which of a failure's kinds leave a part that is worth going on with.
local resumable = { connection = true, timeout = true, cancelled = true }

-- Downloads into the staging folder; returns the files of the record.
local function fetch(key, entry, digest, location, opts, staging)
    local algorithm = digests.parse(key, digest)
    local packed = entry.compression ~= nil
    local disk = "disk." .. entry.format
    local got = download.file {
        what = "image " .. key, url = location.url, part = staging .. "/part",
        into = packed and staging .. "/" .. disk or nil, algorithm = algorithm, digest = digest,
        progress = opts.progress, retries = opts.retries, rate = opts.rate, ca = opts.ca, proxy = opts.proxy,
        entry = entry,
    }
    if packed then
        fs.unlink(staging .. "/part")
    else
        errors.raise(fs.rename(staging .. "/part", staging .. "/" .. disk))
    end
    qcow2.check_file(staging .. "/" .. disk, entry.format, "image " .. key)
    return { { role = "disk", name = disk, digest = packed and "sha256:" .. got.content_digest or digest } }
end

-- One location after the other, while it is only that a location is gone.
local function try_all(key, entry, digest, locations, opts, staging)
    local last
    for _, location in ipairs(locations) do
        local ok, result = pcall(fetch, key, entry, digest, mirror.location(location, digest), opts, staging)
        if ok then
            return result, location.url
        end
        last = result
        if not errors.is(last, "notfound") then
            break
        end
    end
    local part = fs.stat(staging .. "/part")
    if not (errors.is(last) and resumable[last.kind] and part and part.size > 0) then
        fs.remove_tree(staging)
    end
    if errors.is(last, "notfound") and not mirror.place() then
        last.message = last.message .. ("; distributions remove dated images after some months: "
            .. "`vmatrix images lock --latest %s` pins the one that is there now"):format(key)
    end
    error(last, 0)
end

---Downloads, checks and keeps an image. Waits; when another process downloads it, waits for that.
---@param entry vm.ImageEntry
---@param digest string
---@param locations vm.ImageLocation[] those that have this digest
---@param opts { progress?: fun(state: table), retries?: integer, rate?: integer, ca?: string, proxy?: string }
---@return vm.CachedImage
function M.image(entry, digest, locations, opts)
    local key = ("%s@%s"):format(entry.name, entry.arch)
    local progress = opts.progress or function() end
    local lock <close> = store.lock(digest, function() -- luacheck: ignore 211
        progress { what = "waiting", name = entry.name, arch = entry.arch }
    end)
    local there = store.open(digest, true) -- somebody else was faster
    if there then
        return there
    end
    local staging = store.staging(digest, true)
    local files, url = try_all(key, entry, digest, locations, opts, staging)
    progress { what = "saving", name = entry.name, arch = entry.arch }
    store.commit {
        digest = digest, files = files, format = entry.format, name = entry.name, arch = entry.arch, url = url,
        compression = entry.compression, fetched = os.time(), verified = entry.verified,
    }
    return store.open(digest, true)
end

return M
