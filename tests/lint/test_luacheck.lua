-- timeout: 240
-- luacheck is content with every Lua file, by the rules of .luacheckrc.
local t = require "harness"
local tree = require "lint.tree"

local function luacheck(paths)
    return tree.ask("env -u LUA_PATH -u LUA_CPATH luacheck --config .luacheckrc --codes --no-color -q", paths)
end

t.test("luacheck is content with every lua file", function()
    t.need "luacheck"
    local output, ok = luacheck(tree.some(200, { "scripts", "tests" }, "*.lua"))
    t.check(ok, output)
end)

t.test("the lint sees an unknown global, an unused local and a shadowed name", function()
    t.need "luacheck"
    for _, sample in ipairs {
        "print(undefined_name)\n",
        "local unused = 1\n",
        "local a = 1\nlocal function f(a) return a end\nprint(a, f)\n",
        "leaked = 1\n",
    } do
        local output, ok = tree.with_sample(sample, ".lua", luacheck)
        t.check(not ok, "not seen: " .. sample .. output)
    end
    local output, ok = tree.with_sample("print(1)\n", ".lua", luacheck)
    t.check(ok, output)
end)

t.finish()
