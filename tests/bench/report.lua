-- What the event log costs, and how long reports of a large run take: 5,000 cells of 4 tests with outputs.
--   cmake --build --preset release --target bench_report
-- The peer of the event log is the same line written and flushed; of the reports, Python's reading of the
-- same results, where there is a Python.
local vm = require "vm"
local host = require "vm.host"
local fixture = require "lua.run_fixture"
local grid = require "vm.report.grid"
local model_of = require "vm.report.model"
local progress = require "vm.report.progress"
local reports = require "vm.report.reports"
local store = require "vm.report.store"

local cells = tonumber(arg[1] or 5000)
local folder <close> = fixture.folder()

local function measure(fn)
    collectgarbage()
    local started, cpu = vm.now(), vm.raw.build.cpu_time()
    local result = fn()
    return vm.now() - started, result, vm.raw.build.cpu_time() - cpu
end

local function say(what, seconds, wanted, cpu)
    print(("%-44s %8.2f s  (%.2f s of processor)%s"):format(what, seconds, cpu,
        wanted and ("  wanted < %.1f s"):format(wanted) or ""))
end

-- The event log.
do
    local plan = fixture.plan { cells = 2, tests = 2 }
    local run <close> = store.create(folder.path, { plan = plan })
    local count, id = 50000, plan.tests[1].id
    local line = '{"t":1764000000.123456,"event":"output","attempt":1,"stream":"stdout","test":"' .. id
        .. '","text":"  CC    src/main.o with some options that make the line longer"}\n'
    local file <close> = assert(io.open(folder.path .. "/peer", "ab"))
    file:setvbuf("full", 1 << 16)
    local plain = measure(function()
        for _ = 1, count do
            file:write(line)
            file:flush()
        end
    end)
    local ours, _, cpu = measure(function()
        for _ = 1, count do
            run:event { event = "output", test = id, attempt = 1, stream = "stdout",
                text = "  CC    src/main.o with some options that make the line longer" }
        end
    end)
    print(("an event %.1f us (%.1f us of processor), wanted <= 30; the bare line written and flushed %.1f us"):format(
        ours / count * 1e6, cpu / count * 1e6, plain / count * 1e6))
    local verdicts = 200
    local saved = measure(function()
        for at = 1, verdicts do
            run:result(plan.tests[at % 4 + 1], { outcome = "passed", duration = at })
        end
    end)
    print(("a verdict on the disk, one at a time: %.2f ms"):format(saved / verdicts * 1e3))
end

-- The reports.
local made
local time, _, cpu = measure(function()
    made = fixture.make(folder.path, { cells = cells, tests = 4, logs = false })
end)
say(("a run of %d cells made"):format(cells), time, nil, cpu)
local function load()
    return model_of.load(store.open(made.path))
end
time, _, cpu = measure(load)
say("opened, and the model made", time, nil, cpu)
for _, format in ipairs { "terminal", "junit", "tap", "json", "markdown", "github" } do
    local whole, text, used = measure(function() return reports.render(load(), format) end)
    say(("%s, from the folder (%.1f MiB)"):format(format, #text / 2 ^ 20), whole, 2, used)
end
if pcall(require, "vm.report.html") then
    local whole, text, used = measure(function() return reports.render(load(), "html") end)
    say(("html, from the folder (%.1f MiB)"):format(#text / 2 ^ 20), whole, nil, used)
end
local python = host.which "python3"
if python then
    local code = "import json,glob,sys\nfor f in glob.glob(sys.argv[1]+'/results/*.json'): json.load(open(f))\n"
        .. "json.load(open(sys.argv[1]+'/plan.json'))\n"
        .. "for l in open(sys.argv[1]+'/events.jsonl'): json.loads(l)"
    time = measure(function() host.run({ python, "-c", code, made.path }, { timeout = 120 }) end)
    print(("%-44s %8.2f s"):format("Python reads the same files", time))
end

-- One frame of the live view.
local live = progress.new(made.plan, nil, 0)
for at = 1, 16 do
    live:event { event = "test_started", t = 1, test = made.plan.tests[at].id, attempt = 1, slot = at }
end
local frames = 50
time, _, cpu = measure(function()
    for _ = 1, frames do
        grid.lines(live, { columns = 120, rows = 50, now = 10, color = true })
    end
end)
local left = select(3, measure(function() live:left(10) end))
print(("a frame of the live view: %.1f ms (%.1f ms of processor); the time left, once a second: %.1f ms"):format(
    time / frames * 1e3, cpu / frames * 1e3, left * 1e3))
