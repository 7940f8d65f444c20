-- File copy against a private sshd: every way it can travel, and what a hostile server sends.
-- timeout: 300
local raw = require "vm.raw"
local t = require "harness"
local rigs = require "ssh.copyrig"
local raise = require("vm.errors").raise

local suite = rigs.suite(t)
local rig, test, g, h = suite.rig, suite.test, suite.g, suite.h
local host_dir = suite.host_dir

t.baseline()

for _, kind in ipairs { "gnu", "busybox", "bsd", "none" } do
    local way = kind == "none" and "SFTP" or kind .. " tar"
    test(("a tree comes through %s and back as it was"):format(way), function(machine)
        if kind == "bsd" and not raw.fs.exists "/usr/bin/bsdtar" then t.skip "bsdtar is not installed" end
        if kind == "busybox" and not raw.fs.exists "/usr/bin/busybox" then t.skip "busybox is not installed" end
        rig:tar(kind)
        rigs.tree(h "src")
        local r = machine:copy_in(h "src", g "new/place")
        t.equal(r.how, kind == "none" and "sftp" or "tar")
        t.equal(r.files, 11)
        t.equal(r.links, 2)
        local loose = kind == "busybox" or kind == "none"
        t.equal(rigs.describe(g "new/place", loose), rigs.describe(h "src", loose))
        r = machine:copy_out(g "new/place", h "back")
        t.equal(r.how, kind == "none" and "sftp" or "tar")
        t.equal(r.files, 11)
        t.equal(rigs.describe(h "back", loose), rigs.describe(h "src", loose))
        rigs.sh("rm -rf %s; mkdir -p %s/sub", g "new", g "new/place/sub")
        rigs.put(g "new/place/sub/other", "stays")
        machine:copy_in(h "src", g "new/place")
        t.equal(rigs.get(g "new/place/sub/other"), "stays")
        t.equal(rigs.get(g "new/place/plain"), "hello\n")
        machine:copy_in(h "src", g "new/place", { delete = true })
        t.check(not raw.fs.exists(g "new/place/sub/other"), "delete = true left a file")
        t.equal(rigs.get(g "new/place/sub/deep/script"), "#!/bin/sh\n")
    end)
end

for _, how in ipairs { "sftp", "shell" } do
    test(("a file comes through %s and back as it was"):format(how), function(usual)
        local bare <close> = how == "shell" and assert(rigs.start { sftp = false }) or nil
        local other <close> = bare and bare:connect()
        local machine = other or usual
        local busy <close> = machine:spawn "exec sleep 60" -- a refusal is not one of too many channels
        rigs.put(h "a file\n'", ("content"):rep(300000))
        rigs.sh("chmod 741 %s/a*; touch -d @1234567890 %s/a*", host_dir, host_dir)
        t.equal(machine:copy_in(h "a file\n'", g "x/y").how, how)
        t.equal(rigs.describe(g "x/y"), rigs.describe(h "a file\n'"))
        rigs.put(g "x/y", "old")
        machine:copy_in(h "a file\n'", g "x/y")
        local r = machine:copy_out(g "x/y", h "back")
        t.equal(r.how, how)
        t.equal(r.bytes, 2100000)
        t.equal(rigs.describe(h "back"), rigs.describe(h "a file\n'"))
        rigs.put(h "empty", "")
        machine:copy_in(h "empty", g "into/")
        t.equal(rigs.get(g "into/empty"), "")
        machine:copy_out(g "into/empty", h "empty2")
        t.equal(rigs.get(h "empty2"), "")
        t.check(busy)
    end)
end

test("a target that ends in a slash means into it, a slash after the source nothing", function(machine)
    rigs.sh("mkdir -p %s", h "d")
    rigs.put(h "d/f", "1")
    machine:copy_in(h "d/", g "a/")
    t.equal(rigs.get(g "a/d/f"), "1")
    machine:copy_in(h "d/", g "b")
    t.equal(rigs.get(g "b/f"), "1")
    machine:copy_out(g "b/", h "out/")
    t.equal(rigs.get(h "out/b/f"), "1")
    machine:copy_out(g "b/f", h "out/")
    t.equal(rigs.get(h "out/f"), "1")
end)

test("patterns copy what they match, into a folder", function(machine)
    for _, name in ipairs { "a.c", "b.c", "c.h", "d e.c" } do rigs.put(h(name), name) end
    rigs.sh("mkdir %s; touch %s/x.c", h "dir.c", h "dir.c")
    machine:copy_in(h "*.c", g "in/")
    t.equal(raise(raw.fs.list(g "in")), { "a.c", "b.c", "d e.c", "dir.c" })
    machine:copy_out(g "i?/*.c", h "out/")
    t.equal(raise(raw.fs.list(h "out")), { "a.c", "b.c", "d e.c", "dir.c" })
    t.raises(function() machine:copy_in(h "*.c", g "in") end, "usage", "must end with '/'")
    t.raises(function() machine:copy_in(h "*.zzz", g "in/") end, "notfound", "nothing matches")
    t.raises(function() machine:copy_out(g "*.zzz", h "out/") end, "notfound", "nothing matches")
end)

test("exclude leaves out, both ways, and shields from delete", function(machine)
    rigs.sh("mkdir -p %s/obj %s/src/obj", h "s", h "s")
    for _, name in ipairs { "keep.c", "drop.o", "obj/x", "src/obj/y", "src/a.o", "src/b.c" } do
        rigs.put(h("s/" .. name), "x")
    end
    machine:copy_in(h "s", g "s", { exclude = { "*.o", "/obj" } })
    t.check(not raw.fs.exists(g "s/drop.o") and not raw.fs.exists(g "s/obj") and not raw.fs.exists(g "s/src/a.o"))
    t.check(raw.fs.exists(g "s/src/obj/y") and raw.fs.exists(g "s/keep.c"))
    machine:copy_out(g "s", h "o", { exclude = { "obj" } })
    t.check(not raw.fs.exists(h "o/src/obj") and raw.fs.exists(h "o/src/b.c"))
    rigs.put(g "s/local.o", "x")
    rigs.put(g "s/gone.c", "x")
    machine:copy_in(h "s", g "s", { exclude = { "*.o" }, delete = true })
    t.check(raw.fs.exists(g "s/local.o") and not raw.fs.exists(g "s/gone.c"))
    rigs.put(h "o/extra", "x")
    machine:copy_out(g "s", h "o", { delete = true })
    t.check(not raw.fs.exists(h "o/extra"))
end)

test("progress is told how far it is", function(machine)
    rigs.put(h "f", ("x"):rep(3000000))
    local last, total
    machine:copy_in(h "f", g "f", { progress = function(a, b) last, total = a, b end })
    t.equal({ last, total }, { 3000000, 3000000 })
    machine:copy_in(host_dir, g "d", { progress = function(a, b) last, total = a, b end })
    t.equal({ last, total }, { 3000000, 3000000 })
    machine:copy_out(g "d", h "d", { progress = function(a, b) last, total = a, b end })
    t.equal(last, 3000000)
    t.check(total >= last and total < 2 * last, "about how much there is was not told: " .. tostring(total))
    machine:copy_out(g "d", h "e", { exclude = { "x" }, progress = function(a, b) last, total = a, b end })
    t.equal({ last, total }, { 3000000, nil })
end)

test("a small file is read and written whole", function(machine)
    machine:write(g "a/b", "bytes \0 \xff\n", { mode = tonumber("640", 8) })
    t.equal(rigs.get(g "a/b"), "bytes \0 \xff\n")
    t.equal(raise(raw.fs.stat(g "a/b")).mode, tonumber("640", 8))
    t.equal(machine:read(g "a/b"), "bytes \0 \xff\n")
    machine:write(g "a/b", "")
    t.equal(machine:read(g "a/b"), "")
    t.raises(function() machine:read(g "none") end, "notfound", "No such file")
    machine:write(g "a/c", ("x"):rep(1000))
    t.raises(function() machine:read(g "a/c", { max = 999 }) end, "limit")
    t.raises(function() machine:write(g "a", "x") end, "exists", "is a folder")
end)

test("misuse raises and says what is wrong", function(machine)
    t.raises(function() machine:copy_in(h "x", g "x", { exlude = {} }) end, "usage", "did you mean 'exclude'")
    t.raises(function() machine:copy_in("", g "x") end, "usage", "a path expected")
    t.raises(function() machine:copy_in(h "none", g "x") end, "notfound")
    t.raises(function() machine:copy_out(g "none", h "x") end, "notfound")
    rigs.sh("mkdir %s %s; touch %s %s", h "d", g "d", h "f", g "f")
    t.raises(function() machine:copy_in(h "f", g "d") end, "exists", "end the name with /")
    t.raises(function() machine:copy_out(g "f", h "d") end, "exists", "end the name with '/'")
    t.raises(function() machine:copy_in(h "d", g "f") end, "exists", "not a folder")
    t.raises(function() machine:copy_out(g "d", h "f") end, "exists", "not a folder")
end)

test("a conflict of kinds is refused, and delete replaces", function(machine)
    rigs.sh("mkdir -p %s/a %s; touch %s/a/f %s/b; mkdir -p %s/b; touch %s/a", h "s", g "s", h "s", h "s", g "s", g "s")
    t.raises(function() machine:copy_in(h "s", g "s") end, "exists", "folder")
    machine:copy_in(h "s", g "s", { delete = true })
    t.equal(rigs.describe(g "s"):gsub("%d+ ", ""), rigs.describe(h "s"):gsub("%d+ ", ""))
end)

local attacks = {
    { "an absolute name", "unsafe", rigs.entry("0", rig.dir .. "/evil", { content = "x" }), "/evil: an absolute name" },
    { "a name with dots", "unsafe", rigs.entry("0", "a/../../../evil", { content = "x" }), "with '%.%.'" },
    { "a link that leads outside", "unsafe", rigs.entry("2", "l", { target = "../../x" }),
        "l: a symbolic link that leads" },
    { "an absolute link", "unsafe", rigs.entry("2", "l", { target = "/etc" }), "l: a symbolic link that leads" },
    { "a file through a link", "unsafe", rigs.entry("5", "d") .. rigs.entry("2", "l", { target = "d" }) ..
        rigs.entry("0", "l/evil", { content = "x" }), "l/evil: its way" },
    { "a hard link to outside", "unsafe", rigs.entry("1", "h", { target = "/etc/passwd" }), "h: an absolute name" },
    { "a device", "unsafe", rigs.entry("3", "dev\27[2J"), "dev\\x1b%[2J: a device" },
    { "a fifo", "unsafe", rigs.entry("6", "pipe"), "pipe: a fifo" },
    { "a name that comes twice", "unsafe", rigs.entry("0", "a") .. rigs.entry("0", "a"), "a: the name comes twice" },
    { "more than max_bytes", "limit", rigs.entry("0", "big", { size = 8 * 1024 ^ 3 // 1 - 1 }), "big: .*max_bytes" },
    { "more than max_entries", "limit", rigs.entry("5", "a") .. rigs.entry("5", "b") .. rigs.entry("5", "c") ..
        rigs.entry("5", "d"), "more entries" },
    { "rubbish", "format", ("rubbish"):rep(1000), "" },
    { "a cut stream", "format", rigs.entry("0", "cut", { size = 5000, content = "x" }), "" },
}
for _, attack in ipairs(attacks) do
    local name, kind, stream, pattern = table.unpack(attack)
    test(("a server that sends %s is refused and nothing is left"):format(name), function(machine)
        rig:tar "evil"
        rigs.put(rig.dir .. "/evil.tar", stream .. (kind == "format" and "" or ("\0"):rep(1024)))
        rigs.sh("mkdir %s", g "d")
        t.raises(function()
            machine:copy_out(g "d", h "sub/out", { max_bytes = "1MiB", max_entries = 3 })
        end, kind, pattern)
        t.equal(raise(raw.fs.list(h "sub")), {})
        t.check(not raw.fs.exists(rig.dir .. "/evil"), "written outside")
    end)
end

test("what is unsafe can be skipped and is named", function(machine)
    rigs.sh("mkdir %s; ln -s /etc/passwd %s/out; touch %s/good; mkfifo %s/fifo", g "d", g "d", g "d", g "d")
    for _, kind in ipairs { "gnu", "none" } do
        rig:tar(kind)
        local fresh <close> = rig:connect()
        t.raises(function() fresh:copy_out(g "d", h "out") end, "unsafe")
        local r = fresh:copy_out(g "d", h("out-" .. kind), { unsafe = "skip" })
        table.sort(r.skipped)
        t.equal(r.skipped[2]:gsub("^%./", ""), "out")
        t.equal(raise(raw.fs.list(h("out-" .. kind))), { "good" })
    end
    t.check(machine)
end)

rig:close()
t.finish()
