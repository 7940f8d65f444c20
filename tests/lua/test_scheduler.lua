-- The scheduler on simulated time: no machine, no clock.
local capacity = require "vm.test.capacity"
local scheduler = require "vm.test.scheduler"
local simulate = require "vm.test.simulate"
local t = require "harness"

-- Units from a list of { id, seconds, more... }; returns them and their executor.
local function units_of(list)
    local units, seconds = {}, {}
    for i, item in ipairs(list) do
        local unit = { id = item[1] }
        for name, value in pairs(item) do
            if type(name) == "string" then
                unit[name] = value
            end
        end
        unit.needs = unit.needs or { slots = 1 }
        seconds[unit] = item[2]
        units[i] = unit
    end
    return units, simulate.new(function(unit) return seconds[unit] end)
end

local function drive(list, opts)
    local units, executor = units_of(list)
    for _, unit in ipairs(units) do
        for i, id in ipairs(unit.deps or {}) do
            for _, other in ipairs(units) do
                if other.id == id then
                    unit.deps[i] = other
                end
            end
        end
    end
    opts.capacity = opts.capacity or capacity.new { slots = opts.slots }
    scheduler.new(units, opts):drive(executor)
    return executor
end

-- Durations as test suites have them: many short ones, a few long ones. The same for the same seed.
local function durations(count, seed)
    local list = {}
    math.randomseed(seed)
    for i = 1, count do
        list[i] = math.exp(math.random() * 2 + math.random() * 2)
    end
    return list
end

local function makespan(list, slots, known, seed)
    local items, total, longest = {}, 0, 0
    for i, seconds in ipairs(list) do
        items[i] = { "u" .. i, seconds, estimate = known and seconds or nil }
        total, longest = total + seconds, math.max(longest, seconds)
    end
    return drive(items, { slots = slots, seed = seed }).now / math.max(total / slots, longest)
end

t.test("with_known_durations_the_makespan_is_within_5_percent_of_the_lower_bound", function()
    for seed = 1, 6 do
        local ratio = makespan(durations(200, seed), 8, true, seed)
        t.check(ratio <= 1.05, ("seed %d: %.3f"):format(seed, ratio))
    end
end)

t.test("without_history_the_makespan_is_within_15_percent_of_the_lower_bound", function()
    for seed = 1, 6 do
        local ratio = makespan(durations(200, seed), 8, false, seed)
        t.check(ratio <= 1.15, ("seed %d: %.3f"):format(seed, ratio))
    end
end)

t.test("what_is_known_of_tests_alike_puts_the_long_ones_first", function()
    local items, total, longest = {}, 0, 0
    math.randomseed(7)
    for arch = 1, 10 do
        for name = 1, 20 do
            local seconds = (arch == 10 and 8 or 1) * (name == 20 and 10 or 1) * (0.9 + math.random() * 0.2)
            total, longest = total + seconds, math.max(longest, seconds)
            items[#items + 1] = { ("a%d:%d"):format(arch, name), seconds,
                traits = { "arch=" .. arch, "test=" .. name } }
        end
    end
    for seed = 1, 4 do
        local ratio = drive(items, { slots = 8, seed = seed }).now / math.max(total / 8, longest)
        t.check(ratio <= 1.3, ("seed %d: %.3f"):format(seed, ratio))
    end
end)

t.test("never_more_runs_than_the_capacity_has", function()
    local held, most = 0, 0
    local pool = capacity.new { memory = 100 }
    local counting = {
        take = function(_, needs)
            local ok, why = pool:take(needs)
            held = held + (ok and needs.memory or 0)
            most = math.max(most, held)
            return ok, why
        end,
        give = function(_, needs, kept)
            held = held - needs.memory
            pool:give(needs, kept)
        end,
    }
    local items = {}
    for i = 1, 200 do
        items[i] = { "u" .. i, i % 7 + 1, needs = { memory = i % 50 + 1 } }
    end
    drive(items, { capacity = counting, seed = 3 })
    t.check(most <= 100 and most > 90, "at most " .. most)
    t.equal(held, 0)
end)

t.test("a_big_one_is_started_after_at_most_patience_others", function()
    local items = { { "first", 10, needs = { memory = 50 }, priority = 2 },
        { "big", 5, needs = { memory = 100 }, priority = 1 } }
    for i = 1, 100 do
        items[#items + 1] = { "small" .. i, 7 + i % 3, needs = { memory = 25 } }
    end
    local done = drive(items, { capacity = capacity.new { memory = 100 }, patience = 4 })
    local at
    for i, id in ipairs(done.order) do
        at = id == "big" and i or at
    end
    t.equal(at, 6) -- the first, four past it, and then itself
    t.equal(#done.order, 102)
end)

t.test("a_unit_waits_for_what_it_depends_on", function()
    local done = drive({
        { "check", 1, deps = { "build" } }, { "install", 1, deps = { "check" } }, { "build", 5 },
    }, { slots = 4 })
    t.equal(done.order, { "build", "check", "install" })
    t.equal(done.now, 7)
end)

t.test("a_long_chain_goes_before_a_longer_single_one", function()
    local done = drive({
        { "single", 6, estimate = 6 }, { "a", 3, estimate = 3 }, { "b", 3, estimate = 3, deps = { "a" } },
        { "c", 3, estimate = 3, deps = { "b" } }, { "filler", 3, estimate = 3 },
    }, { slots = 2 })
    t.equal(done.order[1], "a")
    t.equal(done.now, 9)
end)

t.test("limits_bound_how_many_use_a_thing_and_are_1_unless_told", function()
    local items = {}
    for i = 1, 10 do
        items[i] = { "m" .. i, 1, limits = { "machine" } }
        items[10 + i] = { "n" .. i, 1, limits = { "pair" } }
    end
    local done = drive(items, { slots = 8, limits = { pair = 2 } })
    t.equal(done.peak, 3)
    t.equal(done.now, 10)
end)

t.test("the_order_is_that_of_the_seed", function()
    local items = {}
    for i = 1, 50 do
        items[i] = { "u" .. i, 1 }
    end
    local function order(seed)
        return table.concat(drive(items, { slots = 2, seed = seed }).order, " ")
    end
    t.equal(order(1), order(1))
    t.check(order(1) ~= order(2))
    t.check(order(5) ~= "u1", "not shuffled")
end)

t.test("a_group_is_started_together", function()
    local items = {}
    for i = 1, 40 do
        items[i] = { "u" .. i, 1, group = "g" .. i % 4 }
    end
    local changes, last = 0, nil
    for _, id in ipairs(drive(items, { slots = 1, seed = 9 }).order) do
        local group = tonumber(id:match "%d+") % 4
        changes = changes + (group ~= last and 1 or 0)
        last = group
    end
    t.equal(changes, 4)
end)

t.test("a_higher_priority_goes_first", function()
    local done = drive({ { "long", 9, estimate = 9 }, { "short", 1, estimate = 1, priority = 1 } }, { slots = 1 })
    t.equal(done.order, { "short", "long" })
end)

t.test("what_is_dropped_is_not_started_and_nothing_waits_for_it", function()
    local units = units_of { { "a", 1 }, { "b", 1 }, { "c", 1 } }
    units[2].deps, units[3].deps = { units[1] }, { units[2] }
    local s = scheduler.new(units, { capacity = capacity.new { slots = 1 } })
    local a = s:next()
    t.equal(a.id, "a")
    t.check(s:drop(units[2]))
    t.equal(s:next(), nil) -- c waits for a now
    t.check(not s:drop(units[2]))
    t.check(not s:drop(a), "what runs cannot be dropped")
    s:finish(a, 1)
    t.equal(s.left, 1)
    t.equal(s:next().id, "c")
end)

t.test("a_limit_that_is_widened_lets_go_of_who_waited", function()
    local units = units_of { { "a", 1, limits = { "x" } }, { "b", 1, limits = { "x" } }, { "c", 1, limits = { "x" } } }
    local s = scheduler.new(units, { capacity = capacity.new { slots = 9 } })
    s:next()
    t.equal(s:next(), nil)
    s:widen("x", 9)
    t.check(s:next() and s:next())
end)

t.test("what_is_kept_at_the_end_stays_taken", function()
    local pool = capacity.new { memory = 10 }
    local units = units_of { { "a", 1, needs = { memory = 8 } }, { "b", 1, needs = { memory = 8 } } }
    units[2].deps = { units[1] }
    local s = scheduler.new(units, { capacity = pool })
    s:finish(s:next(), 1, { memory = 8 })
    t.equal(s:next(), nil)
    pool:give { memory = 8 }
    t.equal(s:next().id, "b")
end)

t.test("ten_thousand_units_that_wait_for_one_machine_are_scheduled_in_a_second", function()
    local build = require("vm.raw").build
    local items = {}
    for i = 1, build.gc_eager and 1000 or 10000 do
        items[i] = { "u" .. i, 1, limits = { "machine" } }
    end
    local begun = os.clock()
    drive(items, { slots = 8 })
    t.check(os.clock() - begun < (build.sanitized and 20 or 5), ("%.2f s"):format(os.clock() - begun))
end)

t.finish()
