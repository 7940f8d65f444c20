-- timeout: 900
-- Matrices on real guests: clean guests, the outcomes that need one, what is kept, and runs that are
-- interrupted and killed.
local vm = require "vm"
local t = require "harness"
local cli = require "cli.cli"
local host = require "vm.host"

local fs, json = vm.raw.fs, vm.raw.json

local OPTS <const> = { "XDG_CACHE_HOME=" .. require("vm.host.paths").cache():match "^(.*)/" }
local KILL <const>, INT <const> = 9, 2

local folder = cli.folder .. "/m"
assert(fs.mkdir_p(folder))

local function matrix(name, text)
    local path = ("%s/%s.lua"):format(folder, name)
    assert(fs.write_atomic(path, "local vm = require 'vm'\n" .. text))
    return path
end

local function last_run()
    return fs.realpath(folder .. "/.vmatrix/runs/last")
end

-- The verdicts of a run, by test name without its cell.
local function verdicts(path)
    local out = {}
    for _, file in ipairs(fs.glob(path .. "/results/*.json")) do
        for name, result in pairs(json.decode(fs.read(file, 1 << 22)).tests) do
            out[name] = result
        end
    end
    return out
end

local function run(args, limit)
    local result = cli.run(args, { env = OPTS, timeout = limit or 400, cwd = folder })
    return result, verdicts(last_run())
end

-- No QEMU of a run that is over: their command lines name its folders, which are below this file's.
local function qemus()
    return #assert(vm.raw.run.processes { cli.folder })
end

local SEED <const> = [[guest = { image = "seed", memory = "256MiB" },]]

t.test("each_test_gets_a_clean_guest_and_each_end_its_outcome", function()
    local file = matrix("outcomes", [[
        local tries = 0
        return vm.matrix { ]] .. SEED .. [[
            artifacts = { "/tmp/*.log", "/tmp/core" }, env = { COLOUR = "green" }, secrets = { "hunter2-token" },
            prepare = { vm.step { name = "tool", run = function(g) g:run "echo ready > /etc/tool" end } },
            tests = {
                clean = function(g, t)
                    t:equal(g:output "cat /etc/tool; ls /root", "ready")
                    t:equal(g:output "echo $COLOUR", "green")
                    g:run "touch /root/dirt"
                end,
                clean_too = function(g, t)
                    t:equal(g:output "ls /root", "")
                    g:run "touch /root/dirt"
                end,
                build = function(g) g:run "echo program > /root/program" end,
                check = { from = "build", run = function(g, t)
                    t:equal(g:output "cat /root/program", "program")
                    g:run "echo it went well > /tmp/check.log; echo hunter2-token >> /tmp/check.log"
                end },
                install = { from = "check", run = function(g, t) t:equal(g:output "ls /root", "program") end },
                fails = function(g, t)
                    g:run "echo hunter2-token; echo dumped > /tmp/core; echo asan > /tmp/x.log"
                    g:run "echo oh no >&2; exit 3"
                end,
                panics = function(g) g:exec "echo c > /proc/sysrq-trigger" end,
                unseen_panic = function(g)
                    g:spawn "sleep 0.2; echo c > /proc/sysrq-trigger"
                    vm.sleep(8)
                end,
                crashes = function(g) os.execute("kill -9 " .. g:info().pid); g:exec "sleep 30" end,
                flaky = { retries = 1, run = function(g, t)
                    t:equal(g:output "ls /root", "")
                    g:run "touch /root/dirt"
                    tries = tries + 1
                    t:check(tries > 1, "the first time")
                end },
                slow = { timeout = 3, run = function(g) g:run "echo begun; sleep 60" end },
                skips = function(_, t) t:skip "not on this one" end,
            } }]])
    local result, got = run { "test", file }
    t.equal(result.status, 1, result.stderr)
    local outcomes = {}
    for name, one in pairs(got) do
        outcomes[name] = one.outcome
    end
    t.equal(outcomes, { clean = "passed", clean_too = "passed", build = "passed", check = "passed",
        install = "passed", fails = "failed", panics = "failed", unseen_panic = "failed", crashes = "error",
        flaky = "flaky", slow = "failed", skips = "skipped" })
    t.equal(got.panics.attempts[1].error.kind, "panic")
    t.equal(got.unseen_panic.attempts[1].error.kind, "panic")
    t.equal(got.crashes.attempts[1].error.kind, "crashed")
    t.equal(got.slow.attempts[1].error.kind, "timeout")
    t.equal(#got.flaky.attempts, 2)
    t.equal(qemus(), 0)

    -- What is kept of a failure: its output, its files, the console, what the guest says of itself.
    local path, failed = last_run(), got.fails.attempts[1]
    t.match(failed.tail, "%*%*%*\noh no")
    t.match(failed.error.message, "ended with status 3; its last lines:\n  oh no")
    local kinds = {}
    for _, item in ipairs(failed.artifacts) do
        kinds[item.kind] = (kinds[item.kind] or 0) + 1
        t.check(fs.exists(path .. "/" .. item.path), item.path)
    end
    t.equal(kinds, { collected = 1, core = 1, state = 1 })
    t.match(fs.read(path .. "/" .. got.panics.attempts[1].console, 1 << 24), "Kernel panic")
    t.match(fs.read(path .. "/" .. failed.log, 65536), "exit 3")
    t.equal(#got.check.attempts[1].artifacts, 1)
    t.equal(got.check.attempts[1].console, nil)
    t.equal(host.run({ "grep", "-rl", "hunter2-token", path }, { check = false }).stdout, "")
end)

t.test("a_guest_that_does_not_come_up_is_an_error_and_no_failure", function()
    local file = matrix("boot", [[
        return vm.matrix { axes = { how = { "well", "badly" } },
            guest = function(cell)
                return { image = "seed", memory = "256MiB", append = cell.how == "badly" and "rdinit=/nothing" or nil }
            end,
            tests = { a = function(g) g:run "true" end } }]])
    local result = run { "test", file }
    t.equal(result.status, 3, result.stderr)
    local path = last_run()
    local well = json.decode(fs.read(path .. "/results/well.json", 65536)).tests.a
    local badly = json.decode(fs.read(path .. "/results/badly.json", 65536)).tests.a
    t.equal({ well.outcome, badly.outcome, badly.attempts[1].error.kind }, { "passed", "error", "panic" })
end)

t.test("several_guests_of_a_cell_are_given_by_name", function()
    local file = matrix("pair", [[
        local seed = { image = "seed", memory = "256MiB" }
        return vm.matrix { guests = { a = seed, b = seed },
            tests = { two = function(gs, t)
                t:equal(gs.a:output "echo $0", gs.b:output "echo $0")
                t:check(gs.a.name ~= gs.b.name)
                gs.b:run "echo x > /tmp/x"
                t:collect("/tmp/x", { guest = "b" })
            end } }]])
    local result, got = run { "test", file }
    t.equal(result.status, 0, result.stderr)
    t.match(got.two.attempts[1].artifacts[1].path, "/b/tmp/x$")
end)

t.test("isolation_cell_shares_one_guest", function()
    local file = matrix("shared", [[
        return vm.matrix { isolation = "cell", ]] .. SEED .. [[ tests = {
            { name = "one", run = function(g) g:run "echo 1 > /tmp/x" end },
            { name = "two", run = function(g, t) t:equal(g:output "cat /tmp/x", "1") end } } }]])
    local result, got = run { "test", file }
    t.equal(result.status, 0, result.stderr)
    t.equal({ got.one.attempts[1].how, got.two.attempts[1].how }, { "boot", "same" })
end)

t.test("guests_are_taken_back_or_booted_where_that_is_asked_for", function()
    local file = matrix("ways", [[
        local tests = {
            { name = "one", run = function(g, t)
                t:equal(g:output "cat /etc/tool; ls /root", "ready")
                g:run "touch /root/dirt"
            end },
            { name = "two", run = function(g, t)
                t:equal(g:output "cat /etc/tool; ls /root", "ready")
                g:run "touch /root/dirt"
            end },
        }
        local tool = { vm.step { name = "tool", run = function(g) g:run "echo ready > /etc/tool" end } }
        local further = { name = "further", from = "one", run = function(g, t)
            t:equal(g:output "ls /root", "dirt")
        end }
        return {
            vm.matrix { name = "back", isolation = "revert", prepare = tool, ]] .. SEED .. [[
                tests = { tests[1], tests[2], further } },
            vm.matrix { name = "anew", isolation = "boot", prepare = tool, ]] .. SEED .. [[ tests = tests },
        }]])
    local result = run { "test", file }
    t.equal(result.status, 0, result.stdout .. result.stderr)
    local ways = {}
    for _, path in ipairs(fs.glob(last_run() .. "/results/*.json")) do
        for _, one in pairs(json.decode(fs.read(path, 1 << 22)).tests) do
            local how = one.attempts[1].how
            ways[how] = (ways[how] or 0) + 1
        end
    end
    t.equal(ways, { boot = 3, revert = 2 })
    t.equal(qemus(), 0)
    local wrong = matrix("wrong", "return vm.matrix { isolation = 'boot', " .. SEED .. [[
        tests = { a = function() end, b = { from = "a", run = function() end } } }]])
    result = cli.run({ "test", wrong }, { env = OPTS, cwd = folder })
    t.equal(result.status, 2)
    t.match(result.stderr, "wrong%.lua:%d+: .*test 'b': from: with isolation = \"boot\" every test boots")
end)

t.test("a_guest_that_cannot_be_kept_is_prepared_for_its_run", function()
    host.run { "qemu-img", "create", "-q", "-f", "qcow2", folder .. "/own.qcow2", "64M" }
    local file = matrix("own", [[
        return vm.matrix { guest = { image = "seed", memory = "256MiB", disks = { { path = "]] .. folder
        .. [[/own.qcow2" } } }, tests = {
            one = function(g, t) t:equal(g:output "echo 1 > /tmp/x; ls /tmp", "x") end,
            two = function(g, t) t:equal(g:output "echo 2 > /tmp/y; ls /tmp", "y") end } }]])
    local result, got = run { "test", file }
    t.equal(result.status, 0, result.stdout .. result.stderr)
    t.equal({ got.one.attempts[1].how, got.two.attempts[1].how }, { "fork:live", "fork:live" })
    t.match(fs.read(last_run() .. "/events.jsonl", 1 << 22), "prepared for this run only: .-a disk of your own")
end)

t.test("two_runs_share_the_memory_that_they_may_have", function()
    -- Each wants two guests at once; together they may have two.
    local file = matrix("shared_memory", [[
        local at = os.getenv "AT"
        return vm.matrix { axes = { n = { "one", "two" } }, ]] .. SEED .. [[ tests = {
            hold = function(g)
                local path = ("]] .. folder .. [[/held/%s-%s"):format(at, g.name)
                assert(vm.raw.fs.write_atomic(path, ""))
                local count = #vm.raw.fs.list "]] .. folder .. [[/held"
                print("at once " .. count)
                g:run "sleep 2"
                assert(vm.raw.fs.unlink(path))
            end } }]])
    assert(fs.mkdir_p(folder .. "/held"))
    -- Runs of whoever else works here would count: their folder is out of sight.
    local place = ("/tmp/vmatrix-%d"):format(fs.uid())
    assert(fs.mkdir_p(place, 448))
    local alone = ("mount -t tmpfs -o mode=700,size=1m tmpfs %s"):format(place)
    if fs.uid() ~= 0 or not os.execute(("unshare -m sh -c '%s' 2>/dev/null"):format(alone)) then
        t.skip "only root may hide the runs of others"
    end
    local shell = require "vm.remote.shell"
    local cost = require("vm.guest.held").cost { memory = 256 * 1024 * 1024, cpus = 1, emulated = true }.memory
    local texts = vm.parallel({ "a", "b" }, function(at)
        local words = cli.argv({ "test", "--jobs", "2", "--memory", ("%dMiB"):format(2 * cost // 2 ^ 20), "-v",
            "--output", folder .. "/runs-" .. at, file }, { env = { "AT=" .. at, OPTS[1] } })
        for i, word in ipairs(words) do
            words[i] = shell.quote(word)
        end
        local result = host.run({ "unshare", "-m", "sh", "-c", alone .. " && exec " .. table.concat(words, " ") },
            { check = false, timeout = 300 })
        t.equal(result.status, 0, result.stdout .. result.stderr)
        return result.stdout
    end)
    local most, seen = 0, 0
    for count in table.concat(texts):gmatch "at once (%d+)" do
        most, seen = math.max(most, tonumber(count)), seen + 1
    end
    t.equal(seen, 4)
    t.check(most >= 1 and most <= 2, most .. " guests at once")
    local never = cli.run({ "test", "--memory", "100MiB", file }, { env = OPTS, cwd = folder })
    t.equal(never.status, 2)
    t.match(never.stderr, "memory.*100 MiB")
end)

local LONG <const> = [[
    return vm.matrix { axes = { n = { "one", "two" } }, ]] .. SEED .. [[ tests = {
        quick = function(g) g:run "true" end,
        long = function(g) print "in it"; io.stdout:flush(); g:run "sleep 300" end } }]]

t.test("an_interrupt_gives_every_test_a_verdict_leaves_no_guest_and_ends_with_130", function()
    local file = matrix("interrupted", LONG)
    local process <close> = cli.start({ "test", file }, { env = OPTS })
    process:expect(1, "in it", 200)
    process:kill(INT)
    local status = process:finish(60)
    t.equal(status, 130)
    t.equal(qemus(), 0)
    local path = last_run()
    local count = {}
    for _, name in ipairs(fs.glob(path .. "/results/*.json")) do
        for _, result in pairs(json.decode(fs.read(name, 65536)).tests) do
            count[result.outcome] = (count[result.outcome] or 0) + 1
        end
    end
    t.equal((count.interrupted or 0) + (count.passed or 0), 4)
    t.check(count.interrupted >= 1)
    t.match(fs.read(path .. "/events.jsonl", 1 << 22), '"event":"run_ended".-"exit":130')
end)

t.test("after_a_kill_only_what_has_no_verdict_is_run", function()
    local file = matrix("killed", [[
        return vm.matrix { isolation = "cell", ]] .. SEED .. [[ tests = {
            { name = "quick", run = function(g) g:run "true" end },
            { name = "long", run = function(g)
                print "in it"
                io.stdout:flush()
                g:run(vm.raw.fs.exists("]] .. folder .. [[/go") and "true" or "sleep 300")
            end } } }]])
    do
        local process <close> = cli.start({ "test", file }, { env = OPTS })
        process:expect(1, "in it", 200)
        process:kill(KILL)
        process:finish(30)
    end
    cli.wait_for("the guests to be gone", function() return qemus() == 0 end, 30)
    local path = last_run()
    local before = verdicts(path)
    t.equal({ before.quick.outcome, before.long }, { "passed", nil })
    assert(fs.write_atomic(folder .. "/go", ""))
    local result = cli.run({ "test", file, "--rerun", "missing", path }, { env = OPTS, timeout = 300, cwd = folder })
    t.equal(result.status, 0, result.stderr)
    local after = verdicts(path)
    t.equal(after.quick.started, before.quick.started, "quick was run again")
    t.equal(after.long.outcome, "passed")
end)

t.test("a_kept_guest_is_opened_again_as_the_test_left_it_and_deleted", function()
    local file = matrix("kept", [[
        return vm.matrix { ]] .. SEED .. [[ tests = {
            bad = function(g) g:run "echo left behind > /root/left; false" end,
            good = function(g) g:run "true" end } }]])
    local result, got = run { "test", "--keep", "failed", file }
    t.equal(result.status, 1, result.stderr)
    t.equal(got.good.attempts[1].kept, nil)
    local path = last_run()
    local kept = path .. "/" .. got.bad.attempts[1].kept
    t.check(fs.exists(kept .. "/guest/template.json"), kept)
    t.match(result.stdout, "vmatrix test %-%-reopen kept:bad " .. path:match "[^/]*$" and "%-%-reopen kept:bad")
    t.equal(qemus(), 0)
    if host.which "script" then
        local line = ("'%s' test --reopen kept:bad %s"):format(cli.binary, path)
        local argv = cli.argv({}, { env = OPTS, binary = "script" })
        table.move({ "-qec", line, "/dev/null" }, 1, 3, #argv + 1, argv)
        local process <close> = setmetatable({ raw = assert(vm.raw.process.start { argv = argv, stdin = true }),
            text = { "", "" } }, cli.Process)
        process:expect(1, "as kept:bad left it", 200)
        assert(process.raw:queue "cat /root/left; exit\n")
        process:expect(1, "\nleft behind", 200)
        t.equal(process:finish(100), 0)
    end
    local missing = cli.run({ "test", "--discard", "kept:bat", path }, { env = OPTS, cwd = folder })
    t.match(missing.stderr, "did you mean 'kept:bad'")
    local discard = cli.run({ "test", "--discard", "kept:bad", path }, { env = OPTS, cwd = folder })
    t.equal(discard.status, 0, discard.stderr)
    t.check(not fs.exists(kept))
    t.equal(qemus(), 0)
end)

t.test("shell_needs_a_terminal", function()
    local file = matrix("noshell", "return vm.matrix { " .. SEED .. " tests = { a = function() end } }")
    local result = cli.run({ "test", "--shell", file }, { env = OPTS, cwd = folder })
    t.match(result.stderr, "%-%-shell: standard input and output are no terminal")
    t.check(result.status ~= 0)
end)

t.test("what_the_guests_of_a_run_hold_is_seen_by_others_and_given_back", function()
    local held = require "vm.guest.held"
    local script = cli.script("hold.lua", [[
        local vm = require "vm"
        local guest <close> = vm.create { arch = "x86_64", memory = "512MiB", disk = "1GiB" }
        guest:start { wait = "none" }
        print "up"
        io.stdout:flush()
        vm.sleep(100)
    ]])
    local mib = 1024 * 1024
    local process <close> = cli.start({ script }, { env = OPTS })
    process:expect(1, "up", 120)
    -- This process looks where the other keeps its runs.
    local look = cli.script("look.lua", [[
        local memory, runs = 0, 0
        for _, run in ipairs(require "vm.guest.held".runs()) do
            if run.root:sub(1, #arg[1]) == arg[1] then -- not those of whoever else works here
                memory, runs = memory + run.memory, runs + 1
            end
        end
        print(runs, memory // 2 ^ 20)
    ]])
    local text = cli.run({ look, cli.folder }, { env = OPTS }).stdout
    local runs, memory = text:match "(%d+)%s+(%d+)"
    t.equal(runs, "1", text)
    t.check(tonumber(memory) >= 512, text)
    process:kill(INT)
    process:finish(30)
    t.match(cli.run({ look, cli.folder }, { env = OPTS }).stdout, "^0%s+0")
    t.check(held.cost { memory = 512 * mib, cpus = 2, emulated = true }.cpus >
        held.cost { memory = 512 * mib, cpus = 2 }.cpus, "an emulated guest weighs more")
end)

cli.clean()
t.finish()
