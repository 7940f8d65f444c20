-- The same over dropbear, whose shells do not lead a process group.
local t = require "harness"
local vm = require "vm"
local raw = require "vm.raw"
local sshd = require "ssh.sshd"

local server, why
do
    local ok, result = pcall(sshd.start, { server = "dropbear" })
    server, why = ok and result, not ok and result
end
t.baseline()

local function test(name, fn)
    t.test(name, function()
        if not server then
            error(why, 0)
        end
        local there <close> = vm.ssh(server:options())
        fn(there)
    end)
end

local function alive(pid)
    local stat = raw.fs.read(("/proc/%s/stat"):format(pid))
    return stat ~= nil and not stat:find("%) Z ")
end

test("a command's results are whole", function(there)
    local r = there:exec("cat; echo err >&2; exit 3", { stdin = "in", env = { A = "1" }, cwd = "/usr" })
    t.equal({ r.stdout, r.stderr, r.status }, { "in", "err\n", 3 })
    t.equal(there:exec("kill -KILL $$").signal, "KILL")
    t.equal(there:output { "printf", "%s", "it's\n\xff" }, "it's\n\xff")
end)

test("commands run at once, and long ones too", function(there)
    local tasks = {}
    for i = 1, 60 do
        local wait, size = i % 3 == 0 and "" or "sleep 0.2;", i % 9 * 6000
        tasks[i] = vm.spawn(there.exec, there, ("%s : %s; echo %d; echo e >&2; exit %d"):format(wait,
            ("x"):rep(size), i, i))
    end
    for i, task in ipairs(tasks) do
        local r = task:join()
        t.equal({ r.stdout, r.stderr, r.status }, { i .. "\n", "e\n", i })
    end
end)

test("commands that come and go do not disturb those that stay", function(there)
    local stays = {}
    for i = 1, 4 do
        stays[i] = there:spawn "cat; echo end"
    end
    local tasks = {}
    for i = 1, 6 do
        tasks[i] = vm.spawn(function()
            for n = 1, 8 do
                t.equal(there:output("echo " .. n), tostring(n))
            end
            t.raises(function() there:exec("sleep 60", { timeout = 0.3 }) end, "timeout")
        end)
    end
    for _, task in ipairs(tasks) do
        task:join()
    end
    for _, process in ipairs(stays) do
        process:write "here "
        t.equal(process:wait().stdout, "here end\n")
        process:close()
    end
end)

test("a timeout kills the command and nothing else on the connection", function(there)
    local other <close> = there:spawn "sleep 0.1; cat"
    local err = t.raises(function()
        there:exec("sleep 61 & echo $! $$; wait", { timeout = 1 })
    end, "timeout")
    local child, shell = err.stdout:match("(%d+) (%d+)")
    local deadline = vm.now() + 20
    while alive(child) or alive(shell) do
        t.check(vm.now() < deadline, "it still runs")
        vm.sleep(0.02)
    end
    other:write "still here"
    t.equal(other:wait().stdout, "still here")
end)

test("busybox's shell will do", function(_)
    local busybox = sshd.which("busybox")
    if not busybox then
        t.skip("busybox is not installed")
    end
    sshd.sh("ln -sf \"$1\" \"$2\"/ash", busybox, server.dir)
    local there <close> = vm.ssh(server:options { shell = server.dir .. "/ash" })
    t.equal(there:output("echo \"$A\"; : ${BASH_VERSION:-no}", { env = { A = "a'b" } }), "a'b")
    t.raises(function() there:exec("sleep 62", { timeout = 0.5 }) end, "timeout")
    t.equal(there:exec("exit 4").status, 4)
    t.equal(#there:output("printf %s " .. ("y"):rep(50000)), 50000)
end)

if server then
    server:close()
end
t.finish()
