-- A run without guests, for the tests of what is seen of one: vmatrix live_run.lua FOLDER CELLS SECONDS HOW [-v|-q]
-- HOW is "end", "error" (raises half-way), "wait" (stays until it is interrupted) or "shell" (the fourth test
-- has the terminal for two seconds, as a shell would).
local raw = require "vm.raw"
local task = require "vm.task"
local fixture = require "lua.run_fixture"
local store = require "vm.report.store"
local watch = require "vm.report.watch"

local folder, cells, seconds, how, flag = arg[1], tonumber(arg[2]), tonumber(arg[3]), arg[4], arg[5]
local plan = fixture.plan { cells = cells, tests = 2 }
local view <close> = watch.new { verbose = flag == "-v" and 1 or 0, quiet = flag == "-q",
    format = { { name = "junit" }, { name = "tap", path = folder .. "/out.tap" } } }
local run <close> = store.create(folder, { plan = plan, seed = 17, slots = 4 })
view:attach(run, plan)

local function one_test(test, n, slot)
    run:event { event = "test_started", test = test.id, attempt = 1, slot = slot, how = "live" }
    local log = assert(io.open((run:log_file(test, 1)), "ab"))
    for at = 1, 3 do
        local text = ("line %d of %s: %s"):format(at, test.name, fixture.hostile[(n + at) % #fixture.hostile + 1])
        log:write(text, "\n")
        log:flush()
        run:event { event = "output", test = test.id, attempt = 1, stream = "stdout", text = text }
        raw.task.sleep(seconds / 3)
    end
    log:close()
    local outcome = n % 5 == 3 and "failed" or "passed"
    local err = outcome == "failed" and { kind = "exit", message = "make: " .. fixture.hostile[n % 10 + 1] } or nil
    run:result(test, { outcome = outcome, duration = seconds, attempts = { { outcome = outcome, error = err,
        tail = "the last line\n", log = select(2, run:log_file(test, 1)) } } })
    run:event { event = "test_ended", test = test.id, attempt = 1, outcome = outcome, final = outcome,
        duration = seconds, error = err }
end

local next_test = 0
task.parallel({ 1, 2, 3, 4 }, function(slot)
    while next_test < #plan.tests do
        next_test = next_test + 1
        local n = next_test
        one_test(plan.tests[n], n, slot)
        if how == "shell" and n == 4 then
            run:event { event = "shell_started", test = plan.tests[n].id, attempt = 1 }
            io.stdout:write "shell> "
            io.stdout:flush()
            raw.task.sleep(2)
            io.stdout:write "exit\n"
            run:event { event = "shell_ended", test = plan.tests[n].id, attempt = 1 }
        end
        if how == "error" and n > #plan.tests // 2 then
            error "the runner is broken"
        elseif how == "wait" and n >= 8 then
            raw.task.sleep(1000)
        end
    end
end)
run:finish()
