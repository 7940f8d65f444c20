-- Where the cursor stands in a piece of Lua that is being typed: in a name, in a string, in which argument
-- of which call, at a key of which table. Pure.
local M = {}

---@class vm.repl.Place
---@field kind "name"|"string"|"none" none: in a comment, a number
---@field word string what stands before the cursor: a name, or the string's content so far
---@field path string|nil before a name: "guest:", "vm.", "" for a name of its own
---@field quote string|nil of a string: its quote
---@field callee string|nil of the innermost call: "guest:copy_out"
---@field argument integer|nil which argument of that call, from 1
---@field key string|nil the option whose value is typed
---@field at_key boolean|nil whether a key may be typed here
---@field used table<string, boolean>|nil the keys that are there

-- The expression that ends here, as far as it is names, dots, colons and simple indices.
local function expression_before(text)
    local at = #text
    while true do
        local so_far = text:sub(1, at)
        local start = so_far:match "()[%a_][%w_]*$" or so_far:match "()%[%s*%d+%s*%]$"
        if not start then
            break
        end
        local is_index = text:sub(start, start) == "["
        at = start - 1
        local before = text:sub(1, at)
        if is_index then
            if not before:find "[%w_%]]$" then
                break
            end
        else
            local dot = before:match "()%s*[.:]%s*$"
            if not dot or before:find "%.%.%s*$" then
                return text:sub(start)
            end
            at = dot - 1
        end
    end
    local rest = text:sub(at + 1)
    return rest:find "^[%a_]" and rest or nil
end

-- Scans a text and returns the brackets that are open at its end, and the string that is.
local function scan(text)
    local open, at = {}, 1
    local top
    local function push(kind, from)
        top = { kind = kind, from = from, commas = 0, last = from, used = {} }
        open[#open + 1] = top
    end
    while at <= #text do
        local c = text:sub(at, at)
        if text:find("^%-%-", at) then
            local level = text:match("^%-%-%[(=*)%[", at)
            local stop
            if level then
                stop = select(2, text:find("]" .. level .. "]", at, true))
            else
                stop = text:find("\n", at, true)
            end
            if not stop then
                return open, { kind = "comment" }
            end
            at = stop
        elseif c == '"' or c == "'" then
            local stop = at + 1
            while stop <= #text and text:sub(stop, stop) ~= c do
                stop = stop + (text:sub(stop, stop) == "\\" and 2 or 1)
            end
            if stop > #text then
                return open, { kind = "string", quote = c, from = at }
            end
            at = stop
        elseif text:find("^%[=*%[", at) then
            local level = text:match("^%[(=*)%[", at)
            local _, stop = text:find("]" .. level .. "]", at, true)
            if not stop then
                return open, { kind = "string", quote = "[" .. level .. "[", from = at }
            end
            at = stop
        elseif c == "(" or c == "{" or c == "[" then
            push(c, at)
        elseif c == ")" or c == "}" or c == "]" then
            open[#open] = nil
            top = open[#open]
        elseif top and (c == "," or c == ";") then
            top.commas = top.commas + 1
            top.last = at
        elseif top and top.kind == "{" and c == "=" and not text:find("^=", at + 1) then
            local name = text:sub(top.last + 1, at - 1):match "^%s*([%a_][%w_]*)%s*$"
            if name then
                top.used[name] = true
            end
        end
        at = at + 1
    end
    return open, nil
end

-- The call that a bracket belongs to: f(...), f{...}, f({...}).
local function call_of(text, open)
    local at = #open
    local top = open[at]
    if not top then
        return nil
    end
    local table_of
    if top.kind == "{" then
        table_of = top
        local before = text:sub(1, top.from - 1):gsub("%s+$", "")
        local callee = expression_before(before)
        if callee and before:find "[%w_%]]$" then
            return callee, 1, table_of
        end
        at = at - 1
        top = open[at]
        if not top or top.kind ~= "(" then
            return nil, nil, table_of
        end
    end
    if top.kind ~= "(" then
        return nil
    end
    return expression_before((text:sub(1, top.from - 1):gsub("%s+$", ""))), top.commas + 1, table_of
end

---Looks at what stands before the cursor.
---@param text string
---@return vm.repl.Place
function M.place(text)
    local open, inside = scan(text)
    if inside and inside.kind == "comment" then
        return { kind = "none", word = "" }
    end
    local until_here = inside and text:sub(1, inside.from - 1) or text
    local callee, argument, table_of = call_of(text, open)
    local place = { kind = "name", callee = callee, argument = argument, word = "" }
    if table_of then
        local item = until_here:sub(table_of.last + 1)
        place.key = item:match "^%s*([%a_][%w_]*)%s*=%s*"
        place.at_key = place.key == nil and item:find "^%s*[%a_]?[%w_]*$" ~= nil
        place.used = table_of.used
    end
    if inside then
        place.kind, place.quote = "string", inside.quote
        place.word = text:sub(inside.from + #inside.quote)
        if not callee or table_of == nil then
            -- f "text", without brackets
            local before = until_here:gsub("%s+$", "")
            local bare = before:find "[%w_%]]$" and expression_before(before)
            if bare then
                place.callee, place.argument, place.key, place.at_key = bare, 1, nil, nil
            end
        end
        return place
    end
    local path, word = text:match "^(.-)([%w_]*)$"
    place.word = word
    if word:find "^%d" then
        return { kind = "none", word = "" }
    end
    if path:find "[.:]%s*$" and not path:find "%.%.%s*$" then
        local dot = path:match "([.:])%s*$"
        local before = path:gsub("%s*[.:]%s*$", "")
        local expression = expression_before(before)
        if not expression then
            -- a string's methods: ("x"):rep
            return { kind = "none", word = "" }
        end
        place.path = expression .. dot
        place.at_key = false
    else
        place.path = ""
    end
    return place
end

return M
