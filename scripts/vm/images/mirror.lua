-- A mirror: a folder, or what a web server makes of it, with images by their digests. VMATRIX_MIRROR names
-- one, and then nothing comes from anywhere else.
local errors = require "vm.errors"
local digests = require "vm.images.digest"
local download = require "vm.images.download"

local M = {}

---The mirror in use, as a URL without a slash at its end, or nil.
---@return string|nil
function M.place()
    local place = os.getenv "VMATRIX_MIRROR"
    if not place or place == "" then
        return nil
    end
    place = place:gsub("/+$", "")
    if place:find "^https?://" or place:find "^file:///" then
        return place
    elseif place:sub(1, 1) == "/" then
        return download.file_url(place)
    end
    return errors.fail("usage", "VMATRIX_MIRROR: an absolute path or a URL expected, got '%s'", place)
end

---What a file is called in a mirror.
---@param digest string
---@return string
function M.name(digest)
    local algorithm, hex = digests.parse("mirror", digest)
    return ("%s-%s"):format(algorithm, hex)
end

---Where a file of this digest comes from: the mirror where one is in use.
---@param location vm.ImageLocation
---@param digest string
---@return vm.ImageLocation
function M.location(location, digest)
    local place = M.place()
    return place and { url = ("%s/%s"):format(place, M.name(digest)), dated = true } or location
end

return M
