-- The format of a run's event log, version 1: which events there are and what each says.
local M = {}

M.VERSION = 1

M.OUTCOMES = { "passed", "failed", "flaky", "skipped", "error", "lost", "interrupted", "xfail", "xpass" }

-- A field is { name, type, required, what it says }; types are "string", "number", "integer",
-- "boolean", "table", "outcome" (one of OUTCOMES), several joined by "|". Every event has `t` and
-- `event` besides.
local TEST <const> = {
    { "test", "string", true, "the test's id" },
    { "attempt", "integer", true, "1 for the first" },
}

local function of_test(fields)
    local all = table.move(TEST, 1, #TEST, 1, {})
    return table.move(fields, 1, #fields, #all + 1, all)
end

-- In the order of the manual.
M.events = {
    { "run_started", "a run begins", {
        { "id", "string", true, "the run's id, which is the name of its folder" },
        { "format", "integer", true, "the version of this format" },
        { "version", "string", false, "of vmatrix" },
        { "argv", "table", false, "the command line" },
        { "seed", "integer|string", false, "of the running order" },
        { "slots", "integer", false, "how many guests run at once at most" },
        { "resumed", "boolean", false, "the run was there and is completed now" },
    } },
    { "plan", "what will be run; the whole of it is in plan.json", {
        { "cells", "integer", true, "how many cells" },
        { "tests", "integer", true, "how many tests" },
        { "skipped", "integer", false, "how many were left out" },
        { "estimate", "number", false, "seconds it may take" },
    } },
    { "step_started", "a step of preparation is built", {
        { "key", "string", true, "of its content" },
        { "name", "string", true, "" },
        { "guest", "string", false, "the name of the guest it is built in" },
        { "cell", "string", false, "the cell it is built for first" },
    } },
    { "step_ended", "", {
        { "key", "string", true, "" },
        { "name", "string", true, "" },
        { "how", "string", false, "found, built or cold" },
        { "duration", "number", true, "seconds" },
        { "ok", "boolean", true, "" },
        { "error", "table", false, "{ kind, message }" },
        { "cell", "string", false, "" },
        { "guest", "string", false, "" },
    } },
    { "guest", "what happens to a guest", {
        { "cell", "string", false, "the cell it is for" },
        { "guest", "string", true, "its name" },
        { "phase", "string", true, "boot, fork, revert, close, keep, ..." },
        { "how", "string", false, "live, snapshot or boot" },
        { "duration", "number", false, "seconds" },
        { "ok", "boolean", false, "" },
        { "error", "table", false, "{ kind, message }" },
        { "test", "string", false, "the test it is for" },
        { "attempt", "integer", false, "" },
        { "slot", "integer", false, "" },
    } },
    { "test_started", "a test begins, on a guest of its own", of_test {
        { "slot", "integer", false, "the place it runs at, 1 and up" },
        { "how", "string", false, "how its guest came to be: live, snapshot or boot" },
    } },
    { "section_started", "a section of a test begins", of_test {
        { "name", "string", true, "" },
        { "depth", "integer", false, "1 for one that is in no other" },
    } },
    { "section_ended", "", of_test {
        { "name", "string", true, "" },
        { "depth", "integer", false, "" },
        { "duration", "number", true, "seconds" },
        { "ok", "boolean", true, "" },
    } },
    { "output", "what the test's commands print: the last line of the time", of_test {
        { "stream", "string", false, "stdout, stderr or console" },
        { "text", "string", true, "" },
    } },
    { "check", "a check of the test", of_test {
        { "ok", "boolean", true, "" },
        { "message", "string", false, "" },
    } },
    { "log", "what the test says", of_test {
        { "text", "string", true, "" },
    } },
    { "record", "what the test recorded, to be compared across cells", of_test {
        { "name", "string", true, "" },
        { "digest", "string", true, "SHA-256 of the whole" },
        { "text", "string", false, "its beginning" },
    } },
    { "artifact", "a file was kept", of_test {
        { "path", "string", true, "below the run's folder" },
        { "size", "integer", false, "bytes" },
        { "kind", "string", false, "collected, console, core, sanitizer, ..." },
    } },
    { "warning", "something that is no verdict", {
        { "kind", "string", true, "" },
        { "text", "string", true, "" },
        { "test", "string", false, "" },
        { "attempt", "integer", false, "" },
        { "cell", "string", false, "" },
    } },
    { "retry", "the test will be tried again, on a fresh guest", of_test {
        { "reason", "string", true, "" },
    } },
    { "test_ended", "an attempt has its outcome", of_test {
        { "outcome", "outcome", true, "of this attempt" },
        { "duration", "number", true, "seconds" },
        { "reason", "string", false, "why it was skipped, or expected to fail" },
        { "error", "table", false, "{ kind, message }" },
        { "tail", "string", false, "the end of what it printed" },
        { "final", "outcome", false, "the test's verdict, when this was the last attempt" },
    } },
    { "cell_ended", "all tests of a cell have their verdicts", {
        { "cell", "string", true, "the cell's id" },
        { "outcome", "outcome", true, "the worst of its tests" },
    } },
    { "shell_started", "the terminal is the shell's of the test's guest now", of_test {} },
    { "shell_ended", "", of_test {} },
    { "interrupted", "the user wants the run to end", {
        { "signal", "string", false, "" },
    } },
    { "run_ended", "the run is over", {
        { "exit", "integer", true, "the exit status" },
        { "counts", "table", true, "tests by outcome" },
        { "duration", "number", true, "seconds" },
    } },
}

local by_name, outcomes = {}, {}
for _, event in ipairs(M.events) do
    local fields = { t = { "t", "number", true }, event = { "event", "string", true } }
    for _, field in ipairs(event[3]) do
        fields[field[1]] = field
    end
    by_name[event[1]] = fields
end
for _, outcome in ipairs(M.OUTCOMES) do
    outcomes[outcome] = true
end

---Whether a value is one of the outcomes.
---@param value any
---@return boolean
function M.is_outcome(value)
    return outcomes[value] == true
end

local function is_of(value, kinds)
    for kind in kinds:gmatch "[^|]+" do
        if kind == "outcome" and outcomes[value] or kind == type(value)
            or kind == "integer" and math.type(value) == "integer" then
            return true
        end
    end
    return false
end

---What is wrong with an event; nil when it is as the format says.
---@param event table
---@return string|nil
function M.complaint(event)
    local fields = by_name[event.event]
    if not fields then
        return ("there is no event %q"):format(tostring(event.event))
    end
    for name, value in pairs(event) do
        local field = fields[name]
        if not field then
            return ("event %s: unknown field %q"):format(event.event, tostring(name))
        elseif not is_of(value, field[2]) then
            return ("event %s: field %s: %s expected, got %s"):format(event.event, name, field[2],
                math.type(value) or type(value))
        end
    end
    for name, field in pairs(fields) do
        if field[3] and event[name] == nil then
            return ("event %s: field %s is missing"):format(event.event, name)
        end
    end
end

return M
