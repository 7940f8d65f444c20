-- TAP, the Test Anything Protocol, version 14: one point a test, with a block of YAML for what is not
-- plainly passed.
local escape = require "vm.report.escape"
local model_of = require "vm.report.model"
local verdict = require "vm.report.verdict"

local M = {}

-- "not ok" and a directive, by outcome; the rest is "ok".
local not_ok <const> = { failed = true, xpass = true, error = true, lost = true, interrupted = true, xfail = true }
local directives <const> = { skipped = "SKIP", xfail = "TO" .. "DO" } -- in one word it would be a note to us

local function yaml(out, name, value)
    if value ~= nil and value ~= "" then
        out[#out + 1] = ("  %s: %s\n"):format(name, type(value) == "number" and ("%.3f"):format(value)
            or escape.yaml(escape.head(tostring(value), 4096)))
    end
end

local function block(out, test)
    local attempt = model_of.telling_attempt(test)
    local err = attempt and attempt.error
    out[#out + 1] = "  ---\n"
    yaml(out, "outcome", test.outcome)
    yaml(out, "severity", verdict.is_failure(test.outcome) and "fail" or not_ok[test.outcome] and "error" or "comment")
    yaml(out, "message", model_of.why(test))
    yaml(out, "kind", err and err.kind)
    yaml(out, "attempts", #test.attempts > 1 and tostring(#test.attempts) or nil)
    yaml(out, "duration", test.duration)
    yaml(out, "log", attempt and attempt.log)
    if test.outcome ~= "skipped" then
        yaml(out, "output", attempt and attempt.tail and escape.tail(attempt.tail, 4096))
    end
    out[#out + 1] = "  ...\n"
end

---The run as TAP.
---@param model vm.report.Model
---@return string
function M.render(model)
    local out = { ("TAP version 14\n1..%d\n"):format(#model.tests) }
    for number, test in ipairs(model.tests) do
        local directive = directives[test.outcome]
        local why = directive and escape.tap(escape.head(model_of.why(test), 1024))
        out[#out + 1] = ("%sok %d - %s%s\n"):format(not_ok[test.outcome] and "not " or "", number, escape.tap(test.id),
            directive and (" # %s %s"):format(directive, why) or "")
        if test.outcome ~= "passed" then
            block(out, test)
        end
    end
    return table.concat(out)
end

return M
