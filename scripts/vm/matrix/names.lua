-- Names and ids of a matrix: how they are made from values, and how patterns match them.
local M = {}

---What a pattern or a value may never be called, since a filter or a cell means something else by it.
M.reserved = { id = true, matrix = true, tag = true, test = true, variant = true }

---A name as it stands in an id: what a shell or a filter would read otherwise becomes "-".
---@param name string
---@return string
function M.clean(name)
    local clean = name:gsub("[^%w._+-]+", "-"):gsub("^%-+", ""):gsub("%-+$", "")
    return clean
end

---The part of an id that stands for an axis's value. Numbers and booleans say which axis they are of.
---@param axis string
---@param value any
---@param name string
---@return string
function M.part(axis, value, name)
    if type(value) == "boolean" then
        return value and axis or "no-" .. axis
    elseif type(value) == "number" then
        return axis .. "=" .. name
    end
    return M.clean(name:match("([^/]+)/*$") or name)
end

---A number as a name: 2 and 2.0 are the same.
---@param value number
---@return string
function M.number(value)
    return tostring(math.tointeger(value) or value)
end

local globs = {}

---The Lua pattern of a glob that matches whole names: `*` is any text without "/" and ":", `**` any
---text, `?` one character.
---@param glob string
---@return string
function M.pattern(glob)
    local pattern = globs[glob]
    if not pattern then
        pattern = glob:gsub("[%^%$%(%)%%%.%[%]%+%-]", "%%%0"):gsub("%*%*", "\0"):gsub("%*", "[^/:]*")
            :gsub("%?", "[^/:]"):gsub("%z", ".*")
        pattern = "^" .. pattern .. "$"
        globs[glob] = pattern
    end
    return pattern
end

---Whether a text has what a glob gives a meaning to.
---@param text string
---@return boolean
function M.is_glob(text)
    return text:find("[*?]") ~= nil
end

local function is_one(value, wanted)
    if wanted == value.value then
        return true
    elseif type(wanted) == "string" then
        return wanted == value.name or (M.is_glob(wanted) and value.name:find(M.pattern(wanted)) ~= nil)
    end
    return type(wanted) == "table" and wanted.name ~= nil and tostring(wanted.name) == value.name
end

---Whether an axis's value is what a rule asks for: a value, a name or glob, or a list of these.
---@param value { name: string, value: any }
---@param wanted any
---@return boolean
function M.matches(value, wanted)
    if is_one(value, wanted) then
        return true
    elseif type(wanted) == "table" and wanted.name == nil then
        for _, one in ipairs(wanted) do
            if is_one(value, one) then
                return true
            end
        end
    end
    return false
end

return M
