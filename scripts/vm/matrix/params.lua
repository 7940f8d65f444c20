-- vm.params: what `vmatrix test -D name=value` gives a matrix.
local errors = require "vm.errors"
local options = require "vm.options"

local M = {}

-- What was said on the command line; declared: name -> value, as scripts asked for them.
local given, declared = {}, {}

---Sets what the command line said, and forgets what scripts declared.
---@param values table<string, string>
function M.set(values)
    given, declared = values, {}
end

local words = { ["true"] = true, yes = true, on = true, ["1"] = true, ["false"] = false, no = false, off = false,
    ["0"] = false }

-- A text as the type that a declaration wants.
local function convert(name, text, kind)
    if kind == "boolean" then
        local value = words[text:lower()]
        if value == nil then
            errors.fail("usage", "parameter '%s': yes or no expected, got %s", name, options.show(text))
        end
        return value
    elseif kind == "number" or kind == "integer" then
        local value = tonumber(text)
        if not value then
            errors.fail("usage", "parameter '%s': a number expected, got %s", name, options.show(text))
        end
        return value
    end
    return text
end

-- What a declaration says: a default, whose type counts, or a description as options.check takes it.
local function rule_of(name, declaration)
    if type(declaration) ~= "table" then
        local kind = math.type(declaration) == "integer" and "integer" or type(declaration)
        if kind ~= "string" and kind ~= "integer" and kind ~= "number" and kind ~= "boolean" then
            errors.fail("usage", "vm.params: '%s': a default or a description expected, got %s", name,
                options.show(declaration))
        end
        return { kind, default = declaration }
    end
    local rule = {}
    for key, value in pairs(declaration) do
        rule[key] = value
    end
    options.check("vm.params: '" .. name .. "'", rule, {
        [1] = { "string", one_of = { "string", "integer", "number", "boolean", "size", "time" }, required = true },
        default = "any", required = "boolean", one_of = "table", min = "number", max = "number", help = "string",
    })
    return rule
end

local function declare(_, declarations)
    if type(declarations) ~= "table" then
        errors.fail("usage", "vm.params: a table of defaults expected, got %s", options.show(declarations))
    end
    local names, out = {}, {}
    for name in pairs(declarations) do
        if type(name) ~= "string" or not name:find "^[%a_][%w_-]*$" then
            errors.fail("usage", "vm.params: %s is no name of a parameter", options.show(name))
        end
        names[#names + 1] = name
    end
    table.sort(names)
    for _, name in ipairs(names) do
        local rule = rule_of(name, declarations[name])
        local text = given[name]
        if text == nil and rule.required then
            errors.fail("usage", "parameter '%s' is missing; say -D %s=VALUE%s", name, name,
                rule.help and " (" .. rule.help .. ")" or "")
        end
        local value
        if text ~= nil then
            value = convert(name, text, rule[1])
        end
        out[name] = options.check("parameter", { [name] = value }, { [name] = rule })[name]
        declared[name] = { value = out[name] }
    end
    return setmetatable(out, { __index = function(_, name)
        options.unknown("vm.params", "parameter", name, names)
    end })
end

---The names that were given with -D and that no script asked for.
---@return string[] unknown
---@return string[] known
function M.unknown()
    local unknown, known = {}, {}
    for name in pairs(given) do
        if not declared[name] then
            unknown[#unknown + 1] = name
        end
    end
    for name in pairs(declared) do
        known[#known + 1] = name
    end
    table.sort(unknown)
    table.sort(known)
    return unknown, known
end

---What the parameters are in this run, by name.
---@return table<string, any>
function M.values()
    local out = {}
    for name, entry in pairs(declared) do
        out[name] = entry.value
    end
    return out
end

---The parameters of this run: a table of them, with what `vmatrix test -D release=forky` said, in the type
---of the default. A table instead of a default is a description: { "integer", default = 4, min = 1, max = 9,
---one_of = {...}, required = true, help = "..." }, where the type may also be "string", "boolean", "number",
---"size" and "time". `vm.params.name`, without a call, is the text that was given, and raises without one.
---@param declarations table<string, any> such as { release = "trixie", jobs = 4 }
---@return table<string, any>
M.params = setmetatable({}, {
    __call = declare,
    __index = function(_, name)
        local entry = declared[name]
        if not entry and given[name] ~= nil then
            entry = { value = given[name] }
            declared[name] = entry
        end
        if not entry then
            errors.fail("usage", "parameter '%s' was not given; say -D %s=VALUE, or give a default: "
                .. "vm.params { %s = ... }", tostring(name), tostring(name), tostring(name))
        end
        return entry.value
    end,
    __newindex = function(_, name)
        errors.fail("usage", "parameter '%s' cannot be set by a script", tostring(name))
    end,
})

return M
