-- The reports that are text: each is valid for the tools that read it, whatever the guests printed.
-- timeout: 240
local raw = require "vm.raw"
local host = require "vm.host"
local t = require "harness"
local fixture = require "lua.run_fixture"
local model = require "vm.report.model"
local reports = require "vm.report.reports"
local store = require "vm.report.store"

local folder = fixture.folder()
local here = (os.getenv "VMATRIX_SOURCE" or ".") .. "/tests/lua"

local function load(opts)
    return model.load(store.open(fixture.make(folder.path, opts).path))
end

-- Forty cells have every outcome with every hostile text.
local all = load { cells = 40, tests = 8 }

local function file(name, text)
    local path = folder.path .. "/" .. name
    assert(raw.fs.write_atomic(path, text))
    return path
end

local function tool(name)
    return host.which(name) or t.skip(name .. " is not installed")
end

local function tests_of(m, outcome)
    local list = {}
    for _, test in ipairs(m.tests) do
        list[#list + 1] = test.outcome == outcome and test or nil
    end
    return list
end

local function count(text, pattern)
    return select(2, text:gsub(pattern, ""))
end

t.test("junit_xml_validates_against_the_rules_of_jenkins", function()
    tool "xmllint"
    local path = file("junit.xml", reports.render(all, "junit"))
    local result = host.run({ "xmllint", "--noout", "--schema", here .. "/junit.xsd", path }, { check = false })
    t.equal(result.status, 0, result.stderr)
    local broken = file("broken.xml", (reports.render(all, "junit"):gsub("<failure ", "<broken ", 1)))
    result = host.run({ "xmllint", "--noout", "--schema", here .. "/junit.xsd", broken }, { check = false })
    t.check(result.status ~= 0, "the rules take everything")
end)

t.test("junit_counts_are_those_of_the_outcomes", function()
    local text = reports.render(all, "junit")
    local c = all.counts
    t.match(text, ('<testsuites [^>]* tests="%d" failures="%d" errors="%d"'):format(c.total, c.failed + c.xpass,
        c.error + c.lost + c.interrupted))
    t.equal(count(text, "<failure "), c.failed + c.xpass)
    t.equal(count(text, "<error "), c.error + c.lost + c.interrupted)
    t.equal(count(text, "<skipped "), c.skipped + c.xfail)
    t.equal(count(text, "<flakyFailure "), c.flaky)
    t.equal(count(text, "<testcase "), c.total)
end)

t.test("a_guest_cannot_make_a_server_attach_a_file", function()
    local m = load { cells = 1, tests = 1, outcome = "failed", change = function(_, _, result)
        if result then
            result.attempts[1].tail = "[[ATTACHMENT|/etc/passwd]]"
        end
    end }
    t.equal(count(reports.render(m, "junit"), "%[%[ATTACHMENT"), 0)
end)

-- The grammar of TAP 14, line by line; returns what its points say.
local function parse_tap(text)
    local points, in_yaml, plan = {}, false, nil
    local lines = {}
    for line in text:gmatch "([^\n]*)\n" do
        lines[#lines + 1] = line
    end
    t.equal(lines[1], "TAP version 14")
    for at = 2, #lines do
        local line = lines[at]
        if in_yaml then
            in_yaml = line ~= "  ..."
            t.check(not in_yaml or line:find '^  [%w_]+: "[^\n]*"$' or line:find "^  [%w_]+: [%d.]+$", line)
        elseif line == "  ---" then
            in_yaml = true
        elseif line:find "^1%.%.%d+$" then
            plan = tonumber(line:match "%d+$")
        else
            local no, number, said = line:match "^(n?o?t? ?)ok (%d+) %- (.*)$"
            t.check(number and (no == "" or no == "not "), "no line of TAP: " .. line)
            t.equal(tonumber(number), #points + 1)
            local plain = said:gsub("\\\\", ""):gsub("\\#", "")
            points[#points + 1] = { ok = no == "", directive = plain:match " # (%u+)" }
            t.equal(count(plain, "#"), points[#points].directive and 1 or 0, line)
        end
    end
    t.check(not in_yaml)
    t.equal(plan, #points)
    return points
end

t.test("tap_14_has_a_point_a_test_with_the_verdict_and_no_other_directives", function()
    local expected = { passed = "ok", flaky = "ok", skipped = "ok SKIP", xfail = "not TO" .. "DO" }
    for at, point in ipairs(parse_tap(reports.render(all, "tap"))) do
        local said = (point.ok and "ok" or "not") .. (point.directive and " " .. point.directive or "")
        t.equal(said, expected[all.tests[at].outcome] or "not", all.tests[at].id)
    end
end)

t.test("perls_harness_reads_the_tap_with_the_same_counts", function()
    tool "perl"
    -- Parsers before 3.50 know version 13, whose grammar this fits.
    local path = file("report.tap", (reports.render(all, "tap"):gsub("^TAP version 14", "TAP version 13")))
    local program = [[use TAP::Parser; my $p = TAP::Parser->new({ source => $ARGV[0] }); my %n;
        while (my $r = $p->next) { if ($r->is_test) { $n{$r->is_ok ? "good" : "bad"}++; $n{skip}++ if $r->has_skip;
        $n{todo}++ if $r->has_todo; } elsif ($r->is_unknown || $r->is_bailout) { print "odd: ", $r->raw, "\n" } }
        print "errors: $_\n" for $p->parse_errors; print "$n{good} $n{bad} $n{skip} $n{todo}\n";]]
    local result = host.run({ "perl", "-e", program, path }, { check = false })
    local c = all.counts
    t.equal(result.stdout, ("%d %d %d %d\n"):format(c.passed + c.flaky + c.skipped + c.xfail,
        c.failed + c.xpass + c.error + c.lost + c.interrupted, c.skipped, c.xfail), result.stderr)
end)

t.test("json_holds_the_whole_model_and_nothing_that_is_not_seen", function()
    local text = reports.render(all, "json")
    t.check(utf8.len(text) and not text:find "[\0-\9\11-\31\127]", "control characters")
    t.check(not text:find("\u{202e}", 1, true) and not text:find("\u{9b}", 1, true))
    local data = assert(raw.json.decode(text))
    t.equal(#data.tests, #all.tests)
    t.equal(data.counts, all.counts)
    for at, test in ipairs(data.tests) do
        t.equal(test.outcome, all.tests[at].outcome)
        t.equal(test.attempts and test.attempts[1].tail, all.tests[at].attempts[1] and all.tests[at].attempts[1].tail)
    end
    t.equal(raw.json.decode(reports.render(load { cells = 0 }, "json")).counts.total, 0)
end)

t.test("markdown_tells_each_failure_and_no_text_of_a_guest_is_markup", function()
    local text = reports.render(all, "markdown")
    for _, outcome in ipairs { "failed", "xpass", "flaky" } do
        for at, test in ipairs(tests_of(all, outcome)) do
            t.check(at > 10 or text:find("<code>" .. test.id .. "</code>", 1, true), test.id)
        end
    end
    -- Outside of fences there is no tag but ours, and fences are closed.
    local fence
    for line in text:gmatch "([^\n]*)\n" do
        if fence then
            fence = line ~= fence and fence or nil
        elseif line:find "^```+$" then
            fence = line
        else
            local rest = line:gsub("</?[a-z]+>", function(tag)
                return ("<details></details><summary></summary><code></code>"):find(tag, 1, true) and "" or nil
            end)
            t.check(not rest:find "<[%a/!]", line)
        end
    end
    t.equal(fence, nil)
end)

t.test("github_gets_commands_only_and_as_many_as_it_shows", function()
    local text = reports.render(all, "github")
    local kinds = {}
    for line in text:gmatch "([^\n]*)\n" do
        local kind, properties = line:match "^::(%a+) ([^:]*)::"
        t.check(kind, line)
        kinds[kind] = (kinds[kind] or 0) + 1
        t.check(kind == "notice" or properties:find "^file=matrix.lua,line=3,title=[^,:]+$", properties)
    end
    t.equal(kinds, { error = 10, warning = math.min(10, all.counts.flaky), notice = 1 })
    local few = load { cells = 1, tests = 2, outcome = "failed", change = function(_, _, result)
        if result then
            result.attempts[1].error = { kind = "check", message = "matrix.lua:17: no:\n 50%, /etc/passwd:1: x" }
        end
    end }
    t.match(reports.render(few, "github"), "^::error file=matrix%.lua,line=17,title=debian%-12/x86_64/r1%%3Abuild::"
        .. "failed: matrix%.lua:17: no:%%0A 50%%25, /etc/passwd:1: x\n")
end)

t.test("the_summary_of_a_step_is_never_larger_than_github_takes", function()
    local github = require "vm.report.github"
    local many = load { cells = raw.build.gc_eager and 40 or 600, tests = 4, outcome = "failed", logs = false,
        events = false }
    t.check(#github.summary(many) < 1 << 20 and utf8.len(github.summary(many)))
    for _, test in ipairs(many.tests) do
        test.attempts[1].error.message = ("y\n"):rep(20000)
    end
    for _, entry in ipairs { "markdown", "terminal", "github" } do
        t.check(#reports.render(many, entry) < 2 << 20, entry)
    end
end)

t.test("the_terminal_is_told_failures_with_their_last_lines_and_their_logs", function()
    local text = reports.render(all, "terminal")
    t.check(not text:find "[\0-\9\11-\31\127]", "control characters")
    for at, test in ipairs(tests_of(all, "failed")) do
        if at <= 10 then
            t.check(text:find("FAILED " .. test.id, 1, true), test.id)
            t.check(text:find("log: " .. all.run.path .. "/" .. test.attempts[1].log, 1, true), test.id)
        end
    end
    t.match(text, "\n" .. all.counts.failed .. " failed, .* passed in 40 cells; [^\n]*\nrun: [^\n]*\n$")
    t.match(text, "vmatrix test %-%-rerun missing " .. all.run.id:gsub("%-", "%%-"))
    local colored = reports.render(all, "terminal", { color = true })
    t.check(colored:find "\27%[31;1mFAILED\27%[0m")
    t.equal(colored:gsub("\27%[[%d;]*m", ""), text)
end)

t.test("a_good_run_is_told_in_two_lines", function()
    local text = reports.render(load { cells = 2, tests = 2, outcome = "passed", change = function(_, _, result)
        if result then
            result.records = nil
        end
    end }, "terminal")
    t.match(text, "^4 passed in 2 cells; [^\n]*\nrun: [^\n]*\n$")
end)

local _ <close> = folder
t.finish()
