-- What earlier runs know: their verdicts, for --rerun and --changed, and digests of what they were run on.
local raw = require "vm.raw"
local errors = require "vm.errors"
local folder = require "vm.report.folder"
local params = require "vm.matrix.params"
local read = require "vm.report.read"
local script = require "vm.script"
local verdict = require "vm.report.verdict"

local M = {}

-- How many runs are looked at for the newest verdict of a test.
local RUNS <const> = 20

local MAX_FILE <const> = 64 * 1024 * 1024

---The verdicts of a run's planned tests, by id: { outcome, reason }.
---@param run vm.report.Folder
---@return table<string, { outcome: string, has: boolean }>
function M.verdicts(run)
    local out = {}
    for _, test in ipairs(run.plan.tests) do
        local cell = run.results[test.cell]
        local result = cell and cell.tests[test.name]
        out[test.id] = { outcome = verdict.outcome(test, result), has = result ~= nil or test.skip ~= nil }
    end
    return out
end

---What --rerun asks of each test: whether that run chooses it, and why.
---@param run vm.report.Folder
---@param mode "failed"|"all"|"missing"
---@return fun(test: table): boolean, string
function M.rerun(run, mode)
    local verdicts = M.verdicts(run)
    return function(test)
        local known = verdicts[test.id]
        local said = known and ("run %s: %s"):format(run.id, known.outcome)
        if not known then
            return false, ("--rerun %s: run %s did not have it"):format(mode, run.id)
        elseif mode == "all" or (mode == "missing" and not known.has) then
            return true, said
        elseif mode == "failed" and not verdict.is_good(known.outcome) and known.outcome ~= "skipped" then
            return true, said
        end
        return false, ("--rerun %s: %s"):format(mode, said)
    end
end

-- Keys in order: the same values give the same text.
local function text_of(values)
    local names, parts = {}, {}
    for name in pairs(values) do
        names[#names + 1] = name
    end
    table.sort(names)
    for i, name in ipairs(names) do
        parts[i] = ("%s=%s"):format(name, tostring(values[name]))
    end
    return table.concat(parts, "\n")
end

local function add_inputs(parts, what, inputs)
    for _, part in ipairs(require("vm.state.inputs").parts(what, inputs)) do
        parts[#parts + 1] = ("%s %s"):format(part[1], part[2])
    end
end

---A digest of what a matrix is made of on the host: its file and the modules beside it, the parameters,
---and the files that its steps and its `inputs` name. An input that is not there is a problem.
---@param matrix table
---@param found vm.matrix.Problems
---@return string digest
function M.digest(matrix, found)
    script.use(matrix.script)
    local _ <close> = setmetatable({}, { __close = function() script.use(nil) end })
    local parts = { text_of(params.values()) }
    for _, file in ipairs(matrix.sources or { matrix.file }) do
        parts[#parts + 1] = raw.data.sha256(raw.fs.read(file, MAX_FILE) or "")
    end
    for i, step in ipairs(matrix.prepare) do
        parts[#parts + 1] = step.name
        if #step.inputs > 0 then
            found:try(matrix, { "prepare", i }, add_inputs, parts, ("step '%s'"):format(step.name), step.inputs)
        end
    end
    if #(matrix.inputs or {}) > 0 then
        local inputs = {}
        for i, path in ipairs(matrix.inputs) do
            inputs[i] = { path = path, exclude = {} }
        end
        found:try(matrix, { "inputs" }, add_inputs, parts, "vm.matrix: inputs", inputs)
    end
    return raw.data.sha256(table.concat(parts, "\n"))
end

local function digests_of(run)
    local by = {}
    for _, matrix in ipairs(run.plan.matrices) do
        by[("%s\0%s"):format(matrix.name or "", matrix.file or "")] = matrix.digest
    end
    return by
end

---What --changed asks of each test: whether what it is made of, or its verdict, calls for another run.
---@param place string the folder of runs
---@return fun(test: table): boolean, string
function M.changed(place)
    local runs, ids = {}, folder.list(place)
    for at = #ids, math.max(1, #ids - RUNS + 1), -1 do
        local ok, run = pcall(read.open, place .. "/" .. ids[at])
        if ok then
            runs[#runs + 1] = { id = run.id, verdicts = M.verdicts(run), digests = digests_of(run) }
        end
    end
    return function(test)
        local matrix = test.cell.matrix
        for _, run in ipairs(runs) do
            local known = run.verdicts[test.id]
            if known and known.has and known.outcome ~= "interrupted" then
                if run.digests[("%s\0%s"):format(matrix.name or "", matrix.file)] ~= matrix.digest then
                    return true, ("--changed: its inputs are not those of run %s"):format(run.id)
                elseif not verdict.is_good(known.outcome) and known.outcome ~= "skipped" then
                    return true, ("--changed: nothing changed since run %s, but there it was: %s"):format(run.id,
                        known.outcome)
                end
                return false, ("--changed: nothing changed since run %s (%s)"):format(run.id, known.outcome)
            end
        end
        return true, "--changed: no run has a verdict on it"
    end
end

---Whether a word of the command line means a run rather than a filter.
---@param word string
---@return boolean
function M.is_run(word)
    return word == "last" or word:find "^%d%d%d%d%d%d%d%d%-%d" ~= nil
        or (word:find "/" ~= nil and (raw.fs.exists(word .. "/plan.json") or raw.fs.exists(word .. "/run.json")))
end

---Opens a run; what is wrong is raised.
---@param what string
---@param place string
---@return vm.report.Folder
function M.open(what, place)
    if #folder.list(place) == 0 and not what:find "/" then
        errors.fail("notfound", "no run %s: there are none in %s", what, place)
    end
    return read.open(what, { runs = place })
end

return M
