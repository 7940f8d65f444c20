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
    t.equal(guest:stop(), "polite")
    t.equal(guest:state(), "stopped")
end
t.equal(connection:domains(), {})
t.raises(function() vm.connect("test:///default"):create { image = "seed" } end, "unsupported", "test:///default")
print "all seen"
