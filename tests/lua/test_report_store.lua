-- The folder of a run: written as things happen, read whatever happened to it.
local raw = require "vm.raw"
local task = require "vm.task"
local t = require "harness"
local fixture = require "lua.run_fixture"
local schema = require "vm.report.schema"
local store = require "vm.report.store"

local fs = raw.fs

local function with_run(fn, opts)
    local folder <close> = fixture.folder()
    local plan = fixture.plan(opts or { cells = 2, tests = 3 })
    local run <close> = store.create(folder.path, { plan = plan, argv = { "vmatrix", "test" }, seed = 7, slots = 2 })
    fn(run, plan, folder)
end

local function reread(run)
    return store.open(run.path)
end

local function append(path, text)
    local file = assert(io.open(path, "ab"))
    file:write(text)
    file:close()
end

t.test("a_run_is_a_folder_beside_the_matrix_with_plan_log_and_results", function()
    with_run(function(run, plan, folder)
        t.check(run.path:find(folder.path .. "/.vmatrix/runs/", 1, true))
        t.match(run.id, "^%d%d%d%d%d%d%d%d%-%d%d%d%d%d%d%-%x%x%x%x%x%x$")
        run:result(plan.tests[1], { outcome = "passed", duration = 1.5, attempts = { { outcome = "passed" } } })
        local read = reread(run)
        t.equal(read.id, run.id)
        t.equal(read.alive, true)
        t.equal(read.info.seed, 7)
        t.equal(#read.plan.tests, 6)
        t.equal(read.plan.tests[2].from, plan.tests[1].id)
        t.equal(read.plan.matrices[1].axes[1].name, "image")
        t.equal(read.results[plan.cells[1].id].tests[plan.tests[1].name].duration, 1.5)
        t.equal(#read.problems, 0)
        t.equal(fs.read(folder.path .. "/.vmatrix/.gitignore"), "*\n")
        t.equal(fs.readlink(folder.path .. "/.vmatrix/runs/last"), run.id)
        run:close()
        run:close()
        t.equal(reread(run).alive, false)
    end)
end)

t.test("output_says_where_the_folder_is_made_instead", function()
    local folder <close> = fixture.folder()
    local run <close> = store.create("/nowhere", { plan = fixture.plan {}, output = folder.path .. "/out" })
    t.equal(run.path, folder.path .. "/out/" .. run.id)
end)

t.test("what_has_no_result_is_lost_unless_the_plan_skips_it", function()
    with_run(function(run, plan)
        plan.tests[3].skip = "not today"
        run:result(plan.tests[1], { outcome = "passed" })
        local counts, exit = run:verdict()
        t.equal({ counts.passed, counts.skipped, counts.lost, counts.total }, { 1, 1, 4, 6 })
        t.equal(exit, 3)
        run:result(plan.tests[2], { outcome = "failed" })
        t.equal(select(2, run:verdict()), 1)
        run:result(plan.tests[4], { outcome = "interrupted" })
        t.equal(select(2, run:verdict()), 130)
        t.raises(function() run:result(plan.tests[1], { outcome = "fine" }) end, "usage", "is no outcome")
    end)
end)

t.test("a_verdict_is_on_the_disk_when_result_returns_also_for_many_at_once", function()
    with_run(function(run, plan)
        local tasks = {}
        for at, test in ipairs(plan.tests) do
            tasks[at] = task.spawn(function()
                run:result(test, { outcome = "passed", duration = at })
                local read = reread(run).results[test.cell.id].tests[test.name]
                t.equal(read and read.duration, at)
            end)
        end
        for _, one in ipairs(tasks) do
            one:join()
        end
        t.equal(run:verdict().passed, #plan.tests)
        t.equal(#fs.list(run.path .. "/results"), #plan.cells)
    end, { cells = 10, tests = 5 })
end)

t.test("a_cancelled_caller_does_not_take_its_verdict_back", function()
    with_run(function(run, plan)
        local one = task.spawn(function()
            run:result(plan.tests[1], { outcome = "passed" })
        end)
        raw.task.sleep(0)
        one:cancel()
        pcall(one.join, one)
        run:result(plan.tests[2], { outcome = "passed" })
        t.equal(reread(run).results[plan.cells[1].id].tests[plan.tests[1].name].outcome, "passed")
    end)
end)

t.test("a_verdict_that_cannot_be_written_is_an_error", function()
    with_run(function(run, plan)
        assert(fs.remove_tree(run.path .. "/results"))
        t.raises(function() run:result(plan.tests[1], { outcome = "passed" }) end, "notfound", "results")
        assert(fs.mkdir_p(run.path .. "/results"))
        run:result(plan.tests[1], { outcome = "passed" })
        t.equal(reread(run).results[plan.cells[1].id].tests[plan.tests[1].name].outcome, "passed")
    end)
end)

t.test("a_result_file_that_is_damaged_loses_its_cell_and_says_so", function()
    with_run(function(run, plan)
        for _, test in ipairs(plan.tests) do
            run:result(test, { outcome = "passed" })
        end
        local files = fs.list(run.path .. "/results")
        assert(fs.write_atomic(run.path .. "/results/" .. files[1], '{"cell":"x", "tests":'))
        local read = reread(run)
        t.equal(#read.problems, 1)
        t.match(read.problems[1], "results/.*not JSON")
        local left = 0
        for _ in pairs(read.results) do
            left = left + 1
        end
        t.equal(left, 1)
    end)
end)

t.test("events_are_read_back_up_to_a_torn_last_line", function()
    with_run(function(run, plan)
        for at = 1, 5 do
            run:event { event = "log", test = plan.tests[1].id, attempt = 1, text = "line " .. at }
        end
        append(run.path .. "/events.jsonl", '{"t":1.5,"event":"log","test":"x","te')
        local texts = {}
        for event in reread(run):events "log" do
            texts[#texts + 1] = event.text
        end
        t.equal(texts, { "line 1", "line 2", "line 3", "line 4", "line 5" })
        local again <close> = (run:close() or true) and store.resume(run.path, { plan = plan })
        again:event { event = "log", test = plan.tests[1].id, attempt = 2, text = "line 6" }
        local last
        for event in reread(run):events() do
            last = event
        end
        t.equal(last.text, "line 6")
    end)
end)

t.test("a_resumed_run_keeps_its_verdicts_and_belongs_to_one_process", function()
    with_run(function(run, plan)
        run:result(plan.tests[1], { outcome = "passed" })
        t.raises(function() store.resume(run.path, { plan = plan }) end, "exists", "being written")
        run:close()
        local again <close> = store.resume(run.path, { plan = plan })
        again:result(plan.tests[2], { outcome = "passed" })
        t.equal(again:verdict().passed, 2)
        local counts = again:finish()
        t.equal(reread(run).info.counts, counts)
    end)
end)

t.test("text_of_guests_is_valid_UTF-8_and_bounded_whatever_it_was", function()
    with_run(function(run, plan)
        local test = plan.tests[1]
        local texts = table.move(fixture.hostile, 1, #fixture.hostile, 1, {})
        texts[#texts + 1] = ("\xe2\x82"):rep(100000)
        texts[#texts + 1] = ("\u{20ac}"):rep(100000)
        texts[#texts + 1] = ("a"):rep(100 << 20)
        for _, text in ipairs(texts) do
            run:event { event = "output", test = test.id, attempt = 1, stream = "stdout", text = text }
        end
        run:result(test, { outcome = "failed", attempts = { { outcome = "failed", tail = texts[#texts] .. "END",
            error = { kind = "exit", message = texts[#texts] } } }, records = { all = { text = texts[#texts] } } })
        local count = 0
        for event in reread(run):events "output" do
            count = count + 1
            t.check(utf8.len(event.text) and #event.text <= 3 * 4096 + 100, #event.text)
        end
        t.equal(count, #texts)
        local read = reread(run).results[test.cell.id].tests[test.name]
        t.match(read.attempts[1].tail, "^%[%d+ bytes before %.%.%.%].*END$")
        t.check(#read.attempts[1].tail < 20000 and #read.attempts[1].error.message < 20000)
        t.equal(read.records.all.digest, raw.data.sha256(texts[#texts]))
        t.check(fs.stat(run.path .. "/events.jsonl").size < 1 << 20)
    end)
end)

t.test("listeners_hear_each_event_and_one_that_fails_is_given_up", function()
    with_run(function(run)
        local heard, level = {}, raw.log.level()
        raw.log.level "error"
        run:listen(function() error("broken") end)
        run:listen(function(event) heard[#heard + 1] = event.kind end)
        run:event { event = "warning", kind = "one", text = "" }
        run:event { event = "warning", kind = "two", text = "" }
        raw.log.level(level)
        t.equal(heard, { "one", "two" })
        t.equal(#run.listeners, 1)
    end)
end)

t.test("an_event_that_is_not_as_documented_is_refused_in_tests", function()
    with_run(function(run)
        t.raises(function() run:event { event = "tset_started" } end, "usage", "there is no event")
        t.raises(function() run:event { event = "log", text = "x", attempt = 1 } end, "usage", "test is missing")
        t.raises(function() run:event { event = "retry", test = "x", attempt = 1.5, reason = "" } end, "usage",
            "integer expected, got float")
        t.raises(function() run:event { event = "interrupted", sginal = "INT" } end, "usage", "unknown field")
    end)
    t.equal(schema.complaint { event = "run_ended", t = 1, exit = 0, counts = {}, duration = 1 }, nil)
end)

t.test("names_of_files_are_like_ids_and_never_meet", function()
    local plan = fixture.plan { cells = 1, tests = 1 }
    local function cell(id)
        plan.cells[#plan.cells + 1] = { id = id, matrix = plan.matrices[1], axes = {}, values = {} }
        return plan.cells[#plan.cells]
    end
    local ids = { "a/b", "a:b", "A/b", "a~b", "..", ".", "a%2Fb", "a b", ("x"):rep(300) .. "1", ("x"):rep(300) .. "2" }
    for _, id in ipairs(ids) do
        cell(id)
    end
    local folder <close> = fixture.folder()
    local run <close> = store.create(folder.path, { plan = plan })
    t.equal(run:name "a/b", "a~b")
    t.equal(run:name(plan.tests[1]), "debian-12~x86_64~r1,build")
    local seen = {}
    for _, id in ipairs(ids) do
        local name = run:name(id):lower()
        t.check(not seen[name], name)
        t.check(#name < 200 and not name:find "^%." and not name:find '[/:"<>|*?%c]', name)
        seen[name] = true
    end
    local path, below = run:log_file(plan.tests[1], 2)
    t.equal(below, "logs/debian-12~x86_64~r1,build.2.log")
    t.equal(path, run.path .. "/" .. below)
    t.equal(fs.stat((run:artifact_dir(plan.tests[1], 1))).type, "dir")
end)

t.test("runs_are_found_by_id_beginning_last_part_path_and_last", function()
    local folder <close> = fixture.folder()
    local place = store.place(folder.path)
    local made = {}
    for at = 1, 3 do
        made[at] = fixture.make(folder.path, { cells = 1 })
        raw.task.sleep(0.005)
    end
    t.equal(store.list(place), { made[1].id, made[2].id, made[3].id })
    t.equal(store.open("last", { runs = place }).id, made[3].id)
    t.equal(store.open(made[1].id, { runs = place }).id, made[1].id)
    t.equal(store.open(made[2].id:match "%x+$", { runs = place }).id, made[2].id)
    t.equal(store.open(made[2].path).id, made[2].id)
    t.equal(store.open(place .. "/last").id, made[3].id)
    t.raises(function() store.open("20", { runs = place }) end, "usage", "several runs begin with 20")
    t.raises(function() store.open("nope", { runs = place }) end, "notfound", "report %-%-list")
    t.raises(function() store.open("last", { runs = folder.path .. "/none" }) end, "notfound")
end)

t.test("old_runs_are_removed_but_none_that_is_being_written", function()
    local folder <close> = fixture.folder()
    local place = store.place(folder.path)
    local alive <close> = store.create(folder.path, { plan = fixture.plan { cells = 1 } })
    raw.task.sleep(0.005)
    local made = {}
    for at = 1, 3 do
        made[at] = fixture.make(folder.path, { cells = 1 })
        raw.task.sleep(0.005)
    end
    t.equal(store.prune(place, 1), { made[1].id, made[2].id })
    t.equal(store.list(place), { alive.id, made[3].id })
    t.equal(fs.readlink(place .. "/last"), made[3].id)
end)

t.finish()
