-- timeout: 240
-- luacheck is content with every Lua file, by the rules of .luacheckrc.
local t = require "harness"
local tree = require "lint.tree"

local function luacheck(arguments)
    return tree.run(("cd %s && env -u LUA_PATH -u LUA_CPATH luacheck --config .luacheckrc --codes --no-color -q %s")
        :format(tree.quote(tree.root), arguments))
end

t.test("luacheck is content with every lua file", function()
    tree.need(t, "luacheck")
    local files = tree.files({ "scripts", "tests" }, "*.lua")
    t.check(#files > 5, "the tree was not found")
    for i, path in ipairs(files) do
        files[i] = tree.quote(path)
    end
    local output, ok = luacheck(table.concat(files, " "))
    t.check(ok, output)
end)

t.test("the lint sees an unknown global, an unused local and a shadowed name", function()
    tree.need(t, "luacheck")
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
