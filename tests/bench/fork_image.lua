-- Forks of a whole system, such as a Debian with systemd, sshd and qemu-guest-agent: its boot beside a
-- fork's first command, over the guest agent and over SSH.
-- Run: vmatrix tests/bench/fork_image.lua IMAGE KERNEL INITRD KEY [ROUNDS]
-- IMAGE's root file system is /dev/vda; KEY is a private key that root may log in with.
local vm = require "vm"

local image, kernel, initrd, key = arg[1], arg[2], arg[3], arg[4]
local rounds = tonumber(arg[5] or 10)

local function show(name, list, note)
    table.sort(list)
    local median = list[(#list + 1) // 2]
    print(("%-40s %7.3f s  (%.3f - %.3f)%s"):format(name, median, list[1], list[#list], note or ""))
    return median
end

local begun = vm.now()
local guest = vm.boot {
    image = image, kernel = kernel, initrd = initrd, append = "root=/dev/vda rw console=ttyS0 net.ifnames=0 quiet",
    memory = "512MiB", ssh = { key = key }, agent = true, name = "system", timeout = "10m",
}
guest:run("true", { transport = "agent" })
local by_agent = vm.now() - begun
guest:wait_port(22, { timeout = "5m" })
local by_ssh
repeat
    local ok = pcall(guest.run, guest, "true", { transport = "ssh" })
    by_ssh = vm.now() - begun
    if not ok then
        vm.sleep(0.5)
    end
until ok
print(("%-40s %7.3f s over the agent, %.3f s over SSH"):format("boot to first command", by_agent, by_ssh))
guest:exec("systemctl is-system-running --wait", { timeout = "5m" })

begun = vm.now()
local base <close> = guest:template()
print(("%-40s %7.3f s"):format("template of 512 MiB", vm.now() - begun))

local running, agent, ssh = {}, {}, {}
for i = 1, rounds do
    begun = vm.now()
    local fork <close> = base:fork { wait = "none" }
    running[i] = vm.now() - begun
    fork:run("true", { transport = "agent" })
    agent[i] = vm.now() - begun
    fork:close()
    begun = vm.now()
    local other <close> = base:fork { wait = "none" }
    other:run("true", { transport = "ssh" })
    ssh[i] = vm.now() - begun
end
show("fork to running", running)
local first = show("fork to first command, over the agent", agent)
print(("%-40s %7.1fx"):format("  faster than the boot", by_agent / first))
first = show("fork to first command, over SSH", ssh)
print(("%-40s %7.1fx"):format("  faster than the boot", by_ssh / first))
