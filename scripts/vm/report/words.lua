-- Words that several reports share: counts, durations, dates.
local M = {}

-- In the order in which counts are told: the worst first.
M.ORDER = { "failed", "xpass", "error", "lost", "interrupted", "flaky", "xfail", "skipped", "passed" }

-- What each is called, for one and for several.
M.NAMES = {
    passed = "passed", failed = "failed", flaky = "flaky", skipped = "skipped", error = "errors", lost = "lost",
    interrupted = "interrupted", xfail = "failed as expected", xpass = "passed unexpectedly",
}

---A time such as "12 ms", "3.4 s", "2 min 05 s" or "1 h 02 min"; "" for none.
---@param seconds number|nil
---@return string
function M.duration(seconds)
    if type(seconds) ~= "number" or seconds ~= seconds then
        return ""
    elseif seconds < 0.9995 then
        return ("%.0f ms"):format(math.max(0, seconds) * 1000)
    elseif seconds < 9.95 then
        return ("%.1f s"):format(seconds)
    elseif seconds < 59.5 then
        return ("%.0f s"):format(seconds)
    end
    local whole = math.floor(math.min(seconds, 1e9) + 0.5)
    if whole < 3600 then
        return ("%d min %02d s"):format(whole // 60, whole % 60)
    end
    return ("%d h %02d min"):format(whole // 3600, whole % 3600 // 60)
end

---"1 cell", "12 cells".
---@param count integer
---@param noun string
---@return string
function M.plural(count, noun)
    return ("%d %s%s"):format(count, noun, count == 1 and "" or "s")
end

---"3 failed, 1 flaky, 40 passed": what there is none of is left out.
---@param counts table<string, integer>
---@param paint? fun(outcome: string, text: string): string
---@return string
function M.counts(counts, paint)
    local parts = {}
    for _, outcome in ipairs(M.ORDER) do
        local count = counts[outcome] or 0
        if count > 0 then
            local name = outcome == "error" and count == 1 and "error" or M.NAMES[outcome]
            local text = ("%d %s"):format(count, name)
            parts[#parts + 1] = paint and paint(outcome, text) or text
        end
    end
    return #parts > 0 and table.concat(parts, ", ") or "no tests"
end

---A time in UTC, as ISO 8601 has it; "" for none.
---@param seconds number|nil
---@return string
function M.date(seconds)
    if type(seconds) ~= "number" or seconds < 0 or seconds > 1e11 then
        return ""
    end
    return (os.date("!%Y-%m-%dT%H:%M:%SZ", math.floor(seconds)))
end

---The first line of a text, with the second one when the first ends in a colon: "its last lines: no".
---@param text string
---@return string
function M.first_line(text)
    local line, rest = text:match "^([^\n]*)\n?(.*)$"
    local more = line:find ":%s*$" and rest:match "^%s*([^\n]+)"
    return more and line:gsub("%s+$", "") .. " " .. more or line
end

---The last lines of a text, without the empty ones at its end.
---@param text string
---@param count integer
---@return string[]
function M.last_lines(text, count)
    local lines = {}
    for line in (text:gsub("%s+$", "") .. "\n"):gmatch "(.-)\n" do
        lines[#lines + 1] = line
    end
    if #lines == 1 and lines[1] == "" then
        return {}
    end
    return table.move(lines, math.max(1, #lines - count + 1), #lines, 1, {})
end

return M
