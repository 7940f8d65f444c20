-- Masking values that must not be seen: in whole texts, and in streams that come in pieces.
local M = {}

local MASK <const> = "***"

---@class vm.test.Masker
---@field private values string[] the longest first
local Masker = {}
Masker.__index = Masker

---Makes a masker of these values.
---@param values string[]|nil
---@return vm.test.Masker
function M.new(values)
    local list, seen = {}, {}
    for _, value in ipairs(values or {}) do
        value = tostring(value)
        if value ~= "" and not seen[value] then
            seen[value] = true
            list[#list + 1] = value
        end
    end
    table.sort(list, function(a, b) return #a > #b or (#a == #b and a < b) end)
    return setmetatable({ values = list, longest = list[1] and #list[1] or 0 }, Masker)
end

-- Where the earliest value begins and ends; the longest of those that begin there.
local function find(values, text, from)
    local first, last
    for _, value in ipairs(values) do
        local at, to = text:find(value, from, true)
        if at and (not first or at < first) then
            first, last = at, to
        end
    end
    return first, last
end

-- Where a value may have begun whose rest has not come yet.
local function open_at(self, text, from)
    for at = math.max(from, #text - self.longest + 2), #text do
        local rest = text:sub(at)
        for _, value in ipairs(self.values) do
            if #value > #rest and value:sub(1, #rest) == rest then
                return at
            end
        end
    end
end

-- The text masked, and what is to be held back for the next piece.
local function mask(self, text, whole)
    local out, from = {}, 1
    while true do
        local first, last = find(self.values, text, from)
        local open = not whole and open_at(self, text, from)
        if open and (not first or open <= first) then
            out[#out + 1] = text:sub(from, open - 1)
            return table.concat(out), text:sub(open)
        elseif not first then
            out[#out + 1] = text:sub(from)
            return table.concat(out), ""
        end
        out[#out + 1] = text:sub(from, first - 1)
        out[#out + 1] = MASK
        from = last + 1
    end
end

---A whole text, masked.
---@param text string
---@return string
function Masker:text(text)
    if #self.values == 0 then
        return text
    end
    return (mask(self, text, true))
end

---A value as it may go into a log or a report: strings masked, also those in tables and error objects.
---@generic T
---@param value T
---@return T
function Masker:value(value)
    if #self.values == 0 then
        return value
    elseif type(value) == "string" then
        return self:text(value)
    elseif type(value) == "table" and getmetatable(value) == nil then
        local out = {}
        for name, inner in pairs(value) do
            out[self:value(name)] = self:value(inner)
        end
        return out
    end
    return value
end

---@class vm.test.MaskedStream
local Stream = {}
Stream.__index = Stream

---A stream whose pieces are masked, also where a value is split over several.
---@return vm.test.MaskedStream
function Masker:stream()
    return setmetatable({ masker = self, held = "" }, Stream)
end

---What can be shown once this piece has come.
---@param chunk string
---@return string
function Stream:push(chunk)
    if #self.masker.values == 0 then
        return chunk
    end
    local out
    out, self.held = mask(self.masker, self.held .. chunk, false)
    return out
end

---The rest, at the end.
---@return string
function Stream:flush()
    local rest = self.held
    self.held = ""
    return self.masker:text(rest)
end

return M
