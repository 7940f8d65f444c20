-- exec on a live session against a blocking libssh2 loop and against ssh with ControlMaster, all over
-- one private sshd, in turns. Prints ratios; the yardstick is p50 <= 1.1x of the loop, client CPU
-- <= 0.15 ms a command, <= 0.35x of ControlMaster.
--   cmake --build --preset release --target bench_exec
local vm = require "vm"
local raw = require "vm.raw"
local sshd = require "ssh.sshd"

local floor_program <const> = os.getenv("EXEC_FLOOR") or error("EXEC_FLOOR must name the exec_floor program")
local ROUNDS <const>, COUNT <const>, COMMAND <const> = 5, 400, "true"

local server <close> = sshd.start()
local there <close> = vm.ssh(server:options())

local function median(list)
    table.sort(list)
    return list[(#list + 1) // 2]
end

local function ours(fn)
    for _ = 1, 20 do
        fn()
    end
    local times, cpu = {}, os.clock()
    for i = 1, COUNT do
        local begun = vm.now()
        fn()
        times[i] = (vm.now() - begun) * 1000
    end
    return median(times), (os.clock() - cpu) * 1000 / COUNT
end

local function whole()
    assert(there:exec(COMMAND).ok)
end

-- The same without the wrapper that gives a command its process group.
local function bare()
    local run <close> = assert(there.conn.raw_session:run { command = COMMAND })
    assert(assert(run:wait()).status == 0)
end

local function floor()
    local out = sshd.sh("exec \"$@\"", floor_program, tostring(server.port), server.user, server.key, COMMAND,
        tostring(COUNT))
    local p50, cpu = out:match("([%d.]+) ([%d.]+)")
    return tonumber(p50), tonumber(cpu)
end

local control = server.dir .. "/control"
local ssh = ("ssh -p %d -i %s -o ControlPath=%s " ..
    "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR %s@127.0.0.1")
    :format(server.port, server.key, control, server.user)

local function mastered()
    local times = {}
    for i = 1, 60 do
        local begun = vm.now()
        sshd.sh("exec " .. ssh .. " " .. COMMAND)
        times[i] = (vm.now() - begun) * 1000
    end
    return median(times)
end

sshd.sh(ssh .. " -M -N -f >/dev/null 2>&1 -o ControlPersist=300")
there:run "true"
local results = { whole = {}, bare = {}, floor = {}, master = {}, cpu = {}, floor_cpu = {} }
for _ = 1, ROUNDS do
    local p50, cpu = ours(whole)
    table.insert(results.whole, p50)
    table.insert(results.cpu, cpu)
    table.insert(results.bare, (ours(bare)))
    p50, cpu = floor()
    table.insert(results.floor, p50)
    table.insert(results.floor_cpu, cpu)
    table.insert(results.master, mastered())
end
sshd.sh(ssh .. " -O exit 2>/dev/null")

local m = {}
for name, list in pairs(results) do
    m[name] = median(list)
end
print(("exec p50            %6.2f ms, CPU %.3f ms"):format(m.whole, m.cpu))
print(("  without wrapper   %6.2f ms"):format(m.bare))
print(("blocking libssh2    %6.2f ms, CPU %.3f ms"):format(m.floor, m.floor_cpu))
print(("ssh ControlMaster   %6.2f ms"):format(m.master))
print(("ratio to libssh2    %6.2f (without wrapper %.2f; yardstick 1.10)"):format(m.whole / m.floor, m.bare / m.floor))
print(("ratio to ControlMaster %.2f (yardstick 0.35)"):format(m.whole / m.master))
print(("libssh2 %s, %s"):format(raw.ssh.version(), there.conn.raw_session:info().cipher))
