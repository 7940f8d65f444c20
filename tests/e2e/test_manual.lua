-- timeout: 600
-- The pieces of Lua in the manual and in README.md run, and print what they say they print.
local vm = require "vm"
local t = require "harness"
local blocks = require "blocks"
local fs = vm.raw.fs

local root = os.getenv "VMATRIX_SOURCE" .. "/"
local folder = "docs/manual/"

-- What every piece may use: a guest, and beside the script a folder src.
local place = assert(fs.mkdtemp("vmatrix-test-"))
assert(fs.mkdir_p(place .. "/src"))
assert(fs.write_atomic(place .. "/src/main.c", "int main(void) { return 0; }\n"))
require("vm.script").set(place .. "/script.lua")
local guest = vm.boot { image = "seed", name = "manual", memory = "256MiB" }
-- Most pieces boot a plain seed guest first. Booting has tests of its own: here such a guest is a live copy of one
-- that was booted once.
local base = vm.boot({ image = "seed", name = "base", memory = "256MiB" }):template()
local plain = { image = true, memory = true, name = true, forward = true, timeout = true }

-- Distributions are not downloaded here. A seed guest stands in for one: it installs nothing, and its make only
-- looks whether there is something to make.
local function stand_in_for_debian(opts)
    local guest_of_seed = base:fork { name = opts.name, forward = opts.forward }
    guest_of_seed:write("/usr/bin/make", "#!/bin/sh\n[ $# = 3 ] && test -e $2/main.c\n", { mode = 493 })
    function guest_of_seed.install(_, ...)
        for _, package in ipairs { ... } do
            t.match(package, "^%w+$")
        end
    end
    return guest_of_seed
end

local function boot(opts)
    if opts.image == "debian-12" then
        return stand_in_for_debian(opts)
    end
    local all_plain = opts.image == "seed" and (opts.memory or "256MiB") == "256MiB"
    for name in pairs(opts) do
        all_plain = all_plain and plain[name]
    end
    if not all_plain then
        return vm.boot(opts)
    end
    return base:fork { name = opts.name, forward = opts.forward }
end

local face = setmetatable({ boot = boot }, { __index = vm })
t.baseline()

-- The pieces of a chapter: their text and their first line. Those that are files of their own are run by
-- test_manual_shell, by the command lines that name them.
local function pieces(text)
    local found, shell = {}, false
    for _, block in ipairs(blocks.all(text)) do
        shell = shell or block.mark == "run"
    end
    for _, block in ipairs(blocks.all(text)) do
        if block.kind == "lua" and not (block.file and shell) then
            found[#found + 1] = { line = block.line,
                text = ("\n"):rep(block.line - 1) .. table.concat(block.lines, "\n") }
        end
    end
    return found
end

-- "print(x)   --> y" promises that y is printed, after whatever is printed without a promise.
local function check(chapter, piece)
    local printed, at = {}, 0
    local env = setmetatable({ vm = face, guest = guest }, { __index = _G })
    function env.require(name)
        return name == "vm" and face or require(name)
    end
    function env.print(...)
        local words = table.pack(...)
        for i = 1, words.n do
            words[i] = tostring(words[i])
        end
        for line in (table.concat(words, "\t") .. "\n"):gmatch "([^\n]*)\n" do
            printed[#printed + 1] = line
        end
    end
    require("vm.script").remember("@" .. chapter, piece.text) -- steps look at their text
    local chunk = t.check(load(piece.text, "@" .. chapter, "t", env))
    local made = require("vm.matrix.define").of(vm.spawn(chunk):join())
    if made then -- a matrix: it is to be free of mistakes; `vmatrix test` would run it
        local _, found = require("vm.matrix.plan").all(made)
        t.equal(found:lines(), {})
    end
    for promise in piece.text:gmatch "%-%-> ([^\n]+)" do
        repeat
            at = at + 1
            t.check(at <= #printed, ("%s:%d: %q was not printed, but\n%s"):format(chapter, piece.line, promise,
                table.concat(printed, "\n")))
        until printed[at] == promise
    end
end

local chapters = { "README.md" }
for _, name in ipairs(assert(fs.list(root .. folder))) do
    if name:find "%.md$" then
        chapters[#chapters + 1] = folder .. name
    end
end
table.sort(chapters)

for _, chapter in ipairs(chapters) do
    local found = pieces(assert(fs.read(root .. chapter, 1 << 20)))
    if #found > 0 then
        t.test(("the pieces of %s do what they say"):format(chapter), function()
            for _, piece in ipairs(found) do
                check(chapter, piece)
            end
        end)
    end
end

t.test("a_broken_promise_is_seen", function()
    check("none", { text = "print(1)\nprint(2) --> 2\nprint 'a\\nb' --> a", line = 1 })
    t.raises(function() check("none", { text = "print(1) --> 2", line = 1 }) end, nil, "was not printed")
    t.equal(#pieces "```lua\nx()\n```\n```text\ny\n```\n", 1)
end)

guest:close()
base:close()
assert(fs.remove_tree(place))
t.finish()
