-- What the prompt knows of the library: its annotations, and the chapters of the manual.
local raw = require "vm.raw"
local annotations = require "vm.doc.annotations"
local options = require "vm.options"

local M = {}

---What the objects that scripts hold are called in examples, by class.
M.objects = {}
for _, object in ipairs(annotations.objects) do
    M.objects[object[1]] = object[2]
end
M.objects["vm.KeptGuest"] = M.objects["vm.Guest"]

local known, manual

---What is known of the library.
---@return { library: vm.Annotations, verbs: table[], by_block: table<table, table> }
function M.load()
    if known then
        return known
    end
    local library = annotations.read()
    local verbs, by_block, by_name = {}, {}, {}
    -- A kept guest's verbs are a guest's; those that only it has stand beside them.
    local function add(block, full, class)
        local verb = by_name[full]
        if not verb then
            verb = { block = block, full = full, class = class }
            by_name[full] = verb
            verbs[#verbs + 1] = verb
        end
        by_block[block] = verb
    end
    for _, block in ipairs(library.face) do
        add(block, "vm." .. block.name)
    end
    local function add_class(class)
        for _, block in ipairs(library.classes[class] and library.classes[class].methods or {}) do
            add(block, M.objects[class] .. ":" .. block.name, class)
        end
    end
    for _, object in ipairs(annotations.objects) do
        add_class(object[1])
    end
    add_class "vm.KeptGuest"
    table.sort(verbs, function(a, b) return a.full < b.full end)
    known = { library = library, verbs = verbs, by_block = by_block }
    return known
end

---The chapters of the manual.
---@return table<string, string> texts by name
function M.manual()
    if not manual then
        manual = {}
        for _, name in ipairs(raw.scripts.list()) do
            local chapter = name:match "^vm%.manual%.(.*)$"
            if chapter then
                manual[chapter] = require(name)
            end
        end
    end
    return manual
end

---What is said of a function of the library.
---@param fn function
---@return table|nil block as vm.Annotations has it
function M.of(fn)
    local is_ours = debug.getinfo(fn, "S").source:find "^@vmatrix/"
    return is_ours and annotations.of(M.load().library, fn) or nil
end

---The verb that a function of the library is.
---@param fn function
---@return table|nil verb
function M.verb(fn)
    local block = M.of(fn)
    return block and M.load().by_block[block]
end

---How a verb is called: "guest:exec(command, opts?)".
---@param verb table
---@return string
function M.signature(verb)
    local names = {}
    for i, param in ipairs(verb.block.params) do
        names[i] = param.name
    end
    return ("%s(%s)"):format(verb.full, table.concat(names, ", "))
end

---The options that a parameter takes: those of its class, or those that stand in its type.
---@param kind string the parameter's type
---@return { name: string, type: string, text: string }[]
function M.options(kind)
    local inline = kind:match "^{(.*)}$"
    if not inline then
        local name = kind:match "^(vm%.%u[%w.]*Options)"
        local class = name and M.load().library.classes[name]
        return class and class.fields or {}
    end
    local fields = {}
    for name, of in (inline .. ","):gmatch "([%w_]+%??):%s*([^,]+)," do
        fields[#fields + 1] = { name = name, type = of, text = "" }
    end
    return fields
end

---What may have been meant where something was called that there is not.
---@param problem string as Lua says it
---@return string|nil "guest:exec"
function M.meant(problem)
    local kind, name = problem:match "attempt to call a nil value %((%a+) '([%a_][%w_]*)'%)"
    local separator = ({ method = ":", field = "vm.", global = "" })[kind]
    if not separator or #name < 4 then
        return nil
    end
    local spelled, names = {}, {}
    local function add(short, full)
        if not spelled[short] then
            spelled[short] = full
            names[#names + 1] = short
        end
    end
    for key, value in pairs(kind == "global" and _G or {}) do
        if type(key) == "string" and type(value) == "function" then
            add(key, key)
        end
    end
    for _, first in ipairs { "^vm%.", "^guest:", "" } do -- of verbs of one name the usual one
        for _, verb in ipairs(M.load().verbs) do
            if verb.full:find(first) and verb.full:find(separator, 1, true) then
                add(verb.block.name, verb.full)
            end
        end
    end
    return spelled[name] or spelled[options.nearest(name, names)]
end

return M
