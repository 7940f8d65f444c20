-- Runs whose runtime and guardian were both killed: `vmatrix prune`, and the next start.
local vm = require "vm"
local t = require "harness"
local cli = require "cli.cli"
local standin = require "cli.standin"

local fs, run = vm.raw.fs, vm.raw.run

local KILL <const>, STOP <const>, INT <const> = 9, 19, 2

local start_run, is_gone = standin.start, standin.is_gone

-- A run of which only its files and its QEMU are left.
local function dead_run()
    local process <close>, r = start_run()
    process:kill(STOP)
    local guardian = t.check(cli.guardian(r.id), "no guardian")
    os.execute(("kill -%d %d"):format(KILL, guardian))
    process:kill(KILL)
    process:finish()
    cli.wait_for("the guardian's end", function() return not cli.guardian(r.id) end)
    t.equal(#run.processes { r.root }, 1)
    return r
end

t.test("prune_kills_and_removes_what_a_dead_run_left_and_says_so", function()
    local r = dead_run()
    local result = cli.run { "prune" }
    t.equal(result.status, 0, result.stderr)
    t.check(result.stdout ~= "nothing to remove\n", "held by: " .. standin.holders(r))
    t.match(result.stdout, "run " .. r.id .. ": process %d+ %(%w+%) killed")
    t.match(result.stdout, "run " .. r.id .. ": " .. r.root:gsub("%-", "%%-") .. " removed")
    t.match(result.stdout, "run " .. r.id .. ": " .. r.ram:gsub("%-", "%%-") .. " removed")
    t.check(is_gone(r), "something is left")
end)

t.test("prune_has_nothing_to_do_twice", function()
    local result = cli.run { "prune" }
    t.equal(result.stdout, "nothing to remove\n")
    t.equal(result.status, 0)
end)

t.test("a_dry_run_says_what_would_go_and_leaves_it", function()
    local r = dead_run()
    local result = cli.run { "prune", "--dry-run", "--json" }
    local found = assert(vm.raw.json.decode(result.stdout))
    t.equal(found.count, 1)
    t.equal(found.runs[1].id, r.id)
    t.equal(#found.runs[1].processes, 2)
    t.equal(found.runs[1].done, false)
    t.check(fs.exists(r.root) and fs.exists(r.ram), "it was removed")
    t.equal(#run.processes { r.root }, 1)
    t.equal(cli.run({ "prune" }).status, 0)
    t.check(is_gone(r), "something is left")
end)

t.test("a_living_run_is_never_touched", function()
    local process <close>, alive = start_run()
    local dead = dead_run()
    local result = cli.run { "prune" }
    t.check(is_gone(dead), "the dead one is left")
    t.check(not result.stdout:find(alive.id, 1, true), result.stdout)
    for _, folder in ipairs { alive.root, alive.dir, alive.ram } do
        t.check(fs.exists(folder), "the living run has lost " .. folder)
    end
    t.equal(#run.processes { alive.root }, 1)
    process:kill(INT)
    t.equal(process:finish(), 130)
    t.check(is_gone(alive), "something is left")
end)

t.test("the_next_start_clears_up_by_itself_and_silently", function()
    local r = dead_run()
    local result = cli.run { "-e", "require 'vm.run'.open()" }
    t.equal(result.status, 0)
    t.equal(result.stdout, "")
    t.equal(result.stderr, "")
    t.check(is_gone(r), "something is left")
end)

t.test("folders_without_a_record_are_found_by_what_they_say_of_their_owner", function()
    local r = dead_run()
    assert(fs.unlink(r.root .. ".run"))
    t.equal(cli.run({ "prune" }).status, 0)
    t.check(not fs.exists(r.dir) and not fs.exists(r.ram) and not fs.exists(r.root), "a folder is left")
end)

t.test("several_prunes_at_once_do_it_once", function()
    local r = dead_run()
    local results = vm.parallel({ 1, 2, 3, 4 }, function()
        return cli.run { "prune" }
    end)
    for _, result in ipairs(results) do
        t.equal(result.status, 0, result.stderr)
        t.equal(result.stderr, "")
    end
    t.check(is_gone(r), "something is left")
end)

t.test("a_prune_that_is_killed_half_way_is_finished_by_the_next_one", function()
    local halves = 0
    for i = 1, 3 do
        local r = dead_run()
        for n = 1, 60 do -- something to do
            local folder = ("%s/guests/g%d"):format(r.dir, n)
            assert(fs.mkdir_p(folder))
            for m = 1, 10 do
                assert(fs.write_atomic(("%s/%d"):format(folder, m), "x"))
            end
        end
        local process <close> = cli.start { "prune" }
        vm.sleep(0.02 * i)
        process:kill(KILL)
        process:finish()
        halves = halves + (fs.exists(r.root .. ".run") and 1 or 0)
        local again = cli.run { "prune" }
        t.equal(again.status, 0, again.stderr)
        t.check(is_gone(r), "something is left")
        t.equal(#run.processes { r.root }, 0)
    end
    t.check(halves > 0, "none was killed before its end")
end)

cli.clean()
t.finish()
