-- shellcheck is content with every shell script.
local t = require "harness"
local tree = require "lint.tree"

local function shell_scripts()
    local found = {}
    for _, path in ipairs(tree.files({ "scripts", "tests", ".ci" }, "*")) do
        local first = tree.read(path):match "^#![^\n]*"
        if first and first:find "%f[%w]b?a?sh$" then
            found[#found + 1] = path
        end
    end
    return found
end

local function shellcheck(paths)
    return tree.ask("shellcheck --color=never", paths)
end

t.test("shellcheck is content with every shell script", function()
    t.need "shellcheck"
    local files = shell_scripts()
    t.check(#files >= 4, "the scripts were not found")
    local output, ok = shellcheck(files)
    t.check(ok, output)
end)

t.test("every shell script may be executed", function()
    for _, path in ipairs(shell_scripts()) do
        local _, ok = tree.run("test -x " .. tree.quote(tree.root .. "/" .. path))
        t.check(ok, path .. " is not executable")
    end
end)

t.test("the lint sees a word that is not quoted", function()
    t.need "shellcheck"
    local output, ok = tree.with_sample("#!/bin/sh\nrm -rf $1\n", ".sh", shellcheck)
    t.check(not ok, output)
end)

t.finish()
