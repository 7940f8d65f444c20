-- timeout: 240
-- clang-format would change no C file.
local t = require "harness"
local tree = require "lint.tree"

local function clang_format(paths)
    return tree.ask("clang-format --style=file:.clang-format --dry-run -Werror", paths)
end

t.test("clang-format would change no c file", function()
    t.need "clang-format"
    local output, ok = clang_format(tree.some(100, { "runtime", "bindings", "tests" }, "*.c", "*.h"))
    t.check(ok, output)
end)

t.test("the lint sees a brace and a width that are not ours", function()
    t.need "clang-format"
    for _, sample in ipairs {
        "int f(void) {\n    return 0;\n}\n",
        "int f(void)\n{\n  return 0;\n}\n",
        "int f(int " .. ("a"):rep(50) .. ", int " .. ("b"):rep(50) .. ");\n",
    } do
        local output, ok = tree.with_sample(sample, ".c", clang_format)
        t.check(not ok, "not seen: " .. sample .. output)
    end
    local output, ok = tree.with_sample("int f(void)\n{\n    return 0;\n}\n", ".c", clang_format)
    t.check(ok, output)
end)

t.finish()
