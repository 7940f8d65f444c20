-- vmatrix.lock: what each image's name meant, so that it means the same tomorrow and elsewhere.
local raw = require "vm.raw"
local digests = require "vm.images.digest"
local errors = require "vm.errors"
local script = require "vm.script"

local M = {}

local fs = raw.fs
local FORMAT <const> = 1

local only_locked = false

---From now on no image is used that is not in a lock, unless a call says otherwise.
---@param locked boolean
function M.insist(locked)
    only_locked = locked
end

---Reads a lock; one that does not exist is empty.
---@param path string
---@return table<string, { digest: string, url?: string }> images by "name@arch"
function M.read(path)
    local text, err = fs.read(path, 4 << 20)
    if not text then
        if errors.is(err, "notfound") then
            return {}
        end
        error(err, 0)
    end
    local lock = raw.json.decode(text)
    if type(lock) ~= "table" or lock.format ~= FORMAT or type(lock.images) ~= "table" then
        errors.fail("format", "%s is no lock of images that this program can read", path)
    end
    for key, item in pairs(lock.images) do
        digests.parse(("%s: %s"):format(path, key), type(item) == "table" and item.digest)
    end
    return lock.images
end

---Writes a lock, the images in order, a line each.
---@param path string
---@param images table<string, { digest: string, url?: string }>
function M.write(path, images)
    local keys, lines = {}, {}
    for key in pairs(images) do
        keys[#keys + 1] = key
    end
    table.sort(keys)
    for i, key in ipairs(keys) do
        local item = images[key]
        local url = item.url and (", \"url\": %s"):format(raw.json.encode(item.url)) or ""
        lines[i] = ("    %s: { \"digest\": %s%s }"):format(raw.json.encode(key), raw.json.encode(item.digest), url)
    end
    errors.raise(fs.write_atomic(path, ("{\n  \"format\": %d,\n  \"images\": {\n%s\n  }\n}\n"):format(FORMAT,
        table.concat(lines, ",\n"))))
end

---What an image is pinned to by the lock that is given, or the one beside the script; or nil. Raises when it
---has to be and is not.
---@param key string "name@arch"
---@param opts { lock?: string, locked?: boolean }
---@return { digest: string, url?: string }|nil
function M.pinned(key, opts)
    local path = opts.lock or script.path "vmatrix.lock"
    local locked = opts.locked
    if locked == nil then
        locked = only_locked
    end
    local item = M.read(path)[key]
    if locked and not item then
        errors.fail("unsafe", "image %s: it is not in %s, and only what is there may be used; "
            .. "`vmatrix images lock %s` adds it", key, path, key)
    end
    return item or nil
end

return M
