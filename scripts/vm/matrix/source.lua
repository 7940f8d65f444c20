-- Where the parts of a matrix stand in its file. Lua keeps no lines of tables, so the file's text is
-- read: enough of its grammar to follow table constructors. What is not written out there (a table made
-- by a function, say) has no place of its own, and the next thing around it is named instead.
local raw = require "vm.raw"
local script = require "vm.script"

local M = {}

local MAX_TEXT <const> = 4 * 1024 * 1024

local opens = { ["("] = true, ["{"] = true, ["["] = true, ["function"] = true, ["if"] = true, ["do"] = true,
    ["repeat"] = true }
local closes = { [")"] = true, ["}"] = true, ["]"] = true, ["end"] = true, ["until"] = true }

-- The position after a long bracket that begins at `at`, or nil.
local function long_bracket(text, at)
    local level = text:match("^%[(=*)%[", at)
    if level then
        local _, last = text:find("]" .. level .. "]", at, true)
        return (last or #text) + 1
    end
end

local function short_string(text, at)
    local quote = text:sub(at, at)
    local from = at + 1
    while true do
        local stop = text:find("[\\" .. quote .. "\n]", from)
        if not stop then
            return #text + 1
        elseif text:sub(stop, stop) == "\\" then
            from = stop + 2
        else
            return stop + 1
        end
    end
end

---The tokens of Lua source text: { text, line, kind = "name" | "string" | "number" | "symbol" }.
---@param text string
---@return table[]
function M.tokens(text)
    local out, at, line = {}, 1, 1
    if text:sub(1, 1) == "#" then
        at = text:find("\n", 1, true) or #text + 1
    end
    local function add(kind, last, value)
        out[#out + 1] = { text = value or text:sub(at, last - 1), line = line, kind = kind }
        for _ in text:sub(at, last - 1):gmatch "\n" do
            line = line + 1
        end
        at = last
    end
    while at <= #text do
        local c = text:sub(at, at)
        local last
        if c == "\n" then
            line, at = line + 1, at + 1
        elseif c:find "%s" then
            at = at + 1
        elseif text:find("^%-%-", at) then
            last = long_bracket(text, at + 2) or text:find("\n", at, true) or #text + 1
            for _ in text:sub(at, last - 1):gmatch "\n" do
                line = line + 1
            end
            at = last
        elseif c:find "[%a_]" then
            add("name", select(2, text:find("^[%w_]+", at)) + 1)
        elseif c == '"' or c == "'" then
            last = short_string(text, at)
            local inside = text:sub(at + 1, last - 2)
            add("string", last, (inside:gsub("\\(.)", "%1")))
        elseif c == "[" and long_bracket(text, at) then
            add("string", long_bracket(text, at))
        elseif c:find "%d" then
            add("number", select(2, text:find("^[%w.]+", at)) + 1)
        else
            local _, two = text:find("^[=~<>]=", at)
            if not two then
                _, two = text:find("^%.%.+", at)
            end
            add("symbol", (two or at) + 1)
        end
    end
    return out
end

local read_table

-- Goes over one value of a table constructor; returns the position after it and its node.
local function read_value(tokens, at)
    local node = { line = tokens[at] and tokens[at].line }
    local depth, in_function = 0, 0
    while tokens[at] do
        local token = tokens[at]
        local word = token.kind ~= "string" and token.text or nil
        if depth == 0 and (word == "," or word == ";" or word == "}") then
            break
        elseif word == "{" and in_function == 0 and depth <= 1 and not node.below then
            local inner
            at, inner = read_table(tokens, at)
            node.below, node.keys = inner.below, inner.keys
        else
            if word and opens[word] then
                depth = depth + 1
                if word == "function" then
                    in_function = depth
                end
            elseif word and closes[word] then
                if depth == in_function then
                    in_function = 0
                end
                depth = depth - 1
            end
            at = at + 1
        end
    end
    return at, node
end

-- Reads a table constructor whose "{" is at `at`; returns the position after it and its node:
-- { line, last, below = { key -> node }, keys = { names in order } }.
function read_table(tokens, at)
    local node = { line = tokens[at].line, below = {}, keys = {} }
    local count = 0
    at = at + 1
    while tokens[at] and not (tokens[at].text == "}" and tokens[at].kind == "symbol") do
        local token, following = tokens[at], tokens[at + 1]
        local key, line = nil, token.line
        if token.kind == "symbol" and (token.text == "," or token.text == ";") then
            at = at + 1
        else
            if token.kind == "name" and following and following.kind == "symbol" and following.text == "=" then
                key, at = token.text, at + 2
            elseif token.kind == "symbol" and token.text == "[" then
                local closing = tokens[at + 2]
                if following and closing and closing.text == "]" and closing.kind == "symbol" then
                    key = following.kind == "string" and following.text or tonumber(following.text)
                end
                while tokens[at] and not (tokens[at].kind == "symbol" and tokens[at].text == "=") do
                    at = at + 1
                end
                at = at + 1
            else
                count = count + 1
                key = count
            end
            local value
            at, value = read_value(tokens, at)
            if key ~= nil then
                value.line = line
                node.below[key] = value
                if type(key) == "string" then
                    node.keys[#node.keys + 1] = key
                end
            end
        end
    end
    node.last = tokens[at] and tokens[at].line or node.line
    return at + 1, node
end

---The table constructors that a text hands to a function called `matrix`.
---@param text string
---@return table[] nodes
function M.find(text)
    local tokens, out = M.tokens(text), {}
    for at, token in ipairs(tokens) do
        local brace = tokens[at + 1] and tokens[at + 1].text == "(" and at + 2 or at + 1
        local opening = tokens[brace]
        if token.kind == "name" and token.text == "matrix" and opening and opening.kind == "symbol"
            and opening.text == "{" then
            local _, node = read_table(tokens, brace)
            node.first = token.line
            out[#out + 1] = node
        end
    end
    return out
end

-- Whether a node's keys are those of a table.
local function same_keys(node, def)
    local count = 0
    for key in pairs(def) do
        if type(key) == "string" then
            count = count + 1
            if not node.below[key] then
                return false
            end
        end
    end
    return count == #node.keys
end

-- How many functions of a definition stand between a node's lines, and how many do not.
local function functions_inside(node, def, file)
    local inside, outside = 0, 0
    local function look(value, depth)
        if type(value) == "function" then
            local info = debug.getinfo(value, "S")
            if info.source == "@" .. file then
                local within = info.linedefined >= node.first and info.lastlinedefined <= node.last
                inside, outside = inside + (within and 1 or 0), outside + (within and 0 or 1)
            end
        elseif type(value) == "table" and depth < 4 and getmetatable(value) == nil then
            for _, item in pairs(value) do
                look(item, depth + 1)
            end
        end
    end
    look(def, 0)
    return inside, outside
end

---Finds where a matrix stands in its file: sets its `places`, and its `line` where that is not known.
---@param matrix vm.Matrix
---@param nodes table[] from M.find
function M.place(matrix, nodes)
    local best, best_score
    for _, node in ipairs(nodes) do
        local near = matrix.line == nil or (matrix.line >= node.first and matrix.line <= node.line)
        if near and not node.taken and same_keys(node, matrix.def) then
            local inside, outside = functions_inside(node, matrix.def, matrix.file)
            local score = inside - outside
            if best == nil or score > best_score then
                best, best_score = node, score
            end
        end
    end
    if best then
        best.taken = matrix.line == nil -- a loop may make several at one line
        matrix.places, matrix.line = best, matrix.line or best.first
    end
end

---Finds the places of all matrices of a run in their files.
---@param matrices vm.Matrix[]
function M.place_all(matrices)
    local nodes = {}
    for _, known in ipairs { true, false } do
        for _, matrix in ipairs(matrices) do
            if (matrix.line ~= nil) == known and not matrix.places then
                if not nodes[matrix.file] then
                    nodes[matrix.file] = M.find(script.text("@" .. matrix.file)
                        or raw.fs.read(matrix.file, MAX_TEXT) or "")
                end
                M.place(matrix, nodes[matrix.file])
            end
        end
    end
end

return M
