-- help(fn) and help "topic": the annotations that the manual's reference is made of, and the manual's own
-- examples.
local raw = require "vm.raw"
local annotations = require "vm.doc.annotations"
local errors = require "vm.errors"
local options = require "vm.options"

local M = {}

-- What the objects that scripts hold are called in examples, by class.
local objects = {}
for _, object in ipairs(annotations.objects) do
    objects[object[1]] = object[2]
end

local known

---What is known of the library.
---@return { library: vm.Annotations, verbs: table[], manual: table<string, string> }
function M.load()
    if known then
        return known
    end
    local manual = {}
    for _, name in ipairs(raw.scripts.list()) do
        local chapter = name:match "^vm%.manual%.(.*)$"
        if chapter then
            manual[chapter] = require(name)
        end
    end
    local library = annotations.read()
    local verbs = {}
    for _, block in ipairs(library.face) do
        verbs[#verbs + 1] = { block = block, full = "vm." .. block.name }
    end
    for class, object in pairs(objects) do
        for _, block in ipairs(library.classes[class] and library.classes[class].methods or {}) do
            verbs[#verbs + 1] = { block = block, full = object .. ":" .. block.name, class = class }
        end
    end
    table.sort(verbs, function(a, b) return a.full < b.full end)
    known = { library = library, verbs = verbs, manual = manual }
    return known
end

---What is said of a function of the library.
---@param fn function
---@return table|nil block as vm.Annotations has it
function M.of(fn)
    local info = debug.getinfo(fn, "S")
    local path = info.source:match "^@vmatrix/(.*)$"
    return path and M.load().library.places[("%s:%d"):format(path, info.linedefined)]
end

local function verb_of(block)
    for _, verb in ipairs(M.load().verbs) do
        if verb.block == block then
            return verb
        end
    end
end

local function signature_of(verb)
    local names = {}
    for i, param in ipairs(verb.block.params) do
        names[i] = param.name
    end
    return ("%s(%s)"):format(verb.full, table.concat(names, ", "))
end

---How a function of the library is called: "guest:exec(command, opts?)".
---@param fn function
---@return string|nil
function M.signature(fn)
    local block = M.of(fn)
    local verb = block and verb_of(block)
    return verb and signature_of(verb)
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

-- The functions of a file by name, each from its first line to its last.
local function bodies_of(text)
    local bodies = {}
    for head, body in text:gmatch "\n(l?o?c?a?l? ?function [^\n]*)\n(.-)\nend" do
        local name = head:match "function ([%w_.:]+)%(":match "[%w_]+$"
        if name then
            bodies[name] = (bodies[name] or "") .. "\n" .. body
        end
    end
    return bodies
end

-- The kinds of errors that a function raises itself, or by functions of the same file.
local function kinds_of(block)
    local text = block.func and raw.scripts.text(block.module)
    local bodies = text and bodies_of(text) or {}
    local kinds, list, seen = {}, {}, {}
    local function look(name)
        if seen[name] or not bodies[name] then
            return
        end
        seen[name] = true
        for kind in bodies[name]:gmatch '[%w_]*fail%(%s*"(%l+)"' do
            kinds[kind] = true
        end
        for kind in bodies[name]:gmatch 'errors%.new%("(%l+)"' do
            kinds[kind] = true
        end
        for before, called in bodies[name]:gmatch "([:.]?)%f[%w_]([%w_]+)%(" do
            if before == "" then
                look(called)
            end
        end
    end
    look(block.func)
    for kind in pairs(kinds) do
        list[#list + 1] = kind
    end
    table.sort(list)
    return list
end

-- How many more brackets a piece of Lua opens than it closes.
local function depth_of(line)
    local _, open = line:gsub("[%(%[{]", "")
    local _, close = line:gsub("[%)%]}]", "")
    return open - close
end

-- The first use of a verb in the manual.
local function example_of(verb)
    local chapters = {}
    for chapter in pairs(M.load().manual) do
        chapters[#chapters + 1] = chapter
    end
    table.sort(chapters)
    local wanted = verb.full:gsub("^%a+", verb.class and "[%%w_]+" or "vm") .. "%f[^%w_]"
    for _, chapter in ipairs(chapters) do
        for code in M.load().manual[chapter]:gmatch "\n```lua\n(.-)\n```" do
            local lines, depth
            for line in (code .. "\n"):gmatch "([^\n]*)\n" do
                if lines == nil and line:find(wanted) and not line:find "^%s*%-%-" then
                    lines, depth = {}, 0
                end
                if lines then
                    lines[#lines + 1] = line
                    depth = depth + depth_of(line)
                    if depth <= 0 or #lines > 12 then
                        return lines
                    end
                end
            end
        end
    end
end

local function add_items(out, items, indent)
    local wide = 0
    for _, item in ipairs(items) do
        wide = math.max(wide, math.min(#item.name, 16))
    end
    for _, item in ipairs(items) do
        out[#out + 1] = ("%s%-" .. wide .. "s  %s%s"):format(indent, item.name, item.type,
            item.text ~= "" and ": " .. item.text or "")
    end
end

local function describe(verb)
    local block = verb.block
    local out = { signature_of(verb), "" }
    for _, line in ipairs(block.text) do
        out[#out + 1] = "  " .. line
    end
    if #block.params > 0 then
        out[#out + 1] = ""
        add_items(out, block.params, "  ")
        for _, param in ipairs(block.params) do
            local fields = M.options(param.type)
            if #fields > 0 then
                out[#out + 1] = ("\n  options of %s (times in seconds or \"10m\", sizes in bytes or \"512MiB\"):")
                    :format(param.name:gsub("%?$", ""))
                add_items(out, fields, "    ")
            end
        end
    end
    out[#out + 1] = ""
    for _, value in ipairs(block.returns) do
        out[#out + 1] = ("  returns %s%s%s"):format(value.name and value.name .. " " or "", value.type,
            value.text ~= "" and ": " .. value.text or "")
        local class = M.load().library.classes[value.type:match "^vm%.%u%w*" or ""]
        if class and not objects[class.name] then
            add_items(out, class.fields, "    ")
        end
    end
    local kinds = kinds_of(block)
    if verb.class == "vm.Guest" then
        kinds[#kinds + 1] = "what ends any wait on a guest (closed, connection, crashed, panic)"
    end
    if #kinds > 0 then
        out[#out + 1] = ("  raises  %s; help \"errors\" says what they mean"):format(table.concat(kinds, ", "))
    end
    local example = example_of(verb)
    if example then
        out[#out + 1] = "\n  example:"
        for _, line in ipairs(example) do
            out[#out + 1] = "    " .. line
        end
    end
    return out
end

local function first_sentence(block)
    local text = block.text[1] or ""
    text = text:match "^(.-)[.;:]%f[%s\0]" or text
    return #text > 80 and text:sub(1, 77) .. "..." or text
end

local function summary(verb)
    return ("  %-34s %s"):format(signature_of(verb), first_sentence(verb.block))
end

local function list_of(title, verbs)
    local out = { title }
    for _, verb in ipairs(verbs) do
        out[#out + 1] = summary(verb)
    end
    return out
end

local function matching(test)
    local found = {}
    for _, verb in ipairs(M.load().verbs) do
        if test(verb) then
            found[#found + 1] = verb
        end
    end
    return found
end

local function chapters()
    local names = {}
    for name in pairs(M.load().manual) do
        if name ~= "index" and name ~= "reference" then
            names[#names + 1] = name
        end
    end
    table.sort(names)
    return names
end

-- What a chapter begins with, up to its second heading, without its longer tables.
local function chapter_head(name)
    local text = M.load().manual[name] .. "\n"
    local head = text:match "^(.-)\n## " or text
    local out = {}
    for line in head:gmatch "([^\n]*)\n" do
        if not line:find "^```" then
            out[#out + 1] = line
        end
        if #out > 40 then
            break
        end
    end
    return out
end

local function overview()
    local out = {
        "Each line is Lua, run as a task: guest = vm.boot { image = \"seed\" } waits, and Ctrl-C ends that line only.",
        "An expression prints its value; _ is the last one. What 'local' makes is gone with its line.",
        "",
        "  list()                the guests there are",
        "  guest:shell()         a terminal in a guest; ~. leaves it",
        "  guest:console \"attach\"   the same on its serial console",
        "  help(vm.boot)         a function: its options, errors, an example; help(guest.exec) too",
        "  help \"vm\"             what the library has; help \"guest\": what a guest can do",
        "  help \"copy\"           a topic; help \"manual copy\": its whole chapter",
        "  time(fn, ...)         how long a call takes",
        "  save \"file.lua\"       what was typed and worked, as a script",
        "  edit()                the last line in $VISUAL or $EDITOR, and runs it",
        "",
        "Tab completes names, options, images, guests, and paths here and in guests. Ctrl-R searches what was typed.",
        "",
        "topics: " .. table.concat(chapters(), ", "),
    }
    return out
end

local function print_lines(lines)
    print((table.concat(lines, "\n"):gsub("\n\n\n+", "\n\n")))
end

-- A name as it may be written: "exec", "guest.exec", "guest:exec", "vm.boot", "vm.Guest.exec".
local function named(topic)
    local object, name = topic:match "^([%a.]*)[.:]([%w_]+)$"
    object = object and object:match "[%a]*$":lower()
    return matching(function(verb)
        local mine = verb.full:match "^%a+"
        return verb.full == topic or verb.block.name == (name or topic)
            and (object == nil or object == mine or object == "g" and mine == "guest")
    end)
end

local function about(topic)
    local whole = topic:match "^manual[ /](.+)$"
    if whole then
        local text = M.load().manual[whole]
        if not text then
            options.unknown("help", "chapter", whole, chapters())
        end
        return { (text:gsub("%s+$", "")) }
    end
    local verbs = named(topic)
    if #verbs > 0 and #verbs <= 2 then
        local out = {}
        for _, verb in ipairs(verbs) do
            local lines = describe(verb)
            table.move(lines, 1, #lines, #out + 1, out)
        end
        return out
    elseif #verbs > 0 then
        return list_of(("help \"%s\" tells more of one of these:"):format(verbs[1].full), verbs)
    end
    local plain = topic:lower():gsub("^vm%.(.)", "%1")
    verbs = matching(function(verb) return verb.full:match "^%a+" == plain end)
    if #verbs > 0 then
        local out = list_of(plain == "vm" and "The library:" or ("What a %s can do:"):format(plain), verbs)
        out[#out + 1] = ("help \"%s\" tells more of one"):format(verbs[1].full)
        return out
    end
    local out = {}
    if M.load().manual[plain] then
        out = chapter_head(plain)
        out[#out + 1] = ("help \"manual %s\" shows the whole chapter"):format(plain)
    end
    verbs = matching(function(verb) return verb.block.name:find(plain, 1, true) ~= nil end)
    if #verbs > 0 then
        out[#out + 1] = ""
        table.move(list_of("functions:", verbs), 1, #verbs + 1, #out + 1, out)
    end
    if #out == 0 then
        local names = chapters()
        for _, verb in ipairs(M.load().verbs) do
            names[#names + 1] = verb.block.name
        end
        local near = options.nearest(plain, names)
        errors.fail("notfound", "help: nothing is known of %s%s", options.show(topic),
            near and ("; did you mean \"%s\"?"):format(near) or "; help() lists the topics")
    end
    return out
end

---Prints what there is to know: of the prompt, of a function or an object of the library, or of a topic.
---@param what? string|function|table
function M.show(what)
    if what == nil then
        return print_lines(overview())
    elseif type(what) == "function" then
        local block = M.of(what)
        local verb = block and verb_of(block)
        if not verb then
            local shown = require("vm.repl.show").value(what)
            errors.fail("notfound", "help: %s is not of the library, or not for scripts", shown)
        end
        return print_lines(describe(verb))
    elseif type(what) == "string" then
        return print_lines(about(what))
    end
    local meta = debug.getmetatable(what)
    local class = type(meta) == "table" and rawget(meta, "__name")
    if what == require "vm" then
        return print_lines(about "vm")
    elseif objects[class] then
        return print_lines(about(objects[class]))
    end
    errors.fail("usage", "help: a function, an object of the library or a topic expected, got %s", options.show(what))
end

return M
