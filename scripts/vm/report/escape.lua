-- Text that came from guests, made harmless for whoever shows it: one function a format. All of them
-- take any bytes and return valid UTF-8.
local M = {}

local REPLACEMENT <const> = "\u{FFFD}"

---Valid UTF-8 without NUL: what is none becomes U+FFFD, one for each byte.
---@param text string
---@return string
function M.utf8(text)
    if not text:find "[\0\128-\255]" then
        return text
    end
    local parts, at, size = {}, 1, #text
    while at <= size do
        local ok, bad = utf8.len(text, at)
        if ok then
            parts[#parts + 1] = at == 1 and text or text:sub(at)
            break
        end
        parts[#parts + 1] = text:sub(at, bad - 1)
        parts[#parts + 1] = REPLACEMENT
        at = bad + 1
    end
    return (table.concat(parts):gsub("\0", REPLACEMENT))
end

-- Where to cut so that no character is cut in two: at most `size` bytes from the front.
local function front(text, size)
    local cut = size
    while cut > 0 and cut > size - 4 and (text:byte(cut + 1) or 0) & 0xC0 == 0x80 do
        cut = cut - 1
    end
    return cut
end

---The first `max` bytes of a text, as valid UTF-8, and how much is missing.
---@param text string
---@param max integer
---@return string
function M.head(text, max)
    if #text <= max then
        return M.utf8(text)
    end
    local cut = front(text, max)
    return ("%s[... %d more bytes]"):format(M.utf8(text:sub(1, cut)), #text - cut)
end

---The last `max` bytes of a text, as valid UTF-8, and how much is missing.
---@param text string
---@param max integer
---@return string
function M.tail(text, max)
    if #text <= max then
        return M.utf8(text)
    end
    local from = #text - max + 1
    while from <= #text and from < #text - max + 5 and text:byte(from) & 0xC0 == 0x80 do
        from = from + 1
    end
    return ("[%d bytes before ...]%s"):format(from - 1, M.utf8(text:sub(from)))
end

-- Characters beyond ASCII that are not seen or change what is around them, by their code points: C1
-- controls, marks of direction, separators of lines, what has no width, tags, non-characters.
local function is_hidden(code)
    return code >= 0x80 and code <= 0x9F or code == 0xAD or code == 0x61C or code == 0x180E
        or code >= 0x200B and code <= 0x200F and code ~= 0x200D -- the joiner of emoji stays
        or code >= 0x2028 and code <= 0x202E or code >= 0x2060 and code <= 0x206F
        or code == 0xFEFF or code >= 0xFFF9 and code <= 0xFFFB or code & 0xFFFE == 0xFFFE
        or code >= 0xE0000 and code <= 0xE0FFF
end

-- Their lead bytes, so that most text is not looked at twice.
local HIDDEN_LEADS <const> = "[\xC2\xD8\xE1\xE2\xEF\xF0-\xF4]"

local function show_hidden(char)
    local code = utf8.codepoint(char)
    if is_hidden(code) then
        return ("\\u{%x}"):format(code)
    end
end

-- What a terminal takes as a command: CSI, OSC and other strings, and the short ones. A string that
-- does not end within 4 KiB is none: it would hide what follows.
local function strip_ansi(text)
    if not text:find("\27", 1, true) then
        return text
    end
    text = text:gsub("\27%[[\48-\63]*[\32-\47]*[\64-\126]", "")
    text = text:gsub("\27([%]PX^_][^\7\27]*)(\7?)(\27?\\?)", function(body, bell, ending)
        if #body <= 4096 and (bell ~= "" or ending == "\27\\") then
            return bell ~= "" and ending or ""
        end
    end)
    text = text:gsub("\27[\32-\47]+[\48-\126]", "")
    return (text:gsub("\27[\48-\90\92\94-\126]", ""))
end

local NAMED <const> = { ["\t"] = "\\t", ["\n"] = "\\n", ["\r"] = "\\r" }

local function show_control(c)
    return NAMED[c] or ("\\x%02x"):format(c:byte())
end

---Text of several lines for a person: no terminal's commands, and what else cannot be seen is shown,
---as \x07 or \u{202e}. Lines end in "\n".
---@param text string
---@return string
function M.plain(text)
    if not text:find "[^\32-\126\n\t]" then
        return text -- as most text is
    end
    text = strip_ansi(M.utf8(text))
    if text:find "[\1-\8\11-\31\127]" then
        text = text:gsub("\r+\n", "\n"):gsub("[\1-\8\11-\31\127]", show_control)
    end
    if text:find(HIDDEN_LEADS) then
        text = text:gsub(HIDDEN_LEADS .. "[\x80-\xBF]+", show_hidden)
    end
    return text
end

---The same on one line: breaks and tabs are shown, too.
---@param text string
---@return string
function M.line(text)
    text = M.plain(text)
    return text:find "[\n\t]" and text:gsub("[\n\t]", NAMED) or text
end

local XML <const> = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;", ["'"] = "&apos;" }

---Text between two tags of XML or HTML.
---@param text string
---@return string
function M.xml(text)
    text = M.plain(text)
    return text:find "[&<>\"']" and text:gsub("[&<>\"']", XML) or text
end

---The value of an attribute of XML or HTML, for between double quotes.
---@param text string
---@return string
function M.attribute(text)
    text = M.xml(text)
    return text:find "[\n\t]" and text:gsub("[\n\t]", { ["\n"] = "&#10;", ["\t"] = "&#9;" }) or text
end

---A description in TAP: one line in which nothing is a directive.
---@param text string
---@return string
function M.tap(text)
    text = M.line(text)
    return text:find "[\\#]" and text:gsub("[\\#]", "\\%0") or text
end

---A value in YAML, in double quotes on one line.
---@param text string
---@return string
function M.yaml(text)
    text = M.plain(text):gsub("\\", "\\\\"):gsub('"', '\\"'):gsub("\n", "\\n"):gsub("\t", "\\t")
    return '"' .. text .. '"'
end

local MARKDOWN <const> = "[\\`*_{}%[%]()#+%-.!|~>:@$=^]"
local HTML <const> = { ["&"] = "&amp;", ["<"] = "&lt;" }

---Text within a line or a table's cell of Markdown: nothing of it is markup, a link or a name.
---@param text string
---@return string
function M.markdown(text)
    text = M.plain(text):gsub("[&<]", HTML):gsub(MARKDOWN, "\\%0")
    return (text:gsub("\t", " "):gsub("%s*\n%s*", "<br>"))
end

---A block of code in Markdown, fenced with more backticks than the text has in a row.
---@param text string
---@return string
function M.fenced(text)
    text = M.plain(text)
    local longest = 2
    for run in text:gmatch "`+" do
        longest = math.max(longest, #run)
    end
    local fence = ("`"):rep(longest + 1)
    return ("%s\n%s%s%s"):format(fence, text, text:sub(-1) == "\n" and "" or "\n", fence)
end

---The message of a workflow command of GitHub.
---@param text string
---@return string
function M.github(text)
    return (M.plain(text):gsub("[%%\n]", { ["%"] = "%25", ["\n"] = "%0A" }))
end

---The value of a property of such a command.
---@param text string
---@return string
function M.github_property(text)
    return (M.github(text):gsub("[:,]", { [":"] = "%3A", [","] = "%2C" }))
end

local function json_code(char)
    local code = utf8.codepoint(char)
    if code == 0x7F or is_hidden(code) then
        if code > 0xFFFF then
            code = code - 0x10000
            return ("\\u%04x\\u%04x"):format(0xD800 + (code >> 10), 0xDC00 + (code & 0x3FF))
        end
        return ("\\u%04x"):format(code)
    end
end

---JSON text (not a value) in which what cannot be seen is written as \uXXXX, so that it may go to a
---terminal.
---@param text string
---@return string
function M.json(text)
    if not text:find "[\127-\255]" then
        return text
    end
    if text:find("\127", 1, true) then
        text = text:gsub("\127", json_code)
    end
    return text:find(HIDDEN_LEADS) and text:gsub(HIDDEN_LEADS .. "[\x80-\xBF]+", json_code) or text
end

---A file name for an id, which reads like it: "/" becomes "~" and ":" becomes ",", so that every file
---system and every store of artifacts takes it. `bytes` is a digest's function for very long ones.
---@param id string
---@param digest fun(text: string): string
---@return string
function M.file_name(id, digest)
    local name = id:gsub("[^%w._+%-/:=@]", function(c)
        return ("%%%02X"):format(c:byte())
    end):gsub("^%.", "%%2E"):gsub("/", "~"):gsub(":", ",")
    if #name > 180 then
        name = ("%s~%s"):format(name:sub(1, 160), digest(id):sub(1, 16))
    end
    return name == "" and "%" or name
end

return M
