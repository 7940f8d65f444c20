-- Writes the manual pages from what the program's help, the annotations and the manual say.
-- Run: vmatrix scripts/dev/man.lua vmatrix.1|vmatrix-test.1|vmatrix.lua.3
local annotations = require "vm.doc.annotations"
local cli = require "vm.cli"
local fs = require("vm.raw").fs
local paths = require "vm.host.paths"
local usages = require "vm.cli.usage"

local root = arg[0]:match "^(.*)/scripts/dev/[^/]*$" or "."
local out = {}

local function add(format, ...)
    out[#out + 1] = select("#", ...) > 0 and format:format(...) or format
end

-- Text as man(7) takes it: no character of it may be a request or an escape.
local function plain(text)
    text = text:gsub("\\", "\\e"):gsub("%-", "\\-")
    return (text:gsub("^[.']", "\\&%0"))
end

-- The same in lines of some seventy characters, with Markdown's `code` and links.
local function prose(text)
    text = text:gsub("%[([^%]]*)%]%([^)]*%)", "%1"):gsub("\\|", "|"):gsub("%*%*", "")
    local lines, line = {}, nil
    for word in plain(text):gsub("`([^`]+)`", "\\fB%1\\fR"):gmatch "%S+" do
        if line and #line + #word > 70 then
            lines[#lines + 1], line = line, word
        else
            line = line and line .. " " .. word or word
        end
    end
    lines[#lines + 1] = line
    for i, one in ipairs(lines) do
        lines[i] = one:gsub("^[.']", "\\&%0")
    end
    return table.concat(lines, "\n")
end

local function title(name, section, what)
    local date = os.date("!%Y-%m-%d", tonumber(os.getenv "SOURCE_DATE_EPOCH"))
    add('.TH %s %s "%s" "vmatrix %s"', plain(name:upper()), section, date, _G._VMATRIX)
    add ".SH NAME"
    add("%s \\- %s", plain(name), what)
end

local function heading(name)
    add(".SH %s", plain(name:upper()))
end

local function item(term, text)
    add ".TP"
    add("\\fB%s\\fR", plain(term))
    add("%s", text)
end

local function example(lines)
    add ".PP"
    add ".RS 4"
    add ".nf"
    for _, line in ipairs(lines) do
        add("%s", plain(line))
    end
    add ".fi"
    add ".RE"
end

-- A help text, taken apart.
local function help(text)
    local usage = usages.parse((text:gsub(paths.cache():gsub("%p", "%%%0"), "~/.cache/vmatrix")))
    for _, part in ipairs(usage.parts) do
        if part.kind == "heading" then
            add(".SS %s", plain(part.text:sub(1, 1):upper() .. part.text:sub(2)))
        elseif part.kind == "example" then
            example { part.text }
        elseif part.kind == "text" then
            add ".PP"
            add("%s", prose(part.text))
        else
            item(part.term, prose(part.text))
        end
    end
    return usage
end

local function synopsis(calls)
    for i, call in ipairs(calls) do
        add(i == 1 and ".PP" or ".br")
        add("\\fB%s\\fR%s", plain(call:match "^vmatrix ?%l*"), plain(call:match "^vmatrix ?%l*(.*)$"))
    end
end

-- The section of a chapter of the manual that stands under this heading: its paragraphs and tables.
local function chapter(file, name)
    local text = assert(fs.read(("%s/docs/manual/%s.md"):format(root, file), 1 << 20))
    local body = text:match("\n## " .. name:gsub("%p", "%%%0") .. "\n(.-)\n## ")
        or text:match("\n## " .. name:gsub("%p", "%%%0") .. "\n(.*)$")
    assert(body, ("%s.md has no section %s"):format(file, name))
    local paragraph, code = {}, {}
    local function flush()
        if #paragraph > 0 then
            add ".PP"
            add("%s", prose(table.concat(paragraph, "\n")))
        end
        if #code > 0 then
            example(code)
        end
        paragraph, code = {}, {}
    end
    local rows = 0
    for line in (body .. "\n\n"):gmatch "([^\n]*)\n" do
        local first, rest = line:match "^| (.-) | (.*) |$"
        if first then
            flush()
            rows = rows + 1
            if rows > 1 then -- the first is the table's head
                item((first:gsub("`", "")), prose(rest))
            end
        elseif line:find "^    " then
            code[#code + 1] = line:sub(5)
        elseif line == "" or line:find "^|%-" then
            flush()
            rows = line == "" and 0 or rows
        elseif not line:find "^<!%-%-" then
            paragraph[#paragraph + 1] = line
        end
    end
end

local function see_also(...)
    heading "see also"
    local pages = {}
    for i, page in ipairs { ... } do
        pages[i] = ("\\fB%s\\fR(%s)"):format(plain(page[1]), page[2])
    end
    add("%s", table.concat(pages, ",\n"))
end

local pages = {}

pages["vmatrix.1"] = function()
    title("vmatrix", 1, "virtual machines for Lua scripts")
    heading "synopsis"
    synopsis(usages.parse(cli.usage()).synopsis)
    heading "description"
    add("%s", prose [[
vmatrix runs Lua scripts that create, boot, snapshot, fork and destroy virtual machines, run commands in
them and copy files in and out, many at once; and it runs test matrices over them. What a script can call
is in vmatrix.lua(3); matrices are run by vmatrix-test(1). Nothing of a run is left behind when it ends.]])
    heading "options"
    help(cli.usage():match "\noptions:\n(.-)\n\n")
    heading "commands"
    local function say(name, command)
        local text = usages.of(command)
        add(".SS vmatrix %s", plain(name))
        synopsis(usages.parse(text).synopsis)
        help(text)
    end
    for _, command in ipairs(cli.commands) do
        if command.name == "test" then
            add ".SS vmatrix test"
            add "Runs a test matrix. See \\fBvmatrix\\-test\\fR(1)."
        else
            say(command.name, command)
            for _, one in ipairs(usages.module(command).commands or {}) do
                say(command.name .. " " .. one.name, one)
            end
        end
    end
    heading "exit status"
    chapter("running", "Exit codes")
    heading "environment"
    chapter("running", "Environment")
    heading "files"
    chapter("doctor-and-prune", "Where a run keeps things")
    heading "examples"
    example { "$ vmatrix -e 'print(vm.boot{ image = \"seed\" }:output \"uname -m\")'", "x86_64" }
    see_also({ "vmatrix-test", 1 }, { "vmatrix.lua", 3 }, { "virsh", 1 }, { "lua", 1 })
end

pages["vmatrix-test.1"] = function()
    title("vmatrix-test", 1, "run a matrix of tests on virtual machines")
    local text
    for _, command in ipairs(cli.commands) do
        text = command.name == "test" and usages.of(command) or text
    end
    heading "synopsis"
    synopsis(usages.parse(text).synopsis)
    heading "description"
    help(text)
    for _, section in ipairs { "Outcomes", "Time limits", "What is kept", "Looking at a failure",
        "Interrupted and killed" } do
        heading(section)
        chapter("matrix-running", section)
    end
    see_also({ "vmatrix", 1 }, { "vmatrix.lua", 3 })
end

local function signature(block, prefix)
    local names = {}
    for i, param in ipairs(block.params) do
        names[i] = param.name
    end
    add(".SS %s", plain(("%s%s(%s)"):format(prefix, block.name, table.concat(names, ", "))))
    add("%s", prose(table.concat(block.text, "\n")))
    for _, param in ipairs(block.params) do
        item(param.name, prose(("`%s` %s"):format(param.type, param.text)))
    end
    for _, value in ipairs(block.returns) do
        item("returns", prose(("`%s` %s"):format(value.type, value.text)))
    end
end

pages["vmatrix.lua.3"] = function()
    local all = annotations.read()
    title("vmatrix.lua", 3, "the library of vmatrix scripts")
    heading "synopsis"
    example { 'local vm = require "vm"', 'local guest <close> = vm.boot { image = "seed" }',
        'print(guest:output "uname -m")' }
    heading "description"
    add("%s", prose [[
Every call raises an error object when it could not do what it was asked. A call that waits pauses its own
task only. A question mark means that a parameter or field may be left out; sizes are bytes or strings such as
"512MiB", times are seconds or strings such as "10m".]])
    heading "functions"
    for _, block in ipairs(all.face) do
        signature(block, "vm.")
    end
    local shown = {}
    for _, object in ipairs(annotations.objects) do
        local class = all.classes[object[1]]
        shown[class.name] = true
        heading(class.name)
        add("%s", prose(table.concat(class.text, "\n")))
        for _, field in ipairs(class.fields) do
            item(field.name, prose(("`%s` %s"):format(field.type, field.text)))
        end
        for _, block in ipairs(class.methods) do
            signature(block, object[2] .. ":")
        end
    end
    heading "tables"
    for _, name in ipairs(annotations.used(all)) do
        local class = all.classes[name]
        if not shown[name] then
            add(".SS %s", plain(name))
            add("%s", prose(table.concat(class.text, "\n")))
            for _, field in ipairs(class.fields) do
                item(field.name, prose(("`%s` %s"):format(field.type, field.text)))
            end
        end
    end
    see_also({ "vmatrix", 1 }, { "vmatrix-test", 1 }, { "lua", 1 })
end

local page = pages[arg[1]]
if not page then
    error("which page? vmatrix.1, vmatrix-test.1 or vmatrix.lua.3")
end
add '.\\" Made by scripts/dev/man.lua.'
page()
for i, line in ipairs(out) do
    out[i] = line:gsub("[ \t]+\n", "\n"):gsub("\n\n+", "\n"):gsub("%s+$", "")
end
for i = #out, 1, -1 do
    -- A heading begins a paragraph already.
    if out[i] == "" or out[i] == ".PP" and out[i - 1]:find "^%.S[HS]" then
        table.remove(out, i)
    end
end
print(table.concat(out, "\n"))
