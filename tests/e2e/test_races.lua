-- timeout: 600
-- Real guests: two things at once, and what must not be taken for something else.
local vm = require "vm"
local t = require "harness"
local host = require "vm.host"

local MEMORY = "256MiB"

-- One guest for all tests but those that close theirs.
local shared = vm.create { image = "seed", memory = MEMORY, name = "raced" }
shared:start()
t.baseline()

local function qemus(name)
    local found = host.run { "sh", "-c", ("ps -eo args | grep -c '[q]emu-system.*guest=%s,' || true"):format(name) }
    return tonumber(found.stdout)
end

t.test("the_end_of_an_earlier_life_is_not_taken_for_a_crash", function()
    for _ = 1, 5 do
        shared:kill()
        shared:start { wait = "none" }
        vm.sleep(0.1)
        t.equal(shared:state(), "running")
        shared:check_alive("now")
    end
end)

t.test("a_guest_that_is_killed_or_stopped_ends_a_wait_on_its_console_at_once", function()
    for _, verb in ipairs { "kill", "stop" } do
        if shared:state() == "stopped" then
            shared:start()
        end
        local waiting = vm.spawn(vm.try, shared.wait_console, shared, "never", { timeout = 100 })
        vm.sleep(0.1)
        shared[verb](shared)
        local _, err = vm.timeout(10, waiting.join, waiting)
        t.equal(err.kind, "closed", verb)
        t.match(err.message, "not running")
    end
end)

t.test("escape_sequences_of_a_guest_stay_out_of_messages", function()
    shared:start()
    shared:run "echo 'Kernel panic - not syncing: says a program' >/dev/console"
    shared:wait_console("says a program", { timeout = 20 })
    shared:run "true" -- it is none: this kernel stamps its lines
    local text = "[   99.123456] Kernel panic - not syncing: \\033[31mred \\302\\233 \\033]0;title\\007\\n"
    local command = ("printf '%s' >/dev/console; sleep 20"):format(text)
    local err = t.raises(function() shared:exec(command) end, "panic", "not syncing: red")
    t.check(not err.message:find("[\27\7]") and not err.message:find("\xc2\x9b"), "they are there")
    t.check(not err.console:find("[\27\7]"), "they are there")
end)

t.test("after_a_revert_an_old_panic_is_forgotten", function()
    shared:kill()
    shared:start()
    local fine = shared:snapshot "fine"
    t.raises(function() shared:exec "echo c > /proc/sysrq-trigger; sleep 20" end, "panic")
    fine:revert()
    shared:run "echo still here >/dev/console"
    shared:wait_console("still here", { timeout = 20 })
    shared:run "true"
    t.raises(function() shared:exec "echo c > /proc/sysrq-trigger; sleep 20" end, "panic")
    fine:revert()
end)

t.test("each_forward_to_the_same_port_has_its_own_port_here", function()
    local first = shared:forward(80)
    t.equal(shared:port(80), first)
    local second = shared:forward(80)
    t.check(second ~= first, "it is the first one")
end)

t.test("a_guest_closed_while_it_starts_leaves_no_qemu_and_the_start_says_so", function()
    for _, delay in ipairs { 0, 0.02, 0.2 } do
        local guest = vm.create { image = "seed", memory = MEMORY, name = "short-lived" }
        local starting = vm.spawn(vm.try, guest.start, guest)
        vm.sleep(delay)
        guest:close()
        local _, err = starting:join()
        t.equal(err.kind, "closed")
        t.equal(qemus("short-lived"), 0)
    end
end)

t.test("a_start_that_is_cancelled_leaves_no_qemu", function()
    t.raises(function()
        vm.timeout(0.1, function()
            local guest = vm.create { image = "seed", memory = MEMORY, name = "cancelled" }
            guest:start { wait = "none" }
            vm.sleep(60)
        end)
    end, "timeout")
    t.equal(qemus("cancelled"), 0)
end)

t.test("two_who_close_both_wait_for_the_end_and_the_name_is_free_then", function()
    local guest = vm.boot { image = "seed", memory = MEMORY, name = "twice", wait = "none" }
    local folder = guest.files.folder
    local other = vm.spawn(guest.close, guest)
    vm.sleep(0)
    guest:close()
    t.check(not vm.raw.fs.exists(folder), "the second one did not wait")
    other:join()
    local again = vm.boot { image = "seed", memory = MEMORY, name = "twice", wait = "none" }
    local closing = vm.spawn(again.close, again)
    vm.sleep(0)
    closing:cancel()
    pcall(closing.join, closing)
    local third <close> = vm.create { image = "seed", memory = MEMORY, name = "twice" }
    t.equal(third:state(), "stopped")
end)

shared:close()
t.finish()
