-- Values as assertion errors show them: bounded, keys in order, what differs first.
local M = {}

local MAX <const>, DEPTH <const>, ITEMS <const> = 400, 4, 12

local function cut(text, max)
    return #text > max and text:sub(1, max) .. ("... (%d bytes)"):format(#text) or text
end

local function sorted_keys(value)
    local keys = {}
    for key in next, value do
        keys[#keys + 1] = key
    end
    table.sort(keys, function(a, b)
        if type(a) == type(b) and (type(a) == "number" or type(a) == "string") then
            return a < b
        end
        return type(a) == type(b) and tostring(a) < tostring(b) or type(a) < type(b)
    end)
    return keys
end

local function show(value, depth)
    if type(value) == "string" then
        return (cut(("%q"):format(value):gsub("\\\n", "\\n"):gsub("[^\32-\126\128-\255]", "?"), MAX))
    elseif type(value) ~= "table" or getmetatable(value) ~= nil then
        return cut(tostring(value), MAX)
    elseif depth >= DEPTH then
        return "{...}"
    end
    local parts, list = {}, 0
    for _, key in ipairs(sorted_keys(value)) do
        if #parts >= ITEMS then
            parts[#parts + 1] = "..."
            break
        end
        local text = show(value[key], depth + 1)
        if key == list + 1 then
            list = key
        elseif type(key) == "string" and key:find "^[%a_][%w_]*$" then
            text = key .. " = " .. text
        else
            text = ("[%s] = %s"):format(show(key, depth + 1), text)
        end
        parts[#parts + 1] = text
    end
    return #parts == 0 and "{}" or "{ " .. table.concat(parts, ", ") .. " }"
end

---A value as text.
---@param value any
---@return string
function M.value(value)
    return show(value, 0)
end

---Whether two values are alike; tables are if what is in them is. Otherwise where they differ first.
---@param a any
---@param b any
---@param path? string
---@param seen? table
---@return boolean same
---@return string|nil where
function M.same(a, b, path, seen)
    path, seen = path or "", seen or {}
    if rawequal(a, b) or (type(a) == type(b) and type(a) ~= "table" and a == b) then
        return true
    elseif type(a) ~= "table" or type(b) ~= "table" then
        return false, path
    elseif seen[a] == b then
        return true -- they are being compared already
    end
    seen[a] = b
    local function name(key)
        return type(key) == "string" and key:find "^[%a_][%w_]*$" and path .. "." .. key
            or ("%s[%s]"):format(path, M.value(key))
    end
    for _, key in ipairs(sorted_keys(a)) do
        local same, where = M.same(a[key], b[key], name(key), seen)
        if not same then
            return false, where
        end
    end
    for _, key in ipairs(sorted_keys(b)) do
        if a[key] == nil then
            return false, name(key)
        end
    end
    return true
end

---The value at a path that M.same gave.
---@param value any
---@param path string
---@return any
function M.at(value, path)
    for key in path:gmatch "[^.%[%]]+" do
        if type(value) ~= "table" then
            return nil
        end
        local text = key:match '^"(.*)"$'
        value = value[text or key] == nil and value[tonumber(key)] or value[text or key]
    end
    return value
end

return M
