-- Keeps a guest's state, breaks it, and goes back: memory, processes and disk.
-- Run: vmatrix scripts/examples/snapshot-and-revert.lua
local vm = require "vm"

local guest <close> = vm.boot { image = "seed" }
guest:write("/etc/motd", "all is well\n")
local clean = guest:snapshot "clean"

guest:run "rm -rf /etc"
print("after rm -rf /etc, the message of the day is " .. (guest:exec("test -e /etc/motd").ok and "there" or "gone"))

local started = vm.now()
clean:revert()
print(("reverted in %.2f s; the message of the day: %s"):format(vm.now() - started, guest:output "cat /etc/motd"))
print("snapshots:")
for _, snapshot in ipairs(guest:snapshots()) do
    print(("  %s, made when it was %s"):format(snapshot.name, snapshot.state))
end
