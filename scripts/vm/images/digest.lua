-- Digests as the catalogue, the lock and the cache write them: "sha256:<hex>" or "sha512:<hex>".
local raw = require "vm.raw"
local errors = require "vm.errors"

local M = {}

local lengths = { sha256 = 64, sha512 = 128 }

---Takes a digest apart; raises for what is none.
---@param what string for messages
---@param text string
---@return string algorithm
---@return string hex in lower case
function M.parse(what, text)
    local algorithm, hex = tostring(text):match "^(%w+):(%x+)$"
    if not lengths[algorithm] or #hex ~= lengths[algorithm] then
        errors.fail("usage", "%s: a digest such as 'sha256:' and 64 hexadecimal digits expected, got '%s'", what,
            (tostring(text):sub(1, 150):gsub("%c", "?")))
    end
    return algorithm, hex:lower()
end

---The digest of a location of the catalogue, or nil.
---@param location vm.ImageLocation
---@return string|nil
function M.of_location(location)
    if location.sha512 then
        return "sha512:" .. location.sha512:lower()
    elseif location.sha256 then
        return "sha256:" .. location.sha256:lower()
    end
end

---The digest of a file. Waits.
---@param path string
---@param algorithm string
---@return string
function M.of_file(path, algorithm)
    return ("%s:%s"):format(algorithm, errors.raise(raw.image.digest(path, algorithm)))
end

return M
