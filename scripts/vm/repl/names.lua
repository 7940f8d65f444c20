-- What names a value has: its own and those that it gets through __index, without what is not for
-- scripts; and what an expression means that is made of names only.
local raw = require "vm.raw"
local known = require "vm.repl.known"

local M = {}

local IDENTIFIER <const> = "^[%a_][%w_]*$"

local keywords = {}
for word in ([[and break do else elseif end false for function goto if in local nil not or repeat return
    then true until while]]):gmatch "%a+" do
    keywords[word] = true
end

-- rawget, then through tables of __index, then what a function there says.
local function index(value, key)
    local kind = type(value)
    if kind == "string" then
        return string[key]
    end
    for _ = 1, 20 do
        if type(value) == "table" then
            local found = rawget(value, key)
            if found ~= nil then
                return found
            end
        end
        local meta = debug.getmetatable(value)
        local next_one = type(meta) == "table" and rawget(meta, "__index")
        if type(next_one) == "function" then
            local ok, found = pcall(next_one, value, key)
            return ok and found or nil
        elseif next_one == nil or next_one == false then
            return nil
        end
        value = next_one
    end
end

---The value of an expression of names, dots, colons and simple indices; nil when it has none.
---@param expression string
---@return any
function M.value(expression)
    local first, rest = expression:match "^%s*([%a_][%w_]*)(.*)$"
    if not first or keywords[first] then
        return nil
    end
    local value = index(_G, first)
    while rest ~= "" and value ~= nil do
        local key, more = rest:match "^%s*[.:]%s*([%a_][%w_]*)(.*)$"
        if not key then
            key, more = rest:match "^%s*%[%s*(%d+)%s*%](.*)$"
            key = math.tointeger(key)
        end
        if not key then
            return nil
        end
        rest = more
        value = index(value, key)
    end
    return value
end

-- What the documentation says a value of this class has.
local function documented(value)
    local meta = debug.getmetatable(value)
    local name = type(meta) == "table" and rawget(meta, "__name")
    if value == require "vm" then
        local list = {}
        for _, verb in ipairs(known.load().verbs) do
            list[#list + 1] = verb.full:match "^vm%.([%w_]+)$"
        end
        return list, true
    end
    local class = type(name) == "string" and known.load().library.classes[name]
    if not class then
        return nil
    end
    local list, methods = {}, {}
    for _, block in ipairs(class.methods) do
        list[#list + 1] = block.name
        methods[block.name] = true
    end
    for _, field in ipairs(class.fields) do
        list[#list + 1] = field.name:match "^[%w_]+"
    end
    if name == "vm.Ssh" or name == "vm.KeptGuest" then -- has verbs of guests
        for _, block in ipairs(known.load().library.classes["vm.Guest"].methods) do
            if type(index(value, block.name)) == "function" then
                list[#list + 1] = block.name
                methods[block.name] = true
            end
        end
    end
    return list, false, methods
end

---The names that may stand behind a value: after a colon only what can be called.
---@param value any
---@param after string "." or ":"
---@return string[]
function M.of(value, after)
    local found, list = {}, {}
    local function add(name, item)
        if type(name) == "string" and not found[name] and name:find(IDENTIFIER) and not keywords[name]
            and (after == "." or item == true or type(item) == "function" or type(item) == "table"
                and debug.getmetatable(item) and debug.getmetatable(item).__call) then
            found[name] = true
            list[#list + 1] = name
        end
    end
    local told, all, methods = documented(value)
    if told then
        for _, name in ipairs(told) do
            add(name, all or methods[name] or false)
        end
        if not all then
            return list
        end
    end
    if type(value) == "string" then
        value = string
    end
    for _ = 1, 20 do
        if type(value) == "table" then
            for name, item in next, value do
                if not (type(name) == "string" and name:find "^__") then
                    add(name, item)
                end
            end
        end
        local meta = debug.getmetatable(value)
        value = type(meta) == "table" and rawget(meta, "__index")
        if type(value) ~= "table" then
            break
        end
    end
    return list
end

---The names that may begin an expression or a statement.
---@return string[]
function M.globals()
    local list = M.of(_G, ".")
    for word in pairs(keywords) do
        list[#list + 1] = word
    end
    return list
end

---The guests of this process, and those that are kept.
---@return string[]
function M.guests()
    local list = {}
    for i, entry in ipairs(require("vm").list()) do
        list[i] = entry.name
    end
    return list
end

---The images that have a name: the catalogue's, and those that were built or added here.
---@return string[]
function M.images()
    return require("vm.guest.named").names()
end

---The architectures that guests may have.
---@return string[]
function M.arches()
    local list = {}
    for _, arch in ipairs(raw.virt.arches()) do
        list[#list + 1] = arch.name
    end
    return list
end

return M
