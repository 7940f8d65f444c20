-- Every block of code in the documents is run by a test, or says why not; what the chapter on trouble
-- quotes is what the program says.
local t = require "harness"
local tree = require "lint.tree"
local blocks = require "blocks"

local function documents()
    local files = tree.files({ "docs/manual" }, "*.md")
    files[#files + 1] = "README.md"
    return files
end

-- The tests that a reason for not running a block refers to, of which there is none of that name.
local function missing_tests(mark)
    local missing = {}
    for name in mark:gmatch "tests/[%w_]+/[%w_]+%.?%a*" do
        local path = name:find "%.lua$" and name or name .. ".lua"
        if not pcall(tree.read, path) then missing[#missing + 1] = path end
    end
    return missing
end

local function complaints(path, text)
    local found = {}
    for _, block in ipairs(blocks.all(text)) do
        local where = ("%s:%d: %s"):format(path, block.line, block.lines[1])
        if block.mark == "run" and block.kind ~= "shell" then
            found[#found + 1] = where .. ": only lines that begin with '$ vmatrix' can be run"
        elseif block.kind ~= "lua" and not block.mark then
            found[#found + 1] = where .. ": put <!-- not run: why --> before it, with an empty line between; or "
                .. "<!-- run -->, and tests/e2e/test_manual_shell.lua runs it"
        end
        for _, test in ipairs(missing_tests(block.mark or "")) do
            found[#found + 1] = ("%s: there is no %s"):format(where, test)
        end
    end
    return found
end

t.test("every block of the manual and of README.md is run, or marked why not", function()
    local list, run, marked = {}, 0, 0
    for _, path in ipairs(documents()) do
        local text = tree.read(path)
        table.move(complaints(path, text), 1, 1000, #list + 1, list)
        for _, block in ipairs(blocks.all(text)) do
            local left = block.mark and block.mark ~= "run"
            run, marked = run + (left and 0 or 1), marked + (left and 1 or 0)
        end
    end
    t.check(run > 60, "the blocks were not found")
    t.check(marked < run, "more is marked than run")
    tree.none(list)
end)

t.test("the messages in the chapter on trouble are the program's", function()
    local source = {}
    for _, text in pairs(tree.sources()) do
        -- Texts that stand in several pieces are put together again.
        source[#source + 1] = text:gsub('"%s*%.%.%s*"', ""):gsub('"%s*\n%s*"', "")
    end
    local all, count = table.concat(source, "\n"), 0
    for message in tree.read("docs/manual/troubleshooting.md"):gmatch "\n| `([^`\n]+)`" do
        count = count + 1
        t.check(all:find(message, 1, true), ("nothing says %q"):format(message))
    end
    t.check(count > 25, "the messages were not found")
end)

t.test("the lint sees what is neither run nor marked", function()
    t.equal(complaints("x", "a\n\n```lua\nx()\n```\n\n<!-- run -->\n\n    $ vmatrix x\n    y\n"), {})
    t.equal(#complaints("x", "a\n\n```sh\nx\n```\n"), 1)
    t.equal(#complaints("x", "a\n\n    $ vmatrix x\n"), 1)
    t.equal(#complaints("x", "<!-- run -->\n\n    $ vmatrix x\n    $ make\n"), 1)
    t.equal(complaints("x", "<!-- not run: it is make's -->\n\n    $ make\n"), {})
    t.equal(complaints("x", "<!-- not run: tests/lint/test_blocks.lua is it -->\n\n    $ make\n"), {})
    t.equal(#complaints("x", "<!-- not run: tests/lint/test_nothing.lua and tests/e2e/test_no do -->\n\n    x\n"), 2)
    t.equal(complaints("x", "* a\n    goes on\n"), {}, "what is no block is none")
end)

t.test("what command lines print is compared but for numbers and ids", function()
    t.equal(blocks.missing({ "run 20251125-1-ab: 4 tests", "...", "4 passed; 41 s" },
        "run 20261125-2-cd: 3 tests\npassed x\npassed y\n2 passed; 1.5 s\n"), nil)
    t.equal(blocks.missing({ "a", "b" }, "a\nc\n"), "b")
    t.equal(blocks.missing({ "passed in 41 s", "x (1.2 s)" }, "passed in 1 min 58 s\nx (205 ms)\n"), nil)
    t.equal(blocks.missing({ "a ... c" }, "a b c\n"), nil)
    t.check(blocks.missing({ "a" }, "a\nb\n"), "more was printed than was said")
    t.equal(blocks.missing({ "a", "..." }, "a\nb\n"), nil)
    t.equal(blocks.missing({}, ""), nil)
end)

t.finish()
