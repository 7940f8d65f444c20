-- Completion in the real bash, zsh and fish: what is typed, and what stands there after Tab.
local raw = require "vm.raw"
local host = require "vm.host"
local t = require "harness"
local cli = require "cli.cli"
local tmux = require "cli.tmux"

local bin = cli.folder .. "/bin"
assert(raw.fs.mkdir_p(bin))
-- Each shell finds the program by its name, with this test's folders for what it keeps.
cli.script("bin/vmatrix", ("#!/bin/sh\nexec env %s '%s' \"$@\"\n"):format(
    table.concat(cli.argv({}), " ", 2, #cli.argv({}) - 1), cli.binary))
host.run { "chmod", "755", bin .. "/vmatrix" }
assert(raw.fs.mkdir_p(cli.folder .. "/here"))
cli.script("here/build_it.lua", "")
cli.script("here/with space.lua", "")

-- A shell in a terminal, with the completion loaded by a line.
local function open(shell, load)
    t.need(shell:match "^%S+")
    local at = tmux.start(("cd '%s/here'; %s"):format(cli.folder, shell), { cols = 100, rows = 30,
        env = { "PATH=" .. bin .. ":" .. os.getenv "PATH", "HOME=" .. cli.folder } })
    at:enter(load)
    at:expect "loaded %d"
    return at
end

-- Types a line and Tab; the line is then to look so.
local function completes(at, typed, wanted)
    at:press "C-u"
    at:type(typed)
    at:press "Tab"
    at:expect("> " .. wanted:gsub("%p", "%%%0") .. "$")
    at:press "C-u"
end

-- What every shell is to make of these.
local function try_all(shell)
    completes(shell, "vmatrix pru", "vmatrix prune")
    completes(shell, "vmatrix states ver", "vmatrix states verify")
    completes(shell, "vmatrix prune --max", "vmatrix prune --max-size")
    completes(shell, "vmatrix images build --arch riscv", "vmatrix images build --arch riscv64")
    completes(shell, "vmatrix test --keep alw", "vmatrix test --keep always")
    completes(shell, "vmatrix test --format=mark", "vmatrix test --format=markdown")
    completes(shell, "vmatrix build", "vmatrix build_it.lua")
    completes(shell, "vmatrix with", "vmatrix with\\ space.lua")
    completes(shell, "vmatrix report --runs ../he", "vmatrix report --runs ../here/")
end

t.test("bash completes commands, options, their values and files", function()
    local shell <close> = open("bash --norc --noprofile",
        [[PS1='> '; eval "$(vmatrix completion bash)"; clear; echo loaded $?]])
    try_all(shell)
end)

t.test("zsh completes commands, options, their values and files", function()
    local shell <close> = open("zsh -f", [[PS1='> '; autoload -U compinit; compinit -u -D; ]]
        .. [[eval "$(vmatrix completion zsh)"; clear; echo loaded $?]])
    try_all(shell)
end)

t.test("fish completes commands, options, their values and files", function()
    t.need "fish"
    local function candidates(typed)
        local out = host.run({ "env", "PATH=" .. bin .. ":" .. os.getenv "PATH", "HOME=" .. cli.folder, "fish", "-N",
            "-c", "vmatrix completion fish | source; complete -C '" .. typed .. "'" },
            { cwd = cli.folder .. "/here" }).stdout
        return out:gsub("\t[^\n]*", "")
    end
    t.equal(candidates "vmatrix pru", "prune\n")
    t.equal(candidates "vmatrix states v", "verify\n")
    t.equal(candidates "vmatrix prune --max", "--max-size\n")
    t.equal(candidates "vmatrix test --keep ", "always\nfailed\nnever\n")
    t.equal(candidates "vmatrix test --format=mark", "--format=markdown\n")
    t.match(candidates "vmatrix build", "build_it.lua")
    t.match(candidates "vmatrix report --runs ../he", "%.%./here/")
end)

t.test("another shell is refused, with the nearest one", function()
    local got = cli.run { "completion", "bsh" }
    t.equal(got.status, 2)
    t.match(got.stderr, "did you mean 'bash'")
    t.equal(cli.run({ "completion" }).status, 2)
end)

t.test("nothing that is asked on a command line is printed raw", function()
    t.equal(cli.run({ "completion", "--words", "report", "no\27[31m" }).stdout, ":files\n")
    t.equal(cli.run({ "completion", "--words" }).status, 0)
end)

cli.clean()
t.finish()
