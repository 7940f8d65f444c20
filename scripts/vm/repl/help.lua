-- help(fn) and help "topic": the annotations that the manual's reference is made of, and the manual's own
-- examples.
local raw = require "vm.raw"
local errors = require "vm.errors"
local known = require "vm.repl.known"
local options = require "vm.options"

local M = {}

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

-- The manual's chapters by name, but for those that are made of the others.
local function chapters()
    local names = {}
    for name in pairs(known.manual()) do
        if name ~= "index" and name ~= "reference" then
            names[#names + 1] = name
        end
    end
    table.sort(names)
    return names
end

-- The first use of a verb in the manual.
local function example_of(verb)
    local holder = verb.class == "vm.KeptGuest" and "dev" or verb.class and "[%%w_]+" or "vm"
    local wanted = verb.full:gsub("^%a+", holder) .. "%f[^%w_]"
    for _, chapter in ipairs(chapters()) do
        for code in known.manual()[chapter]:gmatch "\n```lua\n(.-)\n```" do
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
    local out = { known.signature(verb), "" }
    for _, line in ipairs(block.text) do
        out[#out + 1] = "  " .. line
    end
    if #block.params > 0 then
        out[#out + 1] = ""
        add_items(out, block.params, "  ")
        for _, param in ipairs(block.params) do
            local fields = known.options(param.type)
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
        local class = known.load().library.classes[value.type:match "^vm%.%u%w*" or ""]
        if class and not known.objects[class.name] then
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
    return ("  %-34s %s"):format(known.signature(verb), first_sentence(verb.block))
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
    for _, verb in ipairs(known.load().verbs) do
        if test(verb) then
            found[#found + 1] = verb
        end
    end
    return found
end

-- What a chapter begins with, up to its second heading, without its longer tables.
local function chapter_head(name)
    local text = known.manual()[name] .. "\n"
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
        local text = known.manual()[whole]
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
    if known.manual()[plain] then
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
        for _, verb in ipairs(known.load().verbs) do
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
        local verb = known.verb(what)
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
    elseif known.objects[class] then
        return print_lines(about(known.objects[class]))
    end
    errors.fail("usage", "help: a function, an object of the library or a topic expected, got %s", options.show(what))
end

return M
