-- The script that runs: its text, and its folder, where relative host paths start.
local errors = require "vm.errors"
local raw = require("vm.raw").task

local M = {}

local folder = "."
local texts = {}
local of_task = setmetatable({}, { __mode = "k" })

local function folder_of(path)
    return path:match "^/[^/]*$" and "/" or path:match "^(.*)/[^/]*$" or "."
end

---Remembers the script's path ("-" is standard input).
---@param path string
function M.set(path)
    folder = folder_of(path)
end

---From now on this script is meant in the running task and in those that it spawns: several files may
---be run at once. Without a path it is the program's own again.
---@param path string|nil
function M.use(path)
    of_task[raw.running()] = path and folder_of(path)
end

---The folder that a task's children begin with, or nil for the script's own.
---@return string|nil
function M.here()
    return of_task[raw.running()]
end

---Gives the running task the folder of the one that spawned it.
---@param here string|nil from M.here
function M.inherit(here)
    if here then
        of_task[raw.running()] = here
    end
end

---Remembers the text of a chunk as it was compiled.
---@param name string the chunk's name: "@build.lua", "=stdin"
---@param text string
function M.remember(name, text)
    texts[name] = text
end

---The text of a chunk, if it was remembered.
---@param name string
---@return string|nil
function M.text(name)
    return texts[name]
end

---A host path as the script meant it: relative ones start at the script's folder.
---@param path string
---@return string
function M.path(path)
    local here = of_task[raw.running()] or folder
    if path:sub(1, 1) == "/" or here == "." then
        return path
    end
    return (here == "/" and "/" or here .. "/") .. path
end

---Compiles a script's text: a byte order mark and a first line that starts with '#' are for others,
---and compiled chunks are refused, since Lua does not check them.
---@param text string
---@param name string as for load: "@path"
---@return function
function M.compile(text, name)
    if text:sub(1, 1) == "\27" then
        errors.fail("script", "%s is compiled Lua; only source text can be run", name:sub(2))
    end
    text = text:gsub("^\xef\xbb\xbf", ""):gsub("^#[^\n]*", "")
    local chunk, problem = load(text, name, "t")
    if not chunk then
        errors.fail("script", "%s", problem)
    end
    M.remember(name, text)
    return chunk
end

---Reads and compiles a script.
---@param path string
---@return function
function M.load(path)
    local file, why = io.open(path, "rb")
    if not file then
        errors.fail("notfound", "cannot open %s", why)
    end
    local text
    text, why = file:read "a"
    file:close()
    if not text then -- a folder can be opened, but not read
        errors.fail("notfound", "cannot read %s: %s", path, why)
    end
    return M.compile(text, "@" .. path)
end

return M
