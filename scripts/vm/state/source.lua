-- The source text of a Lua function as a list of tokens: layout, comments and the place in the file are
-- not part of it.
local raw = require "vm.raw"
local errors = require "vm.errors"
local script = require "vm.script"

local M = {}

---One word of Lua.
---@class vm.Token
---@field text string
---@field line integer
---@field name boolean whether it is an identifier or a keyword

-- Up to the closing bracket of a long string or comment that opens at `at`; nil when none opens there.
local function long_end(text, at)
    local equals = text:match("^%[(=*)%[", at)
    if equals then
        local _, stop = text:find("]" .. equals .. "]", at, true)
        return stop or #text
    end
end

-- The end of a quoted string that opens at `at`.
local function quoted_end(text, at)
    local quote = text:sub(at, at)
    local from = at + 1
    while true do
        local stop = text:find("[\\" .. quote .. "]", from)
        if not stop then
            return #text
        elseif text:sub(stop, stop) == quote then
            return stop
        elseif text:sub(stop + 1, stop + 1) == "z" then
            from = text:find("%S", stop + 2) or #text + 1
        else
            from = stop + 2
        end
    end
end

-- Where a number that begins at `at` ends: digits, letters, points, and signs after an exponent.
local function number_end(text, at)
    local hex = text:find("^0[xX]", at) ~= nil
    local from = at
    while true do
        local _, stop = text:find("^[%w.]+", from)
        if not stop then
            return from - 1
        end
        local sign = hex and text:find("^[pP][+-]", stop) or not hex and text:find("^[eE][+-]", stop)
        if not sign then
            return stop
        end
        from = stop + 2
    end
end

-- Operators of several characters, the longest first.
local OPERATORS <const> = { "...", "..", "==", "~=", "<=", ">=", "//", "::", "<<", ">>" }

local function operator_end(text, at)
    for _, operator in ipairs(OPERATORS) do
        if text:sub(at, at + #operator - 1) == operator then
            return at + #operator - 1
        end
    end
    return at
end

---Splits a chunk's text into tokens; comments are left out.
---@param text string
---@return vm.Token[]
function M.tokens(text)
    local tokens = {}
    local line = 1
    local at = text:sub(1, 3) == "\xef\xbb\xbf" and 4 or 1
    if text:sub(at, at) == "#" then
        at = text:find("\n", at, true) or #text + 1
    end
    local function count_lines(from, to)
        local next_line = text:find("\n", from, true)
        while next_line and next_line <= to do
            line = line + 1
            next_line = text:find("\n", next_line + 1, true)
        end
    end
    while true do
        local start = text:find("%S", at)
        count_lines(at, (start or #text + 1) - 1)
        if not start then
            return tokens
        end
        local stop
        local name = text:find("^[%a_]", start) ~= nil
        local comment = text:sub(start, start + 1) == "--"
        if comment then
            stop = long_end(text, start + 2) or (text:find("\n", start, true) or #text + 1) - 1
        elseif name then
            stop = select(2, text:find("^[%w_]+", start))
        elseif text:find("^%.?%d", start) then
            stop = number_end(text, start)
        elseif text:find("^[\"']", start) then
            stop = quoted_end(text, start)
        else
            stop = long_end(text, start) or operator_end(text, start)
        end
        if not comment then
            tokens[#tokens + 1] = { text = text:sub(start, stop), line = line, name = name }
        end
        count_lines(start, stop)
        at = stop + 1
    end
end

local opens = { ["function"] = true, ["do"] = true, ["if"] = true, ["repeat"] = true }
local closes = { ["end"] = true, ["until"] = true }

-- The index of the token that ends the function whose keyword is at `at`, or nil.
local function function_end(tokens, at)
    local depth = 0
    for i = at, #tokens do
        local token = tokens[i]
        if token.name then
            if opens[token.text] then
                depth = depth + 1
            elseif closes[token.text] then
                depth = depth - 1
                if depth == 0 then
                    return i
                end
            end
        end
    end
end

-- Lua counts a function from the line of its keyword or of its parameters' bracket.
local function begins_on(tokens, at, line)
    if tokens[at].line == line then
        return true
    end
    local i = at + 1
    while tokens[i] and tokens[i].text ~= "(" do
        i = i + 1
    end
    return tokens[i] ~= nil and tokens[i].line == line
end

local function collect(tokens, first, last, into)
    for i = first, last do
        into[#into + 1] = tokens[i]
    end
end

---The tokens of the functions that begin and end on these lines: usually one. 0 is the whole chunk.
---@param tokens vm.Token[]
---@param first integer
---@param last integer
---@return vm.Token[]|nil
function M.cut(tokens, first, last)
    if first == 0 then
        return tokens
    end
    local found = {}
    for i, token in ipairs(tokens) do
        if token.line > last then
            break
        elseif token.text == "function" and token.name and begins_on(tokens, i, first) then
            local stop = function_end(tokens, i)
            if stop and tokens[stop].line == last then
                collect(tokens, i, stop, found)
            end
        end
    end
    return #found > 0 and found or nil
end

local chunks = {} -- a chunk's name -> its tokens, and the text they are of if that was remembered

-- The text of a chunk by the name that Lua has for it; nil and why when it is not known.
local function text_of(source)
    local known = script.text(source)
    if known then
        return known
    elseif source:sub(1, 1) == "@" then
        local text, err = raw.fs.read(source:sub(2))
        if not text then
            return nil, err.message
        end
        return text
    elseif source:sub(1, 1) == "=" then
        return nil, ("the text of %s is not known"):format(source:sub(2))
    end
    return source
end

local function tokens_of(source)
    local known = chunks[source]
    if known and known.text == script.text(source) then
        return known.tokens
    end
    local text, why = text_of(source)
    if not text then
        return nil, why
    end
    chunks[source] = { text = script.text(source), tokens = M.tokens(text) }
    return chunks[source].tokens
end

---Reads the file that a function is from, so that its text stays the one that runs.
---@param fn function
function M.remember(fn)
    tokens_of(debug.getinfo(fn, "S").source)
end

---The tokens of a Lua function's own text. Raises when it is not to be had.
---@param fn function
---@param what string for messages
---@return vm.Token[]
function M.of(fn, what)
    local info = debug.getinfo(fn, "S")
    local tokens, why = tokens_of(info.source)
    if not tokens then
        errors.fail("unsupported", "%s: its source text cannot be read: %s", what, why)
    end
    local own = M.cut(tokens, info.linedefined, info.lastlinedefined)
    if not own then
        errors.fail("unsupported", "%s: its source text is not at %s:%d: the file has changed since it was loaded; "
            .. "run the script again", what, info.short_src, info.linedefined)
    end
    return own
end

---A function's text on one line.
---@param tokens vm.Token[]
---@return string
function M.text(tokens)
    local words = {}
    for i, token in ipairs(tokens) do
        words[i] = token.text
    end
    return table.concat(words, " ")
end

return M
