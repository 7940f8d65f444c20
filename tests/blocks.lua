-- The blocks of code in a Markdown text, and which of them the tests run: what the manual's tests share.
local M = {}

-- What a comment before a block says: "run", or "not run: why".
local function mark_before(lines, at)
    while at > 0 and lines[at] == "" do
        at = at - 1
    end
    return (lines[at] or ""):match "^<!%-%- (run) %-%->$" or (lines[at] or ""):match "^<!%-%- (not run: .+) %-%->$"
end

local function lines_of(text)
    local lines = {}
    for line in (text:find "\n$" and text or text .. "\n"):gmatch "([^\n]*)\n" do
        lines[#lines + 1] = line
    end
    return lines
end

---@class Block
---@field kind string "lua", "shell": command lines of vmatrix behind "$", or "other"
---@field line integer
---@field lines string[]
---@field mark? string "run" or "not run: why"
---@field file? string of Lua: the name in its first line, "-- hello.lua"

local function new_block(lines, first, last, mark, language)
    local block = { line = first, lines = table.move(lines, first, last, 1, {}), mark = mark }
    if language == "lua" then
        block.kind = "lua"
        block.file = (block.lines[1] or ""):match "^%-%- ([%w_-]+%.lua)$"
    elseif not language then
        local commands, others = 0, 0
        for i, line in ipairs(block.lines) do
            block.lines[i] = line:sub(5)
            local command = line:match "^    %$ (.*)$"
            commands = commands + (command and 1 or 0)
            others = others + (command and not command:find "^vmatrix%f[%s]" and 1 or 0)
        end
        block.kind = commands > 0 and others == 0 and block.lines[1]:find "^%$ " and "shell" or "other"
    else
        block.kind = "other"
    end
    return block
end

---All blocks of a text, fenced and indented.
---@param text string
---@return Block[]
function M.all(text)
    local lines, found, at = lines_of(text), {}, 1
    while lines[at] do
        local language = lines[at]:match "^```(%w*)$"
        if language then
            local first = at + 1
            repeat
                at = at + 1
            until lines[at] == nil or lines[at] == "```"
            found[#found + 1] = new_block(lines, first, at - 1, mark_before(lines, first - 2), language)
        elseif lines[at]:find "^    " and (lines[at - 1] or "") == "" then
            local first = at
            while lines[at + 1] and (lines[at + 1]:find "^    " or lines[at + 1] == "" and
                (lines[at + 2] or ""):find "^    ") do
                at = at + 1
            end
            found[#found + 1] = new_block(lines, first, at, mark_before(lines, first - 1))
        end
        at = at + 1
    end
    return found
end

-- Numbers, ids and times differ from run to run: "1 min 58 s" is as good as "41 s", and "205 ms".
local function plain(line)
    line = line:gsub("%x+%-%x+%-%x+", "0"):gsub("%d+", "0"):gsub("0%.0", "0"):gsub("%s+", " "):gsub(" $", "")
    return (line:gsub("0 min 0 s%f[%W]", "0 s"):gsub("0 ms%f[%W]", "0 s"))
end

---What of the promised lines was not printed, or nil: "..." in a line stands for anything, alone for any lines.
---@param promised string[]
---@param printed string
---@return string|nil
function M.missing(promised, printed)
    local got, at, free = lines_of(printed), 1, false
    for _, line in ipairs(promised) do
        if line == "..." then
            free = true
        else
            local pattern = plain(line):gsub("%p", "%%%0"):gsub("%%%.%%%.%%%.", ".*")
            while free and got[at] and not plain(got[at]):find("^" .. pattern .. "$") do
                at = at + 1
            end
            if not got[at] or not plain(got[at]):find("^" .. pattern .. "$") then
                return line
            end
            at, free = at + 1, false
        end
    end
    return not free and got[at] and got[at] ~= "" and "nothing more than " .. (promised[#promised] or "nothing") or nil
end

return M
