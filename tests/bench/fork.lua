-- What a fork costs, beside a boot of the same guest and QEMU started by hand.
-- Run: vmatrix tests/bench/fork.lua [ROUNDS [ARCH]]; 10 rounds take about a minute. (What many in a row
-- leave behind: churn.lua with "fork".)
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

local running, first, closes = {}, {}, {}
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

-- The same state in a QEMU that nobody manages: its command line as libvirt made it, with a monitor on
-- standard input and a console that goes nowhere.
local function by_hand(fork)
    local words = {}
    for word in (fs.read(("/proc/%d/cmdline"):format(fork:info().pid)) or ""):gmatch "[^\0]+" do
        words[#words + 1] = word
    end
    local drop = { ["-mon"] = true, ["-sandbox"] = true, ["-add-fd"] = true }
    local argv, i = { words[1] }, 2
    while i <= #words do
        local word, value = words[i], words[i + 1] or ""
        if word == "-S" then
            i = i + 1
        elseif drop[word] or word == "-object" and value:find('"secret"', 1, true)
            or word == "-chardev" and not value:find("id=charserial0", 1, true) then
            i = i + 2
        elseif word == "-chardev" then
            table.move({ word, "null,id=charserial0" }, 1, 2, #argv + 1, argv)
            i = i + 2
        else
            argv[#argv + 1] = word:gsub("hostfwd=tcp:127%.0%.0%.1:%d+%-:22", "hostfwd=tcp:127.0.0.1:0-:22")
            i = i + 1
        end
    end
    return table.move({ "-qmp", "stdio" }, 1, 2, #argv + 1, argv)
end

-- Seconds until it runs.
local function start_by_hand(argv)
    local begun = vm.now()
    local process = assert(raw.process.start { argv = argv, stdin = true })
    local function ask(line, wanted)
        local text = ""
        process:queue(line .. "\n")
        while not text:find(wanted) do
            local stream, chunk = process:read(20)
            if stream == nil then
                error("QEMU by hand ended: " .. text)
            end
            text = text .. chunk
        end
        return text
    end
    ask('{"execute":"qmp_capabilities"}', '"return"')
    ask('{"execute":"migrate-set-capabilities","arguments":{"capabilities":'
        .. '[{"capability":"x-ignore-shared","state":true}]}}', '"return"')
    ask(('{"execute":"migrate-incoming","arguments":{"uri":"exec:cat %s/state"}}'):format(base.folder), '"return"')
    while ask('{"execute":"query-status"}', '"running": %a+'):find '"inmigrate"' do
        vm.sleep(0.001)
    end
    ask('{"execute":"cont"}', '"return"')
    local seconds = vm.now() - begun
    process:kill(9)
    process:wait(10)
    process:close()
    return seconds
end

if fs.exists "/proc/self/cmdline" then
    local fork = base:fork { wait = "none" }
    local argv = by_hand(fork)
    fork:close()
    for _, word in ipairs(argv) do
        local path = word:match '"filename":"([^"]*/guests/[^"]*)"'
        if path then
            fs.mkdir_p(path:match "^(.*)/")
            require("vm.images.disk").overlay(path, base.info.desc.disks[1].path, "qcow2")
        end
    end
    local hands = {}
    for i = 1, math.min(rounds, 5) do
        hands[i] = start_by_hand(argv)
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

base:close()
