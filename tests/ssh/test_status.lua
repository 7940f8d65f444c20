-- Commands whose exit status never comes, over a real server: never status 0.
local t = require "harness"
local vm = require "vm"
local sshd = require "ssh.sshd"

local server <close> = sshd.start { silent = true }
local talking <close> = sshd.start()
t.baseline()

t.test("a channel that ends without exit status is kind connection and keeps what was said", function()
    local there <close> = vm.ssh(server:options())
    local err = t.raises(function()
        there:exec "echo said; echo wrong >&2; exit 0"
    end, "connection", "without saying how it ended")
    t.equal(err.stdout, "said\n")
    t.equal(err.stderr, "wrong\n")
    t.raises(function() there:exec "kill -9 $$" end, "connection", "without saying how it ended")
    t.check(there.conn:is_open(), "the session goes on")
end)

t.test("so it is for run, for output as it comes and for a spawned process", function()
    local there <close> = vm.ssh(server:options())
    t.raises(function() there:run "true" end, "connection")
    t.raises(function() there:output "echo x; exit 0" end, "connection")
    t.raises(function() there:exec("echo x; exit 0", { on_output = function() end }) end, "connection")
    local process <close> = there:spawn "echo x; exit 0"
    t.raises(function() process:wait() end, "connection")
end)

t.test("a login shell that is killed is a signal, and a connection cut after the output is no status", function()
    local there <close> = vm.ssh(talking:options())
    t.equal(there:exec("echo said; kill -9 $$").signal, "KILL")
    local err = t.raises(function()
        there:exec "echo said; sleep 0.5; kill -9 $PPID; sleep 5"
    end, "connection")
    t.equal(err.stdout, "said\n")
    t.equal(there:output "echo anew", "anew")
end)

server:close()
talking:close()
t.finish()
