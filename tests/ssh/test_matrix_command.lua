-- timeout: 300
-- `vmatrix test` as a whole, on a machine that is there already: verdicts, exit status, going on.
local t = require "harness"
local vm = require "vm"
local cli = require "cli.cli"
local read = require "vm.report.read"
local sshd = require "ssh.sshd"

local fs = vm.raw.fs
local server <close> = sshd.start()
t.baseline()

-- The options of vm.ssh as Lua source.
local function source(options)
    local parts = {}
    for name, value in pairs(options) do
        parts[#parts + 1] = type(value) == "string" and ("%s = %q"):format(name, value)
            or ("%s = %s"):format(name, tostring(value))
    end
    return "{ " .. table.concat(parts, ", ") .. " }"
end

local function project(name, tests)
    local folder = ("%s/%s"):format(cli.folder, name)
    assert(fs.mkdir_p(folder))
    cli.script(name .. "/matrix.lua", ([[
local vm = require "vm"
local machine = vm.ssh(%s)
return vm.matrix {
    axes = { n = { 1, 2 } },
    guest = function() return machine end,
    tests = {
%s
    },
}
]]):format(source(server:options()), tests))
    return folder
end

local function run(folder, ...)
    return cli.run({ "test", ... }, { cwd = folder, timeout = 120 })
end

local function outcomes(folder)
    local one, out = read.open("last", { runs = folder .. "/.vmatrix/runs" }), {}
    for cell, result in pairs(one.results) do
        for name, test in pairs(result.tests) do
            out[cell .. ":" .. name] = test.outcome
        end
    end
    return out, one
end

t.test("tests_run_and_their_outcomes_decide_the_exit_status", function()
    local folder = project("whole", [[
        one = function(m, t) t:equal(m:output "echo hi", "hi") end,
        two = function(m, t) t:check(t.cell.n == 1, "not the first") end,
        three = { expect_fail = function(cell) return cell.n == 2 and "known" or nil end,
            run = function(m, t) t:check(t.cell.n == 1) end },
        four = { when = function(cell) return cell.n == 1, "only once" end, run = function(m) m:run "true" end },]])
    local result = run(folder, "--format", "junit=junit.xml", "--seed", "7")
    t.equal(result.status, 1, result.stderr)
    t.equal((outcomes(folder)), { ["n=1:one"] = "passed", ["n=2:one"] = "passed", ["n=1:two"] = "passed",
        ["n=2:two"] = "failed", ["n=1:three"] = "passed", ["n=2:three"] = "xfail", ["n=1:four"] = "passed",
        ["n=2:four"] = "skipped" })
    t.match(result.stdout, "failed n=2:two")
    t.match(assert(fs.read(folder .. "/junit.xml", 1 << 20)), "<testsuite")
    t.equal(run(folder, "n=1").status, 0)
    -- What failed was in the run before the last one.
    local ids = require("vm.report.folder").list(folder .. "/.vmatrix/runs")
    result = run(folder, "--rerun", "failed", ids[1])
    t.equal(result.status, 1)
    t.equal((outcomes(folder)), { ["n=2:two"] = "failed" })
    t.match(run(folder, "--list", "one").stdout, "2 tests in 2 cells; about [%d.]+ s one after the other\n")
end)

t.test("a_run_that_was_killed_is_gone_on_with_and_has_all_verdicts_then", function()
    local folder = project("killed", [[
        a = { priority = 1, run = function(m) m:run "true" end },
        b = function(m) if vm.raw.fs.exists "slow" then vm.sleep(60) end end,]])
    assert(fs.write_atomic(folder .. "/slow", ""))
    do
        local argv = cli.argv { "test", "--jobs", "1" }
        local process <close> = assert(vm.raw.process.start { argv = argv, cwd = folder })
        local results = folder .. "/.vmatrix/runs/last/results"
        cli.wait_for("a verdict", function() return #(fs.list(results) or {}) > 0 end, 60)
        process:kill(9)
        process:wait(30)
    end
    local before, killed = outcomes(folder)
    t.check(before["n=1:b"] == nil and before["n=2:b"] == nil, "b has a verdict")
    assert(os.remove(folder .. "/slow"))
    local result = run(folder, "--rerun", "missing")
    t.equal(result.status, 0, result.stdout .. result.stderr)
    local after, gone_on = outcomes(folder)
    t.equal(gone_on.id, killed.id)
    t.equal(after, { ["n=1:a"] = "passed", ["n=2:a"] = "passed", ["n=1:b"] = "passed", ["n=2:b"] = "passed" })
    result = run(folder, "--rerun", "missing")
    t.equal(result.status, 0)
    t.match(result.stderr, "nothing to run")
end)

t.test("an_interrupt_ends_the_run_in_order_and_the_reports_are_written", function()
    local folder = project("interrupted", [[
        a = { priority = 1, run = function(m) m:run "true" end },
        b = function() vm.sleep(60) end,]])
    local argv = cli.argv { "test", "--jobs", "1", "--format", "junit=junit.xml" }
    local process <close> = assert(vm.raw.process.start { argv = argv, cwd = folder })
    local results = folder .. "/.vmatrix/runs/last/results"
    cli.wait_for("a verdict", function() return #(fs.list(results) or {}) > 0 end, 60)
    process:kill(2)
    while process:read(30) do end -- luacheck: ignore 542
    t.equal(process:wait(30), 130)
    local found = outcomes(folder)
    t.check(found["n=1:a"] == "passed" or found["n=2:a"] == "passed", "a verdict was lost")
    t.equal({ found["n=1:b"], found["n=2:b"] }, { "interrupted", "interrupted" })
    t.match(assert(fs.read(folder .. "/junit.xml", 1 << 20)), "interrupted")
end)

t.test("a_second_interrupt_ends_a_teardown_that_hangs_and_verdicts_stay", function()
    local folder = project("twice", [[
        a = { priority = 1, run = function(m) m:run "true" end },
        b = function()
            local hanging <close> = setmetatable({}, { __close = function() vm.sleep(25) print "closed" end })
            vm.sleep(60)
        end,]])
    local argv = cli.argv { "test", "--jobs", "1" }
    local process <close> = assert(vm.raw.process.start { argv = argv, cwd = folder })
    local results = folder .. "/.vmatrix/runs/last/results"
    cli.wait_for("a verdict", function() return #(fs.list(results) or {}) > 0 end, 60)
    local _ <close> = vm.closing(vm.spawn(function()
        for _ = 1, 100 do
            vm.sleep(0.2)
            process:kill(2)
        end
    end))
    local said, started = "", vm.now()
    while true do
        local stream, text = process:read(30)
        if not stream then
            break
        end
        said = said .. text
    end
    t.equal(process:wait(30), 130)
    t.check(vm.now() - started < 20 and not said:find "closed", said)
    t.match(said, "forced to end")
    local found = outcomes(folder) -- what was not written is interrupted for every report, too
    t.check(found["n=1:a"] == "passed" or found["n=2:a"] == "passed", "a verdict was lost")
    t.check(found["n=1:b"] ~= "passed" and found["n=2:b"] ~= "passed")
end)

t.test("what_the_command_line_says_counts_more_than_the_matrix", function()
    local folder = project("override", [[
        slow = { timeout = "1h", retries = 3, run = function() vm.sleep(30) end },]])
    local started = vm.now()
    local result = run(folder, "--test-timeout", "0.3s", "--retries", "0", "n=1")
    t.equal(result.status, 1)
    t.check(vm.now() - started < 25, "it ran for long")
    local _, one = outcomes(folder)
    t.equal(#one.results["n=1"].tests.slow.attempts, 1)
end)

cli.clean()
t.finish()
