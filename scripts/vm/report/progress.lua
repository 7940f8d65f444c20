-- Where a run stands, from its events: cells, what is running, how much is left. No output.
local verdict = require "vm.report.verdict"

local M = {}

---@class vm.report.Progress
---@field cells table[] in the plan's order: { id, axes, total, done, running, worst, spent, started }
---@field running table[] tests that run, the longest first: { id, started, slot, how, line, attempt, ran, failed }
---@field counts table<string, integer>
---@field total integer tests
---@field done integer
local Progress = {}
Progress.__index = Progress

local function cell_id(test)
    return type(test.cell) == "table" and test.cell.id or test.cell
end

---Makes one for a plan; `results` are verdicts that are there already, by cell.
---@param plan table
---@param results? table<string, table>
---@param now number
---@return vm.report.Progress
function M.new(plan, results, now)
    local self = setmetatable({ cells = {}, by_cell = {}, tests = {}, running = {}, counts = {}, total = #plan.tests,
        done = 0, started = now, steps = {}, names = {}, finished = 0, spent = 0 }, Progress)
    for at, cell in ipairs(plan.cells) do
        self.cells[at] = { id = cell.id, axes = cell.axes or {}, total = 0, done = 0, running = 0, spent = 0 }
        self.by_cell[cell.id] = self.cells[at]
    end
    for _, planned in ipairs(plan.tests) do
        local cell = self.by_cell[cell_id(planned)]
        local test = { id = planned.id, name = planned.name, cell = cell, estimate = planned.estimate }
        self.tests[planned.id] = test
        cell.total = cell.total + 1
        local kept = results and results[cell.id]
        local result = kept and kept.tests[planned.name]
        if result then
            self:finish(test, result.outcome, 0)
        end
    end
    return self
end

---A test has its verdict; a second one of the same test is not counted.
---@private
---@param test table
---@param outcome string
---@param duration number
function Progress:finish(test, outcome, duration)
    if test.outcome then
        return
    end
    test.outcome = outcome
    self.done = self.done + 1
    self.counts[outcome] = (self.counts[outcome] or 0) + 1
    test.cell.done = test.cell.done + 1
    test.cell.worst = verdict.worse(test.cell.worst, outcome)
    test.cell.spent = test.cell.spent + duration
    if outcome ~= "skipped" and duration > 0 then
        local of_name = self.names[test.name] or { count = 0, sum = 0 }
        of_name.count, of_name.sum = of_name.count + 1, of_name.sum + duration
        self.names[test.name] = of_name
        self.finished, self.spent = self.finished + 1, self.spent + duration
    end
end

local function remove(self, test)
    if test.run then
        test.cell.running = test.cell.running - 1
        for at, one in ipairs(self.running) do
            if one == test.run then
                table.remove(self.running, at)
                break
            end
        end
        test.run = nil
    end
end

local handlers = {}

function handlers.test_started(self, event, test)
    remove(self, test)
    test.run = { id = test.id, started = event.t, slot = event.slot, how = event.how, attempt = event.attempt,
        ran = test.ran, failed = test.failed }
    self.running[#self.running + 1] = test.run
    test.cell.running = test.cell.running + 1
    test.cell.started = test.cell.started or event.t
end

function handlers.test_ended(self, event, test)
    remove(self, test)
    test.ran = (test.ran or 0) + 1
    if event.outcome == "failed" or event.outcome == "xpass" or event.outcome == "error" then
        test.failed = (test.failed or 0) + 1
    end
    if event.final then
        self:finish(test, event.final, type(event.duration) == "number" and event.duration or 0)
    end
end

function handlers.output(_, event, test)
    if test.run then
        test.run.line = event.text
    end
end

function handlers.section_started(_, event, test)
    if test.run then
        test.run.line = event.name .. " ..."
    end
end

handlers.log = handlers.output

local function step_started(self, event)
    local step = { id = "step " .. event.name, started = event.t, key = event.key, line = event.cell }
    self.steps[event.key] = step
    table.insert(self.running, 1, step)
end

local function step_ended(self, event)
    for at, one in ipairs(self.running) do
        if one.key == event.key then
            table.remove(self.running, at)
            break
        end
    end
    self.steps[event.key] = nil
end

---Takes an event; returns the test it is about, when it is of the plan.
---@param event table
---@return table|nil test
function Progress:event(event)
    if event.event == "step_started" then
        step_started(self, event)
    elseif event.event == "step_ended" then
        step_ended(self, event)
    end
    local test = event.test and self.tests[event.test]
    if test and handlers[event.event] then
        handlers[event.event](self, event, test)
    end
    return test
end

-- Seconds that a test may take: as estimated, else as its like took, else as any did.
local function expected(self, test)
    if test.estimate then
        return test.estimate
    end
    local like = self.names[test.name]
    if like then
        return like.sum / like.count
    end
    return self.finished > 0 and self.spent / self.finished or nil
end

---Seconds that may be left; nil while nothing is known.
---@param now number
---@return number|nil
function Progress:left(now)
    local work, longest, at_once = 0, 0, 0
    for _, test in pairs(self.tests) do
        if not test.outcome then
            local time = expected(self, test)
            if not time then
                return nil
            elseif test.run then
                at_once = at_once + 1
                time = math.max(time - (now - test.run.started), 0)
            end
            work = work + time
            longest = math.max(longest, time)
        end
    end
    return math.max(longest, work / math.max(at_once, 1))
end

return M
