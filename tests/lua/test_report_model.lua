-- One table from a run's folder, and what it says of verdicts, records and time.
local raw = require "vm.raw"
local t = require "harness"
local fixture = require "lua.run_fixture"
local groups = require "vm.report.groups"
local model = require "vm.report.model"
local store = require "vm.report.store"
local verdict = require "vm.report.verdict"
local words = require "vm.report.words"

local function load(opts, damage)
    local folder <close> = fixture.folder()
    local made = fixture.make(folder.path, opts)
    if damage then
        damage(made)
    end
    return model.load(store.open(made.path)), made
end

t.test("every_planned_test_is_in_the_model_with_its_verdict", function()
    local m, made = load { cells = 30, tests = 8 }
    t.equal(#m.tests, 240)
    t.equal(#m.cells, 30)
    t.equal(m.counts, made.counts)
    t.equal(m.exit, 130)
    t.check(m.counts.lost > 0 and m.counts.flaky > 0 and m.counts.xpass > 0)
    for at, test in ipairs(m.tests) do
        t.equal(test.id, made.plan.tests[at].id)
        t.equal(test.cell.id, made.plan.tests[at].cell.id)
        if test.name == "upgrade" then
            t.equal({ test.outcome, test.reason }, { "skipped", "there is no older version" })
        elseif test.outcome == "lost" then
            t.equal({ #test.attempts, test.reason }, { 0, "it has no verdict" })
        end
    end
    t.equal(#m.skipped, 1)
    t.equal(m.run.state, "finished")
end)

t.test("the_rate_of_a_repeated_test_is_in_every_report_and_a_damaged_one_in_none", function()
    local names = {}
    local m = load({ cells = 1, tests = 4, outcome = "failed" }, function(made)
        local path = raw.fs.glob(made.path .. "/results/*.json")[1]
        local kept = raw.json.decode(raw.fs.read(path, 1 << 22))
        for name in pairs(kept.tests) do
            names[#names + 1] = name
        end
        table.sort(names)
        kept.tests[names[1]].rate = { failed = 1, runs = 4, rate = "<b>" }
        kept.tests[names[1]].reason = "1 of 4 runs failed"
        kept.tests[names[2]].rate = { failed = 5, runs = "4" }
        kept.tests[names[3]].rate = "many"
        assert(raw.fs.write_atomic(path, raw.json.encode(kept)))
    end)
    local by_name = {}
    for _, test in ipairs(m.tests) do
        by_name[test.name] = test
    end
    t.equal(("%.3f"):format(by_name[names[1]].rate.high), "0.699")
    t.equal({ by_name[names[2]].rate, by_name[names[3]].rate }, {})
    local wanted = "1 of 4 runs failed %(25.0 %%, 95 %% confidence: 4.6 to 69.9 %%%)"
    t.match(require("vm.report.html").render(m), "repeated</dt><dd>" .. wanted)
    t.match(model.why(by_name[names[1]]), "^1 of 4 runs failed: ")
    t.match(require("vm.report.data").render(m), '"rate":{[^}]-"runs":4')
end)

t.test("the_verdict_needs_neither_the_log_nor_run_json", function()
    local whole = load { cells = 12 }
    local m = load({ cells = 12 }, function(made)
        assert(raw.fs.unlink(made.path .. "/events.jsonl"))
        assert(raw.fs.unlink(made.path .. "/run.json"))
    end)
    t.equal(m.counts, whole.counts)
    t.equal(m.exit, whole.exit)
    t.equal(#m.problems, 1)
    t.equal(m.run.state, "unfinished")
end)

t.test("without_results_everything_is_lost_and_never_passed", function()
    local m = load({ cells = 3, outcome = "passed" }, function(made)
        assert(raw.fs.remove_tree(made.path .. "/results"))
    end)
    t.equal(m.counts.lost, 12)
    t.equal(m.exit, 3)
end)

t.test("a_cell_is_as_good_as_its_worst_test", function()
    local order = { "skipped", "passed", "xfail", "flaky", "interrupted", "lost", "error", "xpass", "failed" }
    for i = 1, #order do
        for j = 1, #order do
            t.equal(verdict.worse(order[i], order[j]), order[math.max(i, j)])
        end
    end
end)

t.test("the_timeline_has_every_attempt_in_order_and_guests_and_steps_of_the_log", function()
    local folder <close> = fixture.folder()
    local plan = fixture.plan { cells = 1, tests = 2 }
    local run <close> = store.create(folder.path, { plan = plan })
    run:event { t = 105, event = "step_ended", key = "k", name = "tools", duration = 5, ok = true, how = "built" }
    run:event { t = 107, event = "guest", guest = "g1", phase = "boot", duration = 1, slot = 2, ok = false }
    run:event { event = "warning", kind = "slow", text = "80 % of its time", test = plan.tests[1].id }
    run:result(plan.tests[1], { outcome = "flaky", started = 110, attempts = {
        { outcome = "failed", duration = 2, started = 110, slot = 1 },
        { outcome = "passed", duration = 3, started = 115, slot = 2 } } })
    local m = model.load(store.open(run.path))
    local line = {}
    for at, bar in ipairs(m.timeline) do
        line[at] = ("%s %s %g+%g %s %s"):format(bar.what, bar.name, bar.started, bar.duration, bar.slot, bar.outcome)
    end
    t.equal(line, { "step tools 100+5 nil passed", "guest boot g1 106+1 2 error",
        "test debian-12/x86_64/r1:build 110+2 1 failed", "test debian-12/x86_64/r1:build 115+3 2 passed" })
    t.equal(m.warnings[1].text, "80 % of its time")
    t.equal(m.run.state, "running")
end)

local function with_records(value_of, tests)
    local m = load { cells = 18, tests = tests or 1, change = function(test, one, result)
        one.outcome = "passed"
        if result then
            result.records = { libc = { text = value_of(test.cell.values, test) } }
        end
    end }
    return m.records
end

t.test("equal_records_are_grouped_and_the_axis_that_tells_them_apart_is_named", function()
    local records = with_records(function(values) return values.arch == "riscv64" and "2.40" or "2.36" end)
    t.equal(#records, 1)
    t.equal(#records[1].groups, 2)
    t.equal(groups.words(records[1]), "13 alike, 5 differ, by arch")
    t.equal(groups.words(with_records(function() return "same" end)[1]), "all 18 alike")
    t.equal(groups.words(with_records(function(_, test) return test.id end)[1]), "all 18 differ")
    local pair = with_records(function(values)
        return (values.arch == "aarch64") ~= (values.image == "debian-12") and "a" or "b"
    end)[1]
    t.match(groups.words(pair), "by image and arch$")
end)

t.test("a_record_name_of_two_tests_is_two_records", function()
    local records = with_records(function(_, test) return test.name end, 2)
    t.equal({ records[1].name, records[2].name }, { "build: libc", "check: libc" })
    t.equal(groups.words(records[1]), "all 18 alike")
end)

t.test("why_a_test_failed_is_the_last_error_else_the_reason", function()
    t.equal(model.why { outcome = "failed", reason = "in setup", attempts = {
        { outcome = "failed", error = { kind = "exit", message = "first" } },
        { outcome = "failed", error = { kind = "exit", message = "second" } } } }, "second")
    t.equal(model.why { outcome = "flaky", reason = "passed at attempt 2", attempts = {
        { outcome = "failed", error = { kind = "exit", message = "first" } }, { outcome = "passed" } } },
        "passed at attempt 2: first")
    t.equal(model.why { outcome = "lost", reason = "it has no verdict", attempts = {} }, "it has no verdict")
end)

t.test("durations_counts_and_first_lines_read_well", function()
    local said = {}
    for at, seconds in ipairs { 0, 0.0123, 0.9999, 3.14, 9.96, 59.4, 59.6, 125, 3599.6, 3725 } do
        said[at] = words.duration(seconds)
    end
    t.equal(said, { "0 ms", "12 ms", "1.0 s", "3.1 s", "10 s", "59 s", "1 min 00 s", "2 min 05 s", "1 h 00 min",
        "1 h 02 min" })
    t.equal({ words.duration(nil), words.duration(0 / 0), words.date(-1) }, { "", "", "" })
    t.equal(words.counts { failed = 2, error = 1, passed = 3 }, "2 failed, 1 error, 3 passed")
    t.equal(words.first_line "no\nmore", "no")
    t.equal(words.first_line "its last lines:\n  oh no\nmore", "its last lines: oh no")
    t.equal(words.last_lines("a\nb\nc\n\n", 2), { "b", "c" })
    t.equal(words.last_lines("\n", 2), {})
end)

t.finish()
