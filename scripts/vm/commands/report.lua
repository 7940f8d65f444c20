-- `vmatrix report`: the reports of runs that were, comparing them, and removing old ones.
local raw = require "vm.raw"
local command = require "vm.cli.command"
local compare = require "vm.report.compare"
local errors = require "vm.errors"
local escape = require "vm.report.escape"
local folder = require "vm.report.folder"
local reports = require "vm.report.reports"
local store = require "vm.report.store"
local words = require "vm.report.words"

local function place_of(given)
    if given.runs then
        return given.runs
    end
    return folder.nearest() or errors.fail("notfound",
        "there are no runs: no .vmatrix/runs here or in a folder above; `--runs DIR` says where to look")
end

-- All formats that are asked for, --json among them.
local function formats(given)
    local list = table.move(given.format or {}, 1, #(given.format or {}), 1, {})
    list[#list + 1] = given.json and "json" or nil
    return list
end

-- The one format of what knows two.
local function simple_format(given)
    local list = formats(given)
    local format = list[1] or "terminal"
    if #list > 1 or format ~= "terminal" and format ~= "json" then
        errors.fail("usage", "--format: terminal or json expected here, got %s", table.concat(list, ", "))
    end
    return format
end

local function say(given, text)
    if given.output and given.output ~= "-" then
        errors.raise(raw.fs.write_atomic(given.output, text))
    else
        io.stdout:write(text)
    end
end

local function list_entry(path, id)
    local ok, run = pcall(store.open, path)
    if not ok then
        return { id = id, error = tostring(run) }
    end
    local info = run.info
    return { id = id, started = info.started, tests = #run.plan.tests, cells = #run.plan.cells,
        duration = info.duration, counts = info.counts, exit = info.exit, path = path,
        state = run.alive and "running" or info.ended and "finished" or "unfinished" }
end

local function list_line(entry)
    if entry.error then
        return ("%s  unreadable: %s"):format(entry.id, escape.line(entry.error))
    end
    local state = entry.state == "finished" and type(entry.counts) == "table" and words.counts(entry.counts)
        or entry.state
    return ("%s  %-20s  %6d tests  %12s  %s"):format(entry.id, words.date(entry.started), entry.tests,
        words.duration(entry.duration), state)
end

local function list_command(given)
    local place = place_of(given)
    local format, entries, lines = simple_format(given), {}, {}
    for at, id in ipairs(folder.list(place)) do
        entries[at] = list_entry(place .. "/" .. id, id)
        lines[at] = list_line(entries[at])
    end
    if format == "json" then
        local list = { count = #entries, runs = raw.json.list(entries) }
        say(given, escape.json(errors.raise(raw.json.encode(list)) .. "\n"))
    else
        say(given, #lines > 0 and table.concat(lines, "\n") .. "\n" or ("no runs in %s\n"):format(place))
    end
    return 0
end

local function prune_command(given)
    if given.prune < 0 then
        errors.fail("usage", "--prune wants how many runs to keep, got %d", given.prune)
    end
    local place = place_of(given)
    for _, id in ipairs(folder.prune(place, given.prune)) do
        print(("%s removed"):format(id))
    end
    return 0
end

local function compare_command(given, named)
    if #named ~= 2 then
        errors.fail("usage", "--compare wants two runs")
    end
    local format = simple_format(given)
    local opts = { runs = given.runs }
    local result = compare.compare(reports.load(named[1], opts), reports.load(named[2], opts))
    if format == "json" then
        say(given, escape.json(errors.raise(raw.json.encode(compare.data(result))) .. "\n"))
    else
        say(given, compare.render(result))
    end
    return #result.newly_failing > 0 and 1 or 0
end

local function report_command(given, named)
    if #named > 1 then
        errors.fail("usage", "one run is enough, got %s", table.concat(named, ", "))
    end
    local wanted, to_stdout, list = {}, 0, formats(given)
    for at, text in ipairs(#list > 0 and list or { "terminal" }) do
        local format, file = reports.parse(text)
        file = file or given.output ~= "-" and given.output or nil
        wanted[at] = { format = format, file = file }
        to_stdout = to_stdout + (file and 0 or 1)
    end
    if #wanted > 1 and (given.output or to_stdout > 1) then
        errors.fail("usage",
            "with several formats each wants a file of its own: --format junit=FILE --format html=FILE")
    end
    local model = reports.load(named[1] or "last", { runs = given.runs })
    for _, one in ipairs(wanted) do
        local path = reports.write(model, one.format, one.file)
        if path and to_stdout == 0 then
            print(path)
        end
        if one.format == "github" then
            reports.step_summary(model)
        end
    end
    return 0
end

local function choose(given, named)
    local count = (given.list and 1 or 0) + (given.prune and 1 or 0) + (given.compare and 1 or 0)
    if count > 1 then
        errors.fail("usage", "--list, --prune and --compare are for different things: one of them, please")
    elseif (given.list or given.prune) and #named > 0 then
        errors.fail("usage", "'%s' says nothing here", named[1])
    end
    return given.list and list_command or given.prune and prune_command or given.compare and compare_command
        or report_command
end

local function handler(given, operands)
    local ok, result = pcall(function()
        return choose(given, operands.run)(given, operands.run)
    end)
    if not ok then
        error(errors.is(result) and errors.prefix(result, "report") or result, 0)
    end
    return result
end

return command.define {
    name = "report",
    help = "the reports of a run, comparing two, the runs there are",
    operands = { { name = "RUN", many = true, optional = true, complete = { "run", "file" } } },
    options = {
        { name = "--format", value = "FORMAT[=FILE]", many = true, words = reports.FORMATS, file = true,
            help = "terminal (unless told otherwise), junit, tap, json, markdown, github or html; several times" },
        { name = "--json", help = "the same as --format json" },
        { name = "--output", value = "FILE", complete = { "file" },
            help = "where the report goes instead of the standard output" },
        { name = "--compare", help = "what the second run has that the first had not, in terminal or json" },
        { name = "--list", help = "the runs there are, the newest last, in terminal or json" },
        { name = "--prune", value = "KEEP", type = "integer",
            help = "removes all runs but the newest KEEP; none that is still going on" },
        { name = "--runs", value = "DIR", complete = { "file" },
            help = "where the runs are: ./.vmatrix/runs, or the nearest one above, unless told" },
    },
    text = [[
Also of a run that was killed or is still going on. RUN is a path, an id or the beginning or last part of one, or
'last', which is what is meant when nothing is said. Of several formats each wants a FILE; in a folder it has the
format's usual name. github is annotations and the step's summary.

--compare shows what is newly failing, fixed, flaky, slower beyond the noise, added, and removed.

Exit status: 0 the report was made, 1 it was not (or --compare found a new failure), 2 wrong usage.]],
    examples = {
        "vmatrix report --format junit=junit.xml --format html=report.html",
        "vmatrix report --compare 20260101-101500-3fa2c1 last",
    },
    handler = handler,
}
