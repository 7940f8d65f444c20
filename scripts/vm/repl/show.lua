-- Values as the prompt shows them: on a line where that is readable, folded where not, and harmless
-- whatever a guest put into them.
local errors = require "vm.errors"
local raw = require "vm.raw"

local M = {}

local ENTRIES <const> = 60 -- of a table
local DEPTH <const> = 4
local LINES <const> = 200 -- of a text
local BYTES <const> = 64 * 1024

local function hex(text)
    return (text:gsub(".", function(c) return ("\\x%02x"):format(c:byte()) end))
end

-- Characters that move the cursor, change what follows, or turn its direction.
local function is_unsafe(code)
    return code < 32 or code >= 127 and code < 160 or code >= 0x200B and code <= 0x200F
        or code >= 0x2028 and code <= 0x202E or code >= 0x2060 and code <= 0x206F or code == 0xFEFF
end

local function clean_run(text, keep)
    if not text:find "[\0-\31\127-\255]" then
        return text
    end
    local parts, at = {}, 1
    while at <= #text do
        local stop = text:find("[\0-\31\127-\255]", at)
        if not stop then
            parts[#parts + 1] = text:sub(at)
            break
        end
        parts[#parts + 1] = text:sub(at, stop - 1)
        local ok, last = pcall(utf8.offset, text, 2, stop)
        last = ok and last and last - 1 or stop
        local piece = text:sub(stop, last)
        local code = utf8.len(piece) == 1 and utf8.codepoint(piece)
        parts[#parts + 1] = (code and (piece:find(keep) or not is_unsafe(code))) and piece or hex(piece)
        at = stop + #piece
    end
    return table.concat(parts)
end

---A text for a terminal: printable characters, line breaks and tabs as they are, anything else as \xNN.
---@param text string
---@return string
function M.text(text)
    return clean_run((text:gsub("\r\n", "\n")), "^[\n\t]$")
end

---A text as one line: also line breaks and tabs are written out.
---@param text string
---@return string
function M.line(text)
    text = text:gsub("[\n\r\t]", { ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t" })
    return clean_run(text, "^$")
end

local function quoted(text, max)
    local more = ""
    if #text > max then
        local cut = max
        while cut > max - 4 and (text:byte(cut + 1) or 0) & 0xC0 == 0x80 do
            cut = cut - 1
        end
        text, more = text:sub(1, cut), ("... (%d bytes more)"):format(#text - cut)
    end
    return '"' .. M.line((text:gsub('[\\"]', "\\%0"))) .. '"' .. more
end

-- The first lines of a text, and how much is missing.
local function block(text)
    local shown = #text > BYTES and text:sub(1, BYTES) or text
    local lines, at = {}, 1
    while at <= #shown and #lines < LINES do
        local stop = shown:find("\n", at, true) or #shown + 1
        lines[#lines + 1] = M.text((shown:sub(at, stop - 1):gsub("\r$", "")))
        at = stop + 1
    end
    if at <= #text then
        lines[#lines + 1] = ("... %d bytes more; print(_) shows all, as it came"):format(#text - at + 1)
    end
    return lines
end

local function seconds(value)
    return value < 10 and ("%.3f s"):format(value) or ("%.1f s"):format(value)
end

local function show_result(result)
    local how = result.signal and "signal " .. M.line(tostring(result.signal)) or "status " .. tostring(result.status)
    local lines = { ("%s, %s"):format(how, seconds(result.duration)) }
    for _, line in ipairs(block(result.stdout)) do
        lines[#lines + 1] = line
    end
    for _, line in ipairs(block(result.stderr)) do
        lines[#lines + 1] = "stderr: " .. line
    end
    if (result.truncated or 0) > 0 then
        lines[#lines + 1] = ("... %d bytes of output were dropped"):format(result.truncated)
    end
    return table.concat(lines, "\n")
end

local function is_result(value)
    return getmetatable(value) == nil and type(rawget(value, "stdout")) == "string"
        and type(rawget(value, "stderr")) == "string" and type(rawget(value, "duration")) == "number"
end

---Bytes as people write them.
---@param bytes integer
---@return string
function M.size(bytes)
    for _, unit in ipairs { { 2 ^ 40, "TiB" }, { 2 ^ 30, "GiB" }, { 2 ^ 20, "MiB" }, { 2 ^ 10, "KiB" } } do
        if bytes >= unit[1] then
            local count = bytes / unit[1]
            local whole = math.tointeger(count)
            return whole and ("%d %s"):format(whole, unit[2]) or ("%.1f %s"):format(count, unit[2])
        end
    end
    return bytes .. " B"
end

---What is told of a guest in a line, each for a terminal.
---@class vm.repl.Told
---@field name string
---@field image string
---@field arch string
---@field state string
---@field address string
---@field memory string

---What is told of one that vm.list knows.
---@param entry vm.GuestEntry
---@return vm.repl.Told
function M.entry(entry)
    local image = tostring(entry.image or "-")
    return {
        name = M.line(tostring(entry.name)),
        image = M.line(image:match "[^/]+$" or image),
        arch = M.line(tostring(entry.arch)),
        state = M.line(tostring(entry.state or "?")),
        address = M.line(entry.address or "-"),
        memory = type(entry.memory) == "number" and M.size(entry.memory) or "-",
    }
end

---What is told of a guest, without waiting for anything.
---@param guest vm.Guest|vm.KeptGuest
---@return vm.repl.Told
function M.guest(guest)
    local note = rawget(guest, "note") -- of one that is kept
    if note then
        guest:refresh()
    end
    local spec, state = rawget(guest, "spec") or {}, rawget(guest, "last_state")
    local entry = { name = guest.name, image = spec.image or note and note.image or rawget(guest, "image"),
        arch = guest.arch, state = state, memory = spec.memory }
    for _, port in ipairs(state ~= "stopped" and (note or guest).ports or {}) do
        if guest.login and port.guest == guest.login.port and not port.udp then
            entry.address = ("%s:%d"):format(port.address, port.host)
        end
    end
    local failure = rawget(guest, "failure")
    entry.state = rawget(guest, "closed") and "closed" or rawget(guest, "consumed") and "consumed"
        or failure and failure.kind or entry.state
    return M.entry(entry)
end

local function show_guest(guest)
    local told = M.guest(guest)
    return ("guest %s: image %s, %s, %s, ssh %s, memory %s%s"):format(told.name, told.image, told.arch, told.state,
        told.address, told.memory, guest.kept and ", kept" or "")
end

local function name_of_function(fn)
    local known = require "vm.repl.known"
    local verb = known.verb(fn)
    if verb then
        return "function " .. known.signature(verb)
    end
    local info = debug.getinfo(fn, "S")
    if info.what == "C" then
        return "function (in C)"
    end
    return ("function (%s:%d)"):format(M.line(info.short_src), info.linedefined)
end

local by_type = { number = 1, string = 2 }

local function before(a, b)
    local ta, tb = type(a), type(b)
    if ta ~= tb then
        return (by_type[ta] or 9) < (by_type[tb] or 9) or (by_type[ta] == by_type[tb] and ta < tb)
    elseif ta == "number" or ta == "string" then
        return a < b
    end
    return tostring(a) < tostring(b)
end

local guests = { ["vm.Guest"] = true, ["vm.KeptGuest"] = true }

local show

local function show_key(key, seen, depth)
    if type(key) == "string" and key:find "^[%a_][%w_]*$" then
        return key
    end
    return "[" .. show(key, seen, depth + 1, 40) .. "]"
end

local function show_table(value, seen, depth, width)
    if seen[value] then
        return "{ the table above }"
    elseif next(value) == nil then
        return "{}"
    elseif depth >= DEPTH then
        return "{ ... }"
    end
    seen[value] = true
    local keys, list = {}, 0
    while list < ENTRIES and rawget(value, list + 1) ~= nil do
        list = list + 1
    end
    local count = 0
    for key in next, value do
        count = count + 1
        if not (math.type(key) == "integer" and key >= 1 and key <= list) and #keys < 10000 then
            keys[#keys + 1] = key
        end
    end
    pcall(table.sort, keys, before)
    local parts, long = {}, 0
    local function add(text)
        parts[#parts + 1] = text
        long = math.max(long + #text + 2, text:find("\n", 1, true) and math.huge or 0)
    end
    for i = 1, list do
        add(show(value[i], seen, depth + 1, width - 2))
    end
    for i = 1, math.min(#keys, ENTRIES - list) do
        local item = show(rawget(value, keys[i]), seen, depth + 1, width - 2)
        add(("%s = %s"):format(show_key(keys[i], seen, depth), item))
    end
    seen[value] = nil
    if count > #parts then
        add(("... %d more"):format(count - #parts))
    end
    if long + 4 <= width then
        return "{ " .. table.concat(parts, ", ") .. " }"
    end
    for i, part in ipairs(parts) do
        parts[i] = "  " .. part:gsub("\n", "\n  ")
    end
    return "{\n" .. table.concat(parts, ",\n") .. "\n}"
end

local function tostring_of(value)
    local ok, text = pcall(tostring, value)
    return ok and type(text) == "string" and text or ("%s (its __tostring raises)"):format(type(value))
end

function show(value, seen, depth, width)
    local kind = type(value)
    if kind == "string" then
        return quoted(value, depth == 0 and BYTES or 200)
    elseif kind == "function" then
        return name_of_function(value)
    elseif kind ~= "table" then
        return M.line(tostring_of(value))
    end
    local meta = debug.getmetatable(value)
    if type(meta) == "table" and guests[rawget(meta, "__name")] then
        return show_guest(value)
    elseif errors.is(value) then
        return ("error of kind %s: %s"):format(M.line(tostring(rawget(value, "kind"))), M.line(tostring_of(value)))
    elseif type(meta) == "table" and rawget(meta, "__tostring") ~= nil then
        return M.line(tostring_of(value))
    elseif type(meta) == "table" and type(rawget(meta, "__name")) == "string" then
        local name = rawget(value, "name")
        return M.line(meta.__name .. (type(name) == "string" and " " .. name or ""))
    end
    return show_table(value, seen, depth, width)
end

---A value as the prompt shows it: a text of one line or several, without a line break at its end.
---@param value any
---@param width? integer columns; 80 when absent
---@return string
function M.value(value, width)
    if type(value) == "string" and value:find "\n." then
        return table.concat(block(value), "\n")
    elseif type(value) == "table" and is_result(value) then
        return show_result(value)
    end
    return show(value, {}, 0, width or 80)
end

---An error as the prompt shows it: its message, and the user's own lines of the traceback.
---@param err any
---@return string
function M.error(err)
    if type(err) == "table" and not getmetatable(err) then
        local plain = {}
        for key, value in next, err do
            plain[key] = key ~= "traceback" and value or nil
        end
        return "error: a table without a message: " .. M.value(plain)
    end
    local text = tostring_of(err)
    local meant = require("vm.repl.known").meant(text)
    local lines = { "error: " .. M.text(text) .. (meant and ("; did you mean %s?"):format(meant) or "") }
    local traceback = errors.is(err) and err.traceback
    local frames = traceback and errors.users_frames(traceback) or ""
    for line in frames:gmatch "[^\n]+" do
        -- The frame of what was typed says nothing.
        local typed = line:find "^%s*stdin:%d+: in main chunk$" or line:find "^%s*stdin:%d+: in function <stdin:%d+>$"
        if line ~= "stack traceback:" and not typed then
            lines[#lines + 1] = M.text(line)
        end
    end
    return table.concat(lines, "\n")
end

---The columns of this program's terminal.
---@return integer
function M.width()
    local rows, cols = raw.terminal.size(1)
    return rows and cols and cols > 0 and cols or 80
end

return M
