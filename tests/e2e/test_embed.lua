-- A real, emulated QEMU under the embedded driver: no operating system, only a blank disk and a BIOS.
-- timeout: 300
local t = require "harness"
local raw = require "vm.raw"
local vm = require "vm"
local raise = require("vm.errors").raise
local virt = raw.virt

local function shell(command)
    local pipe = assert(io.popen(command .. " 2>&1"))
    local out = pipe:read "a"
    return pipe:close(), out
end

if not shell "command -v qemu-system-x86_64" then
    t.test("the embedded driver runs guests", function()
        t.skip "qemu-system-x86_64 is not installed"
    end)
    t.finish()
    return
end

local _, dir = shell "mktemp -d /tmp/vxt-XXXXXX"
dir = dir:gsub("\n", "")
local cache = os.getenv "VMATRIX_TEST_CACHE" or (os.getenv "HOME" or "/tmp") .. "/.cache/vmatrix-test/qemu"
local root = dir .. "/r"

local conn = raise(virt.open("qemu:///embed", { root = root, cache = cache }))
t.baseline()

local number = 0

local function make(more)
    number = number + 1
    local name = "embed-" .. number
    local disk = ("%s/%s.qcow2"):format(dir, name)
    assert(shell(("qemu-img create -q -f qcow2 %s 32M"):format(disk)))
    local desc = {
        name = name, arch = "x86_64", accel = "tcg", cpus = 1, memory = 64 << 20, tb_cache = 32 << 20,
        ram = ("%s/%s.ram"):format(dir, name), console_log = ("%s/%s.log"):format(dir, name),
        disks = { { path = disk, format = "qcow2" } },
        nics = { { mac = "52:54:00:00:00:01", forwards = { { guest_port = 22 } } } },
    }
    for key, value in pairs(more or {}) do
        desc[key] = value
    end
    return raise(conn:define(raise(virt.xml(desc)))), desc
end

local function remove(dom)
    if dom:state() ~= "shutoff" then
        raise(dom:destroy())
    end
    raise(dom:undefine())
end

local function next_of(dom, what)
    while true do
        local event = raise(conn:next_event())
        if event.domain == dom:name() and event.event == what then
            return event
        end
    end
end

local function alive(pid)
    return (shell("kill -0 " .. pid))
end

local function forwards(dom)
    local ports = {}
    local line = "HOST_FORWARD%]%s+%d+%s+127%.0%.0%.1%s+(%d+)%s+[%d.]+%s+(%d+)"
    for host, guest in raise(dom:hmp "info usernet"):gmatch(line) do
        ports[tonumber(guest)] = tonumber(host)
    end
    return ports
end

t.test("a guest starts, pauses, goes on and ends, with its pid, files and forwards", function()
    local dom, desc = make()
    raise(dom:start())
    local pid = raise(dom:pid())
    t.check(alive(pid), "the pid is QEMU's")
    t.equal(next_of(dom, "started").pid, pid)
    t.equal({ raise(dom:state()) }, { "running", "booted" })
    raise(dom:suspend())
    t.equal({ raise(dom:state()) }, { "paused", "user" })
    raise(dom:resume())
    t.equal((raise(dom:state())), "running")
    local info = raise(dom:info())
    t.equal({ info.cpus, info.max_memory, info.pid }, { 1, 64 << 20, pid })
    t.equal(raise(dom:block_info "vda").capacity, 32 << 20)
    t.check(forwards(dom)[22] > 0, "QEMU chose a port")
    t.equal(raise(dom:hmp "hostfwd_add vxnet0 tcp:127.0.0.1:0-:80"), "")
    t.check(forwards(dom)[80] > 0, "a forward was added to the running guest")
    t.match(raise(dom:monitor '{"execute":"query-status"}'), '"status":"running"')
    local size = assert(io.open(desc.ram)):seek "end"
    t.equal(size, 64 << 20, "its RAM is in the file")
    local started = vm.now()
    raise(dom:destroy())
    local took = vm.now() - started
    t.check(not alive(pid), "QEMU is gone when destroy returns")
    t.check(took < 1.5, ("destroy took %.2f s: nobody reaped QEMU"):format(took))
    t.equal(next_of(dom, "stopped").reason, "destroyed")
    t.equal({ raise(dom:state()) }, { "shutoff", "destroyed" })
    t.check(not dom:pid(), "no pid once it is gone")
    raise(dom:undefine())
    t.check(assert(io.open(desc.console_log)):read "a" ~= nil)
end)

t.test("what the serial line prints is kept in the log, with nobody reading it", function()
    -- A boot sector: print the text after the code to COM1, then halt.
    local code = "\x31\xC0\x8E\xD8\xBE\x15\x7C\xAC\x84\xC0\x74\x06\xBA\xF8\x03\xEE\xEB\xF5\xF4\xEB\xFD"
    local sector = (code .. "hello from the disk\r\n\0"):sub(1, 510)
    sector = sector .. ("\0"):rep(510 - #sector) .. "\x55\xAA"
    local disk = dir .. "/boot.img"
    assert(io.open(disk, "wb")):write(sector, ("\0"):rep(1 << 20)):close()
    local dom, desc = make { disks = { { path = disk, format = "raw", readonly = true } } }
    local text = ""
    raise(dom:start())
    local limit = vm.now() + 60
    while not text:find "hello from the disk" and vm.now() < limit do
        vm.sleep(0.05)
        text = assert(io.open(desc.console_log)):read "a"
    end
    t.match(text, "hello from the disk")
    raise(dom:destroy())
    raise(dom:start())
    t.match(assert(io.open(desc.console_log)):read "a", "^hello from the disk")
    remove(dom)
end)

t.test("start{ paused } holds the guest until resume", function()
    local dom = make()
    raise(dom:start { paused = true })
    t.equal((raise(dom:state())), "paused")
    t.match(raise(dom:hmp "info status"), "paused")
    raise(dom:resume())
    t.equal((raise(dom:state())), "running")
    remove(dom)
end)

t.test("snapshots of a running guest are kept with its RAM, and revert in place", function()
    local dom = make()
    raise(dom:start())
    raise(dom:snapshot_create { name = "one" })
    raise(dom:snapshot_create { name = "two" })
    local list = raise(dom:snapshots())
    t.equal({ #list, list[1].name, list[2].name, list[2].parent, list[2].current },
        { 2, "one", "two", "one", true })
    t.check(list[1].vm_size > 100000, "the size of its RAM and devices is told")
    local pid, port = raise(dom:pid()), forwards(dom)[22]
    t.equal(raise(dom:snapshot_revert "one"), "in place")
    t.equal({ raise(dom:pid()), forwards(dom)[22] }, { pid, port }, "QEMU and its ports stayed")
    t.equal({ raise(dom:state()) }, { "running", "unpaused" })
    t.equal(raise(dom:snapshots())[1].current, true)
    raise(dom:suspend())
    raise(dom:snapshot_create { name = "held" })
    t.equal(raise(dom:snapshot_revert "two"), "in place")
    t.equal((raise(dom:state())), "running")
    t.equal(raise(dom:snapshot_revert "held"), "in place")
    t.equal((raise(dom:state())), "paused")
    raise(dom:snapshot_delete("one", { children = true }))
    t.equal(raise(dom:snapshots()), {})
    t.check(not raise(dom:hmp "info snapshots"):find "two", "QEMU has forgotten them too")
    remove(dom)
end)

t.test("a stopped guest comes back running, a running one goes back to stopped", function()
    local dom, desc = make()
    raise(dom:snapshot_create { name = "off" })
    raise(dom:start())
    raise(dom:snapshot_create { name = "on" })
    raise(dom:destroy())
    t.equal(raise(dom:snapshot_revert "on"), "restarted")
    t.equal({ raise(dom:state()) }, { "running", "from snapshot" })
    t.check(forwards(dom)[22] > 0, "the forward of its description is there again")
    t.equal(raise(dom:snapshot_revert "off"), "restarted")
    t.equal((raise(dom:state())), "shutoff")
    local list = raise(dom:snapshots())
    t.equal({ list[1].name, list[1].state, list[2].name, list[2].state }, { "off", "shutoff", "on", "running" })
    raise(dom:snapshot_delete "off")
    t.equal(raise(dom:snapshots())[1].parent, nil)
    raise(dom:snapshot_delete "on")
    remove(dom)
    local _, out = shell("qemu-img snapshot -l " .. desc.disks[1].path)
    t.equal(out, "", "nothing is left in the disk")
end)

t.test("a disk that cannot hold a snapshot is named, with what to do instead", function()
    local raw_disk = dir .. "/plain.img"
    assert(shell(("qemu-img create -q -f raw %s 4M"):format(raw_disk)))
    local dom = make { disks = { { path = raw_disk, format = "raw" } } }
    for _ = 1, 2 do
        local _, err = dom:snapshot_create { name = "no" }
        t.equal(err.kind, "unsupported")
        t.match(err.message, "vda")
        t.match(err.message, "give the guest's writable disks that format")
        if dom:state() == "shutoff" then
            raise(dom:start())
        end
    end
    remove(dom)
end)

t.test("a QEMU killed from outside is an event with the signal", function()
    local dom = make()
    raise(dom:start())
    local pid = raise(dom:pid())
    assert(shell("kill -9 " .. pid))
    local event = next_of(dom, "stopped")
    t.check(event.reason == "failed" or event.reason == "crashed", event.reason)
    t.equal(event.signal, 9)
    t.equal((raise(dom:state())), "shutoff")
    t.check(not alive(pid))
    remove(dom)
end)

t.test("a taken port, a corrupt disk and a missing one fail the start with QEMU's words", function()
    local first = make()
    raise(first:start())
    local port = forwards(first)[22]
    local second = make { nics = { { forwards = { { host_port = port, guest_port = 22 } } } } }
    local _, err = second:start()
    t.match(err.message, "[Cc]ould not set up host forwarding rule")
    t.equal((raise(second:state())), "shutoff")
    remove(second)
    remove(first)
    local broken = dir .. "/broken.qcow2"
    assert(io.open(broken, "w")):write(("not a disk"):rep(100)):close()
    local third = make { disks = { { path = broken, format = "qcow2" } } }
    t.match(select(2, third:start()).message, "qcow2 format")
    remove(third)
    local fourth = make { disks = { { path = dir .. "/missing.qcow2", format = "qcow2" } } }
    t.match(select(2, fourth:start()).message, "missing.qcow2")
    remove(fourth)
end)

t.test("another root in this process, and this root in another process, are refused", function()
    local _, err = virt.open("qemu:///embed", { root = dir .. "/other", cache = cache })
    t.equal(err.kind, "unsupported")
    t.match(err.message, "only one in the life of a process")
    local script = dir .. "/second.lua"
    assert(io.open(script, "w")):write(([[
        local _, err = require("vm.raw").virt.open("qemu:///embed", { root = %q, cache = %q })
        print(err.kind, err.message)]]):format(root, cache)):close()
    local _, out = shell(("%q %q"):format(os.getenv "VMATRIX", script))
    t.match(out, "^libvirt%s")
    t.match(out, "pid file")
end)

t.test("two processes run guests in two roots at once", function()
    local script = dir .. "/beside.lua"
    assert(io.open(script, "w")):write(([[
        local virt = require("vm.raw").virt
        local conn = assert(virt.open("qemu:///embed", { root = %q, cache = %q }))
        local dom = assert(conn:define(assert(virt.xml {
            name = "embed-1", arch = "x86_64", accel = "tcg", cpus = 1, memory = 64 << 20 })))
        assert(dom:start())
        print(dom:state())
        assert(dom:destroy())
        assert(dom:undefine())
        assert(conn:close())
    ]]):format(dir .. "/r2", cache)):close()
    local dom = make()
    raise(dom:start())
    local ok, out = shell(("%q %q"):format(os.getenv "VMATRIX", script))
    t.equal({ ok, out }, { true, "running\tbooted\n" }, "and nothing else is printed")
    t.equal((raise(dom:state())), "running")
    remove(dom)
end)

t.test("a connection can be closed and the root opened again, with its domains", function()
    local dom = make()
    local name = dom:name()
    raise(conn:close())
    conn = raise(virt.open("qemu:///embed", { root = root, cache = cache }))
    t.equal(select(2, dom:start()).kind, "closed")
    dom = raise(conn:lookup(name))
    raise(dom:start())
    remove(dom)
    t.baseline()
end)

t.test("ten guests start and end at once", function()
    local list = {}
    for i = 1, 10 do
        list[i] = make { memory = 32 << 20 }
    end
    vm.parallel(list, function(dom)
        raise(dom:start())
        remove(dom)
    end)
    local _, out = shell("ls " .. root .. "/run/qemu/*.pid")
    t.equal(out, root .. "/run/qemu/driver.pid\n", "no pid file is left")
end)

for _, arch in ipairs(virt.arches()) do
    t.test("QEMU takes the document of " .. arch.name, function()
        if not shell("command -v " .. arch.emulator) then
            t.skip(arch.emulator .. " is not installed")
        end
        local iso = dir .. "/seed.iso"
        assert(shell("truncate -s 1M " .. iso))
        number = number + 1
        local disk = ("%s/arch-%d.qcow2"):format(dir, number)
        assert(shell(("qemu-img create -q -f qcow2 %s 8M"):format(disk)))
        local dom = make {
            arch = arch.name, memory = 256 << 20, cpus = 2,
            disks = { { path = disk, format = "qcow2" }, { path = iso, format = "raw", cdrom = true } },
            nics = { { mac = "52:54:00:00:00:01", forwards = { { guest_port = 22 } } }, { restrict = true } },
        }
        raise(dom:start { paused = true }) -- some firmware ends a guest that has nothing to boot
        t.equal((raise(dom:state())), "paused")
        t.check(forwards(dom)[22] > 0, "its network is there")
        raise(dom:snapshot_create { name = "now" })
        t.equal(raise(dom:snapshot_revert "now"), "in place")
        t.check(not raise(dom:xml()):find "pcie%-root%-port", "no root port to probe")
        remove(dom)
    end)
end

for _, name in ipairs(raise(conn:domains())) do -- what a failed test has left
    remove(raise(conn:lookup(name)))
end
raise(conn:close())
t.baseline()
shell("rm -rf '" .. dir .. "'")
t.finish()
