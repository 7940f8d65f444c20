-- `vmatrix test`: reads matrices, chooses among their tests, lists them or has them run.
local raw = require "vm.raw"
local arguments = require "vm.matrix.arguments"
local earlier = require "vm.matrix.earlier"
local errors = require "vm.errors"
local folder = require "vm.report.folder"
local load = require "vm.matrix.load"
local options = require "vm.options"
local params = require "vm.matrix.params"
local plans = require "vm.matrix.plan"
local problems = require "vm.matrix.problems"
local select_tests = require "vm.matrix.select"

local M = {}

local function complain(text)
    for line in text:gmatch "[^\n]+" do
        io.stderr:write("vmatrix test: ", line, "\n")
    end
    return 2
end

local function say_mistakes(found)
    for _, line in ipairs(found:lines()) do
        io.stderr:write(line:gsub("[\0-\8\11-\31\127]", "?"), "\n")
    end
    return complain(("%d mistake%s; nothing was started"):format(#found.list, #found.list == 1 and "" or "s"))
end

-- The parameters by name; the last of a name counts.
local function given_params(list)
    local values = {}
    for _, item in ipairs(list or {}) do
        values[item.name] = item.value
    end
    return values
end

local function missing_file(given)
    for _, path in ipairs(given.files) do
        local stat = raw.fs.stat(path)
        if not stat then
            return ("there is no file %s"):format(path)
                .. (given.default and "; `vmatrix test FILE.lua` names the matrix file" or "")
        elseif stat.type == "dir" then
            return ("%s is a folder"):format(path)
        end
    end
end

local function check_params(found, given)
    local unknown, known = params.unknown()
    for _, name in ipairs(unknown) do
        local near = options.nearest(name, known)
        found:at(given.files[1], 1, ("-D %s: there is no parameter of that name%s"):format(name,
            near and ("; did you mean '%s'?"):format(near)
            or #known > 0 and "; known are " .. table.concat(known, ", ") or ""))
    end
end

local function memory_limit(given)
    return require("vm.test.admission").limits(given.memory).memory
end

-- What earlier runs took: by test id, of each file.
local function fill_estimates(all)
    local history, by_file = require "vm.test.history", {}
    for _, test in ipairs(all.tests) do
        local file = test.cell.matrix.file
        by_file[file] = by_file[file] or history.load(file)
        test.estimate = by_file[file][test.id]
    end
end

local function fill_digests(all, found)
    for _, matrix in ipairs(all.matrices) do
        matrix.digest = earlier.digest(matrix, found)
    end
end

-- What the command line chooses; `choice.run` is the earlier run that --rerun means.
local function choice_of(given, place)
    local choice = { words = given.filters, sample = given.sample, pairwise = given.pairwise, shard = given.shard,
        seed = given.seed }
    if given.rerun then
        choice.run = earlier.open(given.run or "last", place)
        choice.earlier = earlier.rerun(choice.run, given.rerun)
    elseif given.changed then
        choice.changed = earlier.changed(place)
    end
    return choice
end

-- Why nothing is left, where the filters did leave something: the question was answered, so this is no
-- mistake. Nil when it is one.
local function nothing_to_do(given, selection)
    if selection.matched == 0 then
        return nil
    elseif given.changed then
        return "nothing has changed since it last passed"
    elseif given.rerun then
        return ("nothing to run: no test is what `--rerun %s` asks for"):format(given.rerun)
    elseif given.shard then
        return ("nothing to run: share %d of %d is empty"):format(given.shard.index,
            given.shard.count)
    end
end

-- What the command line says instead of the matrices.
local function override(plan, given)
    for _, matrix in ipairs(plan.matrices) do
        matrix.isolation = given.isolation or matrix.isolation
        for _, def in ipairs(matrix.test_list) do
            def.timeout = given["test-timeout"] or def.timeout
        end
    end
end

-- A run without a verdict on all of its tests is gone on with, unless only a part of these is wanted.
local function resumes(given)
    return given.rerun == "missing" and #given.filters == 0 and not given.sample and not given.pairwise
        and not given.shard
end

local function run_plan(all, given, choice, plan, args)
    local resume = resumes(given) and choice.run.path or nil
    if resume then
        local whole = select_tests.choose(all, { earlier = earlier.rerun(choice.run, "all") })
        plan = plans.of(all, whole.tests, { seed = plan.seed, params = plan.params, selection = plan.selection })
    end
    override(plan, given)
    local watch <close> = require("vm.report.watch").new(given)
    return require("vm.test").run(plan, {
        argv = args, output = given.output, jobs = given.jobs, memory = given.memory, seed = plan.seed,
        ["repeat"] = given["repeat"], fail_fast = given["fail-fast"], retries = given.retries, keep = given.keep,
        shell = given.shell,
        timeout = given.timeout, rerun_of = choice.run and choice.run.id, resume = resume,
        listen = function(run) watch:attach(run, plan) end,
    })
end

local function explain(all, selection, id)
    local text, complaint = require("vm.matrix.explain").text(all, selection, id)
    if complaint then
        return complain(complaint)
    end
    io.stdout:write(text)
    return 0
end

local function list(plan, selection, as_json)
    local module = require "vm.matrix.list"
    if as_json then
        io.stdout:write(module.json(plan, selection.pulled), "\n")
    else
        io.stdout:write(module.text(plan, selection.pulled))
    end
    return 0
end

local function kept(given)
    local module = require "vm.test.kept"
    if given.reopen then
        return module.reopen(given.reopen, given.run)
    end
    return module.discard(given.discard, given.run)
end

-- From now on nothing is used that is not in the lock; returns what is missing there.
local function not_locked(selection)
    local lock = require "vm.images.lock"
    lock.insist(true)
    local cells, seen, missing = {}, {}, {}
    for _, test in ipairs(selection.tests) do
        if not seen[test.cell] then
            seen[test.cell] = true
            cells[#cells + 1] = test.cell
        end
    end
    for _, entry in ipairs(require("vm.commands.images.choose").of_cells(cells)) do
        local ok, err = pcall(lock.pinned, entry.name .. "@" .. entry.arch, {})
        missing[#missing + 1] = not ok and tostring(err) or nil
    end
    return missing
end

-- Everything between the command line and the plan; returns what run_plan and the others need, or nil
-- and the exit code.
local function prepare(given)
    local found = problems.new()
    params.set(given_params(given.D))
    local all = plans.all(load.files(given.files, found), { problems = found, guests = false,
        excluded = given.explain ~= nil })
    check_params(found, given)
    fill_digests(all, found)
    if #found.list > 0 then
        plans.check_guests(all.tests, found, memory_limit(given))
        return nil, say_mistakes(found)
    end
    local place = given.output or folder.place(given.files[1]:match "^(.*)/[^/]*$" or ".")
    local _, complaints = select_tests.filters(all, given.filters)
    if #complaints > 0 then
        return nil, complain(table.concat(complaints, "\n"))
    end
    local ok, choice = pcall(choice_of, given, place)
    if not ok and not errors.is(choice) then
        error(choice, 0)
    elseif not ok then
        return nil, complain(tostring(choice)) -- the run that is meant is not there, or cannot be read
    end
    local selection = select_tests.choose(all, choice)
    if given.explain then
        return nil, explain(all, selection, given.explain)
    elseif #selection.tests == 0 then
        local why = nothing_to_do(given, selection)
        if why then
            io.stderr:write("vmatrix test: ", why, "\n")
            return nil, 0
        end
        return nil, complain "no test is chosen: each filter matches some, but none matches them all"
    end
    plans.check_guests(selection.tests, found, memory_limit(given))
    if #found.list > 0 then
        return nil, say_mistakes(found)
    end
    complaints = given.locked and not_locked(selection) or {}
    if #complaints > 0 then
        return nil, complain(table.concat(complaints, "\n"))
    end
    fill_estimates(all)
    return { all = all, choice = choice, selection = selection,
        plan = plans.of(all, selection.tests, { seed = given.seed, params = params.values(),
            selection = given.filters }) }
end

---Runs `vmatrix test ARGS`; returns the exit code.
---@param args string[]
---@return integer
function M.main(args)
    local given, complaint = arguments.parse(args, earlier.is_run)
    complaint = complaint or arguments.conflict(given)
    if complaint then
        complain(complaint)
        return complain "`vmatrix test --help` shows what can be said"
    elseif given.help then
        io.stdout:write(arguments.usage())
        return 0
    elseif given.reopen or given.discard then
        return kept(given)
    end
    given.default = #given.files == 0
    given.files = given.default and { "matrix.lua" } or given.files
    given.seed = given.seed or string.unpack("<I4", errors.raise(raw.fs.random(4))) & 0x7fffffff
    complaint = missing_file(given)
    if complaint then
        return complain(complaint)
    end
    local ready, code = prepare(given)
    if not ready then
        return code
    elseif given.list then
        return list(ready.plan, ready.selection, given.json)
    end
    return run_plan(ready.all, given, ready.choice, ready.plan, args)
end

return M
