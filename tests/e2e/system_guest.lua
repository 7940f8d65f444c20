-- Run by test_system.lua, inside the namespaces where libvirtd is.
local vm = require "vm"
local t = require "harness"

local connection = vm.connect "qemu:///system"
t.check(connection:version().libvirt)
t.equal(connection, vm.connect "qemu:///system")
t.equal(connection:domains(), {})
do
    local lan <close> = vm.network { subnet = "10.9.0.0/24" }
    local guest <close> = connection:boot { image = "seed", name = "one", memory = "256MiB", nics = { "nat", lan } }
    t.check(lan:members()[1].connected, "its QEMU is not connected to the network")
    lan:unplug(guest)
    t.equal(lan:plug(guest), "10.9.0.2")
    t.check(lan:members()[1].connected)
    t.equal(connection:domains(), { "one" })
    t.equal(guest:output "uname -s", "Linux")
    guest:run "echo kept > /tmp/x"
    local clean = guest:snapshot "clean"
    guest:run "rm /tmp/x"
    clean:revert()
    t.equal(guest:output "cat /tmp/x", "kept")
    do -- templates and forks are no matter of whose daemon it is
        local base <close> = guest:template()
        local fork <close> = base:fork { name = "fork" }
        t.equal({ base.way, fork.origin.how }, { "live", "live" })
        t.equal(fork:output "cat /tmp/x", "kept")
        t.check(lan:members()[1].connected, "the fork has no card on the network")
        t.equal(connection:domains(), { "fork" })
        t.equal(fork:stop(), "polite")
        t.equal(fork:state(), "stopped")
    end
end
t.equal(connection:domains(), {})
t.raises(function() vm.connect("test:///default"):create { image = "seed" } end, "unsupported", "test:///default")

-- The daemon is stopped and started anew: waits end and say so, and the guest can be removed.
do
    local guest <close> = connection:create { image = "seed", name = "two", memory = "256MiB" }
    guest:start { wait = "none" }
    local waiting = vm.spawn(function()
        return vm.try(guest.wait_console, guest, "never said", { timeout = 60 })
    end)
    vm.sleep(0.1)
    local begun = vm.now()
    assert(os.execute [[
        pid=$(cat /run/libvirt/test.pid)
        kill "$pid"
        while kill -0 "$pid" 2>/dev/null && [ "$(cut -d' ' -f3 "/proc/$pid/stat")" != Z ]; do sleep 0.05; done
    ]])
    local _, err = waiting:join()
    t.equal(err.kind, "connection")
    t.match(err.message, "daemon behind qemu:///system is gone")
    t.match(err.message, "boot it anew")
    t.check(vm.now() - begun < 20, "it was noticed late")
    t.raises(function() guest:run "true" end, "connection", "daemon behind qemu:///system is gone")
    assert(os.execute "/usr/sbin/libvirtd -d --timeout 600 --pid-file /run/libvirt/again.pid")
end
local fresh = vm.connect "qemu:///system"
t.check(fresh ~= connection, "the connection that was lost was handed out again")
t.equal(fresh:domains(), {})
do
    local guest <close> = fresh:create { image = "seed", name = "two", memory = "256MiB" }
    guest:start { wait = "none" }
    t.equal(guest:state(), "running")
end
print "all seen"
