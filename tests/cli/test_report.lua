-- `vmatrix report`: as a user types it, also about runs that were killed, damaged or are going on.
local raw = require "vm.raw"
local t = require "harness"
local cli = require "cli.cli"
local fixture = require "lua.run_fixture"

local place = cli.folder .. "/project"
assert(raw.fs.mkdir_p(place))

local function make(opts)
    raw.task.sleep(0.005)
    return fixture.make(place, opts)
end

local first = make { cells = 3, tests = 2, outcome = "passed" }
local second = make { cells = 6 }

local function report(args, opts)
    opts = opts or {}
    opts.cwd = opts.cwd or place
    opts.env = opts.env or { "GITHUB_ACTIONS=", "GITHUB_STEP_SUMMARY=" }
    return cli.run(table.move(args, 1, #args, 2, { "report" }), opts)
end

t.test("the_last_run_is_reported_unless_told_otherwise", function()
    local result = report {}
    t.equal(result.status, 0, result.stderr)
    t.match(result.stdout, "run: %.vmatrix/runs/" .. second.id:gsub("%-", "%%-") .. "\n$")
    t.match(report({ first.id }).stdout, "6 passed in 3 cells; ")
    t.match(report({ first.id:match "%x+$" }).stdout, "6 passed")
    t.match(report({ first.path }, { cwd = "/" }).stdout, "6 passed")
    t.match(report({ "--runs", place .. "/.vmatrix/runs", first.id }, { cwd = "/" }).stdout, "6 passed")
end)

t.test("runs_are_found_from_a_folder_below_the_matrix", function()
    assert(raw.fs.mkdir_p(place .. "/src/deep"))
    t.match(report({ "last" }, { cwd = place .. "/src/deep" }).stdout, second.id:gsub("%-", "%%-"))
end)

t.test("several_formats_are_made_at_once_each_into_its_file", function()
    local out = cli.folder .. "/out"
    local result = report { "--format", "junit=" .. out .. "/", "--format=tap=" .. out .. "/x/y.tap",
        "--format", "json=" .. out .. "/r.json", "--format", "markdown=" .. out .. "/" }
    t.equal(result.status, 0, result.stderr)
    t.equal(result.stdout, ("%s/junit.xml\n%s/x/y.tap\n%s/r.json\n%s/report.md\n"):format(out, out, out, out))
    t.match(raw.fs.read(out .. "/junit.xml"), "^<%?xml .*</testsuites>\n$")
    t.match(raw.fs.read(out .. "/x/y.tap"), "^TAP version 14\n1..24\n")
    t.equal(raw.json.decode(raw.fs.read(out .. "/r.json")).counts, second.counts)
    t.match(raw.fs.read(out .. "/report.md"), "^# vmatrix: ")
    result = report { "--format", "tap", "--output", out .. "/z.tap" }
    t.equal(result.stdout, out .. "/z.tap\n")
end)

t.test("what_goes_to_no_terminal_has_no_color", function()
    t.check(not report({}).stdout:find "\27")
end)

t.test("the_runs_are_listed_oldest_first", function()
    local lines = {}
    for line in report({ "--list" }).stdout:gmatch "[^\n]+" do
        lines[#lines + 1] = line
    end
    t.equal(#lines, 2)
    t.match(lines[1], "^" .. first.id:gsub("%-", "%%-") .. "  %d%d%d%d%-.*6 tests .*  6 passed$")
    local data = raw.json.decode(report({ "--list", "--json" }).stdout)
    t.equal({ data.count, data.runs[2].id, data.runs[2].counts.total }, { 2, second.id, 24 })
end)

t.test("comparing_says_what_is_newly_failing_and_with_its_exit_status", function()
    local same = report { "--compare", first.id, first.id }
    t.equal({ same.status, same.stdout:match "no difference" }, { 0, "no difference" })
    local third = make { cells = 3, tests = 2, outcome = "failed" }
    local worse = report { "--compare", first.id, third.id }
    t.equal(worse.status, 1)
    t.match(worse.stdout, "newly failing: 6\n  debian%-12/x86_64/r1:build: ")
    local data = raw.json.decode(report({ "--compare", first.id, third.id, "--format", "json" }).stdout)
    t.equal(#data.newly_failing, 6)
    t.equal(report({ "--compare", third.id, first.id }).status, 0)
    assert(raw.fs.remove_tree(third.path))
end)

t.test("github_gets_annotations_and_the_summary_of_the_step", function()
    local summary = cli.folder .. "/summary.md"
    local result = report({ second.id, "--format", "github" }, { env = { "GITHUB_ACTIONS=true",
        "GITHUB_STEP_SUMMARY=" .. summary, "GITHUB_WORKSPACE=" .. place } })
    t.equal(result.status, 0, result.stderr)
    t.match(result.stdout, "^::error file=matrix.lua,line=3,title=")
    t.match(raw.fs.read(summary), "^# vmatrix: ")
    -- Elsewhere on the standard output nothing of a guest is a command there.
    local bad = make { cells = 1, tests = 1, outcome = "failed", change = function(_, _, one)
        if one then
            one.attempts[1].error.message = "no\n::stop-commands::x\n##[add-mask]y"
        end
    end }
    for _, format in ipairs { "terminal", "markdown", "tap" } do
        result = report({ bad.id, "--format", format }, { env = { "GITHUB_ACTIONS=true" } })
        t.check(not ("\n" .. result.stdout):find "\n%s*::" and not result.stdout:find("##[", 1, true), format)
    end
    t.check(("\n" .. report({ bad.id }).stdout):find "\n%s*::", "the sample has no command in it")
    assert(raw.fs.remove_tree(bad.path))
end)

t.test("a_run_that_was_killed_is_reported_with_what_is_lost", function()
    local run = make { cells = 3, tests = 2, outcome = "passed" }
    assert(raw.fs.remove_tree(run.path .. "/results/debian-12~x86_64~r1.json"))
    assert(raw.fs.unlink(run.path .. "/run.json"))
    local file = assert(io.open(run.path .. "/events.jsonl", "ab"))
    file:write '{"t":17,"event":"warn'
    file:close()
    local result = report { run.id }
    t.equal(result.status, 0, result.stderr)
    t.match(result.stdout, "LOST debian%-12/x86_64/r1:build\n")
    t.match(result.stdout, "the run was ended before its time")
    t.match(result.stdout, "2 lost, 4 passed in 3 cells")
    t.match(report({ "--list" }).stdout, "unfinished")
    assert(raw.fs.remove_tree(run.path))
end)

t.test("old_runs_are_removed_on_request", function()
    local ids = {}
    for at = 1, 3 do
        ids[at] = make({ cells = 1, tests = 1 }).id
    end
    local result = report { "--prune", "3" }
    t.equal(result.status, 0, result.stderr)
    t.equal(result.stdout, ("%s removed\n%s removed\n"):format(first.id, second.id))
    t.match(report({ "--list" }).stdout, "^" .. ids[1]:gsub("%-", "%%-"))
end)

t.test("wrong_words_are_refused_with_what_may_have_been_meant", function()
    local cases = {
        { { "--fromat", "tap" }, "did you mean '%-%-format'" },
        { { "--format", "junti" }, "'junti'.*did you mean 'junit'" },
        { { "--format" }, "'%-%-format' wants a value" },
        { { "a", "b" }, "one run is enough" },
        { { "--compare", "a" }, "%-%-compare wants two runs" },
        { { "--list", "--compare" }, "different things" },
        { { "--list", "x" }, "'x' says nothing here" },
        { { "--list", "--format", "tap" }, "terminal or json expected" },
        { { "--prune", "many" }, "'%-%-prune': a whole number expected" },
        { { "--prune", "-1" }, "how many runs to keep" },
        { { "--format", "tap", "--format", "json" }, "each wants a file" },
        { { "--list=yes" }, "'%-%-list' takes no value" },
    }
    for _, case in ipairs(cases) do
        local result = report(case[1])
        t.equal(result.status, 2, table.concat(case[1], " "))
        t.match(result.stderr, "^vmatrix:? report: .*" .. case[2])
    end
    local none = report { "nope" }
    t.equal(none.status, 1)
    t.match(none.stderr, "^vmatrix: report: no run nope in .*`vmatrix report %-%-list`")
    t.equal(report({ "last", "--output", "/proc/none/x" }).status, 1)
    t.match(report({ "--help" }).stdout, "^usage: vmatrix report ")
end)

cli.clean()
t.finish()
