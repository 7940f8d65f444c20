-- Boots guests of three architectures at once; each runs a command, gets a file and gives one back.
-- Run: vmatrix scripts/examples/three-architectures.lua [FOLDER]
local vm = require "vm"

local folder = arg[1] or "output/three-architectures" -- relative paths start at this script's folder
local started = vm.now()

local function say(guest, format, ...)
    print(("%6.2f s  %-8s %s"):format(vm.now() - started, guest.arch, format:format(...)))
end

local reports = vm.parallel({ "x86_64", "aarch64", "riscv64" }, function(arch)
    local guest <close> = vm.boot { image = "seed", arch = arch, memory = "256MiB" }
    say(guest, "booted (%s): %s", guest.accel, guest:output "uname -srm")

    guest:write("/root/greeting", "Hello, " .. arch .. "\n")
    local clean = guest:snapshot "clean"
    guest:run "rm /root/greeting; cat /proc/cpuinfo /proc/meminfo > /root/report"
    guest:copy_out("/root/report", ("%s/%s.txt"):format(folder, arch))
    say(guest, "report copied out; the greeting is %s", guest:exec("test -e /root/greeting").ok and "there" or "gone")

    clean:revert()
    say(guest, "reverted; the greeting says: %s", (guest:read "/root/greeting":gsub("\n", "")))
    return ("%s/%s.txt"):format(folder, arch)
end)

print(("%6.2f s  all three are gone again; the reports are in"):format(vm.now() - started))
for _, path in ipairs(reports) do
    print("  " .. path)
end
