-- The bindings of libvirt over its own test driver: no QEMU, no daemon, no root.
local t = require "harness"
local raw = require "vm.raw"
local vm = require "vm"
local raise = require("vm.errors").raise
local virt = raw.virt

local function open()
    return raise(virt.open "test:///default")
end

-- The driver forgets nothing between connections of one process: every test uses its own name.
local function define(conn, name)
    return raise(conn:define(([[
        <domain type="test"><name>%s</name><memory unit="MiB">64</memory><vcpu>2</vcpu>
        <os><type>hvm</type></os></domain>]]):format(name)))
end

local function next_of(conn, name)
    while true do
        local event = raise(conn:next_event())
        if event.domain == name then
            return event
        end
    end
end

local function expect(conn, name, what, reason)
    local event = next_of(conn, name)
    t.equal({ event.event, event.reason }, { what, reason })
    return event
end

t.test("a connection tells its versions, capabilities and domains", function()
    local conn <close> = open()
    t.equal(conn:uri(), "test:///default")
    local version = raise(conn:version())
    t.match(version.libvirt, "^%d+%.%d+%.%d+$")
    t.match(raise(conn:capabilities()), "^<capabilities>")
    local found = false
    for _, name in ipairs(raise(conn:domains())) do
        found = found or name == "test"
    end
    t.check(found, "the driver's own domain is listed")
    t.equal(raise(conn:lookup "test"):name(), "test")
end)

t.test("a domain lives from define to undefine, and events tell each step", function()
    local conn <close> = open()
    local dom = define(conn, "life")
    expect(conn, "life", "defined", "added")
    t.match(dom:uuid(), "^%x+%-%x+%-%x+%-%x+%-%x+$")
    t.equal({ raise(dom:state()) }, { "shutoff", "unknown" })
    t.equal(raise(dom:start()), true)
    expect(conn, "life", "started", "booted")
    t.equal((raise(dom:state())), "running")
    raise(dom:suspend())
    expect(conn, "life", "suspended", "paused")
    t.equal((raise(dom:state())), "paused")
    raise(dom:resume())
    expect(conn, "life", "resumed", "unpaused")
    local info = raise(dom:info())
    t.equal({ info.state, info.cpus, info.max_memory, info.memory, info.pid },
        { "running", 2, 64 << 20, 64 << 20, nil })
    t.match(raise(dom:xml()), "<name>life</name>")
    t.match(raise(dom:xml(true)), "<name>life</name>")
    t.equal(dom:pid(), nil)
    raise(dom:destroy())
    local event = expect(conn, "life", "stopped", "destroyed")
    t.equal(event.uuid, dom:uuid())
    raise(dom:undefine())
    expect(conn, "life", "undefined", "removed")
    t.equal(select(2, conn:lookup "life").kind, "notfound")
end)

t.test("shutdown ends a guest, and what the driver cannot do is said", function()
    local conn <close> = open()
    local dom = define(conn, "held")
    t.match(select(2, dom:start { paused = true }).message, "unsupported flags")
    raise(dom:start())
    raise(dom:shutdown())
    t.equal({ raise(dom:state()) }, { "shutoff", "shutdown" })
    raise(dom:undefine())
end)

t.test("create starts a transient domain, which is gone when it stops", function()
    local conn <close> = open()
    local dom = raise(conn:create([[<domain type="test"><name>brief</name><memory>1024</memory>
        <os><type>hvm</type></os></domain>]]))
    t.equal((raise(dom:state())), "running")
    raise(dom:destroy())
    t.equal(select(2, conn:lookup "brief").kind, "notfound")
end)

t.test("snapshots form a tree that can be reverted to and deleted", function()
    local conn <close> = open()
    local dom = define(conn, "tree")
    raise(dom:start())
    t.equal(raise(dom:snapshot_create { name = "base", description = "a < b" }), "base")
    raise(dom:snapshot_create { name = "next" })
    raise(dom:snapshot_create { name = "last" })
    local list = raise(dom:snapshots())
    t.equal({ #list, list[1].name, list[2].name, list[3].name }, { 3, "base", "next", "last" })
    t.equal({ list[1].parent, list[2].parent, list[3].parent }, { nil, "base", "next" })
    t.equal({ list[1].description, list[1].state, list[1].current, list[3].current },
        { "a < b", "running", false, true })
    t.check(math.abs(list[1].created - os.time()) < 300, "made just now")
    raise(dom:suspend())
    t.equal(raise(dom:snapshot_revert "base"), "restarted")
    t.equal((raise(dom:state())), "running")
    t.equal(raise(dom:snapshots())[1].current, true)
    raise(dom:snapshot_delete("next", { children = true }))
    t.equal(#raise(dom:snapshots()), 1)
    raise(dom:snapshot_delete "base")
    t.equal(raise(dom:snapshots()), {})
    raise(dom:destroy())
    raise(dom:undefine())
end)

t.test("what libvirt refuses comes back with its own message and number", function()
    local conn <close> = open()
    local dom = raise(conn:lookup "test")
    local ok, err = dom:start()
    t.equal({ ok, err.kind, err.code }, { nil, "libvirt", 1 })
    t.match(err.message, "guest test: cannot start: internal error: Domain 'test' is already running")
    ok, err = conn:lookup "nobody"
    t.equal({ ok, err.kind, err.code }, { nil, "notfound", 42 })
    t.match(err.message, "guest nobody: cannot find it: Domain not found")
    ok, err = conn:define "<domain>"
    t.equal({ ok, err.kind, err.code }, { nil, "format", 35 })
    ok, err = dom:snapshot_revert "nothing"
    t.equal({ ok, err.kind, err.code }, { nil, "notfound", 72 })
    t.match(err.message, "nothing")
    ok, err = dom:hmp "info status"
    t.equal({ ok, err.kind, err.code }, { nil, "unsupported", 3 })
    ok, err = dom:snapshot_create { name = "17" }
    t.equal({ ok, err.kind }, { nil, "usage" })
    t.match(err.message, "put a letter in it")
    ok, err = virt.open "nosuch:///thing"
    t.equal({ ok, err.kind }, { nil, "connection" })
    t.match(err.message, "cannot open nosuch:///thing")
end)

t.test("wrong types raise", function()
    local conn <close> = open()
    t.check(not pcall(virt.open, {}))
    t.check(not pcall(virt.open, "test:///default", "root"))
    t.check(not pcall(conn.lookup, conn, nil))
    t.check(not pcall(conn.lookup, io.stdout, "test"))
    local dom = raise(conn:lookup "test")
    t.check(not pcall(dom.snapshot_create, dom, "name"))
    t.check(not pcall(dom.start, conn))
end)

t.test("after close everything says closed, and closing again is harmless", function()
    local conn = open()
    local dom = raise(conn:lookup "test")
    t.equal(conn:close(), true)
    t.equal(conn:close(), true)
    for _, call in ipairs { conn.domains, conn.version, conn.capabilities, conn.next_event } do
        t.equal(select(2, call(conn)).kind, "closed")
    end
    for _, call in ipairs { dom.start, dom.info, dom.xml, dom.snapshots, dom.destroy } do
        local _, err = call(dom)
        t.equal(err.kind, "closed")
        t.match(err.message, "guest test: its connection")
    end
    t.equal(dom:name(), "test")
end)

t.test("closing ends the wait for an event", function()
    local conn = open()
    local waiter = vm.spawn(function()
        return conn:next_event()
    end)
    raise(conn:version())
    raise(conn:close())
    local event, err = waiter:join()
    t.equal({ event, err.kind }, { nil, "closed" })
end)

t.test("a second wait for an event is refused, and a cancelled one makes room", function()
    local conn <close> = open()
    local first = vm.spawn(function()
        return conn:next_event()
    end)
    raise(conn:version())
    local _, err = conn:next_event()
    t.equal(err.kind, "usage")
    first:cancel()
    t.check(not pcall(first.join, first))
    local dom = define(conn, "after")
    expect(conn, "after", "defined", "added")
    raise(dom:undefine())
end)

t.test("the queue of events is bounded and counts what it lost", function()
    local conn <close> = open()
    local dom = define(conn, "flood")
    for _ = 1, 120 do
        raise(dom:start())
        raise(dom:suspend())
        raise(dom:resume())
        raise(dom:destroy())
    end
    raise(dom:undefine())
    local lost, seen = 0, 0
    repeat
        local event = raise(conn:next_event())
        lost, seen = lost + (event.lost or 0), seen + 1
    until event.event == "undefined"
    t.equal(lost + seen, 482)
    t.check(lost > 0, "more than 256 are not kept")
end)

t.test("a task cancelled during a call is free at once, and the call's result is dropped", function()
    local before = raw.task.handles()
    for _ = 1, 20 do
        local task = vm.spawn(function()
            local conn <close> = raise(virt.open "test:///default")
            return conn:uri()
        end)
        vm.sleep(0)
        task:cancel()
        local ok, err = pcall(task.join, task)
        t.check(ok or err.kind == "cancelled")
    end
    local limit = vm.now() + 60 -- the calls themselves go on, and what they open is closed behind them
    while raw.task.handles() > before and vm.now() < limit do
        vm.sleep(0.01)
    end
    t.equal(raw.task.handles(), before)
end)

t.test("many calls run at once on many connections", function()
    local names = {}
    for i = 1, 40 do
        names[i] = "many-" .. i
    end
    vm.parallel(names, function(name)
        local conn <close> = open()
        local dom = define(conn, name)
        raise(dom:start())
        t.equal((raise(dom:state())), "running")
        raise(dom:destroy())
        raise(dom:undefine())
    end)
end)

t.test("a daemon that is not there is named with its remedy", function()
    local _, err = virt.open("test:///default", { root = "/tmp/x" })
    t.equal(err.kind, "usage")
    _, err = virt.open "qemu:///embed"
    t.equal(err.kind, "usage")
    _, err = virt.open("qemu:///embed", { root = "relative" })
    t.equal(err.kind, "usage")
    _, err = virt.open("qemu:///embed", { root = "/tmp/" .. ("long"):rep(20) })
    t.equal(err.kind, "limit")
    t.match(err.message, "too long for the sockets")
    _, err = virt.open("qemu:///embed", { root = "/tmp/a?b" })
    t.equal(err.kind, "usage")
end)

t.test("the description of a guest becomes a document, and nonsense raises or fails", function()
    local desc = {
        name = "x", arch = "aarch64", accel = "tcg", cpus = 1, memory = 64 << 20,
        disks = { { path = "/d.qcow2", format = "qcow2" } },
        nics = { { forwards = { { guest_port = 22 } } }, { restrict = true } },
        cpu_features = { "-sve" }, qemu_args = { "-incoming", "defer" },
    }
    local xml = raise(virt.xml(desc))
    t.match(xml, '<type arch="aarch64" machine="virt">hvm</type>')
    t.match(xml, "hostfwd=tcp:127.0.0.1:0%-:22")
    t.match(xml, "user,id=vxnet1,restrict=on")
    t.match(xml, '<feature policy="disable" name="sve"/>')
    t.match(xml, '"%-incoming"')
    desc.nics[1].forwards[1].guest_port = -1
    t.equal(select(2, virt.xml(desc)).kind, "usage")
    desc.nics = { 7 }
    t.check(not pcall(virt.xml, desc))
    desc.nics, desc.arch = nil, "vax"
    t.equal(select(2, virt.xml(desc)).kind, "unsupported")
    desc.arch, desc.firmware = "x86_64", "floppy"
    t.check(not pcall(virt.xml, desc))
end)

t.test("the table of architectures names machine, emulator and console", function()
    local by_name = {}
    for _, arch in ipairs(virt.arches()) do
        by_name[arch.name] = arch
    end
    t.equal({ by_name.aarch64.machine, by_name.aarch64.console, by_name.armhf.emulator, by_name.x86_64.acpi },
        { "virt", "ttyAMA0", "qemu-system-arm", true })
end)

t.finish()
