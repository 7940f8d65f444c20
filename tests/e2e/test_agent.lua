-- The guest agent in real guests: the same results as over SSH, without a network, through reverts, forks,
-- reboots and the agent's own death.
-- timeout: 1500
local t = require "harness"
local vm = require "vm"
local host = require "vm.host"

local shared = vm.boot { image = "seed", agent = true, name = "shared", accel = "tcg", memory = "256MiB",
    timeout = 300 }
for _, transport in ipairs { "agent", "ssh" } do
    shared:run("true", { transport = transport })
end
t.baseline()

-- How a command ended, without what differs from one time to the next.
local function outcome(command, opts, transport)
    opts.transport = transport
    local result, err = vm.try(shared.exec, shared, command, opts)
    if not result then
        return { kind = err.kind, stdout = err.stdout, stderr = err.stderr,
            message = err.message:gsub("line %d+", "line"):gsub("%d+ s", "s") }
    end
    return { status = result.status, signal = result.signal, stdout = result.stdout, stderr = result.stderr,
        truncated = result.truncated, ok = result.ok }
end

local cases = {
    { "echo out; echo err >&2; exit 3" },
    { { "printf", "%s|", "a b", "'", '"$x"', "", "\n", "*" } },
    { "cat; echo end", { stdin = "line\0two\255" } },
    { "cat", { stdin = ("0123456789abcdef"):rep(20000) } },
    { "cat" },
    { "echo \255\254" },
    { 'echo "$A$B"; id -un; pwd', { env = { A = "1 2", B = "'" } } },
    { "pwd; id -un; echo $HOME", { cwd = "/tmp", user = "user" } },
    { "pwd; id -un; echo $HOME" },
    { "pwd", { cwd = "/nonexistent" } },
    { "true", { user = "nosuchuser" } },
    { "kill -9 $$" },
    { "kill -TERM $$" },
    { "head -c 100 /dev/zero; echo x >&2", { max_output = 10 } },
    { "echo part; exec sleep 100", { timeout = 8 } },
    { ":" .. (" "):rep(20000) .. "; echo long" },
}

t.test("commands end the same way over the agent and over SSH", function()
    for i, case in ipairs(cases) do
        local opts = case[2] or {}
        local by_agent, by_ssh = outcome(case[1], opts, "agent"), outcome(case[1], opts, "ssh")
        t.equal(by_agent, by_ssh, "case " .. i)
    end
end)

t.test("files are written and read over the agent as over SSH", function()
    local bytes = assert(vm.raw.fs.random(60000)):rep(5)
    shared:write("/tmp/a/b", bytes, { mode = tonumber("640", 8), transport = "agent" })
    t.check(shared:read("/tmp/a/b", { transport = "agent" }) == bytes)
    t.check(shared:read("/tmp/a/b", { transport = "ssh" }) == bytes)
    t.equal(shared:output "stat -c %a /tmp/a/b; ls -A /tmp/a", "640\nb")
    t.raises(function() shared:read("/nonexistent", { transport = "agent" }) end, "notfound")
    t.raises(function() shared:write("/tmp/a", "x", { transport = "agent" }) end, "exists", "folder")
    t.raises(function() shared:read("/tmp/a/b", { max = 10, transport = "agent" }) end, "limit")
end)

t.test("a command that is cancelled or takes too long is killed with all that it started", function()
    -- What has left its session keeps the output open, which is waited for so long.
    local _ <close> = setmetatable({}, { __close = function() shared.agent.patience = 30 end })
    shared.agent.patience = 6
    t.raises(function()
        shared:exec("sleep 1001 & (setsid sleep 1002 &) ; sleep 1003", { timeout = 3, transport = "agent" })
    end, "timeout", "was killed")
    t.raises(function()
        vm.timeout(3, shared.exec, shared, "sleep 1004 & sleep 1005", { user = "user", transport = "agent" })
    end, "timeout")
    t.equal(shared:output "ps | grep 'sleep 100[1345]$' || true", "")
    shared:exec "pkill -f 'sleep 1002'"
end)

t.test("many commands run beside each other", function()
    local numbers = {}
    for i = 1, 12 do
        numbers[i] = i
    end
    vm.parallel(numbers, function(i)
        t.equal(shared:output(("sleep 0.%d; echo %d"):format(i % 5, i), { transport = "agent" }), tostring(i))
    end)
end)

t.test("what the agent cannot do is said, or goes over SSH", function()
    for _, case in ipairs { { "pty", true }, { "on_output", print }, { "stdin", function() end } } do
        t.raises(function()
            shared:exec("true", { [case[1]] = case[2], transport = "agent" })
        end, "unsupported", "beyond the guest agent")
    end
    t.equal(shared:exec("tty", { pty = true }).status, 0)
    local process <close> = shared:spawn "echo spawned"
    t.equal(process:wait().stdout, "spawned\n")
    t.raises(function() shared:exec("true", { transport = "pigeon" }) end, "usage", "transport")
end)

t.test("auto moves to SSH once that is up, and back when it is lost", function()
    for _ = 1, 5 do
        shared:output "true"
    end
    local deadline = vm.now() + 120
    while not shared.conn:is_open() and vm.now() < deadline do
        vm.sleep(0.2)
    end
    t.match(shared:output "echo $SSH_CONNECTION", "10%.0%.2%.2")
    shared:snapshot("moved"):revert()
    t.equal(shared:output "echo $SSH_CONNECTION", "")
end)

t.test("an agent that hangs is an error in time, and is found again", function()
    shared.agent.patience = 3
    shared:run("kill -STOP $(pidof qemu-ga)", { transport = "ssh" })
    local started = vm.now()
    t.raises(function()
        shared:run("true", { transport = "agent" })
    end, "connection", "guest agent")
    t.check(vm.now() - started < 30)
    t.equal(shared:output "echo by another way", "by another way")
    shared:run("kill -CONT $(pidof qemu-ga)", { transport = "ssh" })
    shared.agent.patience = 30
    t.equal(shared:output("echo again", { transport = "agent" }), "again")
end)

t.test("an agent that is restarted or gone is said, and a new one is found", function()
    local port = shared:output "tr '\\0' '\\n' </proc/$(pidof qemu-ga)/cmdline | grep ^/dev/"
    local running = vm.spawn(function()
        return vm.try(shared.run, shared, "sleep 60", { transport = "agent" })
    end)
    vm.sleep(2)
    shared.agent.patience = 5
    shared:run("kill -9 $(pidof qemu-ga); sleep 1; pkill sleep; true", { transport = "ssh" })
    local _, err = running:join()
    t.equal(err.kind, "connection")
    err = t.raises(function() shared:run("true", { transport = "agent" }) end, "connection")
    t.match(err.message, "nothing in the guest has opened its channel")
    shared.agent.patience = 30
    shared:run(("qemu-ga -d -p %s -t /run -f /run/qemu-ga.pid"):format(port), { transport = "ssh" })
    t.equal(shared:output("echo new", { transport = "agent" }), "new")
end)

for _, arch in ipairs { "x86_64", "aarch64" } do
    t.test(arch .. ": a guest without a network card is used through its agent, reverted and forked", function()
        local guest = vm.boot { image = "seed", arch = arch, agent = true, nics = {}, accel = "tcg",
            memory = "256MiB", timeout = 300 }
        local _ <close> = guest
        t.equal(guest:output "ls /sys/class/net", "lo")
        guest:wait_file("/run", { timeout = 60 })
        guest:write("/tmp/state", "one")
        local snapshot = guest:snapshot "one"
        guest:write("/tmp/state", "two")
        local waiting = vm.spawn(function()
            return vm.try(guest.exec, guest, "sleep 500")
        end)
        vm.sleep(1)
        snapshot:revert()
        local _, err = waiting:join()
        t.equal(err.kind, "connection")
        t.equal(guest:read "/tmp/state", "one")
        t.raises(function() guest:spawn "true" end, "unsupported", "needs SSH")
        t.raises(function() guest:copy_in("/etc/hostname", "/tmp/") end, "unsupported", "needs SSH")
        local base <close> = guest:template()
        local forks = base:fork { count = 2 }
        local drawn = {}
        for i, fork in ipairs(forks) do
            t.equal(fork.origin.how, "live")
            t.equal(fork:read "/tmp/state", "one")
            drawn[i] = fork:output "head -c 16 /dev/urandom | od -An -tx1"
        end
        t.check(drawn[1] ~= drawn[2], "both forks drew " .. drawn[1])
        forks[2]:close()
        forks[1]:reboot { timeout = 300 }
        t.equal(forks[1]:exec("test -e /tmp/state").status, 1)
        forks[1]:close()
    end)
end

t.test("a guest that panics or dies fails what waits for its agent at once", function()
    local guest <close> = vm.boot { image = "seed", agent = true, nics = {}, accel = "tcg", memory = "256MiB",
        timeout = 300 }
    local _, err = vm.try(guest.exec, guest, "echo c >/proc/sysrq-trigger; sleep 100")
    t.equal(err.kind, "panic")
    t.match(err.message, "Kernel panic")
    guest:kill()
    guest:start { timeout = 300 }
    local waiting = vm.spawn(function()
        return vm.try(guest.exec, guest, "sleep 500")
    end)
    vm.sleep(1)
    host.run { "kill", "-9", tostring(guest:info().pid) }
    _, err = waiting:join()
    t.equal(err.kind, "crashed")
end)

t.test("transport = \"agent\" for a guest without one is misuse", function()
    t.raises(function()
        vm.create { image = "seed", transport = "agent" }
    end, "usage", "agent = true")
end)

shared:close()
t.finish()
