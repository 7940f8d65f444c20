-- What the key for completion does: looks where the cursor stands, finds what may stand there, and says
-- what is to be put in, and what to show.
local raw = require "vm.raw"
local cursor = require "vm.repl.cursor"
local known = require "vm.repl.known"
local names = require "vm.repl.names"
local show = require "vm.repl.show"
local task = require "vm.task"

local M = {}

-- How long a guest may take to say what is in a folder, in seconds; and how much of it is taken.
local GUEST_PATIENCE <const> = 1.5
local MANY <const> = 1000
local SHOWN <const> = 200

---@class vm.repl.Found
---@field word string what stands there already and is to be replaced
---@field list string[] what may stand there
---@field tail string|table<string, string>|nil what comes behind the only one, or behind each

local function split_path(word)
    local folder, name = word:match "^(.*/)([^/]*)$"
    return folder or "", name or word
end

local function keep(list, start)
    local kept = {}
    for _, name in ipairs(list) do
        if name:sub(1, #start) == start and (start ~= "" or name:sub(1, 1) ~= ".") and not name:find "[%c]" then
            kept[#kept + 1] = name
            if #kept >= MANY then
                break
            end
        end
    end
    return kept
end

-- Paths of this host; a folder's name ends with a slash.
local function host_paths(word)
    local folder, start = split_path(word)
    local place = folder:gsub("^~/", (os.getenv "HOME" or "~") .. "/")
    local list = keep(raw.fs.list(place == "" and "." or place) or {}, start)
    for i, name in ipairs(list) do
        local stat = raw.fs.stat(place .. name)
        list[i] = name .. (stat and stat.type == "dir" and "/" or "")
    end
    return { word = start, list = list }
end

-- Paths of a guest or machine, as far as it answers soon.
local function guest_paths(machine, word)
    local folder, start = split_path(word)
    local ok, result = pcall(task.timeout, GUEST_PATIENCE, function()
        return machine:exec({ "ls", "-1Ap", "--", folder == "" and "." or folder },
            { timeout = GUEST_PATIENCE, max_output = 256 * 1024 })
    end)
    local list = {}
    for line in (ok and result.stdout or ""):gmatch "([^\n]+)\n" do
        if utf8.len(line) and show.line(line) == line then
            list[#list + 1] = line
        end
    end
    return { word = start, list = keep(list, start) }
end

-- Values of options, and arguments, that are names of something.
local by_key = {
    image = names.images, arch = names.arches,
    transport = function() return { "auto", "ssh", "agent" } end,
    accel = function() return { "kvm", "hvf", "tcg" } end,
    firmware = function() return { "none", "bios", "uefi", "uefi-secure" } end,
    panic = function() return { "fail", "ignore" } end,
}
local by_callee = { get = names.guests, connect = function()
    return { "qemu:///embed", "qemu:///system", "qemu:///session", "test:///default" }
end, console = function() return { "attach" } end }

local function topics()
    local list = {}
    for _, verb in ipairs(known.load().verbs) do
        list[#list + 1] = verb.full
    end
    for name in pairs(known.manual()) do
        list[#list + 1] = name
    end
    return list
end

local copies = { copy_in = { "host", "guest" }, copy_out = { "guest", "host" }, read = { "guest" }, write = { "guest" },
    wait_file = { "guest" } }

local function in_string(place)
    local verb = (place.callee or ""):match "[%a_][%w_]*$"
    local names_of = place.key and by_key[place.key]
    if names_of then
        return { word = place.word, list = names_of(), closes = true, or_path = place.key == "image" }
    elseif place.key == nil and place.callee == "help" then
        return { word = place.word, list = topics(), closes = true }
    elseif place.key == nil and by_callee[verb] then
        return { word = place.word, list = by_callee[verb](), closes = true }
    end
    local side = copies[verb] and copies[verb][place.argument or 1]
    local holder = (place.callee or ""):match "^(.*):[%w_]+$"
    if (side == "guest" or place.key == "cwd") and holder then
        local machine = names.value(holder)
        if type(machine) == "table" and type(machine.exec) == "function" then
            return guest_paths(machine, place.word)
        end
    end
    return host_paths(place.word)
end

-- The options of the call, where a key may stand.
local function option_keys(place)
    local value = place.callee and names.value(place.callee)
    local block
    if type(value) == "function" then
        block = known.of(value)
    end
    if not block and place.callee then -- a verb that is no plain function
        local name = place.callee:match "[%w_]+$"
        for _, verb in ipairs(known.load().verbs) do
            if verb.block.name == name and verb.full:find(place.callee:find ":" and ":" or ".", 1, true) then
                block = verb.block
                break
            end
        end
    end
    local param = block and block.params[place.argument]
    local list = {}
    for _, field in ipairs(param and known.options(param.type) or {}) do
        local name = field.name:gsub("%?$", "")
        if not place.used[name] then
            list[#list + 1] = name
        end
    end
    return list
end

local function in_code(place)
    if place.path ~= "" then
        local value = names.value(place.path:sub(1, -2))
        return { word = place.word, list = value ~= nil and names.of(value, place.path:sub(-1)) or {} }
    end
    if place.at_key then
        local keys = option_keys(place)
        for _, key in ipairs(keys) do
            if key:sub(1, #place.word) == place.word then
                return { word = place.word, list = keys, tail = " = " }
            end
        end
    end
    return { word = place.word, list = names.globals() }
end

---What may stand at the end of a text.
---@param text string
---@return vm.repl.Found|nil
function M.find(text)
    local place = cursor.place(text)
    local found
    if place.kind == "string" then
        found = in_string(place)
    elseif place.kind == "name" then
        found = in_code(place)
    else
        return nil
    end
    local kept, seen = {}, {}
    for _, name in ipairs(found.list) do
        if name:sub(1, #found.word) == found.word and not seen[name] then
            seen[name] = true
            kept[#kept + 1] = name
        end
    end
    if #kept == 0 and found.or_path then
        found = host_paths(place.word)
        kept = found.list
    end
    table.sort(kept)
    found.list = kept
    found.quote = place.quote
    return found
end

-- What all of them begin with, in whole characters.
local function common_start(list)
    local first, last = list[1], list[#list] -- sorted
    local at = 1
    while at <= #first and first:byte(at) == last:byte(at) do
        at = at + 1
    end
    while at > 1 and (first:byte(at) or 0) & 0xC0 == 0x80 do
        at = at - 1
    end
    return first:sub(1, at - 1)
end

---Names in columns, as ls prints them.
---@param list string[]
---@param width integer
---@return string
function M.columns(list, width)
    local shown = {}
    for i = 1, math.min(#list, SHOWN) do
        shown[i] = show.line(list[i])
    end
    local wide = 0
    for _, name in ipairs(shown) do
        wide = math.max(wide, utf8.len(name) or #name)
    end
    local count = math.max(1, (width + 2 - 1) // (wide + 2))
    local rows = (#shown + count - 1) // count
    local lines = {}
    for row = 1, rows do
        local cells = {}
        for column = 0, count - 1 do
            local name = shown[column * rows + row]
            cells[#cells + 1] = name and name .. (" "):rep(wide - (utf8.len(name) or #name)) or nil
        end
        lines[row] = table.concat(cells, "  "):gsub("%s+$", "")
    end
    if #list > SHOWN then
        lines[#lines + 1] = ("... and %d more"):format(#list - SHOWN)
    end
    return table.concat(lines, "\n") .. "\n"
end

-- A path as it stands between quotes.
local function escaped(text, quote)
    if quote == '"' or quote == "'" then
        return (text:gsub("[\\" .. quote .. "]", "\\%0"))
    end
    return text
end

---The answer to the key for completion.
---@param before string what stands before the cursor
---@param after string what stands behind it
---@return integer drop bytes before the cursor that are replaced
---@return string insert
---@return string|nil listing
function M.answer(before, after)
    if not before:find "%S" then
        return 0, "    " -- the beginning of a line: it is indented
    end
    local found = M.find(before)
    if not found or #found.list == 0 then
        return 0, ""
    end
    local start = common_start(found.list)
    if #found.list > 1 then
        if #start > #found.word then
            return #found.word, escaped(start, found.quote)
        end
        return 0, "", M.columns(found.list, show.width())
    end
    local tail = found.tail or ""
    if found.quote == '"' or found.quote == "'" then
        if start:sub(-1) ~= "/" and after:sub(1, 1) ~= found.quote then
            tail = found.quote
        end
    elseif tail ~= "" and after:find "^%s*=" then
        tail = ""
    end
    return #found.word, escaped(start, found.quote) .. tail
end

return M
