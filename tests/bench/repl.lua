-- The prompt: how soon it is there after exec, how soon a key is echoed while 50 streams print, and how long
-- completing among 1,000 names takes. On a terminal of its own, by script(1).
-- Run with a release build: vmatrix tests/bench/repl.lua [ROUNDS] [guests]     (21 unless told otherwise)
-- The 50 streams are processes of this host (perl) that print a line every 20 ms each, read by a task each and
-- printed above the line: what 50 guests would send, without their machines' load. With "guests" they are that, in
-- a further measurement: 50 forks of one seed guest, a line every 200 ms each, since emulated ones take a core
-- for less than 20 of them otherwise; what is measured then is the host's scheduler as well.
local vm = require "vm"
local complete = require "vm.repl.complete"

local rounds = tonumber(arg[1] or 21)
local program = assert(vm.raw.fs.realpath(vm.raw.run.program())) -- not what a shell would call itself

local STREAMS <const> = [[
streams = 0
for i = 1, 50 do
    vm.spawn(function()
        local argv = { "perl", "-e", "$| = 1; while (1) { print qq(stream " .. i ..
            " says a line\\n); select(undef, undef, undef, 0.02) }" }
        local process <close> = assert(vm.raw.process.start { argv = argv })
        while true do
            local _, chunk = process:read(10)
            streams = streams + 1
            io.write(chunk)
        end
    end)
end
]]

local GUESTS <const> = [[
streams = 0
local template = vm.boot { image = "seed", memory = "256MiB" }:template()
for i, guest in ipairs(template:fork { count = 50 }) do
    vm.spawn(function()
        local process <close> = guest:spawn("while :; do echo 'stream " .. i .. " says a line'; sleep 0.2; done")
        while true do
            local chunk = process:read()
            streams = streams + 1
            io.write(chunk)
        end
    end)
end
]]

local function start(script)
    local line = ("stty rows 40 cols 120; exec '%s'%s"):format(program, script and (" -i '%s'"):format(script) or "")
    return assert(vm.raw.process.start { argv = { "env", "TERM=xterm", "script", "-qec", line, "/dev/null" },
        stdin = true })
end

-- Reads until the text has come; the time at which it had.
local function await(process, text, seconds)
    local seen, deadline = "", vm.now() + seconds
    while not seen:find(text, 1, true) do
        local stream, chunk = process:read(math.max(0.001, deadline - vm.now()))
        if not stream then
            error(("%q did not come: %q"):format(text, seen))
        end
        seen = (seen .. chunk):sub(-4096)
    end
    return vm.now()
end

local function median(list)
    table.sort(list)
    return list[(#list + 1) // 2], list[math.ceil(#list * 0.95)]
end

local function say(what, list, wanted)
    local middle, most = median(list)
    print(("%-48s %7.2f ms median, %7.2f ms 95%%   (wanted <= %g ms)"):format(what, middle * 1000, most * 1000, wanted))
end

local prompts, bare = {}, {}
for i = 1, rounds do
    -- What the terminal and the shell around it cost is taken off.
    local begun = vm.now()
    do
        local process <close> = assert(vm.raw.process.start { argv = { "env", "TERM=xterm", "script", "-qec",
            "stty rows 40 cols 120; exec printf 'vm> '", "/dev/null" }, stdin = true })
        bare[i] = await(process, "vm> ", 20) - begun
    end
    begun = vm.now()
    local process <close> = start()
    prompts[i] = await(process, "vm> ", 20) - begun - bare[i]
end
say("from exec to the prompt", prompts, 30)

local function echoes(process)
    local times = {}
    for i = 1, rounds * 5 do
        local key = "QWERTZUIOSFGXVNY" -- in no stream, and in no sequence that moves the cursor
        key = key:sub(i % #key + 1, i % #key + 1)
        local begun = vm.now()
        assert(process:queue(key))
        times[i] = await(process, key, 5) - begun
        assert(process:queue "\21") -- the line is taken away
        vm.sleep(0.013)
    end
    return times
end

do
    local process <close> = start()
    await(process, "vm> ", 20)
    say("a key's echo, nothing else going on", echoes(process), 5)
end
local function measure_beside(what, script, patience)
    local folder = assert(vm.raw.fs.mkdtemp(vm.raw.fs.tmpdir() .. "/vmb-"))
    local _ <close> = setmetatable({}, { __close = function() vm.raw.fs.remove_tree(folder) end })
    assert(vm.raw.fs.write_atomic(folder .. "/streams.lua", "vm = require 'vm'\n" .. script))
    local process <close> = start(folder .. "/streams.lua")
    await(process, "stream 50 says", patience)
    say(what, echoes(process), 5)
end

measure_beside("a key's echo while 50 streams print", STREAMS, 60)
if arg[2] == "guests" then
    measure_beside("a key's echo while 50 guests print", GUESTS, 150)
end

_G.vm = vm
for i = 1, 1000 do
    _G[("name_%04d"):format(i)] = i
end
local begun = vm.now()
complete.answer("vm.bo", "")
print(("%-48s %7.2f ms, once a session: the annotations are read"):format("the first completion",
    (vm.now() - begun) * 1000))
local times = {}
for i = 1, rounds do
    begun = vm.now()
    local _, _, listing = complete.answer("name_", "")
    times[i] = vm.now() - begun
    assert(listing)
end
say("completing among 1,000 names, with the listing", times, 20)
