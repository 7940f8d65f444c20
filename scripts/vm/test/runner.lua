-- Running a plan: units are started as the scheduler and the host allow, and every test gets a verdict.
local raw = require "vm.raw"
local admission = require "vm.test.admission"
local attempt = require "vm.test.attempt"
local errors = require "vm.errors"
local history = require "vm.test.history"
local outcome_of = require "vm.test.outcome"
local plan_of = require "vm.test.plan"
local scheduler = require "vm.test.scheduler"
local script = require "vm.script"
local scope = require "vm.task.scope"
local secrets = require "vm.test.secrets"
local stand_of = require "vm.test.stand"
local task = require "vm.task"
local verdicts = require "vm.test.verdicts"
local watchdog = require "vm.test.watchdog"

local M = {}

local now = raw.task.now

-- How often the host is looked at, in seconds.
local LOOK <const> = 1

---@class vm.test.Runner
local Runner = {}
Runner.__index = Runner

---Makes a runner.
---@param plan table
---@param store table from vm.report.store
---@param opts table checked
---@return vm.test.Runner
function M.new(plan, store, opts)
    return setmetatable({
        plan = plan,
        store = store,
        opts = opts,
        scope = scope.current(),
        stands = {}, -- cell -> stand
        open = {}, -- cell -> how many of its tests have no verdict
        done = {}, -- test -> its verdict
        runs = {}, -- test -> results of attempts, and what t was told
        ended = {}, -- units that have ended since the scheduler looked
        wake = raw.task.event(),
        slots = {},
        live = {}, -- unit -> its task
        spent = {}, -- cell -> seconds that its tests have run
        closers = {}, -- tasks that end cells
        saving = {}, -- tasks that write verdicts
        maskers = {},
        seconds = {}, -- file -> test id -> seconds, for the history
        begun = now(),
    }, Runner)
end

---The masker of a test's secrets.
---@param list string[]|nil
---@return vm.test.Masker
---@private
function Runner:masker_of(list)
    local key = table.concat(list or {}, "\0")
    self.maskers[key] = self.maskers[key] or secrets.new(list)
    return self.maskers[key]
end

-- The stand of a cell, or one that says why there is none.
local function make_stand(self, cell)
    local masker = self:masker_of(cell.matrix.secrets)
    local ok, stand = pcall(stand_of.new, cell, {
        emit = function(event) self.store:event(masker:value(event)) end,
        scope = self.scope,
        widen = function(limit, n)
            if self.scheduler then
                self.scheduler:widen(limit, n)
                self.poked = true
                self.wake:broadcast()
            end
        end,
        keep = self.opts.keep,
    })
    if not ok then
        stand = { needs = { slots = 1 }, limit = "cell:" .. cell.id, failure = stand, cell = cell }
    else
        local possible, why = self.capacity:possible(stand.needs)
        if not possible then
            stand.failure = errors.new("nospace", ("cell %s: %s"):format(cell.id, why))
        end
    end
    self.stands[cell] = stand
    return stand
end

-- A slot for a unit: the lowest one that is free.
local function take_slot(self, unit)
    local slot = 1
    while self.slots[slot] do
        slot = slot + 1
    end
    self.slots[slot] = unit
    return slot
end

-- The cell has all its verdicts: what it held is given back.
local function end_cell(self, cell)
    local stand = self.stands[cell]
    local worst
    local verdict = require "vm.report.verdict"
    for _, test in ipairs(self.tests_of[cell]) do
        worst = verdict.worse(worst, self.done[test])
    end
    if stand and stand.close then
        stand:close()
    end
    if stand and stand.accounted then
        self.capacity:give(stand.accounted)
        stand.accounted = nil
    end
    self.store:event { event = "cell_ended", cell = cell.id, outcome = worst }
end

-- Seconds that the cell's and the run's limits leave, and whose is the shorter.
local function time_left(self, unit, scale)
    local cell = unit.test.cell
    local left, whose
    local limit = cell.matrix.cell_timeout
    if limit then
        left, whose = limit * scale - (self.spent[cell] or 0), "the cell's"
    end
    if self.deadline and (not left or self.deadline - now() < left) then
        left, whose = self.deadline - now(), "the run's"
    end
    return left, whose
end

local function retries_of(self, test)
    if self.opts.repeats > 1 then
        return 0
    end
    return self.opts.retries or test.def.retries or 0
end

-- The body of a unit's task: attempts until one is good or there are no more.
local function run_unit(self, unit, slot)
    local test = unit.test
    local cell = test.cell
    local stand = self.stands[cell]
    local masker = self:masker_of(test.def.secrets)
    local first = unit.number
    local last = first + retries_of(self, test)
    for number = first, last do
        local begun = now()
        local one = {
            test = test,
            number = number,
            slot = slot,
            stand = stand,
            store = self.store,
            masker = masker,
            matrix = cell.matrix,
            emit = function(event)
                event = masker:value(event)
                event.test, event.attempt = test.id, number
                self.store:event(event)
            end,
            time_left = function(scale) return time_left(self, unit, scale) end,
            interrupted = function(result)
                result.reason = self.stop_reason or result.reason
                result.outcome = self.stop_outcome or result.outcome
                verdicts.attempt(self, unit, number, result, nil, true)
            end,
            keep = self.opts.keeper and function(it, outcome) return self.opts.keeper(self, it, outcome) end,
            shell = self.opts.sheller and function(it, cause) return self.opts.sheller(self, it, cause) end,
        }
        if self.starters[test] and not self.left[test] then
            function one.leave(lease)
                local ok, err = pcall(stand.leave, stand, lease, test.id)
                self.left[test] = ok or err
            end
        end
        local result, state = attempt.run(one)
        self.spent[cell] = (self.spent[cell] or 0) + (now() - begun)
        local again = number < last and outcome_of.again(result.outcome)
        verdicts.attempt(self, unit, number, result, state, not again)
        if not again then
            return
        end
        one.emit { event = "retry", reason = result.error and result.error.message or result.reason or result.outcome }
    end
end

---The executor's part: starts a unit in a task of its own.
---@param unit vm.test.Unit
function Runner:start(unit)
    local slot = take_slot(self, unit)
    self.live[unit] = task.spawn(function()
        local begun = now()
        local _ <close> = setmetatable({}, { __close = function()
            self.slots[slot] = nil
            self.live[unit] = nil
            table.insert(self.ended, { unit, now() - begun })
            self.wake:broadcast()
        end })
        if unit.test.cell.matrix.script then
            script.use(unit.test.cell.matrix.script)
        end
        run_unit(self, unit, slot)
    end)
end

-- What a unit leaves taken: the cell's guests stay until its last test.
local function kept_by(self, unit)
    local stand = self.stands[unit.test.cell]
    local holds = stand.holds and stand:holds()
    if holds and not stand.accounted and self.open[unit.test.cell] > 0 then
        stand.accounted = holds
        local needs = { slots = 1, cpus = stand.needs.cpus }
        for _, test in ipairs(self.tests_of[unit.test.cell]) do
            for _, other in ipairs(self.units_of[test] or {}) do
                if other ~= unit and not self.live[other] and not other.over then
                    other.needs = needs
                end
            end
        end
        return holds
    end
end

-- Outcomes whose time says how long the test takes.
local timed = { passed = true, flaky = true, xfail = true, xpass = true }

---The executor's part: waits until units have ended, or something else is to be looked at.
---@param stuck boolean whether nothing runs
---@return table[] ended
function Runner:wait(stuck)
    if #self.ended == 0 and not self.poked then
        self.wake:wait(self.deadline and math.min(LOOK, math.max(0.01, self.deadline - now())) or LOOK)
    end
    watchdog.room(self, stuck and #self.ended == 0 and not self.poked)
    self.poked = false
    local list = self.ended
    self.ended = {}
    for _, item in ipairs(list) do
        local unit = item[1]
        unit.over = true
        item[3] = kept_by(self, unit)
        local runs = self.runs[unit.test]
        local last = runs and runs[#runs].result
        if last and timed[last.outcome] then
            local file = unit.test.cell.matrix.file or "?"
            self.seconds[file] = self.seconds[file] or {}
            self.seconds[file][unit.test.id] = last.duration
            item[2] = last.duration
        else
            item[2] = nil
        end
    end
    return list
end

-- Between two looks of the scheduler: what verdicts have brought about.
local function after(self, list)
    for _, item in ipairs(list) do
        if self.done[item[1].test] then
            verdicts.follow(self, item[1].test)
        end
    end
    watchdog.deadline(self)
    for _, cell in ipairs(self.closing or {}) do
        self.closers[#self.closers + 1] = task.spawn(end_cell, self, cell)
    end
    self.closing = nil
end

-- Tests by cell, dependents by test, and the verdicts that are there before anything runs.
local function sort_out(self)
    local wanted
    wanted, self.by_id = plan_of.wanted(self.plan, self.opts.results)
    self.tests_of, self.starters, self.starters_left, self.left, self.units_of = {}, {}, {}, {}, {}
    local run = {}
    for _, test in ipairs(self.plan.tests) do
        if wanted[test] then
            self.tests_of[test.cell] = self.tests_of[test.cell] or {}
            table.insert(self.tests_of[test.cell], test)
            self.open[test.cell] = (self.open[test.cell] or 0) + 1
            run[#run + 1] = test
        end
    end
    local ready = {}
    for _, test in ipairs(run) do
        local stand = not test.skip and (self.stands[test.cell] or make_stand(self, test.cell))
        if test.skip then
            verdicts.without(self, test, "skipped", test.skip)
        elseif stand.failure then
            verdicts.without(self, test, "error", "no guest for it", stand.failure)
        else
            ready[#ready + 1] = test
        end
    end
    -- What starts from something that will not run is not run either, and so on.
    local changed
    repeat
        changed = false
        for _, test in ipairs(ready) do
            local from = self.by_id[test.from]
            if test.from and not self.done[test] and (not from or self.done[from]) then
                local why, outcome = verdicts.from_problem(self, test)
                verdicts.without(self, test, outcome, why)
                changed = true
            end
        end
    until not changed
    local list = {}
    for _, test in ipairs(ready) do
        local from = self.by_id[test.from]
        if not self.done[test] then
            list[#list + 1] = test
            if from then
                self.starters[from] = self.starters[from] or {}
                table.insert(self.starters[from], test)
                self.starters_left[from] = (self.starters_left[from] or 0) + 1
            end
        end
    end
    return list
end

---Runs the plan to its end. Waits.
function Runner:run()
    self.capacity = admission.new(self.opts.jobs, nil, self.opts.memory)
    local list = sort_out(self)
    if self.opts.timeout then
        self.deadline = now() + self.opts.timeout
    end
    local units
    units, self.units_of = plan_of.units(list, {
        repeats = self.opts.repeats,
        by_id = self.by_id,
        stand_of = function(cell) return self.stands[cell] end,
        estimates = history.of(self.plan),
    })
    local limits = {}
    for _, matrix in ipairs(self.plan.matrices) do
        if matrix.max_parallel then
            limits["matrix:" .. (matrix.name or tostring(matrix))] = matrix.max_parallel
        end
    end
    self.scheduler = scheduler.new(units, { capacity = self.capacity, seed = self.opts.seed, limits = limits })
    after(self, {})
    self.scheduler:drive(self, function(ended) after(self, ended) end)
end

---What there is to do whatever happened: verdicts for what was cut off, no guest left, times kept.
---@param interrupted boolean
function Runner:finish(interrupted)
    for _, running in pairs(self.live) do
        running:cancel()
    end
    for _, running in pairs(self.live) do
        running:ended()
    end
    for _, closer in ipairs(self.closers) do
        closer:ended()
    end
    if interrupted then
        for _, test in ipairs(self.plan.tests) do
            if self.tests_of and self.units_of[test] and not self.done[test] then
                verdicts.without(self, test, "interrupted", "not run: the run was interrupted")
            end
        end
    end
    for _, cell in ipairs(self.closing or {}) do
        end_cell(self, cell)
    end
    self.closing = nil
    for _, stand in pairs(self.stands) do
        if stand.close then
            stand:close()
        end
    end
    while next(self.saving) do
        next(self.saving):ended()
    end
    for file, seconds in pairs(self.seconds) do
        local ok, err = history.add(file, seconds)
        if not ok then
            raw.log.write("warn", nil, "how long tests took cannot be kept: " .. tostring(err))
        end
    end
end

return M
