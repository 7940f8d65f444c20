-- The guests of a cell: what a matrix's guest or guests says for it.
local errors = require "vm.errors"
local options = require "vm.options"
local view = require "vm.matrix.view"

local M = {}

-- Without `guest`, axes of these names say what the guest is.
local function default_options(cell)
    local out = { image = "seed" }
    for _, name in ipairs { "image", "arch", "memory", "cpus" } do
        local value = cell.values[name]
        if type(value) == "table" then
            value = value.name
        end
        if value ~= nil then
            out[name] = value
        end
    end
    return out
end

local function ask(what, guest, cell)
    if type(guest) == "function" then
        local made = guest(cell)
        if type(made) ~= "table" then
            errors.fail("usage", "%s: a table of vm.create's options expected, got %s", what, options.show(made))
        end
        return made
    end
    return guest
end

-- Where what is said of a guest stands: its function, or a path.
local function place(given, ...)
    return type(given) == "function" and { given } or { ... }
end

---The guests of a cell, in the order of their names: { name, options, path }. With `guest` it is one, named
---"guest". The matrix's functions are called; what they raise is raised.
---@param cell table of a plan
---@return { name: string, options: table, path: any[] }[]
function M.of(cell)
    local matrix = cell.matrix
    local seen = view.of(cell)
    if matrix.guests == nil then
        local made = matrix.guest and ask("guest", matrix.guest, seen) or default_options(cell)
        return { { name = "guest", options = made, path = place(matrix.guest, "guest") } }
    end
    local out = {}
    for name, guest in pairs(ask("guests", matrix.guests, seen)) do
        if type(name) ~= "string" then
            errors.fail("usage", "guests: a table of guests by name expected, and it has the key %s",
                options.show(name))
        end
        local made = ask("guests." .. name, guest, seen)
        if type(made) ~= "table" then
            errors.fail("usage", "guests.%s: a table of vm.create's options expected, got %s", name, options.show(made))
        end
        out[#out + 1] = { name = name, options = made,
            path = type(matrix.guests) == "function" and { matrix.guests } or place(guest, "guests", name) }
    end
    if #out == 0 then
        errors.fail("usage", "guests: it is empty")
    end
    table.sort(out, function(a, b) return a.name < b.name end)
    return out
end

return M
