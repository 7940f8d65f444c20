-- Copies against tar, scp and cat over ssh with ControlMaster, all over one private sshd, in turns.
-- The yardstick: 5,000 files of 4 KiB take <= 1.5x of "tar | ssh tar"; for 1 GiB the speed and the
-- client's CPU time are shown beside those of scp and "ssh cat". BENCH_MIB sets another size.
--   cmake --build --preset release --target bench_copy
local vm = require "vm"
local raw = require "vm.raw"
local sshd = require "ssh.sshd"

local ROUNDS <const>, FILES <const> = 5, 5000
local MIB <const> = tonumber(os.getenv "BENCH_MIB" or "1024")

local server <close> = sshd.start()
local there <close> = vm.ssh(server:options())
local dir = server.dir

-- The small files are in memory where that can be: for minutes ext4 steps over the inodes of removed files
-- one by one, so that a new file may cost a millisecond, for whoever comes next.
local memory = sshd.sh("mktemp -d -p /dev/shm 2>/dev/null || mktemp -d"):match "%S+"
local _ <close> = setmetatable({}, { __close = function() sshd.sh("rm -rf " .. memory) end })

local function sh(line)
    return sshd.sh(("cd %s && { %s; }"):format(dir, line))
end

local options = ("-i %s -o ControlPath=%s/control -o StrictHostKeyChecking=no " ..
    "-o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"):format(server.key, dir)
local host = server.user .. "@127.0.0.1"
local ssh = ("ssh -p %d %s %s"):format(server.port, options, host)
local alone = ssh:gsub("ControlPath=%S+", "ControlPath=none")
local scp = ("scp -q -P %d %s"):format(server.port, options:gsub("ControlPath=%S+", "ControlPath=none"))

local function median(list)
    table.sort(list)
    return list[(#list + 1) // 2]
end

-- Seconds that fn takes, and this process's CPU seconds.
local function timed(fn)
    local begun, cpu = vm.now(), os.clock()
    fn()
    return vm.now() - begun, os.clock() - cpu
end

-- The same for a command line, with the CPU seconds of what the shell started on this side.
local function timed_line(line)
    local begun = vm.now()
    local out = sh(("{ %s; } >/dev/null; times"):format(line))
    local total = 0
    for minutes, seconds in (out:match "\n(.*)" or out):gmatch "(%d+)m([%d.]+)s" do
        total = total + tonumber(minutes) * 60 + tonumber(seconds)
    end
    return vm.now() - begun, total
end

local results = {}
local function note(name, seconds, cpu)
    results[name] = results[name] or { times = {}, cpu = {} }
    table.insert(results[name].times, seconds)
    table.insert(results[name].cpu, cpu)
end

local function load_average()
    return raw.fs.read("/proc/loadavg"):match "^%S+"
end

print(("load average %s"):format(load_average()))
sh(ssh .. " -M -N -f -o ControlPersist=300 >/dev/null 2>&1")
sh(("mkdir %s/small && cd %s/small && head -c %d /dev/urandom | split -a 4 -b 4096 - f")
    :format(memory, memory, FILES * 4096))
there:run "true"
for _ = 1, ROUNDS do
    sh(("cd %s && rm -rf in in2 out out2 && mkdir in2 out2"):format(memory))
    note("small_in", timed(function() there:copy_in(memory .. "/small", memory .. "/in") end))
    note("tar_in", timed_line(("tar -C %s/small -cf - . | %s 'tar -C %s/in2 -xf -'")
        :format(memory, ssh, memory)))
    note("small_out", timed(function() there:copy_out(memory .. "/small", memory .. "/out") end))
    note("tar_out", timed_line(("%s 'tar -C %s/small -cf - .' | tar -C %s/out2 -xf -")
        :format(ssh, memory, memory)))
end
for _, way in ipairs { "in", "out" } do
    local ours, theirs = median(results["small_" .. way].times), median(results["tar_" .. way].times)
    print(("%d files %-3s   %.2f s; tar over ssh %.2f s; ratio %.2f (yardstick 1.50)")
        :format(FILES, way, ours, theirs, ours / theirs))
end

sh(("head -c %dM /dev/urandom >big; cat big >/dev/null"):format(MIB))
for _ = 1, 2 do
    note("put", timed(function() there:copy_in(dir .. "/big", dir .. "/copy") end))
    sh "cmp big copy; rm copy"
    note("get", timed(function() there:copy_out(dir .. "/big", dir .. "/copy") end))
    sh "cmp big copy; rm copy"
    note("put scp", timed_line(("%s big %s:%s/copy"):format(scp, host, dir)))
    sh "rm copy"
    note("get scp", timed_line(("%s %s:%s/big copy"):format(scp, host, dir)))
    sh "rm copy"
    note("put ssh cat", timed_line(("%s 'cat >%s/copy' <big"):format(alone, dir)))
    sh "rm copy"
    note("get ssh cat", timed_line(("%s 'cat %s/big' >copy"):format(alone, dir)))
    sh "rm copy"
end
for _, name in ipairs { "put", "put scp", "put ssh cat", "get", "get scp", "get ssh cat" } do
    local seconds = median(results[name].times)
    print(("%d MiB %-12s %6.0f MB/s, client CPU %.2f s"):format(MIB, name, MIB * 1.048576 / seconds,
        median(results[name].cpu)))
end
print(("load average %s; libssh2 %s, %s"):format(load_average(), raw.ssh.version(),
    there.conn.raw_session:info().cipher))
sh(ssh .. " -O exit 2>/dev/null")
