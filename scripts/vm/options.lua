-- Checking what a user wrote: names, types, sizes, times, with the nearest name in the message.
local errors = require "vm.errors"

local M = {}

local function distance(a, b)
    local row = {}
    for j = 0, #b do
        row[j] = j
    end
    for i = 1, #a do
        local diagonal = row[0]
        row[0] = i
        for j = 1, #b do
            local cost = a:byte(i) == b:byte(j) and 0 or 1
            local best = math.min(row[j] + 1, row[j - 1] + 1, diagonal + cost)
            diagonal = row[j]
            row[j] = best
        end
    end
    return row[#b]
end

local function sorted_copy(names)
    local sorted = table.move(names, 1, #names, 1, {})
    table.sort(sorted)
    return sorted
end

---The name among `names` that is most like `name`, or nil when none is near.
---@param name string
---@param names string[]
---@return string|nil
function M.nearest(name, names)
    local best, best_distance = nil, math.max(2, #name // 3) + 1
    for _, candidate in ipairs(sorted_copy(names)) do
        local d = distance(name:lower(), candidate:lower())
        if d < best_distance then
            best, best_distance = candidate, d
        end
    end
    return best
end

---Raises for a name that is not one of `names`: "<what>: unknown <noun> 'x'; did you mean 'y'?"
---@param what string
---@param noun string
---@param name any
---@param names string[]
function M.unknown(what, noun, name, names)
    local near = M.nearest(tostring(name), names)
    local hint = near and ("did you mean '%s'?"):format(near)
        or ("known are %s"):format(table.concat(sorted_copy(names), ", "))
    errors.fail("usage", "%s: unknown %s '%s'; %s", what, noun, tostring(name), hint)
end

---A value as a message shows it: strings quoted, tables by type.
---@param value any
---@return string
function M.show(value)
    if type(value) == "string" then
        return ("%q"):format(#value > 60 and value:sub(1, 60) .. "..." or value)
    elseif type(value) == "table" or type(value) == "function" or type(value) == "userdata" then
        return "a " .. type(value)
    end
    return tostring(value)
end

local size_units = {
    B = 1,
    K = 2 ^ 10, KIB = 2 ^ 10,
    M = 2 ^ 20, MIB = 2 ^ 20,
    G = 2 ^ 30, GIB = 2 ^ 30,
    T = 2 ^ 40, TIB = 2 ^ 40,
}

---Bytes from "2GiB", "512M" or a number of bytes. A bare number under 1 MiB raises, with a hint.
---@param what string what the message names
---@param value string|number
---@return integer
function M.size(what, value)
    local whole = type(value) == "number" and math.tointeger(value) -- 4 * 2^30 is a float
    if whole then
        if whole < 2 ^ 20 then
            errors.fail("usage", "%s: %d is a number of bytes and very small; write '%dMiB' or '%dGiB'",
                what, whole, whole, whole)
        end
        return whole
    elseif type(value) == "string" then
        local number, unit = value:match("^%s*(%d+%.?%d*)%s*(%a+)%s*$")
        local factor = unit and size_units[unit:upper()]
        local bytes = factor and math.tointeger(tonumber(number) * factor // 1)
        if bytes and bytes > 0 then
            return bytes
        end
    end
    return errors.fail("usage", "%s: a size such as '512MiB' or '2GiB' expected, got %s", what, M.show(value))
end

local time_units = { ms = 0.001, s = 1, m = 60, min = 60, h = 3600, d = 86400 }

---Seconds from a number, "250ms", "90s", "10m" or "1h".
---@param what string
---@param value string|number
---@return number
function M.time(what, value)
    if type(value) == "number" and value >= 0 then
        return value
    elseif type(value) == "string" then
        local number, unit = value:match("^%s*(%d+%.?%d*)%s*(%a*)%s*$")
        local factor = number and time_units[unit == "" and "s" or unit]
        if factor then
            return tonumber(number) * factor
        end
    end
    return errors.fail("usage", "%s: a time in seconds or such as '90s' or '10m' expected, got %s", what, M.show(value))
end

-- Types beyond Lua's own: each converts the value or raises.
local converters = {
    size = M.size,
    time = M.time,
    integer = function(what, value)
        local whole = type(value) == "number" and math.tointeger(value)
        if not whole then
            errors.fail("usage", "%s: a whole number expected, got %s", what, M.show(value))
        end
        return whole
    end,
}

local function convert(label, value, kinds)
    local last
    for kind in kinds:gmatch("[^|]+") do
        if converters[kind] then
            last = converters[kind]
        elseif kind == "any" or type(value) == kind then
            return value
        end
    end
    if last then
        return last(label, value)
    end
    return errors.fail("usage", "%s: %s expected, got %s", label, (kinds:gsub("|", " or ")), M.show(value))
end

local function check_limits(label, value, rule)
    if rule.one_of then
        for _, allowed in ipairs(rule.one_of) do
            if allowed == value then
                return
            end
        end
        M.unknown(label, "value", value, rule.one_of)
    end
    if value ~= value then
        errors.fail("usage", "%s: a number expected, got nan", label)
    elseif type(value) == "number" and rule.min and value < rule.min then
        errors.fail("usage", "%s: at least %s expected, got %s", label, rule.min, value)
    elseif type(value) == "number" and rule.max and value > rule.max then
        errors.fail("usage", "%s: at most %s expected, got %s", label, rule.max, value)
    end
end

-- Of each description: what a call has to look at even when it is given nothing. Descriptions are
-- made once and used by every call.
local needs = setmetatable({}, { __mode = "k" })

local function needs_of(spec)
    local list = {}
    for name, rule in pairs(spec) do
        if type(rule) == "table" and (rule.required or rule.default ~= nil) then
            list[#list + 1] = { name = name, required = rule.required, default = rule.default }
        end
    end
    needs[spec] = list
    return list
end

---Checks an option table against its description and returns a new table with the defaults filled
---in. A description is `{ name = type }` or `{ name = { type, default = v, required = true,
---one_of = {...}, min = n, max = n } }`; a type is a Lua type name, "size", "time", "integer", "any",
---or several joined by "|" (a converting one last).
---@param what string the verb, for messages: "vm.boot"
---@param given table|nil
---@param spec table
---@return table
function M.check(what, given, spec)
    local out = {}
    if given ~= nil and type(given) ~= "table" then
        errors.fail("usage", "%s: a table of options expected, got %s", what, M.show(given))
    end
    for name, value in pairs(given or {}) do
        local rule = spec[name]
        if rule == nil then
            local names = {}
            for known in pairs(spec) do
                names[#names + 1] = tostring(known)
            end
            M.unknown(what, "option", name, names)
        end
        if type(value) == rule then -- most are as simple as this
            out[name] = value
        else
            local label = ("%s: option '%s'"):format(what, tostring(name))
            local whole = type(rule) == "table" and rule or { rule }
            out[name] = convert(label, value, whole[1])
            check_limits(label, out[name], whole)
        end
    end
    for _, need in ipairs(needs[spec] or needs_of(spec)) do
        if out[need.name] == nil then
            if need.required then
                errors.fail("usage", "%s: option '%s' is missing", what, tostring(need.name))
            end
            out[need.name] = need.default
        end
    end
    return out
end

return M
