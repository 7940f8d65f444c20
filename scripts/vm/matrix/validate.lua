-- What each cell's guests are to be, checked before anything boots: options, images, memory.
local raw = require "vm.raw"
local errors = require "vm.errors"
local options = require "vm.options"
local faults = require "vm.matrix.faults"
local guests = require "vm.matrix.guests"
local script = require "vm.script"

local M = {}

local MIB <const> = 1024 * 1024

-- What vm.boot takes besides vm.create's options.
local boot_options = { wait = true, timeout = true }

-- A text that is the same for equal options, so that thousands of cells are checked as few kinds.
local function key_of(value, depth)
    if type(value) == "string" then
        return ("%q"):format(value)
    elseif type(value) ~= "table" or getmetatable(value) ~= nil or depth > 6 then
        return tostring(value) -- an object, such as a network, is itself
    end
    local parts = {}
    for name, item in pairs(value) do
        parts[#parts + 1] = key_of(name, depth + 1) .. "=" .. key_of(item, depth + 1)
    end
    table.sort(parts)
    return "{" .. table.concat(parts, ",") .. "}"
end

-- An image that is no file: said here, since a name is more often misspelt than a path.
local function check_image(image)
    local named = require "vm.guest.named"
    if type(image) ~= "string" or image == "seed" or not named.is_name(image) and raw.fs.exists(script.path(image)) then
        return
    end
    local names = named.names()
    local name = image:match "^(.-)@[%w_]+$" or image
    if not names[name] and not image:find "/" then
        local near = options.nearest(name, { "seed" }) or options.nearest(name, names)
        errors.fail("notfound", "unknown image '%s': it is neither 'seed', nor the name of an image, nor a file (%s)%s",
            image, script.path(image), near and ("; did you mean '%s'?"):format(near) or "")
    end
end

local function check_memory(spec, limit)
    if spec.memory > limit then
        errors.fail("usage", "it needs %d MiB of memory, and this host has %d MiB: it could never run",
            spec.memory // MIB, limit // MIB)
    end
    if spec.image == "seed" then
        local seed = require "vm.seed"
        local image = not spec.kernel and not spec.initrd and seed.image(spec.arch)
        if image and spec.memory < image.memory_min then
            errors.fail("usage", "option 'memory': the seed guest for %s needs at least %d MiB", spec.arch,
                image.memory_min // MIB)
        end
    end
end

---Whether what a guest function returned is a machine that is there already, with commands of its own.
---@param made table
---@return boolean
function M.is_machine(made)
    if type(made) == "userdata" then
        return true
    end
    local ok, exec = pcall(function() return made.exec end) -- some tables raise for what they have not
    return ok and type(exec) == "function"
end

local function check_options(given, limit)
    if given.image then
        check_image(given.image)
    end
    local plain = { name = "guest" }
    for name, value in pairs(given) do
        if not boot_options[name] then
            plain[name] = value
        end
    end
    local spec = require("vm.guest.spec").check("guest", plain)
    check_memory(spec, limit)
    return spec
end

-- Checks equal options once; returns the memory, or nil and what is wrong.
local function checker(limit)
    local known = {}
    return function(given)
        local key = key_of(given, 0)
        local result = known[key]
        if not result then
            local ok, spec = pcall(check_options, given, limit)
            local why = not ok and (errors.is(spec) and spec.message or tostring(spec)) or nil
            result = { memory = ok and spec.memory, why = why and why:gsub("^guest: ", "") }
            known[key] = result
        end
        return result.memory, result.why
    end
end

-- Where faults of guests are said to be: the first when it is a function, the rest as a path otherwise.
local function place_of(given)
    if type(given[1]) == "function" then
        return given[1]
    end
    return table.move(given, 2, #given, 1, {})
end

---Checks the guests of a matrix's cells; cells that are skipped are left alone.
---@param matrix table
---@param cells table[]
---@param problems vm.matrix.Problems
---@param limit? integer bytes of memory that this host can give at most
function M.guests(matrix, cells, problems, limit)
    limit = limit or select(2, raw.fs.memory_available())
    local found = faults.new(matrix, problems)
    local check = checker(limit)
    local whole = place_of { matrix.guest or matrix.guests, matrix.guests and "guests" or "guest" }
    local places = {}
    for _, cell in ipairs(cells) do
        local list = not cell.skip and found:try(whole, "guest", cell.id, guests.of, cell)
        local total = 0
        for _, guest in ipairs(list or {}) do
            if not M.is_machine(guest.options) then
                local memory, why = check(guest.options)
                if why then
                    local name, path = guest.name, guest.path
                    places[name] = places[name] or place_of { path[1], table.unpack(path) }
                    found:add(places[name], name == "guest" and name or "guests." .. name, cell.id, why)
                end
                total = total + (memory or 0)
            end
        end
        if total > limit and #list > 1 then
            found:add(whole, "guests", cell.id, ("together they need %d MiB of memory, and this host has "
                .. "%d MiB: it could never run"):format(total // MIB, limit // MIB))
        end
    end
    found:say()
end

---Checks what the steps of `prepare` say against the matrix's axes.
---@param matrix table
---@param problems vm.matrix.Problems
function M.steps(matrix, problems)
    local known = {}
    for name in pairs(matrix.fields) do
        known[#known + 1] = name
    end
    for i, step in ipairs(matrix.prepare) do
        local is_step = getmetatable(step) == require("vm.state.step").Step
        for _, name in ipairs(is_step and step.uses or {}) do
            if not matrix.fields[name] then
                problems:try(matrix, { "prepare", i, "uses" }, options.unknown,
                    ("step '%s': uses"):format(step.name), "axis", name, known)
            end
        end
    end
end

return M
