-- Completion in the real bash, zsh and fish: what is typed, and what stands there after Tab.
local raw = require "vm.raw"
local host = require "vm.host"
local vm = require "vm"
local t = require "harness"
local cli = require "cli.cli"

local bin = cli.folder .. "/bin"
assert(raw.fs.mkdir_p(bin))
-- Each shell finds the program by its name, with this test's folders for what it keeps.
cli.script("bin/vmatrix", ("#!/bin/sh\nexec env %s '%s' \"$@\"\n"):format(
    table.concat(cli.argv({}), " ", 2, #cli.argv({}) - 1), cli.binary))
host.run { "chmod", "755", bin .. "/vmatrix" }
assert(raw.fs.mkdir_p(cli.folder .. "/here"))
cli.script("here/build_it.lua", "")
cli.script("here/with space.lua", "")

local function need(program)
    if host.which(program) then
        return
    elseif os.getenv "CI" == "true" then
        error(program .. " is not installed; scripts/dev/deps test installs it", 0)
    end
    t.skip(program .. " is not installed")
end

-- A shell in a terminal of tmux, with the completion loaded.
local Shell = {}
Shell.__index = Shell
local servers = 0

local function tmux(self, ...)
    return host.run { "tmux", "-S", self.server, ... }
end

local function open(argv, load)
    need "tmux"
    need(argv[1])
    servers = servers + 1
    local self = setmetatable({ server = ("%s/tmux-%d"):format(cli.folder, servers) }, Shell)
    host.run { "env", "PATH=" .. bin .. ":" .. os.getenv "PATH", "HOME=" .. cli.folder, "LC_ALL=C.UTF-8",
        "tmux", "-S", self.server, "-f", "/dev/null", "new-session", "-d", "-x", "100", "-y", "30", "-c",
        cli.folder .. "/here", table.unpack(argv) }
    tmux(self, "send-keys", "-l", load)
    tmux(self, "send-keys", "Enter")
    self:wait "loaded %d"
    return self
end

function Shell:__close()
    host.run({ "tmux", "-S", self.server, "kill-server" }, { check = false })
end

function Shell:wait(pattern)
    local text
    for _ = 1, 200 do
        text = tmux(self, "capture-pane", "-p").stdout
        if text:find(pattern) then
            return
        end
        vm.sleep(0.1)
    end
    error(("%q is not on the screen: %s"):format(pattern, text), 2)
end

-- Types a line and Tab; the line is then to look so.
function Shell:completes(typed, wanted)
    tmux(self, "send-keys", "C-u")
    tmux(self, "send-keys", "-l", typed)
    tmux(self, "send-keys", "Tab")
    self:wait("> " .. wanted:gsub("%p", "%%%0") .. "\n")
    tmux(self, "send-keys", "C-u")
end

-- What every shell is to make of these.
local function try_all(shell)
    shell:completes("vmatrix pru", "vmatrix prune")
    shell:completes("vmatrix states ver", "vmatrix states verify")
    shell:completes("vmatrix prune --max", "vmatrix prune --max-size")
    shell:completes("vmatrix images build --arch riscv", "vmatrix images build --arch riscv64")
    shell:completes("vmatrix test --keep alw", "vmatrix test --keep always")
    shell:completes("vmatrix test --format=mark", "vmatrix test --format=markdown")
    shell:completes("vmatrix build", "vmatrix build_it.lua")
    shell:completes("vmatrix with", "vmatrix with\\ space.lua")
    shell:completes("vmatrix report --runs ../he", "vmatrix report --runs ../here/")
end

t.test("bash completes commands, options, their values and files", function()
    local shell <close> = open({ "bash", "--norc", "--noprofile" },
        [[PS1='> '; eval "$(vmatrix completion bash)"; clear; echo loaded $?]])
    try_all(shell)
end)

t.test("zsh completes commands, options, their values and files", function()
    local shell <close> = open({ "zsh", "-f" }, [[PS1='> '; autoload -U compinit; compinit -u -D; ]]
        .. [[eval "$(vmatrix completion zsh)"; clear; echo loaded $?]])
    try_all(shell)
end)

t.test("fish completes commands, options, their values and files", function()
    need "fish"
    local function completes(typed)
        local out = host.run({ "env", "PATH=" .. bin .. ":" .. os.getenv "PATH", "HOME=" .. cli.folder, "fish", "-N",
            "-c", "vmatrix completion fish | source; complete -C '" .. typed .. "'" },
            { cwd = cli.folder .. "/here" }).stdout
        return out:gsub("\t[^\n]*", "")
    end
    t.equal(completes "vmatrix pru", "prune\n")
    t.equal(completes "vmatrix states v", "verify\n")
    t.equal(completes "vmatrix prune --max", "--max-size\n")
    t.equal(completes "vmatrix test --keep ", "always\nfailed\nnever\n")
    t.equal(completes "vmatrix test --format=mark", "--format=markdown\n")
    t.match(completes "vmatrix build", "build_it.lua")
    t.match(completes "vmatrix report --runs ../he", "%.%./here/")
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
