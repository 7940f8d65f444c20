-- timeout: 300
-- File copy with a real guest: busybox's tools, OpenSSH's SFTP server behind dropbear, an emulated CPU.
local vm = require "vm"
local t = require "harness"
local rigs = require "ssh.copyrig"
local raw = vm.raw
local fs, raise = raw.fs, require("vm.errors").raise

local place = assert(fs.mkdtemp "vmatrix-test-")
local shared = vm.boot { image = "seed", name = "shared", memory = "512MiB" }

local function h(name) return place .. "/" .. name end

-- Each test starts with an empty folder on the host and one in the guest, and must leave no temporary file.
local function test(name, fn)
    t.test(name, function()
        rigs.sh("chmod -R u+rwx %s; rm -rf %s; mkdir %s", place, place, place)
        shared:run "rm -rf /w; mkdir /w"
        fn()
        for _, item in ipairs(raise(raw.tree.walk(place, {}))) do
            t.check(not item.path:find "%.vmatrix%-", "left behind: " .. item.path)
        end
        t.equal(shared:output "find /w -name '.vmatrix-*'", "")
    end)
end

t.baseline()

test("a_tree_with_odd_names_comes_back_as_it_was", function()
    rigs.tree(h "src")
    local r = shared:copy_in(h "src", "/w/new/place")
    t.equal({ r.how, r.files, r.links }, { "tar", 11, 2 })
    t.equal(shared:output { "stat", "-c", "%a %Y", "/w/new/place/sub/deep/script" }, "751 1234567890")
    t.equal(shared:output { "readlink", "/w/new/place/sub/link" }, "../plain")
    r = shared:copy_out("/w/new/place", h "back")
    t.equal({ r.how, r.files, r.links }, { "tar", 11, 2 })
    t.equal(rigs.describe(h "back", true), rigs.describe(h "src", true))
end)

test("folders_merge_and_delete_mirrors", function()
    rigs.tree(h "src")
    shared:run "mkdir -p /w/d/sub; echo stays >/w/d/sub/other"
    shared:copy_in(h "src", "/w/d")
    t.equal(shared:read "/w/d/sub/other", "stays\n")
    t.equal(shared:read "/w/d/plain", "hello\n")
    shared:copy_in(h "src", "/w/d", { delete = true })
    t.check(not shared:exec("test -e /w/d/sub/other").ok, "delete = true left a file")
    t.equal(shared:read "/w/d/sub/deep/script", "#!/bin/sh\n")
end)

test("a_file_goes_over_sftp_and_comes_back_as_it_was", function()
    rigs.put(h "a file\n'", ("content"):rep(100000))
    rigs.sh("chmod 741 %s/a*; touch -d @1234567890 %s/a*", place, place)
    t.equal(shared:copy_in(h "a file\n'", "/w/into/").how, "sftp")
    local r = shared:copy_out("/w/into/a file\n'", h "back")
    t.equal({ r.how, r.bytes }, { "sftp", 700000 })
    t.equal(rigs.describe(h "back"), rigs.describe(h "a file\n'"))
end)

test("read_and_write_take_any_bytes", function()
    shared:write("/w/x/y", "bytes \0 \xff\n", { mode = tonumber("640", 8) })
    t.equal(shared:read "/w/x/y", "bytes \0 \xff\n")
    t.equal(shared:output { "stat", "-c", "%a", "/w/x/y" }, "640")
    t.raises(function() shared:read "/w/none" end, "notfound", "^guest shared: read /w/none: .*no such file")
    t.raises(function() shared:read("/w/x/y", { max = 3 }) end, "limit")
end)

test("patterns_copy_what_they_match_into_a_folder", function()
    for _, name in ipairs { "a.c", "c.h", "d e.c" } do rigs.put(h(name), name) end
    shared:copy_in(h "*.c", "/w/in/")
    t.equal(shared:output "ls /w/in", "a.c\nd e.c")
    shared:copy_out("/w/i?/*.c", h "out/")
    t.equal(raise(fs.list(h "out")), { "a.c", "d e.c" })
    t.raises(function() shared:copy_out("/w/*.zzz", h "out/") end, "notfound", "nothing matches")
end)

test("megabytes_arrive_whole_both_ways", function()
    rigs.sh("mkdir %s; head -c 10000000 /dev/urandom >%s/one; cp %s/one %s/two; printf x >>%s/two", h "d", h "d",
        h "d", h "d", h "d")
    local r = shared:copy_in(h "d", "/w/d", { timeout = "2m" })
    t.equal(r.bytes, 20000001)
    print(("in: %.1f MB/s"):format(r.bytes / r.duration / 1e6))
    local sums = shared:output "cd /w/d && sha256sum one two"
    t.equal(sums, ("%s  one\n%s  two"):format(raise(fs.sha256(h "d/one")), raise(fs.sha256(h "d/two"))))
    r = shared:copy_out("/w/d", h "back", { timeout = "2m" })
    print(("out: %.1f MB/s"):format(r.bytes / r.duration / 1e6))
    t.equal(rigs.describe(h "back", true), rigs.describe(h "d", true))
end)

test("hostile_names_from_the_guest_are_refused_and_shown_harmless", function()
    shared:run "mkdir /w/d; ln -s /etc/shadow \"$(printf '/w/d/l\\033[2J')\""
    local err = t.raises(function() shared:copy_out("/w/d", h "out") end, "unsafe", "l\\x1b%[2J: a symbolic link")
    t.check(not err.message:find "\27")
    t.check(not fs.exists(h "out"))
end)

test("a_full_disk_in_the_guest_is_an_error_and_leaves_nothing", function()
    rigs.sh("mkdir %s; head -c 3000000 /dev/urandom >%s/f", h "d", h "d")
    shared:run "mkdir /w/small; mount -t tmpfs -o size=1m none /w/small"
    local _ <close> = setmetatable({}, { __close = function() shared:run "umount /w/small" end })
    t.raises(function() shared:copy_in(h "d", "/w/small/") end, "nospace", "No space left")
    t.raises(function() shared:copy_in(h "d/f", "/w/small/") end)
    t.equal(shared:output "ls -A /w/small", "")
end)

test("a_guest_killed_in_the_middle_ends_the_copy_and_leaves_nothing", function()
    for _, way in ipairs { "d", "d/f" } do
        local guest <close> = vm.boot { image = "seed", memory = "512MiB" }
        guest:run "mkdir /d; head -c 100000000 /dev/zero >/d/f"
        local pid = guest:info().pid
        local killed
        t.raises(function()
            guest:copy_out("/" .. way, h "out", {
                progress = function(done)
                    if done > 0 and not killed then
                        killed = true
                        rigs.sh("kill -9 %d", pid)
                    end
                end,
            })
        end, "crashed")
        t.check(killed)
        t.equal(raise(fs.list(place)), {})
    end
end)

shared:close()
raise(fs.remove_tree(place))
t.finish()
