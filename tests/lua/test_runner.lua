-- The runner on machines that are none: `exec` answers at once. What needs real guests is in
-- tests/e2e/test_matrix_run.lua.
local problems = require "vm.matrix.problems"
local plan_of = require "vm.matrix.plan"
local vm = require "vm"
local t = require "harness"

local fs = vm.raw.fs
local folder = fs.mkdtemp "vmatrix-test-"

-- A fake machine: what its commands do is a function of the test's.
local function fake(name, answer)
    local machine = { name = name or "fake" }
    function machine.exec(self, command, opts)
        local seen <close> = require("vm.remote.watch").begin(self, "exec", command, opts or {})
        local result = answer and answer(command) or { ok = true, status = 0, stdout = "done\n", stderr = "" }
        if seen then
            seen:output("stdout", result.stdout)
            seen:ended(result)
        end
        return result
    end
    return machine
end

local count = 0

-- Runs a matrix; returns the exit code and the verdicts by the test's name, in cells of one.
local function run(def, opts)
    count = count + 1
    local machine = fake("fake-" .. count)
    def.guest = def.guest or function() return machine end
    local found = problems.new()
    local all = plan_of.all({ vm.matrix(def) }, { problems = found })
    t.equal(table.concat(found:lines(), "\n"), "")
    local plan = plan_of.of(all, all.tests)
    opts = opts or {}
    opts.output = folder
    if opts.before then
        opts.before()
        opts.before = nil
    end
    local events = {}
    local path
    opts.listen = function(store)
        path = store.path
        store:listen(function(event) events[#events + 1] = event end)
    end
    local code = require("vm.test").run(plan, opts)
    local results = {}
    for _, file in ipairs(fs.glob(path .. "/results/*.json")) do
        local data = vm.raw.json.decode(assert(fs.read(file, 1 << 20)))
        for name, result in pairs(data.tests) do
            results[name] = result
            results[data.cell .. ":" .. name] = result
        end
    end
    return code, results, events, path
end

local function outcomes(results)
    local out = {}
    for name, result in pairs(results) do
        if not name:find ":" then
            out[name] = result.outcome
        end
    end
    return out
end

local function fail(kind)
    error(require("vm.errors").new(kind, "it is " .. kind), 0)
end

t.test("each_way_to_end_has_its_own_outcome", function()
    local code, results = run { tests = {
        passes = function(g) g:exec "true" end,
        fails = function(_, f) f:equal(1, 2) end,
        swallows = function(_, f) pcall(function() f:check(false, "caught") end) end,
        skips = function(_, f) f:skip "not here" end,
        loses = function() fail "connection" end,
        expected = { expect_fail = "bug 1", run = function(_, f) f:check(false) end },
        unexpected = { expect_fail = function() return "bug 2" end, run = function() end },
        said = function(_, f)
            f:expect_fail "bug 3"
            f:check(false)
        end,
        raises = function() error "plain" end,
    } }
    t.equal(code, 1)
    t.equal(outcomes(results), { passes = "passed", fails = "failed", swallows = "failed", skips = "skipped",
        loses = "error", expected = "xfail", unexpected = "xpass", said = "xfail", raises = "failed" })
    t.equal(results.skips.reason, "not here")
    t.equal(results.swallows.checks[1].message:match "caught$", "caught")
    t.equal(results.loses.attempts[1].error.kind, "connection")
    t.equal(results.passes.attempts[1].how, "machine")
    t.match(results.raises.attempts[1].error.message, "test_runner.lua:%d+: plain")
end)

t.test("exit_codes_are_0_for_all_well_and_3_for_infrastructure_alone", function()
    t.equal(run { tests = { a = function() end, b = function(_, f) f:skip "x" end } }, 0)
    t.equal(run { tests = { a = function() end, b = function() fail "crashed" end } }, 3)
end)

t.test("retries_are_counted_and_what_passes_then_is_flaky", function()
    local tries = {}
    local function nth(name, outcomes_)
        return function(_, f)
            tries[name] = (tries[name] or 0) + 1
            local what = outcomes_[tries[name]]
            if what == "error" then
                fail "connection"
            end
            f:check(what == "ok", what)
            f:log("attempt %d", f.attempt)
        end
    end
    local code, results, events = run { retries = 2, tests = {
        flaky = nth("flaky", { "bad", "ok" }),
        never = nth("never", { "bad", "bad", "bad" }),
        lucky = nth("lucky", { "error", "ok" }),
        steady = nth("steady", { "ok" }),
    } }
    t.equal(code, 1)
    t.equal(outcomes(results), { flaky = "flaky", never = "failed", lucky = "passed", steady = "passed" })
    t.equal({ #results.flaky.attempts, #results.never.attempts, #results.steady.attempts }, { 2, 3, 1 })
    t.equal(results.lucky.reason, "after 1 infrastructure error")
    local retries = 0
    for _, event in ipairs(events) do
        retries = retries + (event.event == "retry" and 1 or 0)
    end
    t.equal(retries, 4)
end)

t.test("repeat_gives_a_rate_with_its_interval", function()
    local n = 0
    local _, results = run({ tests = { a = function(_, f)
        n = n + 1
        f:check(n % 5 ~= 0)
    end } }, { ["repeat"] = 20 })
    t.equal(results.a.outcome, "flaky")
    t.equal({ results.a.rate.runs, results.a.rate.failed }, { 20, 4 })
    t.match(results.a.reason, "^4 of 20 runs failed %(20.0 %%, 95 %% confidence: 8.1 to 41.6 %%%)$")
    t.equal(#results.a.attempts, 20)
end)

t.test("a_test_that_takes_too_long_is_warned_of_and_fails", function()
    local code, results, events = run { tests = { slow = { timeout = 1.2, run = function(g)
        g:exec "make"
        vm.sleep(60)
    end } } }
    t.equal(code, 1)
    t.equal(results.slow.attempts[1].error.kind, "timeout")
    t.match(results.slow.attempts[1].error.message, "not done within its time limit of 1.2 s")
    local warning
    for _, event in ipairs(events) do
        warning = event.event == "warning" and event or warning
    end
    t.match(warning.text, "80 %% of the time limit of 1.2 s are over; the last output %(\"make\"%):\n  done")
end)

t.test("a_pcall_does_not_save_a_test_from_its_time_limit", function()
    local begun = vm.now()
    local _, results = run { tests = { slow = { timeout = 0.3, run = function()
        while true do
            pcall(vm.sleep, 60)
        end
    end } } }
    t.equal(results.slow.outcome, "failed")
    t.check(vm.now() - begun < 10)
end)

t.test("the_cells_time_limit_ends_the_running_test_and_the_rest_is_not_run", function()
    local code, results = run { cell_timeout = 0.5, isolation = "cell", tests = {
        { name = "a", timeout = 0.5, run = function() vm.sleep(60) end },
        { name = "b", timeout = 0.5, run = function() end },
    } }
    t.equal(code, 1)
    t.equal(outcomes(results), { a = "failed", b = "error" })
    t.match(results.b.reason, "the cell's time limit of 0.5 s is over")
end)

t.test("the_runs_time_limit_leaves_no_test_without_a_verdict_and_none_passed_that_was_not_run", function()
    local code, results = run({ isolation = "cell", tests = {
        { name = "a", run = function() vm.sleep(60) end },
        { name = "b", run = function() end },
    } }, { timeout = 0.5 })
    t.equal(code, 1)
    t.equal(outcomes(results), { a = "failed", b = "error" })
    t.match(results.a.attempts[1].error.message, "the run's time limit")
end)

t.test("fail_fast_starts_nothing_more", function()
    local ran = 0
    local axes = { n = { "n1", "n2", "n3", "n4", "n5", "n6", "n7", "n8" } }
    local code, results = run({ axes = axes, tests = { a = function(_, f)
        ran = ran + 1
        f:check(false)
    end } }, { fail_fast = true, jobs = 1 })
    t.equal(code, 1)
    t.equal(ran, 1)
    local skipped = 0
    for n = 1, 8 do
        local result = results["n" .. n .. ":a"]
        skipped = skipped + (result.outcome == "skipped" and result.reason:find "fail%-fast" and 1 or 0)
    end
    t.equal(skipped, 7)
end)

t.test("what_starts_from_a_test_that_did_not_pass_is_skipped_all_along", function()
    local _, results = run { tests = {
        build = function(_, f) f:check(false) end,
        check = { from = "build", run = function() end },
        install = { from = "check", run = function() end },
        other = function() end,
        sick = function() fail "crashed" end,
        after = { from = "sick", run = function() end },
    } }
    t.equal(outcomes(results), { build = "failed", check = "skipped", install = "skipped", other = "passed",
        sick = "error", after = "skipped" })
    t.equal(results.check.reason, "build failed")
    t.equal(results.install.reason, "check was skipped")
    t.equal(results.after.reason, "sick had an error")
end)

t.test("isolation_cell_runs_tests_in_their_order_also_after_a_skipped_one", function()
    local order = {}
    local function note(name, fn)
        return { name = name, run = function(g, f)
            order[#order + 1] = name
            if fn then
                fn(g, f)
            end
        end }
    end
    local third = note "c"
    third.from = "a"
    local first = note("a", function(_, f) f:check(false) end)
    local _, results = run { isolation = "cell", tests = { first, note "b", third, note "d" } }
    t.equal(order, { "a", "b", "d" })
    t.equal(outcomes(results), { a = "failed", b = "passed", c = "skipped", d = "passed" })
end)

t.test("setup_and_teardown_run_around_each_test_also_a_failed_one", function()
    local seen = {}
    local function note(what)
        return function(_, f) seen[#seen + 1] = what .. " " .. f.name end
    end
    local _, results = run { isolation = "cell", setup = note "setup", teardown = note "teardown", tests = {
        { name = "a", run = function(_, f) f:check(false) end }, { name = "b", run = function() end },
    } }
    t.equal(seen, { "setup a", "teardown a", "setup b", "teardown b" })
    t.equal(outcomes(results), { a = "failed", b = "passed" })
    _, results = run { setup = function(_, f) f:check(false) end, tests = { a = function() end } }
    t.equal({ results.a.outcome, results.a.reason }, { "failed", "in setup" })
    _, results = run { teardown = function() error "left over" end, tests = { a = function() end } }
    t.equal({ results.a.outcome, results.a.reason }, { "failed", "in teardown" })
end)

t.test("secrets_are_in_no_file_of_the_run", function()
    local machine = fake("secretive", function()
        return { ok = true, status = 0, stdout = "the key is hunter2-key\n", stderr = "" }
    end)
    local _, results, _, path = run({ secrets = { "hunter2-key" }, guest = function() return machine end, tests = {
        a = function(g, f)
            g:exec "login --key hunter2-key"
            f:log "hunter2-key"
            f:record("key", "hunter2-key")
            f:section("with hunter2-key", function() f:equal(g:exec("x").stdout, "hunter2-key") end)
        end,
    } }, { argv = { "-D", "key=hunter2-key" } })
    t.equal(results.a.outcome, "failed")
    t.match(fs.read(fs.glob(path .. "/logs/*")[1], 65536), "login %-%-key %*%*%*")
    local host = require "vm.host"
    local found = host.run({ "grep", "-rl", "hunter2-key", path }, { check = false })
    t.equal(found.stdout, "")
end)

t.test("a_guest_that_cannot_be_described_is_an_error_of_its_cell_alone", function()
    local planned = false
    local code, results = run({ axes = { n = { "n1", "n2" } }, tests = { a = function() end }, guest = function(cell)
        if cell.n == "n1" and planned then
            error "no such thing"
        end
        return fake "other"
    end }, { before = function() planned = true end })
    t.equal(code, 3)
    t.equal({ results["n1:a"].outcome, results["n2:a"].outcome }, { "error", "passed" })
    t.match(results["n1:a"].error.message, "no such thing")
end)

t.test("max_parallel_bounds_how_many_use_a_machine_at_once", function()
    local at_once, most = 0, 0
    run({ max_parallel = 3, axes = { n = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 } }, tests = { a = function()
        at_once = at_once + 1
        most = math.max(most, at_once)
        vm.sleep(0.02)
        at_once = at_once - 1
    end } }, { jobs = 8 })
    t.equal(most, 3)
end)

t.test("a_run_without_its_last_verdicts_is_completed", function()
    local stop = true
    local ran = {}
    local def = { axes = { n = { "n1", "n2", "n3" } }, isolation = "cell", tests = {
        { name = "a", run = function(_, f) ran[#ran + 1] = f.id end },
        { name = "b", from = "a", run = function(_, f)
            if f.cell.n == "n2" and stop then
                fail "script"
            end
            ran[#ran + 1] = f.id
        end },
    } }
    local _, _, _, path = run(def)
    -- As if it had been killed: cell 3 has no results, and cell 2's b none either.
    assert(fs.unlink(path .. "/results/n3.json"))
    local two = vm.raw.json.decode(fs.read(path .. "/results/n2.json", 65536))
    two.tests.b = nil
    assert(fs.write_atomic(path .. "/results/n2.json", vm.raw.json.encode(two)))
    ran, stop = {}, false
    local all = plan_of.all { vm.matrix(def) }
    local code = require("vm.test").run(plan_of.of(all, all.tests), { resume = path })
    t.equal(code, 0)
    table.sort(ran)
    t.equal(ran, { "n2:a", "n2:b", "n3:a", "n3:b" }) -- n2:a again: b starts from its state
end)

t.test("an_interrupted_run_has_verdicts_for_all_its_tests", function()
    local path
    local started = vm.raw.task.event()
    local task = vm.spawn(function()
        local machine = fake "slow"
        local all = plan_of.all { vm.matrix { guest = function() return machine end, isolation = "cell", tests = {
            { name = "a", run = function() end }, { name = "b", run = function() vm.sleep(60) end },
            { name = "c", run = function() end },
        } } }
        require("vm.test").run(plan_of.of(all, all.tests), { output = folder, listen = function(store)
            path = store.path
            store:listen(function(event)
                if event.event == "test_started" and event.test:find ":b$" then
                    started:notify()
                end
            end)
        end })
    end)
    started:wait(30)
    task:cancel()
    task:ended()
    local file = fs.glob(path .. "/results/*.json")[1]
    local data = vm.raw.json.decode(fs.read(file, 65536)).tests
    t.equal({ data.a.outcome, data.b.outcome, data.c.outcome }, { "passed", "interrupted", "interrupted" })
    t.match(fs.read(path .. "/events.jsonl", 1 << 20), '"event":"run_ended".*"exit":130')
end)

assert(fs.remove_tree(folder))
t.finish()
