-- What the library's annotations say: the classes, functions and verbs that scripts see, read from the
-- texts in the binary. The reference, the types for editors and a manual page are made from it.
local raw = require "vm.raw"

local M = {}

---The objects that scripts hold, in the order of the reference, and what their verbs are shown on.
M.objects = {
    { "vm.Guest", "guest" }, { "vm.Template", "template" }, { "vm.State", "state" }, { "vm.Network", "network" },
    { "vm.Process", "process" }, { "vm.Snapshot", "snapshot" }, { "vm.Ssh", "machine" },
    { "vm.Task", "task" }, { "vm.Semaphore", "semaphore" }, { "vm.Connection", "connection" }, { "vm.Error", "err" },
}

-- Takes a type off the front of a text: it goes to the first space that is outside of brackets and
-- does not follow a colon, as in "fun(): string".
local function take_type(text)
    local plain, rest = text:match "^([^%s{(<:]+) ?(.*)$" -- most are as simple as this
    if plain and not text:find("^[{(<:]", #plain + 1) then
        return plain, rest
    end
    local depth = 0
    for at, c in text:gmatch "()([{(<})> ])" do
        if c == " " then
            if depth == 0 and text:sub(at - 1, at - 1) ~= ":" then
                return text:sub(1, at - 1), text:sub(at + 1)
            end
        else
            depth = depth + (c:find "[{(<]" and 1 or -1)
        end
    end
    return text, ""
end

-- One line of a comment, without its dashes.
local function add_line(block, line)
    local tag, rest = line:match "^@(%a+)%s*(.*)$"
    if tag == "class" then
        block.class, block.parent = rest:match "^([%w_.]+):?%s*([%w_.]*)"
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

-- Fills a block with what its comment says.
local function take_comment(block, comment)
    block.text, block.params, block.returns, block.fields = {}, {}, {}, {}
    for line in comment:gmatch "\n%-%-%-([^\n]*)" do
        add_line(block, line)
    end
    return block
end

-- Most of what is said nobody asks for: a function's comment is taken apart when its block is first looked into.
local unread = {}

function unread.__index(block, key)
    local comment = rawget(block, "comment")
    setmetatable(block, nil)
    block.comment = nil
    return take_comment(block, comment)[key]
end

local function class_of(all, name)
    all.classes[name] = all.classes[name] or { name = name, text = {}, fields = {}, methods = {} }
    return all.classes[name]
end

-- A verb that is written in C has no function to stand above: it is a field of type fun(self: ...).
local function add_field(class, field)
    local given, result = field.type:match "^fun%(self: [%w.]+,? ?(.*)%):? ?(.*)$"
    if not given then
        table.insert(class.fields, field)
        return
    end
    local verb = { name = field.name, text = { field.text }, params = {}, returns = {} }
    for name, kind in given:gmatch "([%w_?]+): ([^,]+)" do
        table.insert(verb.params, { name = name, type = kind, text = "" })
    end
    if result ~= "" then
        table.insert(verb.returns, { type = result, text = "" })
    end
    table.insert(class.methods, verb)
end

local function add_class(all, block)
    local class = class_of(all, block.class)
    for _, field in ipairs(block.fields) do
        add_field(class, field)
    end
    if #block.text > 0 then
        class.text = block.text
    end
    class.parent = block.parent ~= "" and block.parent or class.parent
    return class
end

-- A module whose functions are verbs of guests and machines by `M.methods = { name = M.name }`.
local function add_verbs(all, module, text)
    local at = text:find("\nM.methods = {", 1, true) -- far quicker than a pattern
    for name in (at and text:match("%b{}", at) or ""):gmatch "([%w_]+) = M%.[%w_]+" do
        local verb = all.functions[module .. "." .. name]
        table.remove(verb.params, 1)
        verb.name = name
        table.insert(class_of(all, "vm.Guest").methods, verb)
    end
end

-- The function, or the table that is called, that a line begins.
local function begun_by(line)
    local holder, verb = line:match "^function ([%w_]+)[.:]([%w_]+)%("
    if not holder then
        holder, verb = line:match "^(M)%.([%w_]+) = setmetatable%("
    end
    return holder, verb
end

-- A comment, and the line below it.
local function add_comment(all, module, holders, comment, line)
    if comment:find("\n---@class", 1, true) then
        local class = add_class(all, take_comment({}, comment))
        local holder = line:match "^local ([%w_]+) ="
        if holder then
            holders[holder] = class
        end
        return
    end
    local holder, verb = begun_by(line)
    if holder and not comment:find("\n---@private", 1, true) then
        local block = setmetatable({ name = verb, module = module, func = verb, comment = comment }, unread)
        all.places[module .. " " .. holder .. "." .. verb] = block
        if holders[holder] then
            table.insert(holders[holder].methods, block)
        elseif holder == "M" then
            all.functions[module .. "." .. verb] = block
        end
    end
end

-- Goes from one comment of three dashes to the next; none is at a file's very beginning.
local function read_module(all, module, text)
    local holders = {}
    local from = text:find("\n---", 1, true)
    while from do
        local stop = from
        repeat
            stop = text:find("\n", stop + 1, true) or #text + 1
        until not text:find("^%-%-%-", stop + 1)
        local line = text:match("^[^\n]*", stop + 1)
        add_comment(all, module, holders, text:sub(from, stop - 1), line)
        from = text:find("\n---", stop, true)
    end
    add_verbs(all, module, text)
end

-- The functions of `vm` itself, under the names that vm/init.lua gives them.
local function face(all)
    local text = raw.scripts.text "vm"
    local found = {}
    local function add(name, where)
        local block = assert(all.functions[where], where .. " has no annotations")
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

-- The verbs that vm.ssh's machines share with guests.
local function shared_verbs(all)
    local verbs = {}
    for module in (raw.scripts.text "vm.remote.ssh":match "\nlocal parts = (%b{})" or ""):gmatch '"([%w_.]+)"' do
        for _, verb in ipairs(class_of(all, "vm.Guest").methods) do
            if verb.module == module then
                verbs[#verbs + 1] = verb
            end
        end
    end
    return verbs
end

local function sorted(list)
    table.sort(list, function(a, b) return a.name < b.name end)
    return list
end

---@class vm.Annotations
---@field face table[] the functions of `vm`, by name: { name, module, text, params, returns }
---@field classes table<string, table> by name: { name, parent, text, fields, methods }
---@field shared table[] the verbs of vm.Guest that vm.Ssh has, too
---@field functions table<string, table> what is annotated, by module and name: "vm.remote.exec.run"
---@field places table<string, table> these and methods, by module and how they are written: "vm.state State.fork"

---Reads the annotations of all modules in the binary.
---@return vm.Annotations
function M.read()
    local all = { classes = {}, functions = {}, places = {} }
    for _, name in ipairs(raw.scripts.list()) do
        local text, path = raw.scripts.text(name)
        if path:find "^vm/.*%.lua$" then
            read_module(all, name, text)
        end
    end
    for _, class in pairs(all.classes) do
        sorted(class.methods)
    end
    all.face, all.shared = sorted(face(all)), sorted(shared_verbs(all))
    return all
end

---What is said of a function of the library.
---@param all vm.Annotations
---@param fn function
---@return table|nil block
function M.of(all, fn)
    local info = debug.getinfo(fn, "S")
    local path = info.source:match "^@vmatrix/(.*)%.lua$"
    local module = path and path:gsub("/init$", ""):gsub("/", ".")
    local text = module and raw.scripts.text(module)
    local number = 0
    for line in (text or ""):gmatch "([^\n]*)\n" do
        number = number + 1
        if number == info.linedefined then
            local holder, verb = begun_by(line)
            return holder and all.places[module .. " " .. holder .. "." .. verb]
        end
    end
end

---The names of the classes that scripts meet: the objects, what functions and verbs take and return,
---and what these name, and so on.
---@param all vm.Annotations
---@return string[]
function M.used(all)
    local found, queue = {}, {}
    local function note(kind)
        for name in kind:gmatch "vm%.[%w_.]*%w" do
            if not found[name] and all.classes[name] then
                found[name] = true
                queue[#queue + 1] = name
            end
        end
    end
    local function note_block(block)
        for _, item in ipairs(block.params) do
            note(item.type)
        end
        for _, item in ipairs(block.returns) do
            note(item.type)
        end
    end
    for _, object in ipairs(M.objects) do
        note(object[1])
    end
    for _, block in ipairs(all.face) do
        note_block(block)
    end
    for _, name in ipairs(queue) do -- grows meanwhile
        local class = all.classes[name]
        note(class.parent or "")
        for _, field in ipairs(class.fields) do
            note(field.type)
        end
        for _, verb in ipairs(class.methods) do
            note_block(verb)
        end
    end
    table.sort(queue)
    return queue
end

return M
