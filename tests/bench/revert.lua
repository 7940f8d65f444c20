-- Going back to a snapshot of a running guest: in place, beside `virsh snapshot-revert` of the same guest.
-- Run, as root: tests/e2e/system.sh vmatrix tests/bench/revert.lua [ROUNDS]
local vm = require "vm"
local host = require "vm.host"

local rounds = tonumber(arg[1] or 10)

local function times(fn)
    local list = {}
    for i = 1, rounds do
        local begun = vm.now()
        fn()
        list[i] = vm.now() - begun
    end
    table.sort(list)
    return list[(#list + 1) // 2], list[1], list[#list]
end

local function show(name, median, least, most)
    print(("%-32s %7.3f s  (%.3f - %.3f)"):format(name, median, least, most))
    return median
end

local load = (vm.raw.fs.read "/proc/loadavg" or "?"):match "^%S+"
print(("%d rounds, %s, load average %s"):format(rounds, vm.raw.build.arch, load))
local connection = vm.connect "qemu:///system"
local guest <close> = connection:boot { image = "seed", name = "bench", memory = "256MiB" }
guest:run "true"
local clean = guest:snapshot "clean"
local function run(...)
    host.run({ "virsh", "-c", "qemu:///system", ... }, { timeout = 60 })
end
local ours = show("snapshot:revert()", times(function() clean:revert() end))
show("virsh, a command that does little", times(function() run("domstate", "bench") end))
local theirs = show("virsh snapshot-revert", times(function() run("snapshot-revert", "bench", "clean") end))
print(("%-32s %7.2fx"):format("in place, how much faster", theirs / ours))
