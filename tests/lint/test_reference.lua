-- The API reference is what the annotations say now, the table of images what the catalogue says, and the list of
-- messages what the sources say.
local t = require "harness"
local tree = require "lint.tree"

local file <const> = "docs/manual/reference.md"
local command <const> = "scripts/dev/reference.lua"

local function generated(script)
    local text, ok = tree.run(("%s %s/%s"):format(tree.quote(os.getenv "VMATRIX"), tree.quote(tree.root), script))
    t.check(ok, text)
    return text
end

-- The first line in which two texts differ.
local function difference(a, b)
    local first, second = tree.lines(a), tree.lines(b)
    for number = 1, math.max(#first, #second) do
        if first[number] ~= second[number] then
            return number, first[number] or "(the end)", second[number] or "(the end)"
        end
    end
end

local function fresh(path, script)
    local number, was, is = difference(tree.read(path), generated(script))
    if number then
        error(("%s:%d: is %q, would be %q; run `vmatrix %s > %s`"):format(path, number, was, is, script, path), 0)
    end
end

t.test("the reference in the manual is not stale", function()
    fresh(file, command)
end)

t.test("the table of images in the manual is not stale", function()
    fresh("docs/manual/images-table.md", "scripts/dev/images.lua")
end)

t.test("the list of messages that say what to do is not stale", function()
    fresh("docs/manual/messages.md", "scripts/dev/messages.lua")
    local text = tree.read "docs/manual/messages.md"
    local _, count = text:gsub("\n| [^|\n]+ | [^|\n]+ |", "")
    t.check(count > 70, "the messages were not found")
    -- One from Lua, one in pieces, one from C.
    for _, row in ipairs {
        "the guest is not running | `vmatrix start ...` starts it",
        "image ...: it has only a location whose content changes, and no digest | `vmatrix images lock --latest",
        "is a folder on one side and not on the other | remove it, or let delete = true replace it",
    } do
        t.check(text:find(row, 1, true), row .. " is missing")
    end
end)

t.test("the reference has every public name and no private one", function()
    local text = tree.read(file)
    local vm = require "vm"
    for _, name in ipairs { "boot", "create", "connect", "ssh" } do
        t.check(vm[name], name)
    end
    for name, value in pairs(vm) do
        if type(value) == "function" then
            t.check(text:find(("\n### `vm.%s("):format(name), 1, true), "vm." .. name .. " is missing")
        end
    end
    local guest = require "vm.guest"
    for _, name in ipairs { "exec", "start", "snapshot", "wait_port", "forward" } do
        t.check(guest[name] and text:find(("\n### `guest:%s("):format(name), 1, true), name .. " is missing")
    end
    t.check(not text:find("on_event", 1, true), "a private verb is shown")
    t.check(not text:find("## vm.Conn\n", 1, true), "a private class is shown")
end)

t.test("the lint sees a difference", function()
    t.equal(table.pack(difference("a\nb\n", "a\nb\n")), { n = 0 })
    t.equal(table.pack(difference("a\nb\n", "a\nc\n")), { 2, "b", "c", n = 3 })
    t.equal(table.pack(difference("a\n", "a\nb\n")), { 2, "(the end)", "b", n = 3 })
end)

t.finish()
