-- JUnit XML as Jenkins' schema (junit-10) has it: a suite a cell. GitLab and others read it, too.
local escape = require "vm.report.escape"
local model_of = require "vm.report.model"
local verdict = require "vm.report.verdict"
local words = require "vm.report.words"

local M = {}

local function seconds(value)
    return ("%.3f"):format(type(value) == "number" and math.max(0, math.min(value, 1e9)) or 0)
end

-- GitLab and plugins of Jenkins attach the file that such a line names: a guest must not choose it.
local function text_of(text)
    return (escape.xml(text):gsub("%[%[ATTACHMENT", "[ [ATTACHMENT"))
end

local function message_of(text)
    return escape.attribute(escape.head(text, 1024))
end

-- An attempt that is not the verdict: of a flaky test, or before the last failure.
local function other_attempt(out, name, attempt)
    local err = attempt.error or {}
    out[#out + 1] = ('      <%s type="%s" message="%s"><stackTrace>%s</stackTrace></%s>\n'):format(name,
        message_of(err.kind or attempt.outcome), message_of(err.message or ""), text_of(err.message or ""), name)
end

local function rest(out, test, prefix)
    local _, telling = model_of.telling_attempt(test)
    for number, attempt in ipairs(test.attempts) do
        local bad = verdict.is_failure(attempt.outcome) and "Failure" or attempt.outcome == "error" and "Error"
        if bad and (prefix == "flaky" or number ~= telling) then
            other_attempt(out, prefix .. bad, attempt)
        end
    end
end

local function problem(out, name, kind, why)
    out[#out + 1] = ('      <%s type="%s" message="%s">%s</%s>\n'):format(name, message_of(kind), message_of(why),
        text_of(why), name)
end

local function output(out, test)
    local attempt = model_of.telling_attempt(test)
    local parts = {}
    if attempt and attempt.tail and attempt.tail ~= "" then
        parts[#parts + 1] = text_of(attempt.tail)
    end
    if attempt and attempt.log then
        parts[#parts + 1] = "log: " .. text_of(attempt.log)
    end
    if #parts > 0 then
        out[#out + 1] = ("      <system-out>%s</system-out>\n"):format(table.concat(parts, "\n"))
    end
end

local function case(out, test)
    local head = ('    <testcase classname="%s" name="%s" time="%s"'):format(escape.attribute(test.cell.id),
        escape.attribute(test.name), seconds(test.duration))
    if test.outcome == "passed" then
        out[#out + 1] = head .. "/>\n"
        return
    end
    out[#out + 1] = head .. ">\n"
    local why, attempt = model_of.why(test), model_of.telling_attempt(test)
    local kind = attempt and attempt.error and attempt.error.kind or test.outcome
    if verdict.is_failure(test.outcome) then
        problem(out, "failure", kind, why)
        rest(out, test, "rerun")
    elseif test.outcome == "skipped" then
        out[#out + 1] = ('      <skipped message="%s"/>\n'):format(message_of(why))
    elseif test.outcome == "xfail" then
        out[#out + 1] = ('      <skipped type="xfail" message="%s"/>\n'):format(
            message_of("failed as expected: " .. why))
    elseif test.outcome == "flaky" then
        rest(out, test, "flaky")
    else
        problem(out, "error", test.outcome == "error" and kind or test.outcome, why)
        rest(out, test, "rerun")
    end
    if test.outcome ~= "skipped" then
        output(out, test)
    end
    out[#out + 1] = "    </testcase>\n"
end

-- What a list of tests comes to in JUnit's four numbers, and how long they took.
local function totals(tests)
    local failures, errors, skipped, time = 0, 0, 0, 0
    for _, test in ipairs(tests) do
        if verdict.is_failure(test.outcome) then
            failures = failures + 1
        elseif test.outcome == "skipped" or test.outcome == "xfail" then
            skipped = skipped + 1
        elseif not verdict.is_good(test.outcome) then
            errors = errors + 1
        end
        time = time + (type(test.duration) == "number" and test.duration or 0)
    end
    return failures, errors, skipped, time
end

local function properties(out, cell)
    if #cell.axes == 0 then
        return
    end
    out[#out + 1] = "    <properties>\n"
    for _, pair in ipairs(cell.axes) do
        out[#out + 1] = ('      <property name="%s" value="%s"/>\n'):format(escape.attribute(pair[1]),
            escape.attribute(pair[2]))
    end
    out[#out + 1] = "    </properties>\n"
end

local function suite(out, cell, model)
    local failures, errors, skipped, time = totals(cell.tests)
    local host = model.run.host and model.run.host.name
    local started = cell.tests[1].started or model.run.started
    out[#out + 1] = ('  <testsuite name="%s" tests="%d" failures="%d" errors="%d" skipped="%d"'):format(
        escape.attribute(cell.id), #cell.tests, failures, errors, skipped)
    out[#out + 1] = (' time="%s"%s%s>\n'):format(seconds(time),
        started and (' timestamp="%s"'):format(words.date(started):sub(1, 19)) or "",
        host and (' hostname="%s"'):format(escape.attribute(tostring(host))) or "")
    properties(out, cell)
    for _, test in ipairs(cell.tests) do
        case(out, test)
    end
    out[#out + 1] = "  </testsuite>\n"
end

---The run as JUnit XML.
---@param model vm.report.Model
---@return string
function M.render(model)
    local failures, errors = totals(model.tests)
    local out = { '<?xml version="1.0" encoding="UTF-8"?>\n' }
    out[2] = ('<testsuites name="%s" tests="%d" failures="%d" errors="%d" time="%s">\n'):format(
        escape.attribute("vmatrix " .. tostring(model.run.id)), #model.tests, failures, errors,
        seconds(model.run.duration))
    for _, cell in ipairs(model.cells) do
        if #cell.tests > 0 then
            suite(out, cell, model)
        end
    end
    out[#out + 1] = "</testsuites>\n"
    return table.concat(out)
end

return M
