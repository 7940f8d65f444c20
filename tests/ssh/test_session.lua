-- Sessions over a real SSH server: keys, losses, time limits, what is left on the other side.
-- timeout: 300
local t = require "harness"
local vm = require "vm"
local raw = require "vm.raw"
local sshd = require "ssh.sshd"

local server <close> = sshd.start()
t.baseline()

local function connect(more)
    return vm.ssh(server:options(more))
end

-- Whether any process on this machine has this in its command line.
local function runs(text)
    for _, name in ipairs(assert(raw.fs.list("/proc"))) do
        name = type(name) == "table" and name.name or name
        if name:find("^%d+$") then
            local line = raw.fs.read("/proc/" .. name .. "/cmdline") or ""
            if line:find(text, 1, true) and not line:find("kill", 1, true) then
                return true
            end
        end
    end
    return false
end

local function wait_until(what, condition)
    local deadline = vm.now() + 30
    while not condition() do
        t.check(vm.now() < deadline, "never came: " .. what)
        vm.sleep(0.02)
    end
end

-- A number of seconds for sleep that no other process uses.
local count = 0
local function unique_sleep()
    count = count + 1
    return ("%d.%06d"):format(3000 + count, math.random(0, 999999))
end

t.test("nothing is sent before the connection is needed, and a second command uses the same session", function()
    local there <close> = connect()
    t.equal(there.conn:is_open(), false)
    there:run "true"
    there:run "true"
    t.equal({ there.conn:is_open(), there.conn.session_count }, { true, 1 })
end)

t.test("another host key is kind hostkey, and no key is offered to that server", function()
    local there <close> = connect { host_key = sshd.sh("cat \"$1\"/other.pub", server.dir) }
    local err = t.raises(function() there:exec "true" end, "hostkey", "another machine")
    t.match(err.message, "SHA256:")
end)

t.test("the host key may be given as a line, as base64 or as a fingerprint", function()
    local line = server.host_key
    local print_of = sshd.sh("ssh-keygen -lf \"$1\"/host.pub", server.dir):match("SHA256:%S+")
    for _, key in ipairs { line, line:match("AAAA%S+"), print_of, "127.0.0.1 " .. line } do
        local there <close> = connect { host_key = key }
        t.equal(there:exec("true").ok, true)
    end
    t.raises(function()
        local there <close> = connect { host_key = "nonsense" }
        there:exec "true"
    end, "usage", "host_key")
end)

t.test("an ECDSA host key is asked for when it is the expected one", function()
    local there <close> = connect { host_key = sshd.sh("cat \"$1\"/host2.pub", server.dir) }
    there:run "true"
    t.equal(there.conn.raw_session:info().host_key_type, "ecdsa-sha2-nistp256")
end)

t.test("a wrong key is kind auth and names the key", function()
    local there <close> = connect { key = server.dir .. "/other" }
    t.raises(function() there:exec "true" end, "auth", "/other: the server does not accept this key")
end)

t.test("a key that is not there, and one that is no key, are said so", function()
    local there <close> = connect { key = server.dir .. "/missing" }
    t.raises(function() there:exec "true" end, "auth", "No such file")
    local that <close> = connect { key = server.dir .. "/host.pub" }
    t.raises(function() that:exec "true" end, "auth", "not a private key")
end)

t.test("an RSA key works, or the error says what to do", function()
    local there <close> = connect { key = server.dir .. "/rsa" }
    if raw.ssh.version() < "1.11" then
        t.raises(function() there:exec "true" end, "auth", "RSA.*ed25519")
    else
        t.equal(there:exec("true").ok, true)
    end
end)

t.test("a key may be given as text", function()
    local there <close> = connect { key = false, key_text = raw.fs.read(server.key) }
    t.equal(there:exec("true").ok, true)
end)

t.test("an encrypted key wants its passphrase", function()
    sshd.sh("cd \"$1\" && cp key locked && chmod 600 locked && ssh-keygen -q -p -P '' -N secret -f locked", server.dir)
    local there <close> = connect { key = server.dir .. "/locked" }
    t.raises(function() there:exec "true" end, "auth", "passphrase")
    local that <close> = connect { key = server.dir .. "/locked", passphrase = "secret" }
    t.equal(that:exec("true").ok, true)
end)

t.test("an agent's key is used", function()
    local agent = sshd.which("ssh-agent")
    if not agent then
        t.skip("ssh-agent is not installed")
    end
    -- The agent serves one child: this test again, in a process of its own.
    local out = sshd.sh([[
        SSH_ASKPASS=/bin/false ssh-agent sh -c 'ssh-add -q "$0" && exec "$1" -e "$2"' "$1" "$2" "$3" </dev/null 2>&1]],
        server.key, os.getenv("VMATRIX"), ([[
        local there <close> = require("vm").ssh { host = "127.0.0.1", port = %d, user = %q, host_key = %q }
        print(there:output "echo by agent")]]):format(server.port, server.user, server.host_key:gsub("%s+$", "")))
    t.match(out, "by agent")
end)

t.test("a port where nobody listens is kind connection at once", function()
    local there <close> = connect { port = 1 }
    t.raises(function() there:exec "true" end, "connection", "port 1")
end)

t.test("a server that says nothing ends in a timeout", function()
    local listener <close> = assert(raw.process.start { argv = { "timeout", "60", "perl", "-MIO::Socket::INET",
        "-e", "$|=1; $s=IO::Socket::INET->new(Listen=>5,LocalAddr=>'127.0.0.1'); " ..
        "print $s->sockport,\"\\n\"; $c=$s->accept; sleep 60" } })
    local _, port = listener:read(20)
    local there <close> = connect { port = math.tointeger(tonumber(port)), timeout = 1 }
    t.raises(function() there:exec "true" end, "timeout", "1 s")
end)

t.test("a timeout kills the command with all it started, and keeps what it said", function()
    local there <close> = connect()
    for _, opts in ipairs { {}, { on_output = function() end }, { pty = true } } do
        local seconds = unique_sleep()
        opts.timeout = 1
        local err = t.raises(function()
            there:exec(("echo begun; sleep %s & sleep %s"):format(seconds, seconds), opts)
        end, "timeout", "within 1 s")
        t.match(err.stdout, "^begun")
        wait_until("the end of sleep", function() return not runs(seconds) end)
    end
end)

t.test("a process that ignores SIGTERM is killed after a grace", function()
    local there <close> = connect()
    local seconds = unique_sleep()
    t.raises(function()
        there:exec(("trap '' TERM; sleep %s; sleep %s"):format(seconds, seconds), { timeout = 1 })
    end, "timeout")
    wait_until("the end of sleep", function() return not runs(seconds) end)
end)

t.test("a cancelled task's command is killed", function()
    local there <close> = connect()
    local seconds = unique_sleep()
    local task = vm.spawn(function()
        there:exec("sleep " .. seconds)
    end)
    wait_until("sleep", function() return runs(seconds) end)
    task:cancel()
    pcall(task.join, task)
    wait_until("the end of sleep", function() return not runs(seconds) end)
end)

t.test("a command that is cancelled while it starts leaves nothing", function()
    local there <close> = connect()
    there.conn:open()
    local seconds = unique_sleep()
    for i = 1, 10 do
        local task = vm.spawn(function()
            there:exec("sleep " .. seconds)
        end)
        vm.sleep(0.0005 * i)
        task:cancel()
        pcall(task.join, task)
    end
    wait_until("the end of sleep", function() return not runs(seconds) end)
    t.equal(there:exec("echo ok").stdout, "ok\n")
end)

t.test("a killed server ends every command at once with kind connection, and the next one connects anew", function()
    local there <close> = connect()
    local server_pid = there:output "echo $PPID"
    local failed = 0
    local tasks = {}
    for i = 1, 5 do
        tasks[i] = vm.spawn(function()
            t.raises(function() there:exec "sleep 30" end, "connection")
            failed = failed + 1
        end)
    end
    local process = there:spawn "sleep 30"
    process:group()
    local begun = vm.now()
    sshd.sh("kill -9 \"$1\"", server_pid)
    for _, task in ipairs(tasks) do
        task:join()
    end
    t.equal(failed, 5)
    t.raises(function() process:wait() end, "connection")
    process:close()
    t.check(vm.now() - begun < 10)
    t.equal(there:output "echo again", "again")
    t.equal(there.conn.session_count, 2)
end)

t.test("a peer that is silent for too long is lost", function()
    local there <close> = connect { keepalive = 1 }
    local server_pid = there:output "echo $PPID"
    sshd.sh("kill -STOP \"$1\"", server_pid)
    local begun = vm.now()
    t.raises(function() there:exec "true" end, "connection", "no sign of life")
    t.check(vm.now() - begun < 20)
    sshd.sh("kill -KILL \"$1\"", server_pid)
end)

t.test("keepalives do not disturb a busy or a silent command", function()
    local there <close> = connect { keepalive = 1 }
    t.equal(there:output "sleep 5; echo done", "done")
    t.equal(#there:output("head -c 3000000 /dev/zero; sleep 3; head -c 3000000 /dev/zero"), 6000000)
end)

t.test("a connection failed from outside raises that error everywhere at once", function()
    local there <close> = connect()
    there.conn:open()
    local task = vm.spawn(function()
        return t.raises(function() there:exec "sleep 20" end, "crashed", "QEMU exited: signal 9")
    end)
    vm.sleep(0.2)
    there.conn:fail(require("vm.errors").new("crashed", "QEMU exited: signal 9", { signal = 9 }))
    t.equal(task:join().signal, 9)
    t.raises(function() there:exec "true" end, "crashed")
    there.conn:lose()
    t.equal(there:exec("true").ok, true)
end)

t.test("more commands than the server allows channels wait for each other", function()
    local small <close> = sshd.start { config = "MaxSessions 3" }
    local there <close> = vm.ssh(small:options())
    there.conn:open()
    local tasks = {}
    for i = 1, 12 do
        tasks[i] = vm.spawn(there.output, there, "sleep 0.1; echo " .. i)
    end
    for i, task in ipairs(tasks) do
        t.equal(task:join(), tostring(i))
    end
    t.raises(function() there:exec("sleep 60", { timeout = 0.5 }) end, "timeout")
end)

t.test("a spawned process is written to, read, signalled and waited for", function()
    local there <close> = connect()
    local process <close> = there:spawn "while read -r line; do echo got $line; done; echo bye >&2; exit 9"
    process:write "one\n"
    local lines = process:lines()
    t.equal(lines(), "got one")
    process:write "two\nthree"
    t.equal(lines(), "got two")
    local r = process:wait()
    t.equal({ r.status, r.stdout, r.stderr }, { 9, "", "bye\n" })
    local other <close> = there:spawn { "sleep", "60" }
    other:signal "TERM"
    t.equal(other:wait().signal, "TERM")
    t.raises(function() other:signal "TERM" end, "closed")
end)

t.test("a process's output waits for its reader and its input for its writer", function()
    local there <close> = connect()
    local process <close> = there:spawn "head -c 20000000 /dev/zero; echo end >&2; cat | wc -c"
    -- The server reads two pipes: what comes last on one may be sent before the end of the other.
    local got, said = 0, ""
    while got < 20000000 or said ~= "end\n" do
        local chunk, stream = process:read { timeout = 60 }
        if stream == "stderr" then
            said = said .. chunk
        else
            got = got + #chunk
        end
    end
    t.equal(got, 20000000)
    process:write(("z"):rep(5000000))
    t.equal(process:wait().stdout:match("%d+"), "5000000")
end)

t.test("closing a process, or the task that owns it, kills it", function()
    local there <close> = connect()
    local seconds = unique_sleep()
    local process = there:spawn { "sleep", seconds }
    wait_until("sleep", function() return runs(seconds) end)
    process:close()
    process:close()
    wait_until("the end of sleep", function() return not runs(seconds) end)
    vm.spawn(function()
        there:spawn { "sleep", seconds }
        wait_until("sleep", function() return runs(seconds) end)
    end):join()
    wait_until("the end of sleep", function() return not runs(seconds) end)
    t.raises(function() process:read() end, "closed")
end)

t.test("closing a connection ends what runs on it with kind closed", function()
    local there = connect()
    there.conn:open()
    local task = vm.spawn(function()
        t.raises(function() there:exec "sleep 5" end, "closed", "the connection is closed")
    end)
    vm.sleep(0.2)
    there:close()
    there:close()
    task:join()
    t.raises(function() there:exec "true" end, "closed")
end)

t.test("wrong options name the nearest right one", function()
    t.raises(function() vm.ssh { host = "x", hostkey = "y" } end, "usage", "host_key")
    t.raises(function() vm.ssh { host = "x" } end, "usage", "host_key.*missing")
    t.raises(function() vm.ssh { host_key = "x" } end, "usage", "host.*missing")
end)

t.finish()
