-- timeout: 600
-- Real guests: start, stop, state, console, ports, crashes and panics.
local vm = require "vm"
local t = require "harness"

local MIB = 1024 * 1024

-- One guest for the tests that leave it running.
local shared = vm.boot { image = "seed", name = "shared", memory = "256MiB", forward = { 80 } }
t.baseline()

t.test("a_booted_guest_says_what_it_is", function()
    t.equal(shared:state(), "running")
    local info = shared:info()
    t.equal(info.cpus, info.accel == "tcg" and 1 or 2)
    t.equal(info.memory, 256 * MIB)
    t.check(info.cpu_time > 0 and info.pid > 1)
    t.equal(info.disks[1].size, 20 * 1024 * MIB)
    t.check(info.accel == "tcg" or info.accel == "kvm" or info.accel == "hvf")
    t.match(tostring(shared), "^guest shared %(")
    t.match(shared:console(), "vmatrix: ready")
end)

t.test("a_command_on_a_terminal_gets_the_end_of_its_input_and_ends_by_itself", function()
    for _ = 1, 5 do
        local result = shared:exec("tty; cat; echo end", { pty = true, timeout = 60 })
        t.match(result.stdout, "^/dev/pts/%d+\r\nend\r\n$")
        t.equal(result.status, 0)
    end
    t.match(shared:output("cat", { pty = true, stdin = "a line\n", timeout = 60 }), "^a line\r\na line")
end)

t.test("a_log_in_to_an_emulated_guest_may_take_three_times_as_long", function()
    shared:run "true"
    t.equal(shared.conn.opts.timeout, shared.emulated and 90 or 30)
end)

t.test("suspend_and_resume_change_the_state", function()
    shared:suspend()
    t.equal(shared:state(), "paused")
    shared:resume()
    t.equal(shared:state(), "running")
end)

t.test("ports_are_told_and_added_while_it_runs", function()
    t.check(shared:port(22) > 1024)
    t.check(shared:port(80) > 1024)
    t.raises(function() shared:port(81) end, "notfound", "guest:forward%(81%)")
    local port = shared:forward(81)
    t.equal(shared:port(81), port)
    t.raises(function() shared:forward { guest = 82, host = port } end, "exists", "is taken")
end)

t.test("wait_console_goes_on_where_the_last_wait_ended_and_rewinds", function()
    t.equal(shared:wait_console("vmatrix: ready", { since = "boot" }), "vmatrix: ready")
    local err = t.raises(function() shared:wait_console("vmatrix: ready", { timeout = 0.2 }) end, "timeout", "0.2 s")
    t.match(err.console, "vmatrix: ready")
    t.equal(shared:wait_console("vmatrix: re%a+", { since = "boot", pattern = true }), "vmatrix: ready")
end)

t.test("stop_is_polite_and_start_boots_the_same_disk_again", function()
    local guest <close> = vm.boot { image = "seed", memory = "256MiB" }
    guest:run "echo kept > /tmp/x; dd if=/tmp/x of=/dev/vda conv=sync 2>/dev/null; sync"
    t.equal(guest:stop(), "polite")
    t.equal(guest:state(), "stopped")
    t.raises(function() guest:exec "true" end, "closed", "not running")
    guest:start()
    t.equal(guest:output "head -c 4 /dev/vda", "kept")
    guest:kill()
    t.equal(guest:state(), "stopped")
    guest:kill()
    t.equal(guest:stop(), "polite")
end)

t.test("reboot_starts_the_kernel_again", function()
    local guest <close> = vm.boot { image = "seed", memory = "256MiB" }
    local before = guest:output "cat /proc/sys/kernel/random/boot_id"
    guest:reboot()
    t.check(guest:output "cat /proc/sys/kernel/random/boot_id" ~= before, "it is the same boot")
end)

t.test("a_killed_qemu_ends_every_wait_at_once_with_the_signal_and_the_console", function()
    local guest <close> = vm.boot { image = "seed", memory = "256MiB" }
    local waits = {
        vm.spawn(vm.try, guest.wait_console, guest, "never", { timeout = 60 }),
        vm.spawn(vm.try, guest.exec, guest, "sleep 60"),
        vm.spawn(vm.try, guest.wait_file, guest, "/never", { timeout = 60 }),
    }
    vm.sleep(0.5)
    local started = vm.now()
    require("vm.host").run { "kill", "-9", ("%d"):format(guest:info().pid) }
    for _, task in ipairs(waits) do
        local _, err = task:join()
        t.equal(err.kind, "crashed")
        t.match(err.message, "signal 9")
        t.match(err.message, "vmatrix: ready")
        t.equal(err.guest, guest.name)
    end
    t.check(vm.now() - started < 5, "the waits went on")
    t.raises(function() guest:exec "true" end, "crashed")
end)

t.test("a_kernel_panic_ends_every_wait_and_can_be_ignored", function()
    local crash = "echo c > /proc/sysrq-trigger"
    local guest <close> = vm.boot { image = "seed", memory = "256MiB" }
    local err = t.raises(function() guest:exec(crash, { timeout = 30 }) end, "panic", "Kernel panic %- not syncing")
    t.match(err.console, "Kernel panic")
    t.raises(function() guest:wait_console("text that never comes", { timeout = 30 }) end, "panic")
    local other <close> = vm.boot { image = "seed", memory = "256MiB", panic = "ignore" }
    other:run(("(sleep 0.2; %s) >/dev/null 2>&1 </dev/null &"):format(crash))
    t.equal(other:wait_console("Kernel panic - not syncing", { timeout = 30 }), "Kernel panic - not syncing")
    local _, other_err = vm.try(other.wait_console, other, "nothing more", { timeout = 1 })
    t.check(other_err.kind ~= "panic", tostring(other_err))
end)

t.test("a_closed_guest_says_so_and_closes_twice", function()
    local guest = vm.create { image = "seed", memory = "256MiB" }
    guest:close()
    guest:close()
    t.raises(function() guest:start() end, "closed", ": start: the guest is closed$")
    t.raises(function() guest:exec "true" end, "closed")
end)

t.test("a_guest_is_closed_with_its_task_and_passes_to_who_joins", function()
    local inside
    local task = vm.spawn(function()
        inside = vm.create { image = "seed", memory = "256MiB" }
        return vm.create { image = "seed", memory = "256MiB" }
    end)
    local guest <close> = task:join()
    t.raises(function() inside:state() end, "closed")
    t.equal(guest:state(), "stopped")
end)

t.test("wait_console_works_without_a_login_and_commands_say_what_is_missing", function()
    local guest <close> = vm.boot { image = "seed", memory = "256MiB", nics = {}, wait = "console" }
    t.raises(function() guest:exec "true" end, "usage", "no \"nat\" network card")
    t.raises(function() guest:wait_ready() end, "usage", "no \"nat\" network card")
end)

t.test("snapshots_keep_memory_and_disk_and_form_a_tree", function()
    local guest <close> = vm.boot { image = "seed", memory = "256MiB" }
    guest:run "echo one > /tmp/state; dd if=/tmp/state of=/dev/vda conv=sync,fsync 2>/dev/null"
    local one = guest:snapshot("one", { description = "first" })
    guest:run "echo two > /tmp/state; dd if=/tmp/state of=/dev/vda conv=sync,fsync 2>/dev/null"
    guest:snapshot "two"
    local tree = guest:snapshots()
    t.equal(#tree, 1)
    t.equal(tree[1].name, "one")
    t.equal(tree[1].children[1].name, "two")
    t.check(tree[1].created > 1600000000 and tree[1].vm_size > 1000000)
    local pid, port = guest:info().pid, guest:port(22)
    one:revert()
    t.equal(guest:output "cat /tmp/state", "one")
    t.equal(guest:output "head -c 3 /dev/vda", "one")
    t.equal(guest:info().pid, pid)
    t.equal(guest:port(22), port)
    guest:revert "two"
    t.equal(guest:output "cat /tmp/state", "two")
    one:delete { children = true }
    t.equal(guest:snapshots(), {})
    t.raises(function() guest:revert "one" end, nil, "one")
end)

t.test("snapshots_of_a_stopped_guest_keep_the_disk", function()
    local guest <close> = vm.create { image = "seed", memory = "256MiB" }
    local clean = guest:snapshot "clean"
    guest:start()
    guest:run "echo dirt | dd of=/dev/vda conv=sync,fsync 2>/dev/null"
    guest:stop()
    clean:revert()
    t.equal(guest:state(), "stopped")
    guest:start()
    t.equal(guest:output "head -c 4 /dev/vda | tr '\\0' -", "----")
end)

shared:close()
t.finish()
