-- What the engine costs: 1,000 cells with one test that runs nothing but `true` on one live SSH machine,
-- against a loop that does the same. Prints milliseconds a cell; the yardstick is 3 ms above the loop.
--   cmake --build --preset release --target bench_matrix
local vm = require "vm"
local plan_of = require "vm.matrix.plan"
local sshd = require "ssh.sshd"

local CELLS <const> = tonumber(os.getenv "BENCH_CELLS") or 1000
local ROUNDS <const> = 3

local folder = assert(vm.raw.fs.mkdtemp "vmatrix-bench-")
local server <close> = sshd.start()
local there <close> = vm.ssh(server:options())
there:run "true"

local function loop()
    local begun, cpu = vm.now(), os.clock()
    for _ = 1, CELLS do
        there:run "true"
    end
    return (vm.now() - begun) * 1000 / CELLS, (os.clock() - cpu) * 1000 / CELLS
end

local numbers = {}
for i = 1, CELLS do
    numbers[i] = ("n%04d"):format(i)
end

local function engine()
    local all = plan_of.all { vm.matrix { axes = { n = numbers }, guest = function() return there end,
        tests = { noop = function(g) g:run "true" end } } }
    local plan = plan_of.of(all, all.tests)
    local begun, cpu = vm.now(), os.clock()
    local code = require("vm.test").run(plan, { output = folder })
    assert(code == 0, "not all passed")
    return (vm.now() - begun) * 1000 / CELLS, (os.clock() - cpu) * 1000 / CELLS
end

local function median(list)
    table.sort(list)
    return list[(#list + 1) // 2]
end

local loops, engines, loop_cpu, engine_cpu, over = {}, {}, {}, {}, {}
for i = 1, ROUNDS do
    loops[i], loop_cpu[i] = loop()
    engines[i], engine_cpu[i] = engine()
    over[i] = engines[i] - loops[i]
end
print(("bare loop  %6.2f ms a command, CPU %.2f ms"):format(median(loops), median(loop_cpu)))
print(("engine     %6.2f ms a cell,    CPU %.2f ms"):format(median(engines), median(engine_cpu)))
print(("overhead   %6.2f ms a cell (yardstick 3.00)"):format(median(over)))
assert(vm.raw.fs.remove_tree(folder))
