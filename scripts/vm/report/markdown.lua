-- The run as Markdown, for a comment, a step's summary or a wiki: what went wrong first.
local escape = require "vm.report.escape"
local groups = require "vm.report.groups"
local model_of = require "vm.report.model"
local verdict = require "vm.report.verdict"
local words = require "vm.report.words"

local M = {}

-- Rows of the matrix, tests with their output, tests in a list, lines of an output.
local ROWS <const>, DETAILS <const>, LISTED <const>, LINES <const> = 100, 30, 500, 20

local signs <const> = { passed = "✅", failed = "❌", flaky = "⚠️", skipped = "⏭️", error = "💥", lost = "❓",
    interrupted = "⏹️", xfail = "☑️", xpass = "❗" }

local function code(text)
    return ("<code>%s</code>"):format(escape.xml(text))
end

local function heading(out, model)
    local run = model.run
    out[#out + 1] = ("# vmatrix: %s\n\n"):format(words.counts(model.counts))
    local facts = { "run " .. code(tostring(run.id)) }
    if run.started then
        facts[#facts + 1] = words.date(run.started)
    end
    facts[#facts + 1] = words.plural(#model.cells, "cell")
    facts[#facts + 1] = words.plural(#model.tests, "test")
    if type(run.duration) == "number" then
        facts[#facts + 1] = words.duration(run.duration)
    end
    if run.seed then
        facts[#facts + 1] = "seed " .. code(tostring(run.seed))
    end
    out[#out + 1] = table.concat(facts, ", ") .. "\n\n"
    if run.state ~= "finished" then
        out[#out + 1] = run.state == "running" and "**The run is still going on.**\n\n"
            or "**The run was ended before its time.** What has no verdict is lost.\n\n"
    end
end

local function counts(out, model)
    out[#out + 1] = "| | tests |\n|---|---:|\n"
    for _, outcome in ipairs(words.ORDER) do
        if model.counts[outcome] > 0 then
            out[#out + 1] = ("| %s %s | %d |\n"):format(signs[outcome], words.NAMES[outcome], model.counts[outcome])
        end
    end
    out[#out + 1] = "\n"
end

-- The names of axes and tests of a matrix, in the order in which its cells have them.
local function columns(cells)
    local axes, tests, seen = {}, {}, {}
    for _, cell in ipairs(cells) do
        for _, pair in ipairs(cell.axes) do
            if not seen["a" .. pair[1]] then
                seen["a" .. pair[1]] = true
                axes[#axes + 1] = pair[1]
            end
        end
        for _, test in ipairs(cell.tests) do
            if not seen["t" .. test.name] then
                seen["t" .. test.name] = true
                tests[#tests + 1] = test.name
            end
        end
    end
    return axes, tests
end

local function row(out, cell, axes, tests)
    local values, signs_of = {}, {}
    for _, pair in ipairs(cell.axes) do
        values[pair[1]] = pair[2]
    end
    for _, test in ipairs(cell.tests) do
        signs_of[test.name] = signs[test.outcome]
    end
    for _, axis in ipairs(axes) do
        out[#out + 1] = "| " .. escape.markdown(values[axis] or "") .. " "
    end
    for _, name in ipairs(tests) do
        out[#out + 1] = "| " .. (signs_of[name] or " ") .. " "
    end
    out[#out + 1] = "|\n"
end

local function table_of(out, cells)
    local axes, tests = columns(cells)
    for _, name in ipairs(axes) do
        out[#out + 1] = "| " .. escape.markdown(name) .. " "
    end
    for _, name in ipairs(tests) do
        out[#out + 1] = "| " .. escape.markdown(name) .. " "
    end
    out[#out + 1] = "|\n" .. ("|---"):rep(#axes) .. ("|:---:"):rep(#tests) .. "|\n"
    -- Where there are too many, those that are not all good are of interest.
    local shown = 0
    for _, cell in ipairs(cells) do
        if shown < ROWS and (#cells <= ROWS or not verdict.is_good(cell.outcome or "passed")) then
            row(out, cell, axes, tests)
            shown = shown + 1
        end
    end
    if shown < #cells then
        out[#out + 1] = ("\n%s not shown.\n"):format(words.plural(#cells - shown, "further cell"))
    end
    out[#out + 1] = "\n"
end

local function matrices(out, model)
    local names, cells_of = {}, {}
    for _, cell in ipairs(model.cells) do
        local name = cell.matrix or ""
        if not cells_of[name] then
            cells_of[name] = {}
            names[#names + 1] = name
        end
        table.insert(cells_of[name], cell)
    end
    for _, name in ipairs(names) do
        out[#out + 1] = #names > 1 and ("## Matrix %s\n\n"):format(escape.markdown(tostring(name))) or "## Matrix\n\n"
        table_of(out, cells_of[name])
    end
end

local function first_line(text)
    return escape.line(escape.head(words.first_line(text), 300))
end

local function details(out, test)
    local attempt, number = model_of.telling_attempt(test)
    local why = model_of.why(test)
    out[#out + 1] = ("<details><summary>%s <code>%s</code> %s</summary>\n\n"):format(signs[test.outcome],
        escape.xml(test.id), escape.xml(first_line(why)))
    if why ~= "" then
        out[#out + 1] = escape.fenced(escape.head(why, 4096)) .. "\n\n"
    end
    local lines = attempt and attempt.tail and words.last_lines(escape.plain(attempt.tail), LINES) or {}
    if #lines > 0 then
        out[#out + 1] = "The end of its output:\n\n"
            .. escape.fenced(escape.tail(table.concat(lines, "\n"), 4096)) .. "\n\n"
    end
    local facts = {}
    if #test.attempts > 1 then
        facts[1] = ("attempt %d of %d"):format(number, #test.attempts)
    end
    if attempt and attempt.log then
        facts[#facts + 1] = "log " .. code(attempt.log)
    end
    if #facts > 0 then
        out[#out + 1] = table.concat(facts, ", ") .. "\n\n"
    end
    out[#out + 1] = "</details>\n\n"
end

local function listed(out, title, tests)
    if #tests == 0 then
        return
    end
    out[#out + 1] = ("## %s\n\n"):format(title)
    for at, test in ipairs(tests) do
        if at <= DETAILS then
            details(out, test)
        elseif at <= LISTED then
            out[#out + 1] = ("* %s %s\n"):format(signs[test.outcome], code(test.id))
        end
    end
    if #tests > LISTED then
        out[#out + 1] = ("* and %d more\n"):format(#tests - LISTED)
    end
    out[#out + 1] = "\n"
end

local function of_outcomes(model, wanted)
    local found = {}
    for _, test in ipairs(model.tests) do
        if wanted[test.outcome] then
            found[#found + 1] = test
        end
    end
    return found
end

local function records(out, model)
    local differing = groups.differing(model.records, 50)
    out[#out + 1] = #differing > 0 and "## Records that differ\n\n" or nil
    for _, entry in ipairs(differing) do
        out[#out + 1] = ("* %s: %s\n"):format(escape.markdown(entry.name), escape.markdown(groups.words(entry)))
    end
    out[#out + 1] = #differing > 0 and "\n" or nil
end

---The run as Markdown.
---@param model vm.report.Model
---@return string
function M.render(model)
    local out = {}
    heading(out, model)
    counts(out, model)
    listed(out, "Failures", of_outcomes(model, { failed = true, xpass = true }))
    listed(out, "Errors", of_outcomes(model, { error = true, lost = true, interrupted = true }))
    listed(out, "Flaky", of_outcomes(model, { flaky = true }))
    records(out, model)
    matrices(out, model)
    return table.concat(out)
end

return M
