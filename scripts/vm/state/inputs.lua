-- The files that a step takes from the host: which they are, and their digests.
local raw = require "vm.raw"
local cache = require "vm.state.digests"
local errors = require "vm.errors"
local script = require "vm.script"

local M = {}

local fs, tree = raw.fs, raw.tree

---What a step takes from the host.
---@class vm.StepInput
---@field path string as written: a file, a folder or a glob, from the script's folder
---@field exclude? string[] patterns as copy_in takes them
---@field base? string the script's folder, "" or with a slash at its end, when the step was made

local PAUSE <const> = 200 -- files between two looks at the rest of the program

local function add_file(parts, name, path, mode)
    parts[#parts + 1] = { name, ("file %03o %s"):format(mode, errors.raise(cache.file(path))) }
    if #parts % PAUSE == 0 then
        raw.task.sleep(0)
    end
end

local function add_folder(parts, label, root, exclude)
    for _, item in ipairs(errors.raise(tree.walk(root, { follow = true, exclude = exclude }))) do
        local name = item.path == "" and label or ("%s/%s"):format(label, tree.shown(item.path))
        if item.type == "file" then
            add_file(parts, name, ("%s/%s"):format(root, item.path), item.mode)
        elseif item.type == "dir" then
            parts[#parts + 1] = { name, ("folder %03o"):format(item.mode) }
        elseif item.type == "link" then
            parts[#parts + 1] = { name, "link to " .. item.target }
        end -- sockets and devices are not copied either
    end
end

local function has_glob(path)
    return path:find "[%*%?%[]" ~= nil
end

local function host_path(input)
    if input.base and input.path:sub(1, 1) ~= "/" then
        return input.base .. input.path
    end
    return script.path(input.path)
end

-- The paths that an input means, and whether a link among them is followed.
local function expand(what, input)
    local host = host_path(input):gsub("(.)/+$", "%1")
    if has_glob(input.path) and not fs.exists(host) then
        local matches = errors.raise(fs.glob(host))
        if #matches == 0 then
            errors.fail("notfound", "%s: input %s: nothing matches", what, tree.shown(input.path))
        end
        return matches, false
    elseif not fs.exists(host) then
        errors.fail("notfound", "%s: input %s: there is no file or folder %s", what, tree.shown(input.path), host)
    end
    return { host }, true
end

-- What an input's part is called: the path below the script's folder where it is there.
local function label_of(path, base)
    local folder = base or script.path ""
    if folder ~= "" and path:sub(1, #folder) == folder then
        path = path:sub(#folder + 1)
    end
    return tree.shown(path)
end

---The parts of a key that stand for the inputs: names, types, modes and content, sorted by input.
---@param what string for messages
---@param inputs vm.StepInput[]
---@return vm.KeyPart[]
function M.parts(what, inputs)
    local parts = {}
    for _, input in ipairs(inputs) do
        local matches, follow = expand(what, input)
        for _, path in ipairs(matches) do
            local stat = errors.raise((follow and fs.stat or fs.lstat)(path))
            local label = "input " .. label_of(path, input.base)
            if stat.type == "dir" then
                add_folder(parts, label, path, input.exclude)
            elseif stat.type == "file" then
                add_file(parts, label, path, stat.mode)
            elseif stat.type == "link" then
                parts[#parts + 1] = { label, "link to " .. errors.raise(fs.readlink(path)) }
            else
                errors.fail("unsupported", "%s: input %s is a %s", what, label_of(path, input.base), stat.type)
            end
        end
    end
    return parts
end

local function contains_all(list, wanted)
    for _, pattern in ipairs(wanted or {}) do
        local found = false
        for _, item in ipairs(list or {}) do
            found = found or item == pattern
        end
        if not found then
            return false
        end
    end
    return true
end

-- Whether a real path is one of the inputs or inside one.
local function covered(path, inputs, exclude)
    local real = fs.realpath(path)
    for _, input in ipairs(real and inputs or {}) do
        for _, match in ipairs(expand("copy_in", input)) do
            local root = fs.realpath(match)
            if root and (real == root or real:sub(1, #root + 1) == root .. "/")
                and contains_all(exclude, input.exclude) then
                return true
            end
        end
    end
    return false
end

---Whether all that a copy of `src` would take is among the inputs.
---@param src string as copy_in takes it
---@param inputs vm.StepInput[]
---@param exclude? string[] what the copy leaves out
---@return boolean
function M.cover(src, inputs, exclude)
    local host = script.path(src)
    local sources = { host }
    if has_glob(src) and not fs.exists(host) then
        sources = errors.raise(fs.glob(host))
    end
    for _, path in ipairs(sources) do
        if fs.exists(path) and not covered(path, inputs, exclude) then
            return false
        end
    end
    return true -- what is not there is told by the copy itself
end

return M
