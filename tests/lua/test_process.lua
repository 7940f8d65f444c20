-- Processes on the host: the primitive and vm.host over it.
local t = require "harness"
local raw = require "vm.raw"
local host = require "vm.host"
local task = require "vm.task"

local function start(script, opts)
    opts = opts or {}
    opts.argv = { "sh", "-c", script }
    return assert(raw.process.start(opts))
end

local function read_all(process)
    local out = { "", "" }
    while true do
        local stream, chunk = process:read(30)
        if not stream then
            t.equal(chunk, nil)
            return out[1], out[2]
        end
        out[stream] = out[stream] .. chunk
    end
end

-- Whether a process of this id runs, zombies aside.
local function running(pid)
    local stat = raw.fs.read(("/proc/%d/stat"):format(pid))
    return stat ~= nil and not stat:find("%) Z ")
end

local function wait_gone(pid)
    local deadline = raw.task.now() + 20
    while running(pid) do
        t.check(raw.task.now() < deadline, "the process still runs")
        raw.task.sleep(0.02)
    end
end

t.test("both streams, the status and standard input reach their ends", function()
    local process <close> = start("cat; echo problem >&2; exit 7", { stdin = true })
    t.equal(process:write("one "), true)
    t.equal(process:queue("two"), true)
    process:close_stdin()
    local out, err = read_all(process)
    t.equal(out, "one two")
    t.equal(err, "problem\n")
    t.equal({ process:wait() }, { 7, 0 })
    t.equal({ process:wait() }, { 7, 0 })
end)

t.test("a signal that ends a process is told from a status", function()
    local process <close> = start("kill -TERM $$")
    t.equal({ process:wait(30) }, { 0, 15 })
end)

t.test("kill reaches the whole process group", function()
    local process <close> = start("sleep 1000 & echo $!; wait")
    local _, chunk = process:read(30)
    process:kill(9)
    local _, signal = process:wait(30)
    t.equal(signal, 9)
    wait_gone(tonumber(chunk))
end)

t.test("closing kills, wakes who waits, and is harmless when repeated", function()
    local process = start("echo $$; exec sleep 1000")
    local _, chunk = process:read(30)
    local kind
    local waiter = task.spawn(function()
        local _, err = process:wait()
        kind = err.kind
    end)
    raw.task.sleep(0)
    process:close()
    process:close()
    waiter:join()
    t.equal(kind, "closed")
    wait_gone(tonumber(chunk))
    local none, err = process:read()
    t.equal(none, nil)
    t.equal(err.kind, "closed")
end)

t.test("a time limit ends the waiting and not the process", function()
    local process <close> = start("read line; echo $line", { stdin = true })
    local none, err = process:wait(0.05)
    t.equal(none, nil)
    t.equal(err.kind, "timeout")
    none, err = process:read(0.05)
    t.equal(none, nil)
    t.equal(err.kind, "timeout")
    process:write("still here\n")
    t.equal({ process:read(30) }, { 1, "still here\n" })
end)

t.test("a process that writes faster than it is read is held up and loses nothing", function()
    local process <close> = start("head -c 5000000 /dev/zero")
    local _, err = process:wait(0.2)
    t.equal(err and err.kind, "timeout", "it ended though nobody read: ")
    t.equal(#(read_all(process)), 5000000)
    t.equal({ process:wait() }, { 0, 0 })
end)

t.test("writing to a process that has gone is an error and no signal", function()
    local process <close> = start("exec true", { stdin = true })
    process:wait(30)
    local none, err = process:write(("x"):rep(1000000))
    t.equal(none, nil)
    t.equal(err.kind, "connection")
end)

t.test("a second reader is misuse", function()
    local process <close> = start("sleep 1000")
    local reader = task.spawn(function()
        process:read()
    end)
    raw.task.sleep(0)
    t.raises(function()
        process:read()
    end, "usage", "another task")
    process:close()
    reader:join()
end)

t.test("cancelling a task that runs a program kills it", function()
    local pid
    local runner = task.spawn(function()
        host.run({ "sh", "-c", "echo $$; sleep 1000" }, {
            on_output = function(_, chunk)
                pid = tonumber(chunk)
            end,
        })
    end)
    while not pid do
        raw.task.sleep(0.01)
    end
    runner:cancel()
    pcall(runner.join, runner)
    wait_gone(pid)
end)

t.test("run gives a result, and raises for a status that was not asked for", function()
    local result = host.run({ "sh", "-c", "cat; exit 3" }, { stdin = "text", ok = { 0, 3 } })
    t.equal(result, { ok = true, status = 3, signal = 0, stdout = "text", stderr = "", truncated = 0 })
    local err = t.raises(function()
        host.run { "sh", "-c", "echo reason >&2; exit 4" }
    end, "exit", "sh ended with status 4: reason")
    t.equal(err.status, 4)
    t.equal(err.stderr, "reason\n")
    t.equal(host.run({ "false" }, { check = false }).ok, false)
end)

t.test("run's time limit kills and carries the output so far", function()
    local err = t.raises(function()
        host.run({ "sh", "-c", "echo begun; sleep 1000" }, { timeout = 0.5 })
    end, "timeout", "did not end within 0.5 s")
    t.equal(err.stdout, "begun\n")
end)

t.test("run bounds what it keeps and counts the rest", function()
    local seen = 0
    local result = host.run({ "head", "-c", "300000", "/dev/zero" }, {
        max_output = 1000,
        on_output = function(stream, chunk)
            t.equal(stream, "stdout")
            seen = seen + #chunk
        end,
    })
    t.equal(#result.stdout, 1000)
    t.equal(result.truncated, 299000)
    t.equal(seen, 300000)
end)

t.test("one stream that ends early does not end the other", function()
    for stream, script in pairs { stdout = "exec 2>&-; sleep 0.2; echo late",
        stderr = "exec >&-; sleep 0.2; echo late >&2" } do
        t.equal(host.run({ "sh", "-c", script })[stream], "late\n", script)
    end
end)

t.test("run adds to the environment and runs in the folder named", function()
    local result = host.run({ "sh", "-c", "echo $A $HOME; pwd" }, {
        env = { A = "b c", B = "", C = 1, env = "x" },
        cwd = "/",
    })
    t.equal(result.stdout, ("b c %s\n/\n"):format(os.getenv("HOME") or ""))
end)

t.test("a program that does not exist, and misuse, say so", function()
    t.raises(function()
        host.run { "/nonexistent/program" }
    end, "notfound", "/nonexistent/program")
    t.raises(function()
        host.run({ "true" }, { timout = 1 })
    end, "usage", "timeout")
    t.raises(function()
        host.run({ "true" }, { env = { ["A=B"] = "c" } })
    end, "usage", "environment")
    t.equal(host.which("sh") ~= nil, true)
    t.equal(host.which("no-such-program-here"), nil)
end)

t.finish()
