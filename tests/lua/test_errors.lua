-- Error objects: what they carry, how they are raised and shown.
local vm = require "vm"
local t = require "harness"
local errors = require "vm.errors"

t.test("an_error_has_a_kind_a_code_and_a_sentence", function()
    local err = errors.new("timeout", "the time is over", { code = 7, guest = "a" })
    t.equal(err.kind, "timeout")
    t.equal(err.code, 7)
    t.equal(err.guest, "a")
    t.equal(tostring(err), "the time is over")
    t.equal(errors.new("timeout", "x").code, 0)
end)

t.test("only_error_objects_are_errors_and_the_kind_can_be_asked_for", function()
    local err = errors.new("timeout", "x")
    t.equal(errors.is(err), true)
    t.equal(errors.is(err, "timeout"), true)
    t.equal(errors.is(err, "panic"), false)
    t.equal(errors.is { kind = "timeout" }, false)
    t.equal(errors.is "timeout", false)
    t.equal(errors.is(nil), false)
end)

t.test("fail_formats_and_raises", function()
    local err = t.raises(function()
        errors.fail("limit", "%s has %d of %d%%", "x", 3, 5)
    end, "limit", "^x has 3 of 5%%$")
    t.equal(err.message, "x has 3 of 5%")
end)

t.test("raise_hands_values_through_and_raises_what_failed", function()
    t.equal(table.pack(errors.raise(1, nil, 3)), { 1, nil, 3, n = 3 })
    t.equal(table.pack(errors.raise(nil)), { n = 2 })
    t.equal(errors.raise(false), false)
    t.raises(function() errors.raise(nil, errors.new("notfound", "gone")) end, "notfound", "^gone$")
end)

t.test("a_raw_failure_becomes_an_error_with_its_kind_and_errno", function()
    local value, err = vm.raw.fs.read "/no/such/file"
    t.equal(value, nil)
    t.equal(err.kind, "notfound")
    t.equal(err.code, 2)
    t.match(tostring(err), "/no/such/file.*No such file")
end)

t.test("a_prefix_goes_before_the_message_of_any_error", function()
    t.equal(errors.prefix(errors.new("exit", "status 1"), "guest a").message, "guest a: status 1")
    local err = errors.prefix("plain", "guest a")
    t.equal(err.kind, "script")
    t.equal(tostring(err), "guest a: plain")
end)

t.test("try_returns_nil_and_an_error_object_whatever_was_raised", function()
    t.equal(table.pack(vm.try(function() return 1, nil, 3 end)), { 1, nil, 3, n = 3 })
    local value, err = vm.try(errors.fail, "limit", "too much")
    t.equal(value, nil)
    t.equal(err.kind, "limit")
    value, err = vm.try(error, { my = "value" })
    t.equal(value, nil)
    t.equal(err.kind, "script")
    t.equal(err.value.my, "value")
    value, err = vm.try(error, "text", 0)
    t.equal(value, nil)
    t.equal(tostring(err), "text")
end)

t.test("try_does_not_catch_a_cancellation", function()
    local caught = false
    local task = vm.spawn(function()
        vm.try(vm.sleep, 60)
        caught = true
    end)
    vm.sleep(0)
    task:cancel()
    task:ended()
    t.equal(caught, false)
end)

t.test("an_error_raised_in_a_task_carries_where", function()
    local task = vm.spawn(function()
        errors.fail("limit", "too much")
    end)
    local _, err = pcall(task.join, task)
    t.equal(err.kind, "limit")
    t.match(err.traceback, "test_errors%.lua:%d+")
end)

t.test("only_the_users_frames_are_shown", function()
    local trace = table.concat({
        "stack traceback:",
        "\t[C]: in function 'error'",
        "\tvmatrix/vm/errors.lua:38: in function 'vm.errors.fail'",
        "\t(...tail calls...)",
        "\tmy.lua:3: in upvalue 'inner'",
        "\t(...tail calls...)",
        "\tmy.lua:9: in local 'chunk'",
        "\tvmatrix/vm/cli.lua:65: in function <vmatrix/vm/cli.lua:63>",
        "\t(...tail calls...)",
        "\t[C]: in ?",
    }, "\n")
    t.equal(errors.users_frames(trace), table.concat({
        "stack traceback:",
        "\tmy.lua:3: in upvalue 'inner'",
        "\t(...tail calls...)",
        "\tmy.lua:9: in main chunk",
    }, "\n"))
    t.equal(errors.users_frames "stack traceback:\n\t[C]: in ?\n\t(...tail calls...)", "")
end)

t.finish()
