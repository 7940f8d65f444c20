-- Architectures by their names; what is known of each is in runtime/virt/arch.c.
local raw = require "vm.raw"
local options = require "vm.options"

local M = {}

---The description of an architecture by its name or alias; raises for an unknown one.
---@param what string for messages
---@param name string
---@return table
function M.find(what, name)
    local names = {}
    for _, arch in ipairs(raw.virt.arches()) do
        if arch.name == name or arch.alias == name then
            return arch
        end
        names[#names + 1] = arch.name
    end
    options.unknown(what, "architecture", name, names)
end

return M
