-- Tasks: errors that come at the worst moment, and code that holds on to life.
local vm = require "vm"
local t = require "harness"
local host = require "vm.host"
local raw = vm.raw.task

local function closer(fn)
    return setmetatable({}, { __close = fn })
end

-- Runs a script in a program of its own; its exit status and what it wrote.
local function program(code)
    local result = host.run({ vm.raw.run.program(), "-e", code }, { timeout = 60, check = false })
    return result.status, result.stdout, result.stderr
end

t.test("error_objects_whose_metamethods_raise_are_handled_like_any_other", function()
    local bad = setmetatable({}, {
        __index = function() error "index" end,
        __tostring = function() error "tostring" end,
    })
    local outer = vm.spawn(function()
        vm.spawn(function() error(bad) end)
        vm.sleep(60)
    end)
    local ok, err = pcall(outer.join, outer)
    t.equal(ok, false)
    t.check(rawequal(err, bad))
    local status, _, stderr = program [[
        local bad = setmetatable({}, { __tostring = function() error "tostring" end })
        vm.spawn(function()
            local _ <close> = setmetatable({}, { __close = function() error(bad) end })
            vm.sleep(60)
        end)
        vm.sleep(0.01)
        error "first"]]
    t.equal(status, 1)
    t.match(stderr, "cannot be shown as text")
    t.match(stderr, "vmatrix: .*first")
end)

t.test("a_cancellation_of_another_task_that_nobody_handles_is_an_error", function()
    local outer = vm.spawn(function()
        vm.spawn(function()
            local task = vm.spawn(vm.sleep, 60)
            task:cancel()
            task:join()
        end)
        vm.sleep(60)
    end)
    t.raises(function() outer:join() end, "cancelled", "was cancelled")
    local status, _, stderr = program "local task = vm.spawn(vm.sleep, 60) task:cancel() task:join()"
    t.equal(status, 1)
    t.match(stderr, "was cancelled")
end)

t.test("an_error_whose_joiner_is_cancelled_at_that_moment_is_logged", function()
    local _, _, stderr = program [[
        local event = vm.raw.task.event()
        local joiner
        local failing = vm.spawn(function()
            event:wait()
            joiner:cancel()
            error "precious"
        end)
        joiner = vm.spawn(function() failing:join() end)
        vm.sleep(0.01)
        event:notify()
        pcall(joiner.join, joiner)]]
    t.match(stderr, "while it was ending: .*precious")
end)

t.test("a_long_chain_of_owners_is_cancelled_at_once", function()
    local depth = vm.raw.build.gc_eager and 50 or 3000
    local ended = 0
    local function nest(left)
        local _ <close> = closer(function() ended = ended + 1 end)
        if left > 1 then
            vm.spawn(nest, left - 1)
        end
        vm.sleep(60)
    end
    local top = vm.spawn(nest, depth)
    for _ = 1, depth do
        vm.sleep(0)
    end
    top:cancel()
    t.raises(function() top:join() end, "cancelled")
    t.equal(ended, depth)
end)

t.test("a_clean_up_that_takes_too_long_is_ended_even_if_it_tries_for_ever", function()
    local before = raw.grace(0.05)
    local _ <close> = closer(function() raw.grace(before) end)
    local tries, last = 0, false
    local task = vm.spawn(function()
        local _ <close> = closer(function() last = true end)
        local _ <close> = closer(function()
            while true do
                tries = tries + 1
                pcall(vm.sleep, 60)
            end
        end)
        vm.sleep(60)
    end)
    vm.sleep(0.01)
    task:cancel()
    t.raises(function() task:join() end, "cancelled")
    t.equal(tries, 1)
    t.check(last, "the other handler did not run")
end)

t.test("neither_coroutine_close_nor_load_catches_a_cancellation", function()
    local survived = {}
    local function forever() while true do end end
    for name, fn in pairs {
        close = function()
            local co = coroutine.create(function()
                local _ <close> = closer(forever)
                coroutine.yield()
            end)
            coroutine.resume(co)
            coroutine.close(co)
        end,
        load = function() load(forever) end,
    } do
        t.raises(function()
            vm.timeout(0.05, function()
                fn()
                survived[#survived + 1] = name
            end)
        end, "timeout")
    end
    t.equal(survived, {})
end)

t.test("os_exit_does_not_return_wherever_it_is_called", function()
    local places = {
        ["in a task"] = "vm.spawn(function() os.exit(7) end) vm.sleep(60)",
        ["in a coroutine in a pcall"] = "pcall(coroutine.wrap(function() os.exit(7) end)) print 'on'",
        ["in a close handler of a cancelled task"] = [[
            local task = vm.spawn(function()
                local _ <close> = setmetatable({}, { __close = function() os.exit(7) print 'on' end })
                vm.sleep(60)
            end)
            vm.sleep(0.01) task:cancel() vm.sleep(60)]],
        ["in a comparator"] = "table.sort({ 2, 1, 3 }, function() os.exit(7) end) print 'on'",
    }
    for where, code in pairs(places) do
        local status, stdout, stderr = program(code)
        t.equal(status, 7, where)
        t.equal(stdout .. stderr, "", where)
    end
    local status, stdout = program [[
        setmetatable({}, { __gc = function() os.exit(7) end })
        collectgarbage()
        vm.sleep(60) print 'on']]
    t.equal(status, 7, "in a __gc method")
    t.equal(stdout, "")
end)

t.finish()
