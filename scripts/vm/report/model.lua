-- What every report is made from: a run's plan, results and log as one table. Pure data; its texts are
-- valid UTF-8 but as the guests wrote them: whoever shows them escapes them for its format.
local groups = require "vm.report.groups"
local stats = require "vm.report.stats"
local verdict = require "vm.report.verdict"

local M = {}

---@class vm.report.Test
---@field id string
---@field name string
---@field cell vm.report.Cell
---@field outcome string passed, failed, flaky, skipped, error, lost, interrupted, xfail, xpass
---@field reason? string
---@field duration? number seconds, of all its attempts
---@field started? number a time
---@field attempts table[] { outcome, duration, started, how, slot, error = { kind, message }, tail, log, artifacts }
---@field checks? table { passed, failed } or a list of { ok, message }
---@field records? table<string, table> { digest, text, size }
---@field sections? table[] { name, depth, duration, ok }
---@field rate? table of a test that was repeated: { runs, failed, rate, low, high }
---@field tags string[]
---@field from? string
---@field variant? string

---@class vm.report.Cell
---@field id string
---@field matrix string
---@field axes string[][] { name, value }
---@field outcome string of its worst test
---@field tests vm.report.Test[]

---@class vm.report.Model
---@field run table id, path, state ("finished", "running", "unfinished"), params, and what run.json says
---@field matrices table[] { name, file, line, axes = { { name, values } } }
---@field cells vm.report.Cell[] in the plan's order
---@field tests vm.report.Test[] in the plan's order
---@field counts table<string, integer> tests by outcome, and total
---@field exit integer the exit status by the results
---@field records table[] { name, test, record, total, by, groups = { { text, digest, tests } } }: equal values together
---@field timeline table[] { what ("test", "guest", "step"), name, started, duration, slot, test, attempt, outcome }
---@field warnings table[] { kind, text, test, cell }
---@field skipped table[] what the plan left out: { id, reason, rule }
---@field problems string[] what of the run could not be read

local function build_cells(plan)
    local cells, by_id = {}, {}
    for at, given in ipairs(plan.cells) do
        local cell = { id = given.id, matrix = given.matrix, axes = given.axes or {}, values = given.values or {},
            tests = {} }
        cells[at], by_id[cell.id] = cell, cell
    end
    return cells, by_id
end

-- Of a test that was repeated; made anew of its two numbers, since files may be damaged.
local function rate_of(given)
    local failed = type(given) == "table" and math.tointeger(given.failed)
    local runs = failed and math.tointeger(given.runs)
    return runs and failed >= 0 and failed <= runs and stats.rate(failed, runs) or nil
end

local function new_test(planned, cell, result)
    local outcome, reason = verdict.outcome(planned, result)
    result = result or {}
    local test = { id = planned.id, name = planned.name, cell = cell, tags = planned.tags or {}, from = planned.from,
        variant = planned.variant, estimate = planned.estimate, file = planned.file, line = planned.line,
        outcome = outcome, reason = reason, duration = result.duration, started = result.started,
        attempts = result.attempts or {}, checks = result.checks, records = result.records,
        sections = result.sections, rate = rate_of(result.rate) }
    local first = test.attempts[1]
    test.started = test.started or first and first.started
    return test
end

local function build_tests(model, plan, results, by_id)
    local outcomes = {}
    for at, planned in ipairs(plan.tests) do
        local cell = by_id[planned.cell]
        if not cell then -- a plan that was damaged
            cell = { id = tostring(planned.cell), axes = {}, values = {}, tests = {} }
            by_id[planned.cell] = cell
            model.cells[#model.cells + 1] = cell
        end
        local kept = results[planned.cell]
        local test = new_test(planned, cell, kept and kept.tests[planned.name])
        model.tests[at], outcomes[at] = test, test.outcome
        cell.tests[#cell.tests + 1] = test
        cell.outcome = verdict.worse(cell.outcome, test.outcome)
    end
    return verdict.count(outcomes)
end

local function add_attempts(timeline, tests)
    for _, test in ipairs(tests) do
        for number, attempt in ipairs(test.attempts) do
            local started = attempt.started or number == 1 and test.started
            if started and attempt.duration then
                timeline[#timeline + 1] = { what = "test", test = test.id, attempt = number, slot = attempt.slot,
                    started = started, duration = attempt.duration, outcome = attempt.outcome, name = test.id }
            end
        end
    end
end

local function ok_word(event)
    return event.ok == false and "error" or "passed"
end

-- What the log knows besides: warnings, and how long guests and steps took.
local function read_log(model, run)
    for event in run:events("warning", "guest", "step_ended") do
        local started = type(event.duration) == "number" and type(event.t) == "number" and event.t - event.duration
        if event.event == "warning" then
            table.insert(model.warnings, { kind = event.kind, text = event.text, test = event.test,
                cell = event.cell, t = event.t })
        elseif started and event.event == "guest" then
            table.insert(model.timeline, { what = "guest", started = started, duration = event.duration,
                slot = event.slot, test = event.test, outcome = ok_word(event), how = event.how, cell = event.cell,
                name = ("%s %s"):format(event.phase, event.guest) })
        elseif started then
            table.insert(model.timeline, { what = "step", started = started, duration = event.duration,
                outcome = ok_word(event), how = event.how, cell = event.cell, name = event.name })
        end
    end
end

local function state_of(run)
    if run.alive then
        return "running"
    end
    return run.info.ended and "finished" or "unfinished"
end

---Makes the model of a run that was opened with vm.report.store.open.
---@param run vm.report.Folder
---@return vm.report.Model
function M.load(run)
    local info = run.info
    local model = {
        run = { id = run.id, path = run.path, started = info.started, ended = info.ended, duration = info.duration,
            state = state_of(run), exit = info.exit, seed = info.seed, slots = info.slots, version = info.version,
            host = info.host, argv = info.argv, files = info.files, params = run.plan.params },
        matrices = run.plan.matrices,
        tests = {},
        timeline = {},
        warnings = {},
        skipped = run.plan.skipped,
        problems = run.problems,
    }
    local by_id
    model.cells, by_id = build_cells(run.plan)
    model.counts = build_tests(model, run.plan, run.results, by_id)
    model.exit = verdict.exit(model.counts)
    add_attempts(model.timeline, model.tests)
    read_log(model, run)
    table.sort(model.timeline, function(a, b) return a.started < b.started end)
    model.records = groups.records(model.tests)
    return model
end

---The attempt that a report tells of: the last one that has an error, else the last.
---@param test vm.report.Test
---@return table|nil attempt
---@return integer number
function M.telling_attempt(test)
    for at = #test.attempts, 1, -1 do
        if test.attempts[at].error then
            return test.attempts[at], at
        end
    end
    return test.attempts[#test.attempts], #test.attempts
end

local function message_of(err)
    return type(err) == "table" and tostring(err.message or err.kind or "") or err and tostring(err) or ""
end

---Why a test has its outcome, in words: the error's message, else the reason, both for a test that is flaky
---or was repeated; "" when there is neither.
---@param test vm.report.Test
---@return string
function M.why(test)
    local attempt = M.telling_attempt(test)
    local message, reason = message_of(attempt and attempt.error), test.reason or ""
    if message == "" or test.outcome == "skipped" or test.outcome == "xfail" or test.outcome == "passed" then
        return reason
    elseif (test.outcome == "flaky" or test.rate) and reason ~= "" then
        return reason .. ": " .. message
    end
    return message
end

return M
