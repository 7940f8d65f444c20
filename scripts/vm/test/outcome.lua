-- What an attempt has come to, and a test after all of its attempts. Infrastructure that failed is kept
-- apart from tests that did.
local errors = require "vm.errors"

local M = {}

-- Errors that say nothing about what was tested: the host, the hypervisor, the way to the guest.
M.infrastructure = { connection = true, crashed = true, nospace = true, libvirt = true, system = true, auth = true,
    hostkey = true, ssh = true }

---An error as a result keeps it.
---@param err any
---@return { kind: string, message: string }
function M.describe(err)
    if errors.is(err) then
        return { kind = err.kind, message = err.message }
    end
    return { kind = "script", message = tostring(err) }
end

---The outcome of an attempt.
---@param how { err?: any, phase: string, failures: table[], skip?: string, expected?: string } phase: where err
---  was raised: "guest" (boot, prepare), "setup", "run" or "teardown"
---@return string outcome
---@return string|nil reason
---@return any err
function M.attempt(how)
    local err = how.err
    if err ~= nil and (how.phase == "guest" or errors.is(err) and M.infrastructure[err.kind]) then
        return "error", how.phase == "guest" and "no guest for it" or nil, err
    end
    -- What was caught by the test counts too: nothing that failed is passed.
    if err == nil and how.failures[1] then
        err = how.failures[1]
    end
    if err ~= nil then
        if how.expected then
            return "xfail", how.expected, err
        end
        local where = how.phase ~= "run" and how.phase or nil
        return "failed", where and "in " .. where or nil, err
    elseif how.skip then
        return "skipped", how.skip
    elseif how.expected then
        return "xpass", "passed, and was expected to fail: " .. how.expected
    end
    return "passed"
end

local bad = { failed = true, xpass = true }

---Whether an attempt that ended so is worth another one.
---@param outcome string
---@return boolean
function M.again(outcome)
    return bad[outcome] or outcome == "error"
end

---The verdict on a test after its attempts, the oldest first. It is flaky when it passed after it had
---failed; infrastructure that failed does not make a test flaky, nor failed.
---@param attempts { outcome: string, reason?: string }[]
---@return string outcome
---@return string|nil reason
function M.test(attempts)
    local last = attempts[#attempts]
    local failed, errored = 0, 0
    for _, attempt in ipairs(attempts) do
        failed = failed + (bad[attempt.outcome] and 1 or 0)
        errored = errored + (attempt.outcome == "error" and 1 or 0)
    end
    if last.outcome == "interrupted" then
        return "interrupted", last.reason
    elseif last.outcome == "passed" and failed > 0 then
        return "flaky", ("passed at attempt %d"):format(#attempts)
    elseif last.outcome == "error" and failed > 0 then
        for i = #attempts, 1, -1 do
            if bad[attempts[i].outcome] then
                return attempts[i].outcome, attempts[i].reason
            end
        end
    elseif last.outcome == "passed" and errored > 0 then
        return "passed", ("after %d infrastructure error%s"):format(errored, errored > 1 and "s" or "")
    end
    return last.outcome, last.reason
end

---The verdict on a test that was repeated.
---@param outcomes string[] of each run
---@return string outcome
---@return integer failed
---@return integer runs those that say something about the test
function M.repeated(outcomes)
    local count = {}
    for _, outcome in ipairs(outcomes) do
        count[outcome] = (count[outcome] or 0) + 1
    end
    local failed = (count.failed or 0) + (count.xpass or 0)
    local good = (count.passed or 0) + (count.flaky or 0) + (count.xfail or 0)
    local outcome
    if count.interrupted then
        outcome = "interrupted"
    elseif failed > 0 and good > 0 then
        outcome = "flaky"
    elseif failed > 0 then
        outcome = count.xpass and not count.failed and "xpass" or "failed"
    elseif good > 0 then
        outcome = count.error and "error" or count.xfail and "xfail" or "passed"
    else
        outcome = count.error and "error" or "skipped"
    end
    return outcome, failed, failed + good
end

return M
