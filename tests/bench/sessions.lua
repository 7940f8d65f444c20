-- 300 sessions at once with one command each, in one process, against xargs -P64 ssh over as many
-- ControlMasters. Prints ratios; the yardstick is <= 80 KB a session, commands <= 0.6x of xargs.
--   cmake --build --preset release --target bench_sessions
local vm = require "vm"
local sshd = require "ssh.sshd"

local COUNT <const> = tonumber(os.getenv("SESSIONS") or 300)
local server <close> = sshd.start()

local function resident()
    collectgarbage()
    collectgarbage()
    for line in io.lines("/proc/self/status") do
        local kib = line:match("^VmRSS:%s+(%d+)")
        if kib then
            return tonumber(kib)
        end
    end
end

local function all(fn)
    local tasks, begun = {}, vm.now()
    for i = 1, COUNT do
        tasks[i] = vm.spawn(fn, i)
    end
    for _, task in ipairs(tasks) do
        task:join()
    end
    return vm.now() - begun
end

local machines = {}
do
    -- What the first session alone brings along is not a session's price.
    local first <close> = vm.ssh(server:options())
    first:run "true"
end
local before = resident()
for i = 1, COUNT do
    machines[i] = vm.ssh(server:options { timeout = 300 })
end
local connecting = all(function(i)
    machines[i].conn:open()
end)
local each = (resident() - before) / COUNT
local commands = {}
for _ = 1, 3 do
    commands[#commands + 1] = all(function(i)
        assert(machines[i]:exec("true").ok)
    end)
end
table.sort(commands)
for _, machine in ipairs(machines) do
    machine:close()
end

local ssh = ("ssh -p %d -i %s -o ControlPath=%s/c%%s " ..
    "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR %s@127.0.0.1")
    :format(server.port, server.key, server.dir, server.user)
local masters <const> = math.min(COUNT, 64)
for i = 1, masters do
    sshd.sh(ssh:format(i) .. " -M -N -f >/dev/null 2>&1")
end
local times = {}
for i = 1, 3 do
    local begun = vm.now()
    sshd.sh(("seq %d | xargs -P64 -I{} sh -c '%s true </dev/null'")
        :format(COUNT, ssh:format(("$(( {} %% %d + 1 ))"):format(masters))))
    times[i] = vm.now() - begun
end
table.sort(times)
for i = 1, masters do
    sshd.sh(ssh:format(i) .. " -O exit 2>/dev/null")
end

print(("%d sessions: connected in %.2f s, %.0f KiB each"):format(COUNT, connecting, each))
print(("one command each    %6.2f s"):format(commands[2]))
print(("xargs -P64 ssh      %6.2f s over %d ControlMasters"):format(times[2], masters))
print(("ratio to xargs      %6.2f (yardstick 0.60)"):format(commands[2] / times[2]))
