-- Reads matrix files: runs them, and takes the matrices that they return.
local errors = require "vm.errors"
local define = require "vm.matrix.define"
local script = require "vm.script"
local source = require "vm.matrix.source"

local M = {}

local function folder_of(path)
    return path:match "^(.*)/[^/]*$" or "."
end

-- Where an error says it happened: "matrix.lua:12: ..." -> line, text.
local function split(path, message)
    local start = path .. ":"
    if message:sub(1, #start) == start then
        local line, rest = message:sub(#start + 1):match "^(%d+): (.*)$"
        if line then
            return tonumber(line), rest
        end
    end
    return 1, message
end

-- The line of the file that was running when an error was raised by the library.
local function line_of(path)
    for level = 2, 60 do
        local info = debug.getinfo(level, "Sl")
        if not info then
            return nil
        elseif info.source == "@" .. path and info.currentline > 0 then
            return info.currentline
        end
    end
end

local function run(path, found)
    local chunk = script.load(path)
    script.set(path)
    define.loading = path
    local line
    local ok, value = xpcall(chunk, function(err)
        line = errors.is(err) and line_of(path) or nil
        return err
    end, path)
    define.loading = nil
    if not ok then
        local at, message = split(path, errors.is(value) and value.message or tostring(value))
        found:at(path, line or at, message)
        return {}
    end
    local list = define.of(value)
    if not list then
        found:at(path, 1, "it returns no matrix; a matrix file ends with `return vm.matrix { ... }`, or a table of "
            .. "several")
    end
    return list or {}
end

---Runs matrix files and returns what they define, in their order; what is wrong with one is added to the
---problems, and the others are read all the same.
---@param paths string[]
---@param found vm.matrix.Problems
---@return vm.Matrix[]
function M.files(paths, found)
    local out = {}
    local library_path, folders = package.path, {}
    for _, path in ipairs(paths) do
        local before = {}
        for name in pairs(package.loaded) do
            before[name] = true
        end
        folders[#folders + 1] = folder_of(path) .. "/?.lua"
        package.path = folders[#folders] .. ";" .. library_path
        local ok, list = pcall(run, path, found)
        local sources = {}
        for name in pairs(package.loaded) do
            -- The next file's module of that name may be another.
            if not before[name] and name ~= "vm" and not name:find "^vm%." then
                package.loaded[name] = nil
                sources[#sources + 1] = package.searchpath(name, package.path)
            end
        end
        table.sort(sources)
        table.insert(sources, 1, path)
        if ok then
            for _, matrix in ipairs(list) do
                matrix.script, matrix.sources = path, sources
                out[#out + 1] = matrix
            end
        else
            local at, message = split(path, errors.is(list) and list.message or tostring(list))
            found:at(path, at, message)
        end
    end
    -- What tests require when they run is looked for beside all of the files.
    package.path = table.concat(folders, ";") .. ";" .. library_path
    source.place_all(out)
    return out
end

return M
