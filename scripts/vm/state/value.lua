-- What a function is made of, as text that is the same whenever it does the same: its source, the
-- functions it calls and the data it uses. Each piece is a named part, so that a change can be named.
local raw = require "vm.raw"
local errors = require "vm.errors"
local options = require "vm.options"
local source = require "vm.state.source"

local M = {}

---One part of a key.
---@class vm.KeyPart
---@field [1] string its name
---@field [2] string its value, or the digest of a long one

local LONG <const> = 160 -- characters of a value that is shown rather than its digest

---A long text is stood for by its digest.
---@param text string
---@return string
function M.short(text)
    return #text <= LONG and text or "sha256:" .. errors.raise(raw.data.sha256(text))
end

local standard = { "string", "table", "math", "io", "os", "coroutine", "utf8", "debug", "package" }

-- Whether a function is Lua's own or the library's: tables of the library may hold those of a script.
local function is_ours(value)
    local info = debug.getinfo(value, "S")
    local module = info.source:match "^@vmatrix/(vm.*)%.lua$" -- as the binary names what is in it
    return info.what == "C" or module ~= nil and package.loaded[module:gsub("/init$", ""):gsub("/", ".")] ~= nil
end

-- function or table -> its name, for what belongs to Lua or to the library.
local function collect_names()
    local names = { [_G] = "_G" }
    local function add_functions(table, name, depth)
        for key, value in next, table do
            if type(key) == "string" and type(value) == "function" and is_ours(value) then
                names[value] = names[value] or name .. "." .. key
            elseif type(value) == "table" and depth > 0 then
                add_functions(value, ("%s.%s"):format(name, tostring(key)), depth - 1)
            end
        end
    end
    local function add_table(table, name)
        names[table] = names[table] or name
        add_functions(table, name, 2)
    end
    for _, name in ipairs(standard) do
        add_table(_G[name], name)
    end
    for name, value in next, _G do
        if type(value) == "function" and is_ours(value) then
            names[value] = name
        end
    end
    for name, module in next, package.loaded do
        if type(module) == "table" and (name == "vm" or name:sub(1, 3) == "vm.") then
            add_table(module, name)
        end
    end
    for name, module in next, raw do
        add_table(module, "vm.raw." .. name)
    end
    return names
end

local names, modules = nil, 0

-- Modules are loaded when they are first used: their number says whether the names are all.
local function name_of(value)
    local count = 0
    for _ in next, package.loaded do
        count = count + 1
    end
    if count ~= modules then
        names, modules = collect_names(), count
    end
    return names[value]
end

local Writer = {}
Writer.__index = Writer

function Writer:refuse(path, what)
    errors.fail("usage", "%s: %s is %s, which cannot be part of a kept state; make it inside the step, or give the "
        .. "step what it needs as plain data", self.what, path, what)
end

function Writer:part(name, text)
    self.parts[#self.parts + 1] = { name, M.short(text) }
end

local scalars = {
    ["nil"] = function() return "nil" end,
    boolean = tostring,
    string = function(value) return ("%q"):format(value) end,
    number = function(value)
        return math.type(value) == "integer" and ("%d"):format(value) or ("float %a"):format(value)
    end,
}

local order = { boolean = 1, number = 2, string = 3 }

-- The keys of a table in the one order.
local function sorted_keys(self, value, path)
    local keys = {}
    for key in next, value do
        if not order[type(key)] then
            self:refuse(path, ("a table with %s as a key"):format(options.show(key)))
        end
        keys[#keys + 1] = key
    end
    table.sort(keys, function(a, b)
        local x, y = order[type(a)], order[type(b)]
        if x ~= y then
            return x < y
        elseif x == 1 then
            return not a and b
        end
        return a < b
    end)
    return keys
end

-- What the library calls an object of its own; nil for others.
local function thing(meta)
    local name = type(meta) == "table" and rawget(meta, "__name")
    return type(name) == "string" and name:find "^vm%." and name or nil
end

function Writer:table(value, path)
    local library = name_of(value)
    if library then
        return "library " .. library
    end
    local meta = debug.getmetatable(value)
    if meta ~= nil and (thing(meta) or rawget(meta, "__gc") or rawget(meta, "__close")) then
        self:refuse(path, thing(meta) and "a " .. thing(meta) or "a thing that must be closed")
    end
    self.seen[value] = path
    local words = {}
    for _, key in ipairs(sorted_keys(self, value, path)) do
        local name = type(key) == "string" and key or ("[%s]"):format(tostring(key))
        local inner = self:text(rawget(value, key), path .. "." .. name)
        words[#words + 1] = ("[%s]=%s"):format(scalars[type(key)](key), inner)
    end
    if meta ~= nil then
        words[#words + 1] = "metatable " .. self:text(meta, path .. ".metatable")
    end
    return "{" .. table.concat(words, ",") .. "}"
end

-- The value of a name that a function takes from its environment, as a part of its own.
function Writer:globals(tokens, env, path)
    if type(env) ~= "table" then
        self:refuse(path, "a function whose environment is no table")
    end
    local seen = {}
    for i, token in ipairs(tokens) do
        local name = token.text
        local before = tokens[i - 1] and tokens[i - 1].text
        local of = (before == "." or before == ":") and tokens[i - 2] and tokens[i - 2].text
        if token.name and not seen[name] and (not of or of == "_G" or of == "_ENV") then
            seen[name] = true
            local value = rawget(env, name)
            local kind = type(value)
            if value ~= nil and not ((kind == "function" or kind == "table") and name_of(value)) then
                self:part(("%s.%s"):format(path, name), self:text(value, ("%s.%s"):format(path, name)))
            end
        end
    end
end

function Writer:func(value, path)
    local library = name_of(value)
    if library then
        return "library " .. library
    elseif is_ours(value) and path:find "%.metatable%.__index$" then
        return "library" -- of what vm.params returns: it only complains
    elseif is_ours(value) then
        self:refuse(path, "a function that is not the script's")
    end
    self.seen[value] = path
    local tokens = source.of(value, ("%s: %s"):format(self.what, path))
    self:part(path .. "()", "sha256:" .. errors.raise(raw.data.sha256(source.text(tokens))))
    for i = 1, 255 do
        local name, upvalue = debug.getupvalue(value, i)
        if name == nil then
            break
        elseif name == "_ENV" then
            self:globals(tokens, upvalue, path)
        else
            local inner = ("%s.%s"):format(path, name)
            self:part(inner, self:text(upvalue, inner))
        end
    end
    return "function " .. path
end

-- A value as text; functions, and tables that hold them, add parts of their own.
function Writer:text(value, path)
    local kind = type(value)
    if scalars[kind] then
        return scalars[kind](value)
    elseif kind ~= "table" and kind ~= "function" then
        return self:refuse(path, "a " .. kind)
    elseif self.seen[value] then
        return "same as " .. self.seen[value]
    end
    return kind == "table" and self:table(value, path) or self:func(value, path)
end

---The parts that a value is made of, in an order that depends on it alone. Raises for what cannot be
---described: things of this run, userdata.
---@param what string whose it is, for messages
---@param name string what the first part is called
---@param value any
---@return vm.KeyPart[]
function M.parts(what, name, value)
    local writer = setmetatable({ what = what, parts = {}, seen = {} }, Writer)
    local text = writer:text(value, name)
    table.insert(writer.parts, 1, { name, M.short(text) })
    return writer.parts
end

return M
