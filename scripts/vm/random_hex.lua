-- Hexadecimal digits that nobody can guess: for names that must be new, and for marks that nobody is to forge.
local raw = require "vm.raw"
local errors = require "vm.errors"

---@param bytes integer of two digits each
---@return string
return function(bytes)
    return (errors.raise(raw.fs.random(bytes)):gsub(".", function(c)
        return ("%02x"):format(c:byte())
    end))
end
