-- Tasks: structure, cancellation, waiting where Lua can and cannot.
local vm = require "vm"
local t = require "harness"
local raw = vm.raw.task

local eager = vm.raw.build.gc_eager

local function closer(fn)
    return setmetatable({}, { __close = fn })
end

t.test("spawn_runs_beside_and_join_returns_all_results", function()
    local order = {}
    local task = vm.spawn(function(a, b)
        order[#order + 1] = "child"
        vm.sleep(0.01)
        return a + b, nil, "last"
    end, 1, 2)
    order[#order + 1] = "parent"
    t.equal(table.pack(task:join()), { 3, nil, "last", n = 3 })
    t.equal(order, { "parent", "child" })
    t.equal(task:status(), "done")
end)

t.test("join_raises_the_error_of_the_task_and_pcall_catches_it", function()
    local task = vm.spawn(function()
        error({ my = "value" })
    end)
    local ok, err = pcall(task.join, task)
    t.equal(ok, false)
    t.equal(err.my, "value")
    t.equal(task:status(), "failed")
end)

t.test("an_error_nobody_joins_fails_the_owner_at_once_and_cancels_its_other_tasks", function()
    local sibling_closed, reached = false, false
    local outer = vm.spawn(function()
        vm.spawn(function()
            local _ <close> = closer(function() sibling_closed = true end)
            vm.sleep(60)
        end)
        vm.spawn(function()
            vm.sleep(0.01)
            error("broken")
        end)
        pcall(vm.sleep, 60)
        reached = true
    end)
    local err = t.raises(function() outer:join() end, "script", "broken")
    t.check(err.traceback, "no traceback")
    t.check(sibling_closed, "the sibling was not cancelled")
    t.check(not reached, "pcall caught the failure of a child")
end)

t.test("a_task_ends_when_its_own_tasks_have_ended", function()
    local done = false
    local task = vm.spawn(function()
        vm.spawn(function()
            vm.sleep(0.05)
            done = true
        end)
        return "early"
    end)
    t.equal(task:join(), "early")
    t.check(done, "the inner task was still running")
end)

t.test("an_error_in_a_task_left_behind_by_a_finished_body_is_not_lost", function()
    local task = vm.spawn(function()
        vm.spawn(function()
            vm.sleep(0.02)
            error("late")
        end)
        return "early"
    end)
    t.raises(function() task:join() end, "script", "late")
end)

t.test("a_cancelled_tasks_close_handler_waits_and_completes", function()
    local steps = {}
    local task = vm.spawn(function()
        local _ <close> = closer(function(_, err)
            steps[#steps + 1] = err.kind
            vm.sleep(0.05)
            steps[#steps + 1] = "waited"
            local ok = pcall(error, "inner")
            steps[#steps + 1] = tostring(ok)
            t.equal(vm.parallel({ 1, 2 }, function(x) vm.sleep(0.01) return x end), { 1, 2 })
            steps[#steps + 1] = "spawned"
        end)
        vm.sleep(60)
    end)
    vm.sleep(0.01)
    task:cancel()
    t.raises(function() task:join() end, "cancelled")
    t.equal(steps, { "cancelled", "waited", "false", "spawned" })
    t.equal(task:status(), "cancelled")
end)

t.test("a_pcall_loop_cannot_survive_a_cancel", function()
    local rounds = 0
    local task = vm.spawn(function()
        while true do
            rounds = rounds + 1
            pcall(vm.sleep, 60)
            xpcall(vm.sleep, function(e) return e end, 60)
            vm.try(vm.sleep, 60)
            coroutine.resume(coroutine.create(function() vm.sleep(60) end))
        end
    end)
    vm.sleep(0.01)
    task:cancel()
    t.raises(function() task:join() end, "cancelled")
    t.equal(rounds, 1)
end)

t.test("an_error_in_a_close_handler_does_not_swallow_the_cancellation", function()
    local survived = false
    local task = vm.spawn(function()
        pcall(function()
            local _ <close> = closer(function() error("boom") end)
            vm.sleep(60)
        end)
        survived = true
    end)
    vm.sleep(0.01)
    task:cancel()
    t.raises(function() task:join() end, "cancelled")
    t.check(not survived)
end)

t.test("close_variables_run_and_may_wait_when_a_task_fails", function()
    local closed = false
    local task = vm.spawn(function()
        local _ <close> = closer(function()
            vm.sleep(0.02)
            closed = true
        end)
        error("x")
    end)
    t.raises(function() task:join() end)
    t.check(closed)
end)

t.test("a_task_cancelled_before_it_ran_never_runs", function()
    local ran = false
    local task = vm.spawn(function() ran = true end)
    task:cancel()
    t.raises(function() task:join() end, "cancelled")
    t.equal(task:status(), "cancelled")
    t.check(not ran)
end)

t.test("cancelling_reaches_the_tasks_of_a_task", function()
    local seen = 0
    local task = vm.spawn(function()
        for _ = 1, 3 do
            vm.spawn(function()
                local _ <close> = closer(function() seen = seen + 1 end)
                vm.sleep(60)
            end)
        end
        vm.sleep(60)
    end)
    vm.sleep(0.01)
    task:cancel()
    pcall(task.join, task)
    t.equal(seen, 3)
end)

t.test("timeout_cancels_what_runs_inside_it_and_raises_kind_timeout", function()
    local closed = false
    t.raises(function()
        vm.timeout(0.05, function()
            local _ <close> = closer(function() closed = true end)
            while true do
                pcall(vm.sleep, 60)
            end
        end)
    end, "timeout", "0.05 s")
    t.check(closed)
    t.equal(table.pack(vm.timeout("1m", function() return 1, 2 end)), { 1, 2, n = 2 })
end)

t.test("timeout_stops_a_computation_that_never_waits", function()
    t.raises(function()
        vm.timeout(0.1, function()
            while true do end
        end)
    end, "timeout")
end)

t.test("timeout_stops_a_computation_in_a_coroutine_of_the_script", function()
    t.raises(function()
        vm.timeout(0.1, function()
            while true do
                pcall(coroutine.wrap(function()
                    while true do end
                end))
            end
        end)
    end, "timeout")
end)

t.test("a_hook_of_the_script_is_left_in_place", function()
    local lines, begun = 0, os.clock()
    debug.sethook(function() lines = lines + 1 end, "l")
    while os.clock() - begun < 0.3 do
        lines = lines + 0
    end
    t.check(debug.gethook() ~= nil)
    debug.sethook()
    t.check(lines > 0)
end)

t.test("tasks_that_would_wait_for_each_other_for_ever_are_told", function()
    local a, b, c
    local function joins(next)
        return function()
            vm.sleep(0.01)
            return next():join()
        end
    end
    t.raises(function()
        vm.timeout(30, function()
            a = vm.spawn(joins(function() return b end))
            b = vm.spawn(joins(function() return a end))
        end)
    end, "usage", "that one waits for this one to end, so neither would ever end")
    t.raises(function()
        vm.timeout(30, function()
            a = vm.spawn(joins(function() return b end))
            b = vm.spawn(joins(function() return c end))
            c = vm.spawn(joins(function() return a end))
        end)
    end, "usage", "so neither would ever end")
end)

t.test("an_owner_that_waits_for_a_task_which_waits_for_the_owners_child_is_told", function()
    t.raises(function()
        vm.timeout(30, function()
            local outer
            local other = vm.spawn(function()
                vm.sleep(0.01)
                outer:join()
            end)
            outer = vm.spawn(function()
                vm.spawn(function()
                    vm.sleep(0.02)
                    other:join()
                end)
            end)
        end)
    end, "usage", "so neither would ever end")
end)

t.test("a_task_that_is_cancelled_while_it_joins_its_canceller_is_no_circle", function()
    local canceller
    local victim = vm.spawn(function() canceller:join() end)
    canceller = vm.spawn(function()
        vm.sleep(0.01)
        victim:cancel()
        victim:ended()
        return "done"
    end)
    t.equal(canceller:join(), "done")
end)

t.test("try_returns_nil_and_an_error_object", function()
    local value, err = vm.try(error, "text")
    t.equal(value, nil)
    t.equal(err.kind, "script")
    t.equal(table.pack(vm.try(function() return nil, 2 end)), { nil, 2, n = 2 })
end)

t.test("parallel_gives_results_in_order_and_respects_the_limit", function()
    local now, most = 0, 0
    local results = vm.parallel({ 5, 4, 3, 2, 1 }, function(x, i)
        now = now + 1
        most = math.max(most, now)
        vm.sleep(x / 200)
        now = now - 1
        return x * 10 + i
    end, { limit = 2 })
    t.equal(results, { 51, 42, 33, 24, 15 })
    t.equal(most, 2)
    t.equal(vm.parallel({}, print), {})
end)

t.test("the_first_error_in_parallel_cancels_the_rest_and_can_be_caught", function()
    local cancelled = 0
    local ok, err = pcall(vm.parallel, { 1, 2, 3 }, function(x)
        if x == 2 then
            vm.sleep(0.01)
            error("two")
        end
        local _ <close> = closer(function(_, e) cancelled = cancelled + (e and 1 or 0) end)
        vm.sleep(60)
    end)
    t.equal(ok, false)
    t.match(tostring(err), "two")
    t.equal(cancelled, 2)
end)

t.test("parallel_with_keep_going_finishes_the_rest_and_then_raises", function()
    local done = 0
    t.raises(function()
        vm.parallel({ 1, 2, 3 }, function(x)
            if x == 1 then error("one") end
            vm.sleep(0.01)
            done = done + 1
        end, { keep_going = true })
    end, nil, "one")
    t.equal(done, 2)
end)

t.test("a_semaphore_bounds_and_gives_back_also_on_cancel", function()
    local s = vm.semaphore(1)
    local first = s:acquire()
    local waiter = vm.spawn(function()
        local _ <close> = s:acquire()
    end)
    vm.sleep(0.01)
    waiter:cancel()
    pcall(waiter.join, waiter)
    first.release()
    first.release()
    local second <close> = vm.timeout(1, s.acquire, s)
    t.raises(function() vm.timeout(0.02, s.acquire, s) end, "timeout")
    t.check(second)
    t.raises(function() vm.semaphore(0) end, "usage")
end)

t.test("waiting_where_lua_cannot_says_what_to_do", function()
    local hint = "before or after"
    t.raises(function() table.sort({ 3, 1, 2 }, function() vm.sleep(0) end) end, "usage", hint)
    t.raises(function() string.gsub("abc", ".", function() vm.sleep(0) end) end, "usage", hint)
    package.preload.waits_while_loading = function() vm.sleep(0) end
    t.raises(function() require "waits_while_loading" end, "usage", hint)
    local nested = coroutine.wrap(function() vm.sleep(0) end)
    t.raises(function() string.gsub("a", ".", function() nested() end) end, "usage", hint)
end)

t.test("user_coroutines_work_and_hand_a_wait_up", function()
    local co = coroutine.create(function(a)
        vm.sleep(0.01)
        local b = coroutine.yield(a + 1)
        vm.sleep(0.01)
        local inner = coroutine.wrap(function()
            vm.sleep(0.01)
            coroutine.yield("inner")
        end)
        return inner() .. b
    end)
    local other = vm.spawn(function() return "beside" end)
    t.equal(table.pack(coroutine.resume(co, 1)), { true, 2, n = 2 })
    t.equal(coroutine.status(co), "suspended")
    t.equal(other:status(), "done")
    t.equal(table.pack(coroutine.resume(co, "x")), { true, "innerx", n = 2 })
    t.equal(coroutine.status(co), "dead")
    t.equal(table.pack(coroutine.resume(co)), { false, "cannot resume dead coroutine", n = 2 })
    t.equal(select("#", coroutine.wrap(function() end)()), 0)
end)

t.test("an_error_in_a_coroutine_closes_its_variables_which_may_wait", function()
    local closed = false
    local co = coroutine.create(function()
        local _ <close> = closer(function()
            vm.sleep(0.01)
            closed = true
        end)
        error("in co")
    end)
    local ok, err = coroutine.resume(co)
    t.equal(ok, false)
    t.match(err, "in co")
    t.check(closed)
end)

t.test("another_task_cannot_resume_a_coroutine_that_waits", function()
    local co = coroutine.create(function() vm.sleep(0.05) end)
    local task = vm.spawn(function() return coroutine.resume(co) end)
    vm.sleep(0.01)
    local message = "cannot resume a coroutine that is waiting in another task"
    t.equal(table.pack(coroutine.resume(co)), { false, message, n = 2 })
    t.equal(task:join(), true)
end)

t.test("a_task_cannot_yield_or_join_itself", function()
    t.raises(function() coroutine.yield() end, nil, "outside a coroutine")
    local me = raw.running()
    t.raises(function() me:join() end, "usage", "join itself")
end)

t.test("generic_for_metamethods_and_pcall_may_wait", function()
    local sum = 0
    for x in (function() vm.sleep(0) return sum < 3 and 1 or nil end) do
        sum = sum + x
    end
    t.equal(sum, 3)
    local object = setmetatable({}, {
        __index = function(_, k) vm.sleep(0) return k end,
        __add = function() vm.sleep(0) return 7 end,
    })
    t.equal(object.name, "name")
    t.equal(object + 1, 7)
    t.equal(select(2, xpcall(function() vm.sleep(0) return "x" end, print)), "x")
end)

t.test("gc_methods_cannot_wait_and_say_so", function()
    local seen
    do
        local _ = setmetatable({}, { __gc = function() seen = select(2, pcall(vm.sleep, 0)) end })
    end
    collectgarbage()
    collectgarbage()
    t.match(tostring(seen), "__gc")
end)

t.test("an_owned_object_is_closed_with_its_task_unless_it_is_returned", function()
    local scope = require "vm.task.scope"
    local closed = {}
    local function make(name)
        local object = { name = name, close = function() closed[#closed + 1] = name end }
        scope.own(object)
        return object
    end
    local task = vm.spawn(function()
        make "left"
        return make "returned", { make "in a list" }
    end)
    local outer = vm.spawn(function()
        local a, b = task:join()
        t.equal(closed, { "left" })
        t.equal(a.name, "returned")
        t.equal(b[1].name, "in a list")
    end)
    outer:join()
    table.sort(closed)
    t.equal(closed, { "in a list", "left", "returned" })
end)

t.test("what_cannot_wait_hands_its_closing_to_the_reaper", function()
    local reaper = require "vm.task.reaper"
    local closed = vm.raw.task.event()
    local object = { close = function()
        vm.sleep(0.01)
        closed:notify()
    end }
    local co = coroutine.create(function()
        local _ <close> = setmetatable({}, { __close = function() reaper.close(object) end })
        coroutine.yield()
    end)
    coroutine.resume(co)
    t.equal(coroutine.close(co), true)
    t.check(closed:wait(5), "it was not closed")
    reaper.close(object)
    t.check(closed:wait(0), "it was not closed at once")
end)

t.test("misuse_raises_and_names_what_was_expected", function()
    t.raises(function() vm.spawn("x") end, "usage", "vm.spawn: a function expected")
    t.raises(function() vm.sleep("soon") end, "usage", "vm.sleep: a time")
    t.raises(function() vm.parallel({}, print, { limits = 1 }) end, "usage", "did you mean 'limit'")
end)

t.test("ten_thousand_sleepers_finish_in_two_seconds_and_little_memory", function()
    local count = eager and 100 or vm.raw.build.sanitized and 1000 or 10000
    collectgarbage()
    local before = vm.raw.fs and vm.raw.build.resident() or 0
    local started, woken = vm.now(), 0
    for _ = 1, count do
        vm.spawn(function()
            vm.sleep(0.1)
            woken = woken + 1
        end)
    end
    local children = raw.children()
    t.equal(#children, count)
    vm.sleep(0.05)
    local growth = vm.raw.build.resident() - before
    for _, task in ipairs(children) do
        task:join()
    end
    local elapsed = vm.now() - started
    t.equal(woken, count)
    print(("      %d tasks: %.2f s, %.1f MB"):format(count, elapsed, growth / 1e6))
    if not vm.raw.build.sanitized and not eager then
        t.check(elapsed < 2, ("took %.2f s"):format(elapsed))
        t.check(growth < 40e6, ("grew by %.1f MB"):format(growth / 1e6))
    end
end)

t.finish()
