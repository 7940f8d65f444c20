-- What a fork costs, beside a boot of the same guest and QEMU started by hand.
-- Run: vmatrix tests/bench/fork.lua [ROUNDS [ARCH]]; 10 rounds take about a minute. With "soak" as the
-- third argument 200 forks are made and closed in a row, and what they left is counted.
local vm = require "vm"
local raw = vm.raw
local fs = raw.fs

local rounds = tonumber(arg[1] or 10)
local arch = arg[2] or raw.build.arch
local spec = { image = "seed", arch = arch, memory = "256MiB" }

local function timed(fn, ...)
    local begun = vm.now()
    local value = fn(...)
    return vm.now() - begun, value
end

local function median(list)
    table.sort(list)
    return list[(#list + 1) // 2]
end

local function show(name, list, note)
    table.sort(list)
    print(("%-44s %7.3f s  (%.3f - %.3f)%s"):format(name, median(list), list[1], list[#list], note or ""))
    return median(list)
end

-- Proportional set size of a process, in bytes.
local function pss(pid)
    local text = fs.read(("/proc/%d/smaps_rollup"):format(pid)) or ""
    return (tonumber(text:match "\nPss:%s+(%d+)") or 0) * 1024
end

local function load_average()
    local text = fs.read "/proc/loadavg"
    return text and text:match "^%S+" or "?"
end

print(("%d rounds, %s, %d cpus, load average %s"):format(rounds, arch, fs.cpu_count(), load_average()))

local boots, booted = {}, {}
for i = 1, math.min(rounds, 5) do
    local seconds, guest = timed(function()
        local guest = vm.boot(spec)
        guest:run "true"
        return guest
    end)
    boots[i], booted[i] = seconds, guest
end
local boot = show("boot to first command", boots)
local booted_pss = 0
for _, guest in ipairs(booted) do
    booted_pss = booted_pss + pss(guest:info().pid) / #booted
end

local freezes = {}
local base
for i, guest in ipairs(booted) do
    if base then
        base:close()
    end
    freezes[i], base = timed(guest.template, guest)
end
show("template of 256 MiB", freezes)

local running, first, waking, closes = {}, {}, {}, {}
for i = 1, rounds do
    local begun = vm.now()
    local fork = base:fork { wait = "none" }
    running[i] = vm.now() - begun
    fork:run "true"
    first[i] = vm.now() - begun
    closes[i] = timed(fork.close, fork)
end
local run = show("fork to running", running)
local command = show("fork to first command", first, (", %.1fx faster than a boot"):format(boot / median(first)))
show("close", closes)

-- The same state in a QEMU that nobody manages: its command line as libvirt made it, without its monitor.
local function by_hand(fork)
    local words = {}
    for word in (fs.read(("/proc/%d/cmdline"):format(fork:info().pid)) or ""):gmatch "[^\0]+" do
        words[#words + 1] = word
    end
    local argv, skip = {}, { ["-chardev"] = true, ["-mon"] = true, ["-sandbox"] = true, ["-serial"] = true }
    local i = 1
    while i <= #words do
        if skip[words[i]] or words[i + 1] and words[i + 1]:find("charserial0", 1, true) then
            i = i + 2
        elseif words[i]:find "^-object$" and words[i + 1]:find("secret", 1, true) then
            i = i + 2
        elseif words[i] == "defer" then
            argv[#argv + 1] = "exec:cat " .. base.folder .. "/state"
            i = i + 1
        else
            argv[#argv + 1] = words[i]
            i = i + 1
        end
    end
    return argv
end

if fs.exists "/proc/self/cmdline" then
    local fork = base:fork { wait = "none" }
    local argv = by_hand(fork)
    fork:run "true"
    fork:close()
    local port = 20000 + fs.pid() % 20000
    local hands = {}
    for i, word in ipairs(argv) do
        argv[i] = word:gsub("hostfwd=tcp:127%.0%.0%.1:0%-:22", ("hostfwd=tcp:127.0.0.1:%d-:22"):format(port))
    end
    for i, word in ipairs(argv) do
        if word == "-S" then
            table.remove(argv, i)
            break
        end
    end
    -- The capability must be known before the stream is read: it goes over a monitor on standard input.
    for i, word in ipairs(argv) do
        if word:find "^exec:cat" then
            argv[i] = "defer"
        end
    end
    table.move({ "-qmp", "stdio" }, 1, 2, #argv + 1, argv)
    local disk = argv
    for _, word in ipairs(disk) do
        local path = word:match '"filename":"([^"]*/guests/[^"]*)"'
        if path then
            fs.mkdir_p(path:match "^(.*)/")
            require("vm.disk").overlay(path, base.folder .. "/" .. path:match "[^/]*$", "qcow2")
        end
    end
    for i = 1, math.min(rounds, 5) do
        local begun = vm.now()
        local process = assert(raw.process.start { argv = argv, stdin = true })
        local text = ""
        local function ask(command, wanted)
            process:queue(command .. "\n")
            while not text:find(wanted) do
                local stream, chunk = process:read(20)
                if stream == nil then
                    error("QEMU by hand ended: " .. text)
                end
                text = text .. chunk
            end
            text = ""
        end
        ask('{"execute":"qmp_capabilities"}', '"return"')
        ask('{"execute":"migrate-set-capabilities","arguments":{"capabilities":'
            .. '[{"capability":"x-ignore-shared","state":true}]}}', '"return"')
        ask(('{"execute":"migrate-incoming","arguments":{"uri":"exec:cat %s/state"}}'):format(base.folder), '"return"')
        local status = ""
        repeat
            process:queue '{"execute":"query-status"}\n'
            local _, chunk = process:read(20)
            status = status .. (chunk or "")
        until status:find '"status": "paused"' or status:find '"status": "running"' or #status > 100000
        ask('{"execute":"cont"}', '"return"')
        hands[i] = vm.now() - begun
        process:kill(9)
        process:wait(10)
        process:close()
    end
    local hand = show("QEMU by hand to running", hands)
    print(("%-44s %7.3f s more, %.2fx"):format("fork to running, beside it", run - hand, run / hand))
end

local one = timed(function()
    local fork <close> = base:fork()
    fork:run "true"
end)
local eight
local all = timed(function()
    eight = base:fork { count = 8 }
end)
local sum = 0
for _, fork in ipairs(eight) do
    sum = sum + pss(fork:info().pid)
end
print(("%-44s %7.3f s, %.2fx of one (%.3f s)"):format("8 forks at once to first command", all, all / command, one))
print(("%-44s %7.0f MiB, %.0f %% of eight booted guests (%.0f MiB each)"):format("their memory together (PSS)",
    sum / 2 ^ 20, 100 * sum / (8 * booted_pss), booted_pss / 2 ^ 20))
vm.parallel(eight, function(fork) fork:close() end)

local reverts = {}
do
    local fork <close> = base:fork()
    local snapshot = fork:snapshot "here"
    for i = 1, math.min(rounds, 10) do
        reverts[i] = timed(snapshot.revert, snapshot)
        fork:run "true"
    end
end
show("revert in place", reverts)

if arg[3] == "soak" then
    local function count()
        collectgarbage()
        local _, err = raw.fs.list "/proc/self/fd"
        local status = fs.read "/proc/self/status" or ""
        return { fds = err and 0 or #fs.list "/proc/self/fd", kib = tonumber(status:match "VmRSS:%s+(%d+)") or 0,
            files = #(fs.list(require("vm.run").open().dir .. "/guests") or {}) }
    end
    local function make(n)
        for _ = 1, n do
            local fork <close> = base:fork()
            fork:run "true"
        end
    end
    make(40)
    local before = count()
    make(200)
    local after = count()
    print(("200 forks in a row: descriptors %+d, files %+d, memory %+d KiB"):format(after.fds - before.fds,
        after.files - before.files, after.kib - before.kib))
end
base:close()
