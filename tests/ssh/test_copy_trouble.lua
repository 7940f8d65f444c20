-- File copy against a private sshd, when something goes wrong on the way: lost connections, full disks,
-- time limits, holes, and many at once.
-- timeout: 300
local raw = require "vm.raw"
local t = require "harness"
local rigs = require "ssh.copyrig"
local task = require "vm.task"
local raise = require("vm.errors").raise

local suite = rigs.suite(t)
local rig, test, g, h = suite.rig, suite.test, suite.g, suite.h
local guest_dir, host_dir = suite.guest_dir, suite.host_dir

t.baseline()

-- A value that ends the connection from the server's side the first time it is called.
local function cutter(machine)
    local pid = machine:read("/proc/self/stat"):match "^%d+ %(.-%) %a (%d+)"
    local cut
    return function(done)
        if not cut and done > 0 then
            cut = true
            rigs.sh("kill %d", pid)
        end
    end
end

test("a connection lost on the way leaves nothing", function(machine)
    rigs.sh("mkdir %s %s; head -c 300000000 /dev/zero >%s/f; cp %s/f %s/f", h "d", g "d", h "d", h "d", g "d")
    local function lose(fn)
        local fresh <close> = rig:connect()
        t.raises(function() fn(fresh, { progress = cutter(fresh) }) end, "connection")
    end
    lose(function(m, opts) m:copy_out(g "d", h "out", opts) end)
    lose(function(m, opts) m:copy_out(g "d/f", h "out", opts) end)
    lose(function(m, opts) m:copy_in(h "d", g "in", opts) end)
    t.check(not raw.fs.exists(h "out") and not raw.fs.exists(g "in"))
    -- The guest's own script clears away what had come so far, when it sees the end.
    local deadline = task.now() + 20
    while #raise(raw.fs.list(guest_dir)) > 1 and task.now() < deadline do
        task.sleep(0.05)
    end
    t.equal(raise(raw.fs.list(guest_dir)), { "d" })
    t.check(machine)
end)

test("a timeout ends the copy and leaves nothing", function(machine)
    rigs.put(rig.dir .. "/bin/tar",
        "#!/bin/sh\ncase $1 in --version) echo 'tar (GNU tar)';; *) exec sleep 30;; esac\n")
    rigs.sh("mkdir %s", g "d")
    local err = t.raises(function()
        machine:copy_out(g "d", h "out", { timeout = 0.3 })
    end, "timeout", "not done within")
    t.check(err)
    t.equal(raise(raw.fs.list(host_dir)), {})
end)

local function with_small_disk(path, fn)
    if raw.fs.uid() ~= 0 or not os.execute(("mount -t tmpfs -o size=1m none %s 2>/dev/null"):format(path)) then
        t.skip "only root may mount a small disk here"
    end
    local _ <close> = setmetatable({}, { __close = function() rigs.sh("umount %s", path) end })
    fn()
    t.equal(raise(raw.fs.list(path)), {})
end

test("a full disk on the host is an error and leaves nothing", function(machine)
    rigs.sh("mkdir %s %s; head -c 3000000 /dev/urandom >%s/f", h "small", g "d", g "d")
    with_small_disk(h "small", function()
        t.raises(function() machine:copy_out(g "d", h "small/") end, "nospace")
        t.raises(function() machine:copy_out(g "d/f", h "small/") end, "nospace")
    end)
end)

test("a full disk in the guest is an error and leaves nothing", function(machine)
    rigs.sh("mkdir %s %s; head -c 3000000 /dev/urandom >%s/f", g "small", h "d", h "d")
    with_small_disk(g "small", function()
        t.raises(function() machine:copy_in(h "d", g "small/") end, "nospace")
        t.raises(function() machine:copy_in(h "d/f", g "small/") end, "nospace", "no space left on the guest's disk")
        t.raises(function() machine:write(g "small/f", ("x"):rep(2000000)) end, "nospace")
    end)
end)

test("a full disk in a guest without tar is an error and leaves nothing", function()
    rig:tar "none"
    local machine <close> = rig:connect()
    rigs.sh("mkdir %s %s; head -c 3000000 /dev/urandom >%s/f", g "small", h "d", h "d")
    with_small_disk(g "small", function()
        t.raises(function() machine:copy_in(h "d", g "small/") end, "nospace", "no space left on the guest's disk")
    end)
end)

test("a failure over SFTP that is not for want of space is told as it is", function(machine)
    rigs.put(h "f", "x")
    rigs.put(g "file", "x")
    local err = t.raises(function() machine:copy_in(h "f", g "file/below") end)
    t.check(err.kind ~= "nospace", err.kind)
end)

test("what a connection lost in an SFTP upload left behind goes with the next session", function()
    rigs.sh("mkdir %s; head -c 300000000 /dev/zero >%s/f", h "d", h "d")
    local function left()
        local count = 0
        for _, item in ipairs(raise(raw.tree.walk(guest_dir, {}))) do
            count = count + (item.path:find "%.vmatrix%-[^/]*$" and 1 or 0)
        end
        return count
    end
    local m <close> = rig:connect()
    t.raises(function() m:copy_in(h "d/f", g "f", { progress = cutter(m) }) end, "connection")
    t.equal(left(), 1)
    m:run "true"
    t.equal(left(), 0)
    rig:tar "none"
    local other <close> = rig:connect()
    t.raises(function() other:copy_in(h "d", g "in", { progress = cutter(other) }) end, "connection")
    t.equal(left(), 1)
    other:run "true"
    t.equal(raise(raw.fs.list(guest_dir)), {})
end)

test("a sparse file of 4.5 GiB stays sparse both ways", function(machine)
    rigs.sh("mkdir %s; truncate -s 4608M %s/f; printf end >>%s/f", h "d", h "d", h "d")
    machine:copy_in(h "d", g "d")
    local stat = raise(raw.fs.stat(g "d/f"))
    t.equal(stat.size, 4608 * 2 ^ 20 // 1 + 3)
    t.check(stat.blocks < 20000, "the holes were filled")
    machine:copy_out(g "d", h "back")
    stat = raise(raw.fs.stat(h "back/f"))
    t.equal(stat.size, 4608 * 2 ^ 20 // 1 + 3)
    t.check(stat.blocks < 20000, "the holes were filled")
end)

test("many copies at once share one connection", function(machine)
    rigs.tree(h "src")
    rigs.put(h "f", ("x"):rep(200000))
    local list = {}
    for i = 1, 8 do list[i] = i end
    task.parallel(list, function(i)
        machine:copy_in(h "src", g("t" .. i))
        machine:copy_in(h "f", g("f" .. i))
        machine:copy_out(g("t" .. i), h("o" .. i))
    end)
    local wanted = rigs.describe(h "src")
    for i = 1, 8 do
        t.equal(rigs.describe(h("o" .. i)) == wanted, true)
    end
end)

rig:close()
t.finish()
