-- The live view's parts without a terminal: where a run stands, and the lines that say so.
local raw = require "vm.raw"
local t = require "harness"
local fixture = require "lua.run_fixture"
local grid = require "vm.report.grid"
local progress = require "vm.report.progress"
local secrets = require "vm.test.secrets"
local transcript = require "vm.test.transcript"
local width = require "vm.terminal.width"

local function plan_of(cells, tests, estimate)
    local plan = fixture.plan { cells = cells, tests = tests }
    for _, test in ipairs(plan.tests) do
        test.estimate = estimate
    end
    return plan
end

local function started(p, test, now, line)
    p:event { event = "test_started", t = now, test = test.id, attempt = 1, slot = 1 }
    p:event { event = "output", t = now, test = test.id, attempt = 1, stream = "stdout", text = line or "working" }
end

local function ended(p, test, now, outcome, duration)
    p:event { event = "test_ended", t = now, test = test.id, attempt = 1, outcome = outcome, final = outcome,
        duration = duration or 1 }
end

local function visible(line)
    return (line:gsub("\27%[[%d;]*m", ""))
end

local function lines_of(p, opts)
    opts.now = opts.now or 10
    local lines = grid.lines(p, opts)
    for at, line in ipairs(lines) do
        lines[at] = visible(line)
    end
    return lines
end

t.test("progress_counts_what_has_ended_and_knows_what_runs", function()
    local plan = plan_of(2, 2)
    local p = progress.new(plan, nil, 0)
    started(p, plan.tests[1], 1)
    started(p, plan.tests[3], 2)
    t.equal({ #p.running, p.done, p.cells[1].running }, { 2, 0, 1 })
    ended(p, plan.tests[1], 3, "failed")
    t.equal({ #p.running, p.done, p.counts.failed, p.cells[1].worst }, { 1, 1, 1, "failed" })
    -- An attempt that will be repeated is no verdict.
    p:event { event = "test_ended", t = 4, test = plan.tests[3].id, attempt = 1, outcome = "failed", duration = 1 }
    t.equal({ #p.running, p.done }, { 0, 1 })
    ended(p, plan.tests[3], 5, "flaky")
    ended(p, plan.tests[3], 5, "flaky")
    t.equal({ p.done, p.counts.flaky }, { 2, 1 })
end)

t.test("a_test_that_is_repeated_says_how_often_it_failed", function()
    local plan = plan_of(1, 1)
    local p, test = progress.new(plan, nil, 0), plan.tests[1]
    for number, outcome in ipairs { "passed", "failed", "passed" } do
        started(p, test, number)
        p:event { event = "test_ended", t = number, test = test.id, attempt = number, outcome = outcome, duration = 1 }
    end
    p:event { event = "test_started", t = 4, test = test.id, attempt = 4, slot = 1 }
    t.match(table.concat(lines_of(p, { columns = 100, rows = 20 }), "\n"), "attempt 4, 1 of 3 failed")
end)

t.test("verdicts_of_a_resumed_run_count_from_the_beginning", function()
    local plan = plan_of(1, 3)
    local cell = plan.cells[1].id
    local p = progress.new(plan, { [cell] = { tests = { build = { outcome = "passed" } } } }, 0)
    t.equal({ p.done, p.counts.passed }, { 1, 1 })
end)

t.test("the_time_left_comes_from_estimates_and_from_what_has_run", function()
    local plan = plan_of(4, 1)
    local p = progress.new(plan, nil, 0)
    t.equal(p:left(0), nil)
    p = progress.new(plan_of(4, 1, 10), nil, 0)
    t.equal(p:left(0), 40)
    started(p, plan.tests[1], 0)
    started(p, plan.tests[2], 0)
    t.equal(p:left(4), (6 + 6 + 10 + 10) / 2)
    p = progress.new(plan, nil, 0)
    started(p, plan.tests[1], 0)
    ended(p, plan.tests[1], 5, "passed", 5)
    t.equal(p:left(5), 15)
end)

t.test("a_few_cells_are_told_in_words_with_state_and_time", function()
    local plan = plan_of(4, 1, 5)
    local p = progress.new(plan, nil, 0)
    started(p, plan.tests[1], 1)
    ended(p, plan.tests[1], 3, "passed", 2)
    started(p, plan.tests[2], 2)
    ended(p, plan.tests[2], 3, "failed", 61)
    started(p, plan.tests[3], 6, "compiling x.c")
    t.equal(lines_of(p, { columns = 80, rows = 24, left = 7 }), {
        "✓ debian-12/x86_64/r1   2.0 s    ✗ debian-13/x86_64/r1   1:01",
        "▶ fedora-42/x86_64/r1            · alpine-3.20/x86_64/r1",
        "▶ fedora-42/x86_64/r1:build 0:04  compiling x.c",
        "2 of 4 tests; 1 failed, 1 passed; 0:10; about 7.0 s left",
    })
end)

t.test("many_cells_are_signs_and_too_many_are_counted", function()
    local p = progress.new(plan_of(300, 1), nil, 0)
    local lines = lines_of(p, { columns = 81, rows = 24 })
    t.equal(#lines, 5)
    t.equal(lines[1], ("·"):rep(80))
    p = progress.new(plan_of(5000, 1), nil, 0)
    lines = lines_of(p, { columns = 80, rows = 24 })
    t.equal(#lines, 6)
    t.match(lines[1], "^debian%-12 +· 1000$")
end)

t.test("a_terminal_without_unicode_gets_none", function()
    local plan = plan_of(3, 1)
    local p = progress.new(plan, nil, 0)
    started(p, plan.tests[1], 1, "na\u{ef}ve \u{65e5}\u{672c}")
    for _, line in ipairs(lines_of(p, { columns = 80, rows = 24, ascii = true })) do
        t.check(not line:find "[\128-\255]", line)
    end
end)

t.test("whatever_the_window_and_the_guests_no_line_is_too_wide_and_there_are_never_too_many", function()
    for _, cells in ipairs { 1, 7, 60, 500 } do
        local plan = plan_of(cells, 2)
        local p = progress.new(plan, nil, 0)
        for at = 1, math.min(#plan.tests, 25) do
            started(p, plan.tests[at], 1, fixture.hostile[at % #fixture.hostile + 1])
            if at % 3 == 0 then
                ended(p, plan.tests[at], 2, "failed", 1)
            end
        end
        for columns = 1, 130, 8 do
            for _, rows in ipairs { 1, 2, 3, 5, 10, 24, 60 } do
                local lines = grid.lines(p, { columns = columns, rows = rows, now = 5, left = 3, color = true })
                t.check(#lines <= math.max(1, rows - 1), ("%d lines in %d rows"):format(#lines, rows))
                for _, line in ipairs(lines) do
                    local shown = visible(line)
                    t.check(width.of(shown) <= math.max(1, columns - 1), ("%d: %s"):format(columns, shown))
                    t.check(not shown:find "[\0-\31\127]", shown)
                end
            end
        end
    end
end)

t.test("a_log_that_is_followed_is_in_its_file_at_once", function()
    local folder <close> = fixture.folder()
    for _, watched in ipairs { true, false } do
        local path = ("%s/%s.log"):format(folder.path, watched)
        local log = transcript.new { path = path, masker = secrets.new {}, emit = function() end, watched = watched }
        log:note("#", "said")
        t.equal((raw.fs.read(path):find("said", 1, true)) ~= nil, watched)
        log:close()
        t.match(raw.fs.read(path), "said")
    end
end)

t.test("wide_characters_take_two_columns_and_marks_none", function()
    t.equal({ width.of "abc", width.of "\u{65e5}\u{672c}", width.of "e\u{301}", width.of "✓" }, { 3, 4, 1, 1 })
    t.equal(width.clip("\u{65e5}\u{672c}\u{8a9e}\u{65e5}", 7), "\u{65e5}\u{672c}...")
    t.equal(width.clip("abcdef", 5), "ab...")
    t.equal(width.clip("abcdef", 6), "abcdef")
    t.equal(width.clip("abcdef", 2), "..")
end)

t.finish()
