-- How near the scheduler comes to the lower bound, max(total / slots, longest), on simulated durations:
-- 200 cells on 8 slots. The yardstick is 1.05 with known durations and 1.15 without; other runners'
-- orders (as written, random) stand beside it.
--   cmake --build --preset release --target bench_makespan
local capacity = require "vm.test.capacity"
local scheduler = require "vm.test.scheduler"
local simulate = require "vm.test.simulate"

local CELLS <const>, SLOTS <const>, SEEDS <const> = 200, 8, 40

-- Kinds of suites: seconds of each unit, and what it has in common with others.
local suites = {
    { "alike", function() return 10 + math.random() end },
    { "uniform 1 to 60 s", function() return 1 + math.random() * 59 end },
    { "many short, few long", function() return math.exp(math.random() * 2 + math.random() * 2) end },
    { "5 architectures x 40 tests", function(i)
        local arch, name = i % 5, i // 5
        return (arch + 1) * (1 + name % 8) * (0.9 + math.random() * 0.2)
    end },
}

local function ratio(list, known, seed)
    local units, seconds, total, longest = {}, {}, 0, 0
    for i, s in ipairs(list) do
        local unit = { id = "u" .. i, needs = { slots = 1 }, estimate = known and s or nil,
            traits = { "arch=" .. i % 5, "test=" .. i // 5 } }
        units[i], seconds[unit] = unit, s
        total, longest = total + s, math.max(longest, s)
    end
    local executor = simulate.new(function(unit) return seconds[unit] end)
    scheduler.new(units, { capacity = capacity.new { slots = SLOTS }, seed = seed }):drive(executor)
    return executor.now / math.max(total / SLOTS, longest)
end

-- Whoever is next in the list takes the next free slot.
local function as_written(list)
    local free, total, longest = {}, 0, 0
    for slot = 1, SLOTS do
        free[slot] = 0
    end
    for _, s in ipairs(list) do
        local best = 1
        for slot = 2, SLOTS do
            best = free[slot] < free[best] and slot or best
        end
        free[best] = free[best] + s
        total, longest = total + s, math.max(longest, s)
    end
    return math.max(table.unpack(free)) / math.max(total / SLOTS, longest)
end

local function median(list)
    table.sort(list)
    return list[(#list + 1) // 2], list[#list]
end

print "makespan / lower bound (median, worst)        known          without history  as written"
for _, suite in ipairs(suites) do
    local known, unknown, plain = {}, {}, {}
    for seed = 1, SEEDS do
        math.randomseed(seed)
        local list = {}
        for i = 1, CELLS do
            list[i] = suite[2](i - 1)
        end
        known[seed], unknown[seed], plain[seed] = ratio(list, true, seed), ratio(list, false, seed), as_written(list)
    end
    local a, b = median(known)
    local c, d = median(unknown)
    local e, f = median(plain)
    print(("%-44s  %.3f, %.3f   %.3f, %.3f     %.3f, %.3f"):format(suite[1], a, b, c, d, e, f))
end
