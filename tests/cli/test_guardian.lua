-- The guardian: what happens to a run whose runtime is killed. The processes of the run are stand-ins
-- here (a tail whose command line names the run's folder, as QEMU's does); tests/e2e has real ones.
local vm = require "vm"
local host = require "vm.host"
local t = require "harness"
local cli = require "cli.cli"
local standin = require "cli.standin"

local fs, run = vm.raw.fs, vm.raw.run

local KILL <const>, TERM <const>, INT <const> = 9, 15, 2

local start_run, is_gone = standin.start, standin.is_gone

t.test("a_killed_runtime_leaves_nothing_after_seconds", function()
    local process <close>, r = start_run()
    t.equal(#run.processes { r.root, r.dir }, 2)
    process:kill(KILL)
    cli.wait_for("the guardian to clear up", function() return is_gone(r) end, 15)
    cli.wait_for("the guardian to end", function() return not cli.guardian(r.id) end, 15)
end)

t.test("a_forced_end_leaves_nothing_either", function()
    local process <close>, r = start_run "local _ <close> = setmetatable({}, { __close = function() vm.sleep(20) end })"
    process:kill(INT)
    process:expect(2, "cleaning up")
    cli.wait_for("a second signal to count", function()
        process:kill(TERM)
        return process.raw:wait(0.1)
    end)
    process:finish()
    t.match(process.text[2], "forced to end")
    cli.wait_for("the guardian to clear up", function() return is_gone(r) end, 15)
end)

t.test("an_interrupt_leaves_nothing_and_ends_the_guardian", function()
    local process <close>, r = start_run()
    process:kill(INT)
    t.equal(process:finish(), 130)
    t.check(is_gone(r), "something is left")
    t.check(not cli.guardian(r.id), "the guardian is left")
end)

t.test("the_guardian_outlives_what_is_meant_for_the_runtime", function()
    local process <close>, r = start_run()
    local guardian = t.check(cli.guardian(r.id), "no guardian")
    -- It takes its name once it ignores them.
    cli.wait_for("the guardian to be ready", function()
        return host.run({ "ps", "-o", "comm=", "-p", tostring(guardian) }).stdout:find "guard"
    end)
    for _, signal in ipairs { INT, TERM, 1 } do
        os.execute(("kill -%d %d"):format(signal, guardian))
    end
    process:kill(KILL)
    cli.wait_for("the guardian to clear up", function() return is_gone(r) end, 15)
end)

t.test("only_processes_of_that_run_are_killed_and_links_are_not_followed", function()
    local process <close>, r = start_run()
    local other = assert(fs.mkdtemp(cli.folder .. "/other-"))
    local kept = other .. "/kept"
    io.open(kept, "w"):close()
    assert(fs.symlink(other, r.dir .. "/link"))
    -- Its command line names a longer name that only begins like the run's.
    local _ <close> = assert(vm.raw.process.start {
        argv = { "tail", "-f", "/dev/null", "--", r.root .. "-other/file" },
    })
    process:kill(KILL)
    cli.wait_for("the guardian to clear up", function() return is_gone(r) end, 15)
    t.equal(#run.processes { r.root .. "-other" }, 1)
    t.check(fs.exists(kept), "a link was followed")
end)

t.test("twenty_runs_at_once_do_not_disturb_each_other", function()
    local processes, runs = {}, {}
    local _ <close> = setmetatable({}, { __close = function()
        for _, process in ipairs(processes) do
            process.raw:close()
        end
    end })
    vm.parallel({ 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20 }, function(i)
        local process, r = start_run()
        processes[#processes + 1] = process
        runs[#runs + 1] = r
        return i
    end)
    t.equal(#runs, 20)
    -- Every second one is killed; the others keep everything.
    for i = 1, 20, 2 do
        processes[i]:kill(KILL)
    end
    for i = 1, 20, 2 do
        cli.wait_for("a killed run to be cleared away", function() return is_gone(runs[i]) end, 30)
    end
    for i = 2, 20, 2 do
        local r = runs[i]
        t.check(fs.exists(r.root) and fs.exists(r.dir .. "/disk.qcow2"), "a living run has lost its files")
        t.equal(#run.processes { r.root, r.dir }, 2)
        processes[i]:kill(INT)
    end
    for i = 2, 20, 2 do
        t.equal(processes[i]:finish(), 130)
        t.check(is_gone(runs[i]), "something is left")
    end
end)

cli.clean()
t.finish()
