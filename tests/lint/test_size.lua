-- No file is too long to be read in one go (a long one is split by noun), and no line too wide.
local t = require "harness"
local tree = require "lint.tree"

local function limit(path)
    if path:find "^tests/" then return 700 end
    return path:find "%.lua$" and 400 or 500
end

local function check_size(path, text)
    local count = #tree.lines(text)
    if count > limit(path) then
        return { ("%s: %d lines, the limit is %d: split it by noun"):format(path, count, limit(path)) }
    end
    return {}
end

-- clang-format keeps code within 96 columns but leaves comments alone; these may reach 100. For Lua,
-- luacheck sees to it.
local function check_width(path, text)
    local complaints = {}
    local columns = 100
    for number, line in ipairs(tree.lines(text)) do
        if (utf8.len(line) or #line) > columns then
            complaints[#complaints + 1] = ("%s:%d: wider than %d columns"):format(path, number, columns)
        end
    end
    return complaints
end

t.test("no line of c is wider than 100 columns", function()
    tree.check(tree.some(100, { "runtime", "bindings", "tests" }, "*.c", "*.h"), check_width)
end)

t.test("no file is longer than its kind allows", function()
    tree.check(tree.some(300, { "runtime", "bindings", "scripts", "tests" }, "*.c", "*.h", "*.lua", "*.css", "*.js"),
        check_size)
end)

t.test("the lint sees one line too many", function()
    t.equal(#check_size("runtime/base/x.c", ("x\n"):rep(500)), 0)
    t.equal(#check_size("runtime/base/x.c", ("x\n"):rep(501)), 1)
    t.equal(#check_size("scripts/vm/x.lua", ("x\n"):rep(401)), 1)
    t.equal(#check_size("tests/c/x.c", ("x\n"):rep(700)), 0)
    t.equal(#check_size("tests/c/x.c", ("x\n"):rep(700) .. "x"), 1)
end)

t.test("the lint sees one column too many", function()
    t.equal(#check_width("runtime/base/x.c", ("x"):rep(100) .. "\n"), 0)
    t.equal(#check_width("runtime/base/x.c", "y\n" .. ("x"):rep(101) .. "\n"), 1)
end)

t.finish()
