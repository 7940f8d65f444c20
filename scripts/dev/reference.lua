-- Writes the API reference from the annotations of the library: what scripts see of it, no more.
-- Run: vmatrix scripts/dev/reference.lua > docs/manual/reference.md
local annotations = require "vm.doc.annotations"

local all = annotations.read()
local classes = all.classes

local out, mentioned = {}, {}

local function say(format, ...)
    out[#out + 1] = format:format(...)
end

local function code(kind)
    for name in kind:gmatch "vm%.%u%w*" do
        mentioned[name] = true
    end
    return ("`%s`"):format(kind)
end

local function say_item(label, item)
    say("* %s %s%s", label, code(item.type), item.text ~= "" and ": " .. item.text or "")
end

local function say_function(block, prefix)
    local names = {}
    for i, param in ipairs(block.params) do
        names[i] = param.name
    end
    say("\n### `%s%s(%s)`\n", prefix, block.name, table.concat(names, ", "))
    say("%s\n", table.concat(block.text, "\n"))
    for _, param in ipairs(block.params) do
        say_item(("`%s`"):format(param.name), param)
    end
    for _, value in ipairs(block.returns) do
        say_item(value.name and ("returns `%s`"):format(value.name) or "returns", value)
    end
end

local function say_class(class)
    say("\n## %s\n", class.name)
    if #class.text > 0 then
        say("%s\n", table.concat(class.text, "\n"))
    end
    for _, field in ipairs(class.fields) do
        say_item(("`%s`"):format(field.name), field)
    end
end

local function shared_names()
    local names = {}
    for i, verb in ipairs(all.shared) do
        names[i] = ("`%s`"):format(verb.name)
    end
    return table.concat(names, ", ")
end

say "# Reference\n"
say "Made from the library's annotations by `scripts/dev/reference.lua`; a question mark means that it may be"
say "left out. Sizes are bytes or strings such as \"512MiB\", times are seconds or strings such as \"10m\". Every"
say "call raises a [`vm.Error`](errors.md) when it could not do what it was asked.\n"
say "## vm"
for _, block in ipairs(all.face) do
    say_function(block, "vm.")
end
local shown = {}
for _, object in ipairs(annotations.objects) do
    local class = assert(classes[object[1]], object[1])
    shown[class.name] = true
    say_class(class)
    if class.name == "vm.Ssh" then
        say("\nIt has these verbs of [`vm.Guest`](#vmguest): %s.", shared_names())
    end
    for _, block in ipairs(class.methods) do
        say_function(block, object[2] .. ":")
    end
end

-- The tables that were mentioned, and those that these mention.
local again = true
while again do
    again = false
    local names = {}
    for name in pairs(mentioned) do
        names[#names + 1] = name
    end
    table.sort(names)
    for _, name in ipairs(names) do
        if classes[name] and not shown[name] then
            shown[name], again = true, true
            say_class(classes[name])
        end
    end
end
print((table.concat(out, "\n"):gsub("\n\n\n+", "\n\n")))
