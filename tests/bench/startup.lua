-- How long `vmatrix -e ''` takes from start to end, beside its peers: virsh, which links the same
-- libraries, and Python with libvirt's bindings. The programs take turns, so that all meet the same load.
-- Run with a release build: vmatrix tests/bench/startup.lua [ROUNDS]     (41 unless told otherwise)
local vm = require "vm"
local host = require "vm.host"

local rounds = tonumber(arg[1] or 41)

local programs = {
    { name = "vmatrix -e ''", argv = { vm.raw.run.program(), "-e", "" } },
    { name = "virsh --version", argv = { "virsh", "--version" }, wanted = 1.15 },
    -- The system's own Python: others do not see the package.
    { name = "python3 -c 'import libvirt'", argv = { "/usr/bin/python3", "-c", "import libvirt" }, wanted = 0.5 },
    { name = "true (what starting any program costs)", argv = { "true" } },
}

local function run_once(argv)
    local started = vm.now()
    local process <close> = assert(vm.raw.process.start { argv = argv })
    local status = assert(process:wait(60))
    return vm.now() - started, status
end

local function median(list)
    local sorted = table.move(list, 1, #list, 1, {})
    table.sort(sorted)
    return sorted[(#sorted + 1) // 2]
end

local present = {}
for _, program in ipairs(programs) do
    local there = program.argv[1]:find "^/" or host.which(program.argv[1])
    local ran, status = pcall(function() return select(2, run_once(program.argv)) end)
    if there and ran and status == 0 then
        program.times, program.ratios = {}, {}
        present[#present + 1] = program
    else
        print(("%-42s not here"):format(program.name))
    end
end

for _ = 1, rounds do
    for _, program in ipairs(present) do
        table.insert(program.times, (run_once(program.argv)))
    end
    for _, program in ipairs(present) do
        table.insert(program.ratios, present[1].times[#present[1].times] / program.times[#program.times])
    end
end

for _, program in ipairs(present) do
    local line = ("%-42s %6.2f ms"):format(program.name, median(program.times) * 1000)
    if program.wanted then
        line = ("%s  vmatrix is %.2fx of it (wanted <= %.2fx)"):format(line, median(program.ratios), program.wanted)
    end
    print(line)
end
