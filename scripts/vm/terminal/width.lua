-- How many columns of a terminal a text takes, and cutting it to fit.
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

return M
