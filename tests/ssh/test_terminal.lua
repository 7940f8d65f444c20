-- This program's terminal given to a shell on a machine: keys, size, status, and the terminal's own
-- settings afterwards.
local vm = require "vm"
local t = require "harness"
local cli = require "cli.cli"
local host = require "vm.host"
local sshd = require "ssh.sshd"
local tmux = require "cli.tmux"

local server = sshd.start()
t.baseline()

local function attach(more)
    return cli.script("attach.lua", ([[
        local vm = require "vm"
        local there <close> = vm.ssh { host = "127.0.0.1", port = %d, user = %q, key = %q, host_key = %q }
        os.execute "tty | sed 's/^/on /'"
        print("status", require("vm.terminal").attach(there%s))
        os.execute "stty -a | grep -o -e '-*icanon'"
    ]]):format(server.port, server.user, server.key, server.host_key, more or ""))
end

-- The binary on a terminal of 33 rows and 77 columns.
local function start(script)
    if not host.which "script" then
        t.skip "script is not installed"
    end
    local line = ("stty rows 33 cols 77; '%s' '%s'"):format(cli.binary, script)
    local argv = vm.raw.build.system == "macos" and { "script", "-q", "/dev/null", "sh", "-c", line }
        or { "script", "-qec", line, "/dev/null" }
    return setmetatable({ raw = assert(vm.raw.process.start { argv = argv, stdin = true }), text = { "", "" } },
        cli.Process)
end

t.test("a_shell_has_our_terminal_until_it_ends", function()
    local process <close> = start(attach())
    local tty = process:expect(1, "on (/dev/%S+)", 30)
    assert(process.raw:queue "stty size; echo A$((1 + 1))B\n")
    process:expect(1, "33 77%s", 30)
    process:expect(1, "A2B", 30)
    -- Another size reaches the shell within moments.
    host.run { "stty", "-F", tty, "rows", "20", "cols", "50" }
    vm.sleep(1)
    assert(process.raw:queue "stty size\n")
    process:expect(1, "20 50%s", 30)
    assert(process.raw:queue "exit 7\n")
    process:expect(1, "status\t7", 30)
    process:expect(1, "\nicanon", 30)
end)

t.test("a_key_for_an_interrupt_goes_to_the_shell_and_not_to_us", function()
    local process <close> = start(attach(', "echo ready; sleep 30; echo slept"'))
    process:expect(1, "\nready", 30)
    local begun = vm.now()
    assert(process.raw:queue "\3")
    process:expect(1, "status\t", 20)
    t.check(vm.now() - begun < 15)
    t.check(not process.text[1]:find "slept")
    t.check(not process.text[1]:find "cleaning up")
end)

t.test("ctrl_z_goes_to_the_shell_and_behind_a_tilde_stops_us", function()
    local at <close> = tmux.shell()
    at:enter(("'%s' '%s'"):format(cli.binary, attach()))
    at:expect "[$#]$"
    at:enter "stty -echo raw; printf 'ready\\r\\n'; dd bs=1 count=1 2>/dev/null | od -An -tu1; stty sane"
    at:expect "\nready$"
    at:press "C-z"
    at:expect " 26%s"
    at:enter ""
    at:type "~"
    at:press "C-z"
    at:expect "~%^Z\n+%[1%]%+%s+Stopped[^\n]*\nsh>$"
    at:resize(91, 27)
    at:enter "fg"
    vm.sleep(1)
    at:enter "stty size"
    at:expect "\n27 91\n"
    at:press "C-c" -- ours it would be, were the terminal not as before
    at:enter "exit 7"
    at:expect "status\t?%s*7\nicanon\nsh>$"
end)

t.test("without_a_terminal_it_is_refused", function()
    local result = cli.run { attach() }
    t.equal(result.status, 1)
    t.match(result.stderr, "standard input and output are no terminal")
end)

server:close()
cli.clean()
t.finish()
