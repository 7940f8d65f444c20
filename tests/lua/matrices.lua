-- What the tests of matrices share.
local t = require "harness"
local vm = require "vm"
local plan = require "vm.matrix.plan"

local M = {}

---Expands definitions; they must be free of mistakes.
---@param ... table what vm.matrix takes
---@return table plan
function M.expand(...)
    local list = table.pack(...)
    for i, def in ipairs(list) do
        list[i] = vm.matrix(def)
    end
    local all, found = plan.all(list, { guests = false })
    t.equal(found:lines(), {})
    return all
end

---@param list table[] cells or tests
---@return string[]
function M.ids(list)
    local out = {}
    for i, item in ipairs(list) do
        out[i] = item.id
    end
    return out
end

return M
