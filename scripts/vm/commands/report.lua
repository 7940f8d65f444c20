-- `vmatrix report`: the reports of runs that were, comparing them, and removing old ones.
local raw = require "vm.raw"
local compare = require "vm.report.compare"
local errors = require "vm.errors"
local escape = require "vm.report.escape"
local folder = require "vm.report.folder"
local options = require "vm.options"
local reports = require "vm.report.reports"
local store = require "vm.report.store"
local words = require "vm.report.words"

local M = {}

local USAGE = [=[
usage: vmatrix report [RUN] [--format FORMAT[=FILE]]... [--output FILE]
       vmatrix report --compare A B [--format terminal|json] [--output FILE]
       vmatrix report --list [--format terminal|json]
       vmatrix report --prune KEEP

Makes reports of a run that was, also of one that was killed or is still going on. RUN is a path, an
id or the beginning or last part of one, or 'last', which is what is meant when nothing is said.

  --format FORMAT[=FILE]  terminal (unless told otherwise), junit, tap, json, markdown, github (annotations
                          and the step's summary) or html; may be given several times, each with a FILE.
                          In a folder the file has the format's usual name
  --json                  the same as --format json
  --output FILE           where the report goes instead of the standard output
  --compare A B           what run B has that A had not: newly failing, fixed, flaky, slower beyond the
                          noise, added, removed; exit status 1 when something is newly failing
  --list                  the runs there are, the newest last
  --prune KEEP            removes all runs but the newest KEEP; none that is still going on
  --runs DIR              where the runs are: ./.vmatrix/runs, or the nearest one above, unless told

exit status: 0 the report was made, 1 it was not (or --compare found a new failure), 2 wrong usage
]=]

local function complain(text)
    io.stderr:write("vmatrix report: ", text, "\n", USAGE)
    return 2
end

-- Options that take a value; those that take none are false.
local known <const> = { ["--format"] = true, ["--output"] = true, ["--runs"] = true, ["--prune"] = true,
    ["--compare"] = false, ["--list"] = false, ["--json"] = false }

local function unknown_option(word)
    local names = {}
    for name in pairs(known) do
        names[#names + 1] = name
    end
    local near = options.nearest(word, names)
    return ("unknown option '%s'%s"):format(word, near and ("; did you mean '%s'?"):format(near) or "")
end

-- The words as { runs of the user, options by name, formats }; or nil and what is wrong.
local function parse(args)
    local given = { formats = {}, words = {} }
    local at, only_words = 1, false
    while args[at] do
        local word = args[at]
        local name, value = word:match "^(%-%-%w+)=(.*)$"
        name = name or word
        if only_words or word:sub(1, 1) ~= "-" then
            given.words[#given.words + 1] = word
        elseif word == "--" then
            only_words = true
        elseif known[name] == nil or known[name] == false and value then
            return nil, unknown_option(word)
        elseif name == "--json" then
            table.insert(given.formats, "json")
        elseif known[name] == false then
            given[name:sub(3)] = true
        else
            if not value then
                at = at + 1
                value = args[at]
            end
            if not value or value == "" then
                return nil, name .. " wants a value"
            elseif name == "--format" then
                table.insert(given.formats, value)
            elseif given[name:sub(3)] then
                return nil, name .. " was given twice"
            else
                given[name:sub(3)] = value
            end
        end
        at = at + 1
    end
    return given
end

local function place_of(given)
    if given.runs then
        return given.runs
    end
    return folder.nearest() or errors.fail("notfound",
        "there are no runs: no .vmatrix/runs here or in a folder above; `--runs DIR` says where to look")
end

-- The one format of a command that knows two.
local function simple_format(given)
    local format = given.formats[1] or "terminal"
    if #given.formats > 1 or format ~= "terminal" and format ~= "json" then
        errors.fail("usage", "--format: terminal or json expected here, got %s", table.concat(given.formats, ", "))
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
    local keep = math.tointeger(tonumber(given.prune))
    if not keep or keep < 0 then
        return complain(("--prune wants how many runs to keep, got '%s'"):format(given.prune))
    end
    local place = place_of(given)
    for _, id in ipairs(folder.prune(place, keep)) do
        print(("%s removed"):format(id))
    end
    return 0
end

local function compare_command(given)
    if #given.words ~= 2 then
        return complain("--compare wants two runs")
    end
    local format = simple_format(given)
    local opts = { runs = given.runs }
    local result = compare.compare(reports.load(given.words[1], opts), reports.load(given.words[2], opts))
    if format == "json" then
        say(given, escape.json(errors.raise(raw.json.encode(compare.data(result))) .. "\n"))
    else
        say(given, compare.render(result))
    end
    return #result.newly_failing > 0 and 1 or 0
end

local function report_command(given)
    if #given.words > 1 then
        return complain(("one run is enough, got %s"):format(table.concat(given.words, ", ")))
    end
    local wanted, to_stdout = {}, 0
    for at, text in ipairs(#given.formats > 0 and given.formats or { "terminal" }) do
        local format, file = reports.parse(text)
        file = file or given.output ~= "-" and given.output or nil
        wanted[at] = { format = format, file = file }
        to_stdout = to_stdout + (file and 0 or 1)
    end
    if #wanted > 1 and (given.output or to_stdout > 1) then
        return complain("with several formats each wants a file of its own: --format junit=FILE --format html=FILE")
    end
    local model = reports.load(given.words[1] or "last", { runs = given.runs })
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

---Runs `vmatrix report ARGS`; returns the exit code.
---@param args string[]
---@return integer
function M.main(args)
    for _, word in ipairs(args) do
        if word == "-h" or word == "--help" then
            io.stdout:write(USAGE)
            return 0
        elseif word == "--" then
            break
        end
    end
    local given, wrong = parse(args)
    if not given then
        return complain(wrong)
    end
    local commands = (given.list and 1 or 0) + (given.prune and 1 or 0) + (given.compare and 1 or 0)
    if commands > 1 then
        return complain("--list, --prune and --compare are for different things: one of them, please")
    elseif (given.list or given.prune) and #given.words > 0 then
        return complain(("'%s' says nothing here"):format(given.words[1]))
    end
    local command = given.list and list_command or given.prune and prune_command
        or given.compare and compare_command or report_command
    local ok, result = pcall(command, given)
    if ok then
        return result
    elseif errors.is(result, "usage") then
        io.stderr:write("vmatrix report: ", escape.plain(result.message), "\n")
        return 2
    end
    return error(errors.is(result) and errors.prefix(result, "report") or result, 0)
end

return M
