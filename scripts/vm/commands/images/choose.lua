-- Which images a command line means.
local errors = require "vm.errors"
local catalogue = require "vm.images.catalogue"
local guests = require "vm.matrix.guests"
local images = require "vm.images"
local store = require "vm.images.store"

local M = {}

---Options of the commands that are about several images.
---@type vm.CommandOption
M.ARCH = { name = "--arch", value = "ARCH", many = true, complete = { "arch" },
    help = "for which architecture, 'all' for each there is; several times" }
---@type vm.CommandOption
M.LOCK = { name = "--lock", value = "FILE", complete = { "file" },
    help = "what the names mean; ./vmatrix.lock if it is there" }
---@type vm.CommandOption
M.MATRIX = { name = "--matrix", value = "FILE", complete = { "file" },
    help = "without names: whose images; matrix.lua" }

---The entries that names and architectures mean: each name for each architecture, or for the one it says.
---@param names string[]
---@param arches string[]|nil this machine's unless told otherwise; "all" is all that there are
---@return vm.ImageEntry[]
function M.entries(names, arches)
    local out = {}
    for _, name in ipairs(names) do
        if name:find "@" or not arches then
            out[#out + 1] = images.find(name)
        else
            for _, arch in ipairs(arches) do
                if arch ~= "all" then
                    out[#out + 1] = images.find(name, arch)
                else
                    local short = catalogue.split(name)
                    local known = catalogue.all().by_name[short] or catalogue.missing(short, arch)
                    for each in pairs(known.arches) do
                        out[#out + 1] = images.find(short, each)
                    end
                end
            end
        end
    end
    table.sort(out, function(a, b)
        return a.name < b.name or (a.name == b.name and a.arch < b.arch)
    end)
    return out
end

-- Whether a guest's image is a name of ours, rather than a path or the seed.
local function is_name(image)
    if type(image) ~= "string" or image == "seed" or not image:find "^%w[%w._@-]*$" then
        return false
    end
    local short, arch = catalogue.split(image)
    return catalogue.all().by_name[short] ~= nil or store.named(short, arch) ~= nil
end

---The images that cells of a matrix use.
---@param cells table[] of a plan
---@return vm.ImageEntry[]
function M.of_cells(cells)
    local seen, out = {}, {}
    for _, cell in ipairs(cells) do
        for _, guest in ipairs(guests.of(cell)) do
            if is_name(guest.options.image) then
                local entry = images.find(guest.options.image, guest.options.arch)
                local key = entry.name .. "@" .. entry.arch
                if not seen[key] then
                    seen[key] = true
                    out[#out + 1] = entry
                end
            end
        end
    end
    return out
end

---The images that a matrix uses.
---@param path string of the matrix file
---@return vm.ImageEntry[]
function M.of_matrix(path)
    local found = require("vm.matrix.problems").new()
    local all = require("vm.matrix.plan").all(require("vm.matrix.load").files({ path }, found), {
        problems = found, guests = false })
    if #found.list > 0 then
        errors.fail("usage", "%s has mistakes: %s; `vmatrix test --list` says more", path, found:lines()[1])
    end
    return M.of_cells(all.cells)
end

---The images that were named, or without names those that a matrix uses.
---@param names string[]
---@param opts { arch?: string[], matrix?: string } of the command
---@return vm.ImageEntry[]
function M.named_or_used(names, opts)
    if #names > 0 then
        return M.entries(names, opts.arch)
    end
    return M.of_matrix(opts.matrix or "matrix.lua")
end

return M
