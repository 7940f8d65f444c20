-- timeout: 180
-- Getting images from a private web server that can go wrong.
local t = require "harness"
local raw = require "vm.raw"
local nginx = require "lua.nginx"
local sshd = require "ssh.sshd"
local errors = require "vm.errors"
local host = require "vm.host"
local images = require "vm.images"
local lock = require "vm.images.lock"
local script = require "vm.script"
local store = require "vm.images.store"
local task = require "vm.task"

local fs = raw.fs
local MIB <const> = 1 << 20

local work = assert(fs.mkdtemp())
local _ <close> = setmetatable({}, { __close = function() fs.remove_tree(work) end })
require("vm.host.paths").cache = function() return work .. "/cache" end
script.set(work .. "/x.lua")
assert(fs.mkdir_p(work .. "/.vmatrix/images"))

local server <close> = nginx.start()
t.baseline()

local block = assert(fs.random(65536))
local serial = 0

-- Bytes that no other test has, with holes: what a raw image may look like.
local function content(mib)
    serial = serial + 1
    return ("image %d"):format(serial) .. (block:rep(12) .. ("\0"):rep(4 * 65536)):rep(mib)
end

-- Puts an image into the project's catalogue: one location for each url, all with the same digest.
local function publish(digest, ...)
    local locations = {}
    for i, url in ipairs { ... } do
        locations[i] = ("{ url = %q, dated = true, sha256 = %q }"):format(url, digest)
    end
    serial = serial + 1
    local name = ("test-%d"):format(serial)
    assert(fs.write_atomic(work .. "/.vmatrix/images/test.lua", ([[return { distro = "test", format = "raw",
        releases = { { name = "%s", arches = { x86_64 = { compression = COMPRESSION, %s } } } } }]]):format(name,
        table.concat(locations, ", "))))
    return name
end

local function compressed(name, how)
    local path = work .. "/.vmatrix/images/test.lua"
    local text = fs.read(path, MIB):gsub("COMPRESSION", how and ("%q"):format(how) or "nil")
    assert(fs.write_atomic(path, text))
    return name
end

local function get(name, opts)
    compressed(name)
    opts = opts or {}
    opts.ca, opts.retries = opts.ca or server.ca, opts.retries or 0
    return images.get(name, "x86_64", opts)
end

-- Publishes a file by a path on the server and gets it.
local function try(path, bytes, opts)
    local digest = server:put("disk", bytes)
    return get(publish(digest, server.url .. path), opts)
end

-- Nothing of an image may be left: no folder, no part.
local function nothing_left()
    for _, name in ipairs(fs.list(store.root()) or {}) do
        t.check(not name:find "%.new$" and not name:find "^sha%d+%-%x+$", name .. " is left")
    end
end

local function fails(kind, pattern, path, opts)
    local err = t.raises(function() try(path, content(1), opts) end, kind, pattern)
    t.match(tostring(err), "^image test%-%d+@x86_64: ")
    nothing_left()
    return err
end

local function forget(got)
    store.remove(store.record(got.digest))
end

t.test("an image is downloaded once, checked, and found in the cache from then on", function()
    local bytes = content(3)
    local digest = server:put("disk", bytes)
    local name = publish(digest, server.url .. "/disk")
    server:requests()
    local seen
    local got = get(name, { progress = function(state) seen = state.what == "downloading" and state or seen end })
    t.equal(fs.read(got.path, #bytes + 1) == bytes, true)
    t.equal({ got.digest, got.format, got.built, fs.stat(got.path).mode }, { "sha256:" .. digest, "raw", false, 292 })
    t.equal({ seen.received, seen.total, seen.name }, { #bytes, #bytes, name })
    t.equal(get(name).path, got.path)
    t.equal(#server:requests(), 1)
    local record = store.record(got.digest)
    t.equal({ record.url, record.name }, { server.url .. "/disk", name })
    forget(got)
    nothing_left()
end)

t.test("what is compressed is decompressed as it comes, with its holes", function()
    local plain = content(3)
    server:put("plain", plain)
    for how, command in pairs {
        xz = 'xz -kf0 "$1" && mv "$1.xz" "$2"', gz = 'gzip -c1 "$1" >"$2"', bz2 = 'bzip2 -c1 "$1" >"$2"',
        zst = 'zstd -qc1 "$1" >"$2"',
    } do
        if not sshd.which(command:match "^%w+") then
            print(("      (without %s, which is not installed)"):format(command:match "^%w+"))
        else
            sshd.sh(command, server.root .. "/plain", server.root .. "/packed")
            local digest = assert(fs.sha256(server.root .. "/packed"))
            local name = compressed(publish(digest, server.url .. "/packed"), how)
            local got = get(name)
            t.equal(fs.read(got.path, #plain + 1) == plain, true, how)
            t.equal(got.digest, "sha256:" .. digest)
            local stat = fs.stat(got.path)
            t.check(stat.blocks * 512 < stat.size * 0.9, "no holes")
            t.equal(store.verify(store.record(got.digest)), true)
            forget(got)
        end
    end
end)

t.test("a compressed file that is cut off, damaged, not compressed or too large once unpacked is an error", function()
    sshd.sh('head -c 3000000 /dev/zero | tr "\\0" x >"$1/many"; xz -kf0 "$1/many"', server.root)
    local packed = fs.read(server.root .. "/many.xz", MIB)
    for bytes, pattern in pairs {
        [packed:sub(1, #packed // 2)] = "cannot decompress",
        [packed:sub(1, #packed // 2) .. ("?"):rep(200) .. packed:sub(#packed // 2 + 200)] = "cannot decompress",
        ["this is no archive at all"] = "not compressed",
    } do
        local digest = server:put("bad", bytes)
        local name = compressed(publish(digest, server.url .. "/bad"), "xz")
        t.raises(function() get(name) end, "format", pattern)
        nothing_left()
    end
end)

t.test("a wrong digest is never used", function()
    local _, digest = content(1), ("a"):rep(64)
    server:put("disk", content(1))
    local name = publish(digest, server.url .. "/disk")
    t.raises(function() get(name) end, "unsafe", "another digest than it should %(sha256:%x+ instead of sha256:aaaa")
    nothing_left()
end)

t.test("a qcow2 file that names another file is thrown away", function()
    local bytes = "QFI\xfb" .. string.pack(">I4I8I4I4I8", 3, 512, 11, 16, 1 << 30) .. ("\0"):rep(MIB)
    local digest = server:put("disk", bytes)
    local name = publish(digest, server.url .. "/disk")
    t.raises(function() get(name) end, "unsafe", "said to be raw and is a qcow2 file")
    nothing_left()
end)

t.test("a file that is not there, gone, or forbidden is said to be so, and not asked for again", function()
    server:requests()
    fails("notfound", "status 404 %(not found%).*images lock %-%-latest test", "/none", { retries = 3 })
    t.equal(#server:requests(), 1)
    fails("notfound", "status 410 %(gone%)", "/gone/disk")
    fails("denied", "status 403 %(forbidden%)", "/secret/disk")
end)

t.test("the next location is tried when one is gone", function()
    local bytes = content(1)
    local digest = server:put("disk", bytes)
    local got = get(publish(digest, server.url .. "/none", server.url .. "/disk"))
    t.equal(store.record(got.digest).url, server.url .. "/disk")
    forget(got)
end)

t.test("a certificate that nobody vouches for, or of another host, or none at all is refused", function()
    local digest = server:put("disk", content(1))
    local name = publish(digest, server.stranger .. "/disk")
    t.raises(function() get(name) end, "unsafe", "certificate")
    nothing_left()
    name = publish(digest, server.url .. "/disk")
    t.raises(function() images.get(compressed(name), "x86_64", { retries = 3 }) end, "unsafe", "certificate")
    name = publish(digest, "https://localhost:" .. server.ports.PLAIN .. "/disk")
    t.raises(function() get(name) end, "connection")
    nothing_left()
end)

t.test("redirects are followed where they may lead: never from https to anything else, never for ever", function()
    fails("unsafe", "leads from https to http://localhost", "/to-plain/disk")
    fails("unsafe", "leads from https to file:///etc/passwd", "/to-file/disk")
    fails("limit", "for ever", "/round/disk")
    forget(try("/to-same/disk", content(1)))
    forget(try("/to-other/disk", content(1))) -- its digest is known: it does not matter who sends it
    local download = require "vm.images.download"
    t.match(download.redirect_problem("https://a.org/x", "https://b.org/x", false), "another host, b.org")
    t.equal(download.redirect_problem("https://A.org/x", "https://a.org/y", false), nil)
    t.raises(function()
        download.text { what = "sums", url = server.url .. "/to-other/disk", ca = server.ca }
    end, "unsafe", "leads to another host")
end)

t.test("plain http is believed where the digest is known", function()
    local digest = server:put("disk", content(1))
    forget(get(publish(digest, server.plain .. "/disk")))
end)

t.test("a connection that is cut goes on where it was", function()
    local bytes = content(4)
    local digest = server:put("disk", bytes)
    server:requests()
    local waits = {}
    local got = get(publish(digest, server.url .. "/fault/cut/1500000/disk"), { retries = 1,
        progress = function(state)
            waits[#waits + 1] = state.what == "waiting to try again" and state.seconds or nil
        end })
    t.equal(fs.read(got.path, #bytes + 1) == bytes, true)
    t.equal(waits, { 1, 1 }) -- each attempt came further, so the next failure was a first one
    local asked = server:requests()
    t.equal(#asked, 3)
    t.match(asked[2], " 206 ")
    forget(got)
end)

t.test("a server that knows no ranges sends all of it again; one that sends other ranges is not believed", function()
    local bytes = content(2)
    local digest = server:put("disk", bytes)
    local err = t.raises(function()
        get(publish(digest, server.url .. "/fault/whole/1000000/disk"), { retries = 1 })
    end, "connection")
    t.match(tostring(err), "fault/whole")
    -- What was left is gone on with at another place, which has the same file.
    local got = get(publish(digest, server.url .. "/fault/busy/0/disk"))
    t.equal(fs.read(got.path, #bytes + 1) == bytes, true)
    forget(got)
    t.raises(function() get(publish(digest, server.url .. "/fault/cut/100000/disk")) end, "connection")
    t.raises(function() get(publish(digest, server.url .. "/fault/shift/disk")) end, "format",
        "sent bytes from %d+ on instead of")
    nothing_left()
end)

t.test("a file that is exchanged while it is downloaded is downloaded anew", function()
    local digest = server:put("disk.other", content(2))
    server:put("disk", content(2))
    local got = get(publish(digest, server.url .. "/fault/swap/700000/disk"), { retries = 2 })
    t.equal(got.digest, "sha256:" .. digest)
    forget(got)
end)

t.test("a part of a compressed image is gone on with, too", function()
    local plain = content(3)
    server:put("plain", plain)
    sshd.sh('xz -kf0 "$1/plain" && mv "$1/plain.xz" "$1/packed"', server.root)
    local size = fs.stat(server.root .. "/packed").size
    local digest = assert(fs.sha256(server.root .. "/packed"))
    local url = ("%s/fault/cut/%d/packed"):format(server.url, size // 2 + 1)
    server:requests()
    local got = get(compressed(publish(digest, url), "xz"), { retries = 1 })
    t.equal(fs.read(got.path, #plain + 1) == plain, true)
    t.equal(#server:requests(), 2)
    forget(got)
end)

t.test("a server that is busy is asked again, after longer and longer waits", function()
    local waits = {}
    local digest = server:put("disk", content(1))
    local got = get(publish(digest, server.url .. "/fault/busy/2/disk"), { retries = 2, progress = function(state)
        if state.what == "waiting to try again" then
            waits[#waits + 1] = state.seconds
            t.match(state.problem, "status 503")
        end
    end })
    t.equal(waits, { 1, 2 })
    forget(got)
end)

t.test("a server that falls silent is given up, and what came stays for the next attempt", function()
    local download = require "vm.images.download"
    local digest = server:put("disk", content(1))
    local part = work .. "/part"
    local started = raw.task.now()
    t.raises(function()
        download.file { what = "x", url = server.url .. "/fault/stall/300000/disk", part = part, algorithm = "sha256",
            digest = "sha256:" .. digest, ca = server.ca, retries = 0, stall = 1 }
    end, "timeout", "fault/stall")
    t.check(raw.task.now() - started < 8, "it took too long")
    t.equal(fs.stat(part).size, 300000)
    download.file { what = "x", url = server.url .. "/disk", part = part, algorithm = "sha256",
        digest = "sha256:" .. digest, ca = server.ca }
    fs.unlink(part)
end)

t.test("whoever waits for a download hears that it was closed", function()
    server:put("disk", content(1))
    local job <close> = assert(raw.image.fetch { url = server.url .. "/fault/stall/300000/disk",
        part = work .. "/part", algorithm = "sha256", ca_file = server.ca, stall_timeout = 60 })
    local waiter = task.spawn(function() return job:wait() end)
    raw.task.sleep(0.1)
    job:close()
    t.equal(task.timeout(10, waiter.join, waiter), false)
    fs.unlink(work .. "/part")
end)

t.test("a download that is cancelled stops at once, and goes on another time", function()
    local bytes = content(6)
    local digest = server:put("disk", bytes)
    local name = publish(digest, server.url .. "/slow/disk")
    local started = raw.task.now()
    t.raises(function() task.timeout(1, function() get(name) end) end, "timeout")
    t.check(raw.task.now() - started < 2, "it went on")
    local part = store.folder("sha256:" .. digest) .. ".new/part"
    local there = assert(fs.stat(part)).size
    t.check(there > 0 and there < #bytes)
    raw.task.sleep(0.3)
    server:requests()
    local got = get(publish(digest, server.url .. "/disk"))
    t.match(server:requests()[1], " 206 ")
    forget(got)
end)

t.test("it is not faster than it may be", function()
    local started = raw.task.now()
    forget(try("/disk", content(4), { rate = "2MiB" }))
    t.check(raw.task.now() - started > 0.9, "it was faster")
end)

t.test("several tasks that want one image download it once", function()
    local digest = server:put("disk", content(2))
    local name = compressed(publish(digest, server.url .. "/slow/disk"))
    server:requests()
    local waited, got = 0, {}
    task.parallel({ 1, 2, 3 }, function(i)
        got[i] = get(name, { progress = function(state)
            waited = waited + (state.what == "waiting" and 1 or 0)
        end })
    end)
    t.equal({ got[1].path == got[2].path, got[2].path == got[3].path, waited }, { true, true, 2 })
    t.equal(#server:requests(), 1)
    forget(got[1])
end)

t.test("what a process that was killed has left is gone on with by the next", function()
    local bytes = content(5)
    local digest = server:put("disk", bytes)
    local name = compressed(publish(digest, server.url .. "/slow/disk"))
    local code = ([[require("vm.script").set(%q); require("vm.images").get(%q, "x86_64", { ca = %q })]]):format(
        work .. "/x.lua", name, server.ca)
    local other <close> = assert(raw.process.start { argv = { "env", "XDG_CACHE_HOME=" .. work .. "/killed",
        os.getenv "VMATRIX", "-e", code } })
    local part = ("%s/killed/vmatrix/images/sha256-%s.new/part"):format(work, digest:sub(1, 40))
    local deadline = raw.task.now() + 20
    repeat
        raw.task.sleep(0.05)
        local stat = fs.stat(part)
    until (stat and stat.size > 500000) or raw.task.now() > deadline
    other:kill(9)
    other:wait(10)
    local paths = require "vm.host.paths"
    local before = paths.cache
    paths.cache = function() return work .. "/killed/vmatrix" end
    local back <close> = setmetatable({}, { __close = function() paths.cache = before end }) -- luacheck: ignore 211
    server:requests()
    local got = get(publish(digest, server.url .. "/disk"))
    t.match(table.concat(server:requests(), "\n"), "/disk 206 ")
    t.equal(fs.read(got.path, #bytes + 1) == bytes, true)
    forget(got)
end)

t.test("a limit of size holds before and while it comes", function()
    local download = require "vm.images.download"
    server:put("disk", content(2))
    for _, path in ipairs { "/disk", "/fault/cut/9000000/disk" } do
        t.raises(function()
            download.file { what = "x", url = server.url .. path, part = work .. "/part", algorithm = "sha256",
                ca = server.ca, max = MIB }
        end, "limit", "the limit is 1 MiB")
    end
    fs.unlink(work .. "/part")
end)

t.test("a disk without room is said before anything is written", function()
    local download = require "vm.images.download"
    server:put("disk", content(2))
    t.raises(function()
        download.file { what = "x", url = server.url .. "/disk", part = work .. "/part", algorithm = "sha256",
            ca = server.ca, spare = 1 << 50 }
    end, "nospace", "it needs 2 MiB and %d+ MiB to spare")
    t.equal(fs.stat(work .. "/part").size, 0)
    fs.unlink(work .. "/part")
end)

t.test("a disk that is full while it is written is said to be, and nothing stays", function()
    -- A file system of 2 MiB, in a name space of its own.
    local program = ([[require("vm.script").set(%q)
        local ok, err = pcall(require("vm.images").get, %q, "x86_64", { ca = %q, retries = 0 })
        print(err.kind, err); os.execute "ls $XDG_CACHE_HOME/vmatrix/images"]])
    local digest = server:put("disk", content(4))
    -- Its length is not said, so that it cannot be known before.
    local name = compressed(publish(digest, server.url .. "/fault/blind/disk"))
    local probe = sshd.sh "unshare -rm true 2>/dev/null && echo yes || echo no"
    if probe ~= "yes" then
        t.skip "no name spaces here"
    end
    local script_text = program:format(work .. "/x.lua", name, server.ca)
    local out = sshd.sh([[mkdir -p "$1/small"; unshare -rm sh -c '
        mount -t tmpfs -o size=2m none "$1/small" && XDG_CACHE_HOME=$1/small exec "$2" -e "$3"' sh "$@" 2>&1]],
        work, os.getenv "VMATRIX", script_text)
    t.match(out, "^nospace\t[^\n]*No space left on device")
    t.check(not out:find "\n[^\n]*%.new", out)
end)

t.test("a server that cannot be reached is a connection's failure", function()
    local err = t.raises(function()
        get(publish(("b"):rep(64), "https://localhost:1/disk"))
    end, "connection", "localhost")
    t.check(errors.is(err))
    nothing_left()
end)

-- The certificate is localhost's; its port is one where nobody listens, so that only the proxy can lead there.
t.test("a download goes through the proxy that it is told, or that the environment names", function()
    local port, nowhere = sshd.free_port(), sshd.free_port()
    local proxy <close> = assert(raw.process.start { argv = { "timeout", "--foreground", "300", "perl",
        os.getenv "VMATRIX_SOURCE" .. "/tests/lua/connect_proxy.pl", ("%d"):format(port),
        ("localhost:%d=127.0.0.1:%d"):format(nowhere, server.ports.HTTPS) } })
    t.check(sshd.wait_listening(proxy, port), "the proxy did not start")
    local address = ("http://127.0.0.1:%d"):format(port)
    local function asked()
        local _, said = proxy:read(10)
        return said
    end
    local name = publish(server:put("disk", content(1)), ("https://localhost:%d/disk"):format(nowhere))
    t.raises(function() get(name) end, "connection", "localhost")
    local got = get(name, { proxy = address })
    t.equal(asked(), ("CONNECT localhost:%d\n"):format(nowhere))
    forget(got)

    local other = host.run({ os.getenv "VMATRIX", "images", "pull", name, "--ca", server.ca }, { cwd = work,
        check = false, env = { XDG_CACHE_HOME = work .. "/proxied", https_proxy = address } })
    t.equal({ other.status, asked() }, { 0, ("CONNECT localhost:%d\n"):format(nowhere) }, other.stderr)

    local refused = publish(server:put("disk", content(1)), "https://localhost:1/disk")
    t.raises(function() get(refused, { proxy = address }) end, "connection", "403")
    nothing_left()
end)

t.test("the lock's own location and digest are used where the catalogue has another one", function()
    local old, new = content(1), content(1)
    local old_digest = server:put("old", old)
    local name = publish(server:put("new", new), server.url .. "/new")
    local path = work .. "/vmatrix.lock"
    lock.write(path, { [name .. "@x86_64"] = { digest = "sha256:" .. old_digest, url = server.url .. "/old" } })
    local got = get(name, { lock = path, locked = true })
    t.equal(fs.read(got.path, #old + 1) == old, true)
    forget(got)
end)

t.finish()
