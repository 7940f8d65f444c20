-- The files say what the program is, not where or how it was made.
local t = require "harness"
local tree = require "lint.tree"

-- Patterns, each with what is wrong with it. They are split so that this file passes, too.
local words = {
    { "%f[%w]TO" .. "DO%f[%W]", "something is left to do" },
    { "%f[%w]FIX" .. "ME%f[%W]", "something is left to do" },
    { "%f[%w]X" .. "XX%f[%W]", "something is left to do" },
    { "/wo" .. "rk/main", "a path of one machine" },
    { "/wo" .. "rk/shared", "a path of one machine" },
    { "/tmp/w" .. "/%w", "a path of one machine" },
    { "[Ii]ssue #?%d", "how the work is organised" },
    { "%f[%a][Hh]elper %d", "how the work is organised" },
}

local function check_words(path, text)
    local complaints = {}
    for number, line in ipairs(tree.lines(text)) do
        for _, word in ipairs(words) do
            if line:find(word[1]) then
                complaints[#complaints + 1] = ("%s:%d: %s: %s"):format(path, number, word[2], line)
            end
        end
    end
    return complaints
end

t.test("no file speaks of one machine or of work that is left", function()
    local files = tree.some(400, { "runtime", "bindings", "scripts", "tests", "docs", "cmake", ".ci" }, "*")
    for _, path in ipairs { "README.md", "CHANGES.md", "CMakeLists.txt", "CMakePresets.json" } do
        files[#files + 1] = path
    end
    tree.check(files, function(path, text)
        return path:find "%.png$" and {} or check_words(path, text)
    end)
end)

t.test("the lint sees such words", function()
    local samples = { "/* TO" .. "DO: later */", "cd /wo" .. "rk/main", "see Issue" .. " #3", "X" .. "XX broken" }
    for _, line in ipairs(samples) do
        t.equal(#check_words("x", line), 1)
    end
    t.equal(#check_words("x", 'mktemp -d "/tmp/vmatrix.XXXXXX"; network /work; issues'), 0)
end)

t.finish()
