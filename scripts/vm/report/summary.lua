-- The run as text for a terminal: what went wrong with the last lines of its output and where its log
-- is, what was recorded differently, and the counts last.
local escape = require "vm.report.escape"
local groups = require "vm.report.groups"
local model_of = require "vm.report.model"
local verdict = require "vm.report.verdict"
local words = require "vm.report.words"

local M = {}

-- Tests that are told in full, and those that are named.
local DETAILS <const>, NAMED <const>, ENDED <const> = 20, 100, 10
local WHY_LINES <const>, TAIL_LINES <const> = 6, 8

local colors <const> = { passed = "32", failed = "31;1", flaky = "33;1", skipped = "36", error = "35;1",
    lost = "35;1", interrupted = "33", xfail = "32", xpass = "31;1", dim = "2", bold = "1" }

---A function that colors a text by outcome ("dim" and "bold", too), or one that leaves it as it is.
---@param color boolean
---@return fun(kind: string, text: string): string
function M.painter(color)
    return function(kind, text)
        local code = color and colors[kind]
        return code and ("\27[%sm%s\27[0m"):format(code, text) or text
    end
end

local function indented(out, lines, prefix, paint)
    for _, line in ipairs(lines) do
        local text = prefix .. escape.head((line:gsub("\t", "    ")), 400)
        out[#out + 1] = (paint and paint("dim", text) or text) .. "\n"
    end
end

local function facts_of(test, number)
    local facts = { words.duration(test.duration) }
    if facts[1] == "" then
        facts = {}
    end
    if #test.attempts > 1 then
        facts[#facts + 1] = ("attempt %d of %d"):format(number, #test.attempts)
    end
    return #facts > 0 and (" (%s)"):format(table.concat(facts, ", ")) or ""
end

local function detail(out, test, run, paint)
    local attempt, number = model_of.telling_attempt(test)
    out[#out + 1] = ("%s %s%s\n"):format(paint(test.outcome, test.outcome:upper()), paint("bold", escape.line(test.id)),
        facts_of(test, number))
    local why = {}
    for line in (escape.plain(escape.head(model_of.why(test), 8192)) .. "\n"):gmatch "(.-)\n" do
        why[#why + 1] = #why < WHY_LINES and line or nil
    end
    indented(out, why, "    ")
    if attempt and attempt.tail then
        indented(out, words.last_lines(escape.plain(attempt.tail), TAIL_LINES), "    | ", paint)
    end
    if attempt and attempt.log then
        out[#out + 1] = ("    log: %s/%s\n"):format(escape.line(tostring(run.path)), escape.line(attempt.log))
    end
end

local function with(model, wanted)
    local list = {}
    for _, test in ipairs(model.tests) do
        if wanted(test.outcome) then
            list[#list + 1] = test
        end
    end
    return list
end

-- Those that have something to tell: failures, then errors.
local function bad_tests(model)
    local list = with(model, verdict.is_failure)
    local errors = with(model, function(outcome) return outcome == "error" end)
    return table.move(errors, 1, #errors, #list + 1, list)
end

-- Those that have not: the end of the run came first.
local function without_verdict(out, model, paint)
    for _, outcome in ipairs { "interrupted", "lost" } do
        local list = with(model, function(one) return one == outcome end)
        for at = 1, math.min(#list, ENDED) do
            out[#out + 1] = ("%s %s\n"):format(paint(outcome, outcome:upper()), escape.line(list[at].id))
        end
        if #list > ENDED then
            out[#out + 1] = ("and %d more %s\n"):format(#list - ENDED, words.NAMES[outcome])
        end
    end
end

local function flaky(out, model, paint)
    for _, test in ipairs(model.tests) do
        if test.outcome == "flaky" and #out < 2000 then
            out[#out + 1] = ("%s %s: %s\n"):format(paint("flaky", "FLAKY"), escape.line(test.id),
                escape.line(escape.head(test.reason or words.plural(#test.attempts, "attempt"), 200)))
        end
    end
end

local function records(out, model)
    local differing = groups.differing(model.records, 20)
    out[#out + 1] = #differing > 0 and "\nrecords that differ:\n" or nil
    for _, entry in ipairs(differing) do
        out[#out + 1] = ("  %s: %s\n"):format(escape.line(entry.name), escape.line(groups.words(entry)))
    end
end

local function notes(out, model, paint)
    for at = 1, math.min(#model.problems, 5) do
        out[#out + 1] = ("%s %s\n"):format(paint("error", "unreadable:"), escape.line(model.problems[at]))
    end
    if model.run.state == "unfinished" then
        out[#out + 1] = "the run was ended before its time: what has no verdict is lost\n"
    elseif model.run.state == "running" then
        out[#out + 1] = "the run is still going on\n"
    end
    if model.counts.lost > 0 and model.run.state ~= "running" then
        out[#out + 1] = ("`vmatrix test --rerun missing %s` runs what has no verdict\n"):format(model.run.id)
    elseif #bad_tests(model) + model.counts.interrupted > 0 and model.run.state ~= "running" then
        out[#out + 1] = ("`vmatrix test --rerun failed %s` runs again what was not passed\n"):format(model.run.id)
    end
end

---The run as text.
---@param model vm.report.Model
---@param opts? { color?: boolean }
---@return string
function M.render(model, opts)
    local paint = M.painter(opts ~= nil and opts.color == true)
    local out, bad = {}, bad_tests(model)
    for at, test in ipairs(bad) do
        if at <= DETAILS then
            detail(out, test, model.run, paint)
        elseif at <= NAMED then
            out[#out + 1] = ("%s %s\n"):format(paint(test.outcome, test.outcome:upper()), escape.line(test.id))
        end
    end
    if #bad > NAMED then
        out[#out + 1] = ("and %d more; `vmatrix report %s --format markdown` has them\n"):format(#bad - NAMED,
            model.run.id)
    end
    without_verdict(out, model, paint)
    flaky(out, model, paint)
    records(out, model)
    if #out > 0 then
        out[#out + 1] = "\n"
    end
    notes(out, model, paint)
    local duration = words.duration(model.run.duration)
    out[#out + 1] = ("%s in %s%s\n"):format(words.counts(model.counts, paint), words.plural(#model.cells, "cell"),
        duration ~= "" and "; " .. duration or "")
    out[#out + 1] = ("run: %s\n"):format(escape.line(tostring(model.run.path)))
    return table.concat(out)
end

return M
