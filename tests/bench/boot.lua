-- Boots a seed guest of three architectures, each alone and then all at once, to the first command.
-- With cores enough, all at once should take what the slowest takes alone; else the sum over the cores.
-- Run: vmatrix tests/bench/boot.lua [ROUNDS]     (3 unless told otherwise)
local vm = require "vm"

local rounds = tonumber(arg[1] or 3)
local arches = { "x86_64", "aarch64", "riscv64" }

local function boot(arch)
    local started = vm.now()
    local guest <close> = vm.boot { image = "seed", arch = arch, memory = "256MiB", cpus = 1, timeout = 300 }
    guest:run "true"
    return vm.now() - started
end

local function median(list)
    local sorted = table.move(list, 1, #list, 1, {})
    table.sort(sorted)
    return sorted[(#sorted + 1) // 2]
end

boot "x86_64" -- the embedded driver and QEMU's capabilities are there from now on
local alone, together = {}, {}
for _ = 1, rounds do
    for _, arch in ipairs(arches) do
        alone[arch] = alone[arch] or {}
        table.insert(alone[arch], boot(arch))
    end
    local started = vm.now()
    vm.parallel(arches, boot)
    table.insert(together, vm.now() - started)
end

local sum, slowest = 0, 0
for _, arch in ipairs(arches) do
    local time = median(alone[arch])
    print(("%-8s alone %6.2f s"):format(arch, time))
    sum, slowest = sum + time, math.max(slowest, time)
end
local cores = vm.raw.fs.cpu_count()
local floor = math.max(slowest, sum / cores)
print(("all at once  %6.2f s on %d cores: %.2f x of %s (%.2f s)"):format(median(together), cores,
    median(together) / floor, floor == slowest and "the slowest alone" or "their sum over the cores", floor))
