-- vm.step: one step that prepares guests, and what its key is made of.
local raw = require "vm.raw"
local errors = require "vm.errors"
local inputs = require "vm.state.inputs"
local options = require "vm.options"
local script = require "vm.script"
local source = require "vm.state.source"
local value = require "vm.state.value"

local M = {}

---A step: what vm.step returns.
---@class vm.Step
---@field name string
---@field uses string[] the names of the axes that it reads, sorted
---@field inputs vm.StepInput[] what it takes from the host, copies included
---@field copies table[] of { src, dst, exclude =, delete = }
---@field env table<string, string> environment of every command in it
---@field run? fun(guest: vm.Guest, cell: table)
---@field timeout? number seconds
local Step = {}
Step.__index = Step
Step.__name = "vm.Step"
M.Step = Step

function Step:__tostring()
    return ("step %s"):format(self.name)
end

local function strings(what, option, list)
    list = type(list) == "string" and { list } or list
    for key, item in pairs(list) do
        if math.type(key) ~= "integer" or type(item) ~= "string" or item == "" then
            errors.fail("usage", "%s: option '%s': a list of strings expected, with %s in it", what, option,
                options.show(item))
        end
    end
    return table.move(list, 1, #list, 1, {})
end

local function check_inputs(what, list)
    local out = {}
    for i, item in ipairs(type(list) == "string" and { list } or list) do
        if type(item) == "string" then
            item = { path = item }
        end
        item = options.check(("%s: inputs[%d]"):format(what, i), item,
            { path = { "string", required = true }, exclude = { "table", default = {} } })
        item.exclude, item.base = strings(what, "exclude", item.exclude), script.path ""
        out[i] = item
    end
    return out
end

local copy_spec = { [1] = { "string", required = true }, [2] = { "string", required = true },
    exclude = { "table", default = {} }, delete = "boolean" }

local function check_copies(what, list)
    local out = {}
    for i, item in ipairs(list) do
        item = options.check(("%s: copy[%d]"):format(what, i), item, copy_spec)
        item.exclude = strings(what, "exclude", item.exclude)
        out[i] = item
    end
    return out
end

local function check_env(what, env)
    local out = {}
    for name, text in pairs(env) do
        if type(name) ~= "string" or not name:find "^[%a_][%w_]*$" then
            errors.fail("usage", "%s: option 'env': %s is not the name of a variable", what, options.show(name))
        elseif type(text) ~= "string" and type(text) ~= "number" then
            errors.fail("usage", "%s: option 'env': %s: a string expected, got %s", what, name, options.show(text))
        end
        out[name] = tostring(text)
    end
    return out
end

local function absolute(path)
    return path:sub(1, 1) == "/" and path or ("%s/%s"):format(errors.raise(raw.fs.cwd()), path)
end

local step_spec = {
    name = { "string", required = true },
    uses = { "table|string", default = {} },
    inputs = { "table|string", default = {} },
    copy = { "table", default = {} },
    env = { "table", default = {} },
    run = "function",
    timeout = "time",
}

---What a step is.
---@class vm.StepOptions
---@field name string what reports call it; it may change without building anything anew
---@field uses? string[] the axes whose values run reads: reading another one raises
---@field inputs? (string|vm.StepInput)[] files, folders and globs of the host that run copies in
---@field copy? table[] { src, dst, exclude =, delete = }: copied in before run; these are inputs, too
---@field env? table<string, string> environment of every command in the step
---@field run? fun(guest: vm.Guest, cell: table)
---@field timeout? number|string for the whole step

---Makes a step of preparing guests. What it leaves is kept and found again for as long as nothing that
---it depends on has changed: its text and that of the functions it calls, the data these use, the
---values of its axes, the content of its inputs.
---@param opts vm.StepOptions
---@return vm.Step
function M.step(opts)
    local what = type(opts) == "table" and type(opts.name) == "string" and ("vm.step %s"):format(opts.name) or "vm.step"
    opts = options.check(what, opts, step_spec)
    if #opts.name > 80 or not opts.name:find "^[%w][%w ._+-]*$" then
        errors.fail("usage", "%s: option 'name': up to 80 letters, digits, spaces and '._+-' expected", what)
    end
    local self = setmetatable({
        name = opts.name,
        uses = strings(what, "uses", opts.uses),
        inputs = check_inputs(what, opts.inputs),
        copies = check_copies(what, opts.copy),
        env = check_env(what, opts.env),
        run = opts.run,
        timeout = opts.timeout,
    }, Step)
    table.sort(self.uses)
    if not self.run and #self.copies == 0 then
        errors.fail("usage", "%s: a step without 'run' and 'copy' does nothing", what)
    end
    for _, item in ipairs(self.copies) do
        self.inputs[#self.inputs + 1] = { path = item[1], exclude = item.exclude, base = script.path "" }
        item.from = absolute(script.path(item[1])) -- another script's folder may be the one later
    end
    if self.run then
        source.remember(self.run)
    end
    return self
end

---The list of steps a user gave, checked.
---@param what string
---@param steps any
---@return vm.Step[]
function M.list(what, steps)
    if getmetatable(steps) == Step then
        steps = { steps }
    elseif type(steps) ~= "table" then
        errors.fail("usage", "%s: a list of steps expected, got %s", what, options.show(steps))
    end
    for key, step in pairs(steps) do
        if math.type(key) ~= "integer" or getmetatable(step) ~= Step then
            errors.fail("usage", "%s: steps made by vm.step expected, got %s", what, options.show(step))
        end
    end
    return table.move(steps, 1, #steps, 1, {})
end

local function contains(list, name)
    for _, item in ipairs(list) do
        if item == name then
            return true
        end
    end
    return false
end

local function names_of(cell)
    local names = {}
    for name in pairs(cell or {}) do
        names[#names + 1] = tostring(name)
    end
    table.sort(names)
    return names
end

---Raises when a step uses an axis that there is not.
---@param cell table|nil the values by axis
---@param fields table|nil further names that a cell may have, as a list or as keys
function Step:check_uses(cell, fields)
    local what = ("step %s: uses"):format(self.name)
    for _, name in ipairs(self.uses) do
        if cell == nil then
            errors.fail("usage", "%s '%s', but no cell was given: vm.prepared(spec, steps, { cell = { %s = ... } })",
                what, name, name)
        elseif cell[name] == nil and not (fields and (fields[name] or contains(fields, name))) then
            options.unknown(what, "axis", name, names_of(cell))
        end
    end
end

---What `run` is given as cell: the values of the axes that the step uses; reading another raises.
---@param cell table|nil
---@return table
function Step:view(cell)
    local what, uses = ("step %s"):format(self.name), self.uses
    local values = {}
    for _, name in ipairs(uses) do
        values[name] = cell and cell[name]
    end
    return setmetatable({}, {
        __index = function(_, name)
            if contains(uses, name) then
                return values[name]
            elseif cell and cell[name] ~= nil then
                errors.fail("usage", "%s: it reads cell.%s, which its key does not know of: add '%s' to uses", what,
                    tostring(name), tostring(name))
            end
            options.unknown(what, "axis", tostring(name), names_of(cell))
        end,
        __newindex = function(_, name)
            errors.fail("usage", "%s: cell.%s: a cell is not to be changed", what, tostring(name))
        end,
        __pairs = function()
            return next, values
        end,
        __name = "vm.StepCell",
    })
end

local function copy_text(item)
    local text = ("%q -> %q"):format(item[1], item[2])
    for _, pattern in ipairs(item.exclude) do
        text = ("%s without %q"):format(text, pattern)
    end
    return item.delete and text .. " mirrored" or text
end

---What its key is made of, apart from the state it starts from.
---@param cell table|nil
---@return vm.KeyPart[]
function Step:parts(cell)
    local what = ("step %s"):format(self.name)
    local parts = {}
    local function add(more)
        table.move(more, 1, #more, #parts + 1, parts)
    end
    if self.run then
        add(value.parts(what, "run", self.run))
    end
    for _, name in ipairs(self.uses) do
        add(value.parts(what, "axis " .. name, cell and cell[name]))
    end
    local names = names_of(self.env)
    for _, name in ipairs(names) do
        parts[#parts + 1] = { "env " .. name, value.short(self.env[name]) }
    end
    for i, item in ipairs(self.copies) do
        parts[#parts + 1] = { ("copy %d"):format(i), value.short(copy_text(item)) }
    end
    add(inputs.parts(what, self.inputs))
    return parts
end

-- What a guest is told while a step prepares it.
local Hook = {}
Hook.__index = Hook

---Raises for a copy of what is not among the step's inputs.
---@param what string
---@param src string
---@param exclude string[]|nil
function Hook:check_copy(what, src, exclude)
    if not inputs.cover(src, self.step.inputs, exclude) then
        errors.fail("usage", "%s: inside step %s, and %s is not among its inputs, so its key cannot know of it: "
            .. "add it to 'inputs', or use 'copy'", what, self.step.name, src)
    end
end

---Does the step in a guest.
---@param guest vm.Guest
---@param cell table|nil
function Step:perform(guest, cell)
    guest.step = setmetatable({ step = self }, Hook)
    guest.default_env = next(self.env) and self.env or nil
    local _ <close> = setmetatable({}, { __close = function()
        guest.step, guest.default_env = nil, nil
    end })
    local function body()
        for _, item in ipairs(self.copies) do
            guest:copy_in(item.from, item[2], { exclude = item.exclude, delete = item.delete })
        end
        if self.run then
            self.run(guest, self:view(cell))
        end
    end
    if self.timeout then
        require("vm.task").timeout(self.timeout, body)
    else
        body()
    end
end

return M
