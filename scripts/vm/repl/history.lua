-- What was typed at the prompt, over all sessions of this user: one entry a line, in a file that nobody
-- else may read.
local raw = require "vm.raw"
local paths = require "vm.host.paths"

local M = {}

local fs = raw.fs

local KEEP <const> = 2000 -- entries
local TOO_LONG <const> = 8192 -- bytes of an entry
local WHOLE <const> = 16 * 1024 * 1024 -- bytes of the file that are looked at

---@class vm.repl.History
local History = {}
History.__index = History

local function pack(text)
    return (text:gsub("[\\\n\r]", { ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r" }))
end

local function unpack_line(line)
    return (line:gsub("\\(.)", { ["\\"] = "\\", n = "\n", r = "\r" }))
end

local function read(path)
    local entries = {}
    for line in ((fs.read(path, WHOLE)) or ""):gmatch "([^\n]+)\n" do
        entries[#entries + 1] = unpack_line(line)
    end
    return entries
end

local function write(path, entries, from)
    local lines = {}
    for i = from, #entries do
        lines[#lines + 1] = pack(entries[i]) .. "\n"
    end
    return fs.write_atomic(path, table.concat(lines), 384) -- 0600
end

---Opens this user's history. What cannot be kept is a warning, once.
---@param path? string the usual place when absent
---@return vm.repl.History
function M.open(path)
    local self = setmetatable({ entries = {} }, History)
    path = path or paths.typed()
    local folder = path and path:match "^(.*)/[^/]*$"
    local ok, err
    if path then
        ok, err = paths.private(folder)
    end
    if not ok then
        if err then
            raw.log.write("warn", nil, "what is typed is not kept: " .. tostring(err))
        end
        return self
    end
    self.path = path
    self.entries = read(path)
    local stat = fs.lstat(path)
    if #self.entries > KEEP then
        write(path, self.entries, #self.entries - KEEP // 2 + 1)
        self.entries = read(path)
    elseif not stat then
        write(path, {}, 1)
    elseif stat.type ~= "file" then
        self.path = nil
    elseif stat.mode & 63 ~= 0 then
        fs.chmod(path, 384)
    end
    return self
end

---Adds what was typed, unless it begins with a space, is empty, or is what was typed just before.
---@param text string
---@return boolean whether it was added
function History:add(text)
    if text:find "^%s" or text == "" or #text > TOO_LONG or text:find("\0", 1, true)
        or text == self.entries[#self.entries] then
        return false
    end
    self.entries[#self.entries + 1] = text
    -- Appended, so that several sessions do not take each other's lines away.
    local file = self.path and io.open(self.path, "ab")
    if file then
        file:write(pack(text), "\n")
        file:close()
    end
    return true
end

return M
