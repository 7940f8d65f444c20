-- What tasks own: closed with them, handed on by them, never lost and never closed under somebody.
local vm = require "vm"
local t = require "harness"
local scope = require "vm.task.scope"

-- A thing as a guest is one, that the running task owns; closing takes a moment.
local function make(name, closed, seconds)
    local object = { name = name }
    function object:close()
        if not self.closed then
            self.closed = true
            vm.sleep(seconds or 0)
            closed[#closed + 1] = name
        end
        scope.disown(self)
    end
    scope.own(object)
    return object
end

t.test("a_cancellation_while_things_are_being_closed_spares_none_of_them", function()
    local closed = {}
    local task = vm.spawn(function()
        make("a", closed, 0.05)
        make("b", closed, 0.05)
        make("c", closed, 0.05)
    end)
    vm.sleep(0.02)
    task:cancel()
    t.raises(function() task:join() end, "cancelled")
    t.equal(closed, { "b", "a" }, "c was interrupted in its own close")
end)

t.test("a_failing_close_spares_none_either_and_is_raised", function()
    local closed = {}
    local task = vm.spawn(function()
        make("a", closed)
        scope.own { close = function() error "cannot" end }
        make("c", closed)
    end)
    t.raises(function() task:join() end, nil, "cannot")
    t.equal(closed, { "c", "a" })
end)

t.test("what_a_task_returned_and_nobody_joined_for_is_closed_with_its_owner", function()
    local closed = {}
    local object
    vm.spawn(function()
        local inner = vm.spawn(function()
            object = make("returned", closed)
            return object
        end)
        vm.sleep(0.01)
        t.equal(inner:status(), "done")
        t.equal(closed, {})
    end):join()
    t.equal(closed, { "returned" })
end)

t.test("what_is_returned_by_a_task_that_then_fails_to_close_is_closed_with_its_owner", function()
    local closed = {}
    local task = vm.spawn(function()
        pcall(vm.timeout, 0.02, function()
            local returned = make("returned", closed)
            make("slow", closed, 0.05)
            return returned
        end)
        t.equal(closed, {})
    end)
    task:join()
    t.equal(closed, { "returned" })
end)

t.test("it_passes_to_the_first_who_joins_and_only_to_that_one", function()
    local closed = {}
    local task = vm.spawn(function() return make("x", closed) end)
    local first = vm.spawn(function()
        task:join()
        vm.sleep(0.05)
        return #closed
    end)
    vm.sleep(0.01)
    vm.spawn(function() task:join() end):join()
    t.equal(closed, {})
    t.equal(first:join(), 0)
    t.equal(closed, { "x" })
end)

t.test("it_passes_on_from_deep_inside_plain_tables_that_may_be_cyclic", function()
    local closed = {}
    vm.spawn(function()
        local got = vm.timeout(10, function()
            local list = { by = { arch = { make("deep", closed) } } }
            list.self = list
            return list
        end)
        t.equal(closed, {})
        t.equal(got.by.arch[1].name, "deep")
    end):join()
    t.equal(closed, { "deep" })
end)

t.test("closed_by_a_child_it_is_no_longer_its_owners", function()
    local closed = {}
    vm.spawn(function()
        local object = make("x", closed)
        vm.spawn(object.close, object):join()
        t.equal(closed, { "x" })
    end):join()
    t.equal(closed, { "x" })
end)

t.test("each_call_of_parallel_ends_what_it_owns_and_hands_on_what_it_returns", function()
    local closed, open, most = {}, 0, 0
    vm.spawn(function()
        local kept = vm.parallel({ 1, 2, 3, 4 }, function(n)
            open = open + 1
            most = math.max(most, open)
            scope.own { close = function() open = open - 1 end }
            return { make("kept " .. n, closed) }
        end, { limit = 1 })
        t.equal(#kept, 4)
        t.equal(closed, {})
    end):join()
    t.equal(most, 1)
    t.equal(#closed, 4)
end)

t.test("parallel_raises_an_error_of_any_value_and_closes_what_the_others_returned", function()
    local closed = {}
    for _, value in ipairs { "text", false } do
        local ok, err = vm.spawn(function()
            return pcall(vm.parallel, { 1, 2 }, function() error(value, 0) end, { keep_going = true })
        end):join()
        t.equal(ok, false)
        t.match(tostring(err), tostring(value))
    end
    t.check(not pcall(vm.parallel, { 1 }, function() error() end, { keep_going = true }))
    vm.spawn(function()
        pcall(vm.parallel, { 1, 2 }, function(n)
            if n == 1 then
                return make("of the first", closed)
            end
            vm.sleep(0.02)
            error "second"
        end)
    end):join()
    t.equal(closed, { "of the first" })
end)

t.test("what_is_being_made_is_closed_at_once_when_that_fails_or_is_cancelled", function()
    local count = 0
    local object = { close = function()
        vm.sleep(0.01)
        count = count + 1
    end }
    t.equal(scope.or_close(object, function(...) return ... end, "made"), "made")
    t.equal(count, 0)
    t.raises(function() scope.or_close(object, error, "not to be had") end, nil, "not to be had")
    t.equal(count, 1)
    local maker = vm.spawn(scope.or_close, object, vm.sleep, 100)
    vm.sleep(0.01)
    maker:cancel()
    maker:ended()
    t.equal(count, 2)
end)

t.test("all_who_wait_for_a_connection_that_fails_hear_of_it", function()
    local waiting = {}
    for i = 1, 4 do
        waiting[i] = vm.spawn(vm.try, vm.connect, "qemu+unix:///system?socket=/nonexistent")
    end
    for _, task in ipairs(waiting) do
        local conn, err = task:join()
        t.equal(conn, nil)
        t.equal(err.kind, "connection")
    end
end)

t.finish()
