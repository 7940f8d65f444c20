-- Reads an HTML document that is as well formed as ours must be: quoted attributes, every element
-- closed where it must be. Anything else is an error that says where.
local M = {}

local void <const> = { meta = true, br = true, input = true, link = true, hr = true, img = true }
local raw_text <const> = { script = true, style = true }

local function fail(text, at, why)
    error(("%s at byte %d: %q"):format(why, at, text:sub(math.max(1, at - 60), at + 60)), 0)
end

local function attributes(text, at, words)
    local found, rest = {}, words
    while rest:find "%S" do
        local name, value, stop = rest:match '^%s+([%w-]+)="([^"<>]*)"()'
        if not name then
            name, stop = rest:match '^%s+([%w-]+)()'
            value = ""
        end
        if not name or found[name] then
            fail(text, at, name and "an attribute twice" or "no attribute")
        end
        found[name] = value
        rest = rest:sub(stop)
    end
    return found
end

---The elements in their order: { name, attributes, text (of script and style), at }, and the text of
---the whole document without them.
---@param text string
---@return table[] elements
---@return string words
function M.parse(text)
    local elements, words, open = {}, {}, {}
    local at = assert(text:match "^<!DOCTYPE html>\n()", "no doctype")
    while at <= #text do
        local start = text:find("<", at, true) or #text + 1
        words[#words + 1] = text:sub(at, start - 1)
        if start > #text then break end
        local slash, name, rest, self_closed, stop = text:match('^<(/?)(%l[%w]*)([^<>]-)(/?)>()', start)
        if not name then
            fail(text, start, "no tag")
        elseif slash == "/" then
            if table.remove(open) ~= name then
                fail(text, start, "closed what is not open")
            end
        else
            local element = { name = name, attributes = attributes(text, start, rest), at = start }
            elements[#elements + 1] = element
            if raw_text[name] then
                local close = text:find("</" .. name .. ">", stop, true) or fail(text, start, "not closed")
                element.text = text:sub(stop, close - 1)
                stop = close + #name + 3
            elseif not void[name] and self_closed == "" then
                open[#open + 1] = name
            end
        end
        at = stop
    end
    if #open > 0 then
        fail(text, #text, "left open: " .. table.concat(open, " "))
    end
    return elements, table.concat(words)
end

local names <const> = { ["&amp;"] = "&", ["&lt;"] = "<", ["&gt;"] = ">", ["&quot;"] = '"', ["&#39;"] = "'" }

---What a reader sees: references become characters.
---@param html string
---@return string
function M.text(html)
    return (html:gsub("&#?%w+;", names))
end

---The elements that a test accepts.
---@param elements table[]
---@param test fun(element: table): any
---@return table[]
function M.select(elements, test)
    local found = {}
    for _, element in ipairs(elements) do
        if test(element) then found[#found + 1] = element end
    end
    return found
end

return M
