-- Lines of a terminal: text made harmless for one, how many columns it takes, cutting it to fit, tables.
local M = {}

-- Ranges of two columns and of none, coarse: what is doubtful counts as two, so that no line wraps.
local wide <const> = { { 0x1100, 0x115F }, { 0x231A, 0x231B }, { 0x23E9, 0x23F3 }, { 0x25FD, 0x25FE },
    { 0x2614, 0x27BF }, { 0x2B1B, 0x2B55 }, { 0x2E80, 0x303E }, { 0x3041, 0xA4CF }, { 0xA960, 0xA97F },
    { 0xAC00, 0xD7A3 }, { 0xF900, 0xFAFF }, { 0xFE10, 0xFE6F }, { 0xFF01, 0xFF60 }, { 0xFFE0, 0xFFE6 },
    { 0x16FE0, 0x18CFF }, { 0x1AFF0, 0x1B2FF }, { 0x1F000, 0x1FAFF }, { 0x20000, 0x3FFFD } }
local none <const> = { { 0x300, 0x36F }, { 0x483, 0x489 }, { 0x591, 0x5BD }, { 0x610, 0x61A }, { 0x64B, 0x65F },
    { 0x200D, 0x200D }, { 0x20D0, 0x20FF }, { 0xFE00, 0xFE0F }, { 0xFE20, 0xFE2F }, { 0xE0100, 0xE01EF } }
-- Signs of ours among the wide ranges, which terminals show in one column.
local narrow <const> = { [0x2713] = true, [0x2717] = true }

local function within(code, ranges)
    for _, range in ipairs(ranges) do
        if code < range[1] then
            return false
        elseif code <= range[2] then
            return true
        end
    end
    return false
end

local function of_code(code)
    if code < 0x300 or narrow[code] then
        return 1
    elseif within(code, none) then
        return 0
    end
    return within(code, wide) and 2 or 1
end

---Text that may come from a guest or a script, for a line of a terminal: controls and what is no UTF-8 are "?".
---@param text any
---@return string
function M.plain(text)
    text = tostring(text):gsub("[%c\127]", "?")
    return (utf8.len(text) and text:gsub("\xc2[\x80-\x9f]", "?") or text:gsub("[\x80-\xff]", "?"))
end

---The columns of a line without controls.
---@param text string valid UTF-8
---@return integer
function M.of(text)
    if not text:find "[\128-\255]" then
        return #text
    end
    local columns = 0
    for _, code in utf8.codes(text) do
        columns = columns + of_code(code)
    end
    return columns
end

---The beginning of a line that takes so many columns at most; "..." says that something is missing.
---@param text string valid UTF-8
---@param columns integer
---@return string
function M.clip(text, columns)
    if #text <= columns or M.of(text) <= columns then
        return text
    elseif columns < 4 then
        return ("."):rep(columns)
    end
    local used = 0
    for at, code in utf8.codes(text) do
        used = used + of_code(code)
        if used > columns - 3 then
            return text:sub(1, at - 1) .. "..."
        end
    end
    return text
end

---Text filled up with blanks to so many columns.
---@param text string
---@param columns integer
---@return string
function M.pad(text, columns)
    return text .. (" "):rep(columns - M.of(text))
end

---Rows of cells as lines, each column as wide as its widest cell.
---@param rows string[][] as `plain` makes them; not changed
---@return string
function M.table(rows)
    local widest, lines = {}, {}
    for _, row in ipairs(rows) do
        for c, text in ipairs(row) do
            widest[c] = math.max(widest[c] or 0, M.of(text))
        end
    end
    for i, row in ipairs(rows) do
        local cells = {}
        for c, text in ipairs(row) do
            cells[c] = M.pad(text, widest[c])
        end
        lines[i] = table.concat(cells, "  "):gsub(" +$", "")
    end
    return table.concat(lines, "\n")
end

return M
