-- The verdicts of a run: what attempts come to, and what follows from a verdict for other tests. All
-- functions are given the runner, whose tables they keep.
local raw = require "vm.raw"
local outcome_of = require "vm.test.outcome"
local stats = require "vm.report.stats"
local task = require "vm.task"
local Guest = require "vm.guest"

local M = {}

-- Writes a verdict. Beside a guest's test the disk takes no time, so it is waited for, and a run that is
-- killed has lost nothing; on a machine that is there already the run goes on meanwhile. A verdict that
-- cannot be kept is lost.
local function save(self, test, result)
    local stand = self.stands[test.cell]
    local saving
    saving = task.spawn_detached("result " .. test.id, function()
        local ok, err = pcall(self.store.result, self.store, test, result)
        self.saving[saving] = nil
        if not ok then
            local cell = self.store.results[test.cell.id]
            if cell then
                cell.tests[test.name] = nil
            end
            self.store:event { event = "warning", kind = "result", test = test.id,
                text = "its verdict cannot be written, so it is lost: " .. tostring(err) }
        end
    end)
    self.saving[saving] = true
    if stand and stand.way ~= "machine" then
        saving:ended()
    end
end

-- A test has its verdict.
local function settle(self, test, result)
    if self.done[test] then
        return
    end
    self.done[test] = result.outcome
    self.open[test.cell] = self.open[test.cell] - 1
    if self.open[test.cell] == 0 then
        self.closing = self.closing or {}
        table.insert(self.closing, test.cell)
    end
    save(self, test, result)
end

---A verdict without an attempt.
---@param self vm.test.Runner
---@param test table
---@param outcome string
---@param reason string|nil
---@param err any
function M.without(self, test, outcome, reason, err)
    local masker = self:masker_of(test.def.secrets)
    settle(self, test, { outcome = outcome, reason = reason and masker:text(reason), started = raw.fs.now_unix(),
        duration = 0, error = err and masker:value(outcome_of.describe(err)) or nil })
    self.store:event { event = "test_ended", test = test.id, attempt = 1, outcome = outcome, final = outcome,
        duration = 0, reason = reason and masker:text(reason), error = err and masker:value(outcome_of.describe(err))
        or nil }
end

local function counts_as_failed(outcome)
    return outcome == "failed" or outcome == "xpass"
end

local function result_of(self, test)
    local runs = self.runs[test]
    local last = runs[#runs].result
    local result = { started = runs[1].result.started, duration = 0, attempts = {}, checks = {} }
    local outcomes = {}
    for i, run in ipairs(runs) do
        result.attempts[i] = run.result
        result.duration = result.duration + run.result.duration
        outcomes[i] = run.result.outcome
        local state = run.state
        if state then
            result.sections, result.records = state.sections, state.records
            for _, failure in ipairs(state.failures) do
                result.checks[#result.checks + 1] = { ok = false, message = failure.short }
            end
        end
    end
    if self.opts.repeats > 1 then
        local failed, of
        result.outcome, failed, of = outcome_of.repeated(outcomes)
        result.rate = stats.rate(failed, of)
        result.reason = of > 0 and stats.show(result.rate) or last.reason
    else
        result.outcome, result.reason = outcome_of.test(result.attempts)
    end
    return self:masker_of(test.def.secrets):value(result)
end

---An attempt has ended: told, kept, and perhaps the test's last.
---@param self vm.test.Runner
---@param unit vm.test.Unit
---@param number integer
---@param result table
---@param state table|nil what t was told
---@param final boolean whether the unit has no further attempt
function M.attempt(self, unit, number, result, state, final)
    local test = unit.test
    local runs = self.runs[test] or {}
    self.runs[test] = runs
    runs[#runs + 1] = { result = result, state = state }
    local whole
    if final and #runs == (self.opts.repeats > 1 and self.opts.repeats or #runs) then
        whole = result_of(self, test)
    end
    self.store:event { event = "test_ended", test = test.id, attempt = number, outcome = result.outcome,
        duration = result.duration, reason = result.reason, error = result.error, tail = result.tail,
        final = whole and whole.outcome }
    if whole then
        settle(self, test, whole)
    end
end

---Why a test cannot be run now that what it starts from has ended; nil when it can.
---@param self vm.test.Runner
---@param test table
---@return string|nil why
---@return string|nil outcome
function M.from_problem(self, test)
    local from = test.from and self.by_id[test.from]
    if not from then
        return test.from and ("%s, which it starts from, is not among the tests of this run"):format(test.from), "error"
    end
    local outcome = self.done[from]
    if outcome == "passed" or outcome == "flaky" then
        local left = self.left[from]
        if left ~= true and test.cell.matrix.isolation ~= "cell" then
            return ("the state that %s left was not kept: %s"):format(from.name, tostring(left)), "error"
        end
        return nil
    end
    return ("%s %s"):format(from.name, outcome == "error" and "had an error" or outcome == "xfail"
        and "failed as expected" or "was " .. tostring(outcome)):gsub("was failed", "failed"), "skipped"
end

---Gives the tests that can no longer be run their verdicts.
---@param self vm.test.Runner
---@param tests table[]
---@param outcome string
---@param reason string
---@param err any
function M.drop(self, tests, outcome, reason, err)
    for _, test in ipairs(tests) do
        if not self.done[test] then
            for _, unit in ipairs(self.units_of[test]) do
                self.scheduler:drop(unit)
            end
            M.without(self, test, outcome, reason, err)
        end
    end
end

---What follows from the verdict on a test, for those that start from it and for the rest of the run.
---@param self vm.test.Runner
---@param test table
function M.follow(self, test)
    for _, dependent in ipairs(self.starters[test] or {}) do
        local why, outcome = M.from_problem(self, dependent)
        if why and not self.done[dependent] then
            M.drop(self, { dependent }, outcome, why)
            M.follow(self, dependent)
        end
    end
    local from = test.from and self.by_id[test.from]
    if from and self.starters[from] then
        self.starters_left[from] = self.starters_left[from] - 1
        if self.starters_left[from] == 0 then
            local stand = self.stands[from.cell]
            if stand.forget then
                stand:forget(from.id)
            end
        end
    end
    if self.opts.fail_fast and counts_as_failed(self.done[test]) and not self.failed_first then
        self.failed_first = test
        local rest = {}
        for _, unit in ipairs(self.scheduler:waiting()) do
            rest[#rest + 1] = unit.test
        end
        M.drop(self, rest, "skipped", ("not run: %s failed, and --fail-fast was given"):format(test.id))
    end
    local limit = test.cell.matrix.cell_timeout
    local stand = self.stands[test.cell]
    if limit and (self.spent[test.cell] or 0) >= limit * (stand.emulated and Guest.EMULATION_FACTOR or 1) then
        M.drop(self, self.tests_of[test.cell], "error",
            ("not run: the cell's time limit of %g s is over"):format(limit))
    end
end

return M
