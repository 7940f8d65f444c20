-- A kernel that gives up, told from the text of its console.
local M = {}

-- Linux; FreeBSD and OpenBSD (at the start of a line).
local LINUX <const>, BSD <const> = "Kernel panic - not syncing", "\npanic: "

-- What Linux puts before its own lines, unless told not to: seconds since its start, and perhaps the
-- caller. Nothing that a program prints has it by chance.
local STAMP <const> = "%[ *%d+%.%d+%] "
local STAMPED <const> = { STAMP .. "$", "%[ *%d+%.%d+%]%[ *[TC]%d+%] $" }

---Whether a Linux that stamps its lines speaks in this text.
---@param text string
---@param from integer
---@return boolean
function M.stamps(text, from)
    return text:find("\n" .. STAMP, from) ~= nil
end

local function by_linux(text, at)
    local before = text:sub(math.max(1, at - 60), at - 1)
    return before:find(STAMPED[1]) ~= nil or before:find(STAMPED[2]) ~= nil
end

---The first whole line from `from` on in which a kernel gives up, or nil. Where Linux is known to stamp
---its lines, one without a stamp was printed by a program.
---@param text string
---@param from integer
---@param stamps boolean
---@return string|nil
function M.line(text, from, stamps)
    local at = text:find(LINUX, from, true)
    while at do
        local line = text:match("^([^\r\n]*)[\r\n]", at)
        if line and (not stamps or by_linux(text, at)) then
            return line
        end
        at = text:find(LINUX, at + 1, true)
    end
    at = not stamps and text:find(BSD, from, true)
    return at and text:match("^\n([^\r\n]*)[\r\n]", at) or nil
end

return M
