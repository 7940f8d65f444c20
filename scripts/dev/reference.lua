-- Writes the API reference from the annotations of the library: what scripts see of it, no more.
-- Run: vmatrix scripts/dev/reference.lua > docs/manual/reference.md
local vm = require "vm"
local fs = vm.raw.fs

local root = (arg[0]:match "^(.*)/scripts/dev/[^/]*$" or ".") .. "/scripts/vm"

-- The objects that scripts hold, in the order of the reference, and what their verbs are shown on.
local objects = {
    { "vm.Guest", "guest" }, { "vm.Template", "template" }, { "vm.State", "state" }, { "vm.Network", "network" },
    { "vm.Process", "process" }, { "vm.Snapshot", "snapshot" }, { "vm.Ssh", "machine" },
    { "vm.Task", "task" }, { "vm.Semaphore", "semaphore" }, { "vm.Connection", "connection" }, { "vm.Error", "err" },
}

-- Takes a type off the front of a text: it goes to the first space that is outside of brackets and
-- does not follow a colon, as in "fun(): string".
local function take_type(text)
    local depth, previous = 0, ""
    for at = 1, #text do
        local c = text:sub(at, at)
        if c:find "[{(<]" then
            depth = depth + 1
        elseif c:find "[})>]" then
            depth = depth - 1
        elseif c == " " and depth == 0 and previous ~= ":" then
            return text:sub(1, at - 1), text:sub(at + 1)
        end
        previous = c
    end
    return text, ""
end

local function new_block()
    return { text = {}, params = {}, returns = {}, fields = {} }
end

-- One line of a comment, without its dashes.
local function add_line(block, line)
    local tag, rest = line:match "^@(%a+)%s*(.*)$"
    if tag == "class" then
        block.class = rest:match "^[%w_.]+"
    elseif tag == "private" then
        block.private = true
    elseif tag == "return" then
        local kind, said = take_type(rest)
        local name, text = said:match "^(%S+)%s*(.*)$"
        table.insert(block.returns, { name = name, type = kind, text = text or "" })
    elseif tag == "param" or tag == "field" then
        local name, typed = rest:match "^(%S+)%s+(.*)$"
        if name == "private" then
            return
        end
        local kind, text = take_type(typed)
        table.insert(tag == "param" and block.params or block.fields, { name = name, type = kind, text = text })
    elseif not tag then
        table.insert(block.text, (line:gsub("^%s+", "")))
    end
end

-- Everything that is annotated: classes by name, each with its methods; functions by module and name.
local classes, functions = {}, {}

local function class_of(name)
    classes[name] = classes[name] or { name = name, text = {}, fields = {}, methods = {} }
    return classes[name]
end

-- A verb that is written in C has no function to stand above: it is a field of type fun(self: ...).
local function add_field(class, field)
    local given, result = field.type:match "^fun%(self: [%w.]+,? ?(.*)%):? ?(.*)$"
    if not given then
        table.insert(class.fields, field)
        return
    end
    local verb = new_block()
    verb.name, verb.text = field.name, { field.text }
    for name, kind in given:gmatch "([%w_?]+): ([^,]+)" do
        table.insert(verb.params, { name = name, type = kind, text = "" })
    end
    if result ~= "" then
        table.insert(verb.returns, { type = result, text = "" })
    end
    table.insert(class.methods, verb)
end

local function add_class(block)
    local class = class_of(block.class)
    for _, field in ipairs(block.fields) do
        add_field(class, field)
    end
    if #block.text > 0 then
        class.text = block.text
    end
    return class
end

-- A module whose functions are verbs of guests and machines by `M.methods = { name = M.name }`.
local function add_verbs(module, text)
    for name in (text:match "\nM%.methods = (%b{})" or ""):gmatch "([%w_]+) = M%.[%w_]+" do
        local verb = functions[module .. "." .. name]
        table.remove(verb.params, 1)
        verb.name = name
        table.insert(class_of("vm.Guest").methods, verb)
    end
end

local function read_module(path)
    local text = assert(fs.read(("%s/%s.lua"):format(root, path), 1 << 20))
    local name = path:gsub("/", ".")
    local block, holders = nil, {}
    for line in text:gmatch "([^\n]*)\n" do
        local comment = line:match "^%-%-%-(.*)$"
        if comment then
            block = block or new_block()
            add_line(block, comment)
        elseif block then
            local holder, verb = line:match "^function ([%w_]+)[.:]([%w_]+)%("
            if not holder then
                holder, verb = line:match "^(M)%.([%w_]+) = setmetatable%(" -- a table that is called
            end
            if block.class then
                local class = add_class(block)
                holder = line:match "^local ([%w_]+) ="
                if holder then
                    holders[holder] = class
                end
            elseif holder and not block.private then
                block.name, block.module = verb, "vm." .. name
                if holders[holder] then
                    table.insert(holders[holder].methods, block)
                elseif holder == "M" then
                    functions[("vm.%s.%s"):format(name, verb)] = block
                end
            end
            block = nil
        end
    end
    add_verbs("vm." .. name, text)
end

-- The functions of `vm` itself, under the names that vm/init.lua gives them.
local function face()
    local text = assert(fs.read(root .. "/init.lua", 1 << 20))
    local found = {}
    local function add(name, where)
        local block = assert(functions[where], where .. " has no annotations")
        block.name = name
        found[#found + 1] = block
    end
    for name, field in text:gmatch "\n    ([%w_]+) = task%.([%w_]+)," do
        add(name, "vm.task." .. field)
    end
    for name, module, field in text:gmatch '\n    ([%w_]+) = { "([%w_.]+)", "([%w_]+)" }' do
        add(name, module .. "." .. field)
    end
    return found
end

-- The verbs that vm.ssh's machines share with guests are said once.
local function shared_verbs()
    local text = assert(fs.read(root .. "/ssh.lua", 1 << 20))
    local names = {}
    for module in (text:match "\nlocal parts = (%b{})" or ""):gmatch '"([%w_.]+)"' do
        for _, verb in ipairs(class_of("vm.Guest").methods) do
            if verb.module == module then
                names[#names + 1] = ("`%s`"):format(verb.name)
            end
        end
    end
    table.sort(names)
    return names
end

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

local function sorted(list)
    table.sort(list, function(a, b) return a.name < b.name end)
    return list
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

local function read_folder(below)
    for _, file in ipairs(assert(fs.list(root .. "/" .. below))) do
        local name = file:match "^([%w_]+)%.lua$"
        if name then
            read_module(below .. name)
        elseif fs.stat(root .. "/" .. below .. file).type == "dir" then
            read_folder(below .. file .. "/")
        end
    end
end

read_folder ""

say "# Reference\n"
say "Made from the library's annotations by `scripts/dev/reference.lua`; a question mark means that it may be"
say "left out. Sizes are bytes or strings such as \"512MiB\", times are seconds or strings such as \"10m\". Every"
say "call raises a [`vm.Error`](errors.md) when it could not do what it was asked.\n"
say "## vm"
for _, block in ipairs(sorted(face())) do
    say_function(block, "vm.")
end
local shown = {}
for _, object in ipairs(objects) do
    local class = assert(classes[object[1]], object[1])
    shown[class.name] = true
    say_class(class)
    if class.name == "vm.Ssh" then
        say("\nIt has these verbs of [`vm.Guest`](#vmguest): %s.", table.concat(shared_verbs(), ", "))
    end
    for _, block in ipairs(sorted(class.methods)) do
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
