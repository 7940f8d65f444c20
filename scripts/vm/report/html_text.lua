-- Text for the HTML report: what guests wrote becomes harmless, visible text; paths become links that
-- stay in the run's folder; numbers become words. Pure functions over strings.
local raw = require "vm.raw"
local sanitize = require "vm.report.escape"

local M = {}

local entities = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;", ["'"] = "&#39;" }

-- The largest place up to `at` where a character ends.
local function boundary(text, at)
    local limit = math.max(0, at - 3)
    while at > limit and at < #text and (text:byte(at + 1) & 0xC0) == 0x80 do
        at = at - 1
    end
    return at
end

---The text for an element or a quoted attribute.
---@param text any a string of any bytes, or what tostring makes of it; nil is empty
---@param max? integer bytes that are shown, 4096 unless told otherwise; the rest is counted
---@return string
function M.escape(text, max)
    text = text == nil and "" or tostring(text)
    max = max or 4096
    local more = ""
    if #text > max then
        local at = boundary(text, max)
        more = (" … (%s more)"):format(M.bytes(#text - at))
        text = text:sub(1, at)
    end
    return (sanitize.plain(text):gsub("[&<>\"']", entities)) .. more
end

---The first line that says something, for a place with room for one.
---@param text string|nil
---@param max? integer
---@return string escaped
function M.line(text, max)
    for line in tostring(text or ""):sub(1, 4096):gmatch("[^\r\n]+") do
        if line:find("%S") then
            return M.escape(line, max or 300)
        end
    end
    return ""
end

---Whether a path is relative and never leaves the folder it is relative to.
---@param path any
---@return boolean
function M.confined(path)
    if type(path) ~= "string" or path == "" or path:find("^/") or path:find("%z") then
        return false
    end
    for part in (path .. "/"):gmatch("([^/]*)/") do
        if part == "" or part == "." or part == ".." then
            return false
        end
    end
    return true
end

local function percent(char)
    return ("%%%02X"):format(char:byte())
end

---A link to a path below the run's folder, or nil when it would leave it.
---@param path any relative to the run's folder
---@param base? string the way from the report to that folder, ending in "/"; empty when it lies in it
---@return string|nil url
function M.url(path, base)
    if not M.confined(path) then
        return nil
    end
    return (((base or "") .. path):gsub("[^%w%-._~/]", percent))
end

local json_signs = { ['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\t"] = "\\t" }

---A JSON string that may stand in a script element.
---@param text string
---@return string
function M.json(text)
    return '"' .. sanitize.plain(text):gsub('[%c"\\<>&]', function(char)
        return json_signs[char] or ("\\u%04x"):format(char:byte())
    end) .. '"'
end

local alphabet <const> = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

---The source expression of a Content-Security-Policy for an inline script or style of this text.
---@param text string
---@return string such as "'sha256-...'"
function M.source(text)
    local digest = raw.data.sha256(text):gsub("%x%x", function(hex) return string.char(tonumber(hex, 16)) end)
    local out = {}
    for i = 1, #digest, 3 do
        local a, b, c = digest:byte(i, i + 2)
        local bits = a << 16 | (b or 0) << 8 | (c or 0)
        for shift = 18, 0, -6 do
            local index = (bits >> shift & 63) + 1
            out[#out + 1] = alphabet:sub(index, index)
        end
        if not c then
            out[#out] = "="
            out[#out - 1] = b and out[#out - 1] or "="
        end
    end
    return "'sha256-" .. table.concat(out) .. "'"
end

---A number of bytes in words.
---@param bytes number
---@return string
function M.bytes(bytes)
    if bytes < 1024 then
        return ("%d B"):format(bytes // 1)
    end
    for _, unit in ipairs { "KiB", "MiB", "GiB" } do
        bytes = bytes / 1024
        if bytes < 1023.95 or unit == "GiB" then
            return (("%.1f"):format(bytes):gsub("%.0$", "")) .. " " .. unit
        end
    end
end

---A time in words, from whole milliseconds, since the script of the report has the same function.
---@param seconds number|nil
---@return string empty when there is none
function M.duration(seconds)
    if type(seconds) ~= "number" or not (seconds >= 0 and seconds < 1e9) then
        return ""
    end
    local ms = math.floor(seconds * 1000 + 0.5)
    if ms < 1000 then
        return ("%d ms"):format(ms)
    elseif ms < 9950 then
        return ("%d.%d s"):format((ms + 50) // 1000, (ms + 50) % 1000 // 100)
    elseif ms < 59500 then
        return ("%d s"):format((ms + 500) // 1000)
    end
    local whole = (ms + 500) // 1000
    if whole < 3600 then
        return ("%d min %02d s"):format(whole // 60, whole % 60)
    end
    return ("%d h %02d min"):format(whole // 3600, whole % 3600 // 60)
end

---A count with groups of three digits, as people read it.
---@param number integer
---@return string
function M.count(number)
    local text = ("%d"):format(number)
    return (text:reverse():gsub("(%d%d%d)", "%1,"):reverse():gsub("^,", ""))
end

---Quotes a word for a POSIX shell, if it needs to be.
---@param word string
---@return string
function M.shell(word)
    if word:find("^[%w_@%+=:,./-]+$") then
        return word
    end
    return "'" .. word:gsub("'", [['\'']]) .. "'"
end

return M
