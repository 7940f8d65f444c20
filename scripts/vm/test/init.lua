-- Running a plan of tests: the run's folder, the runner, and what is done at the end in any case.
local raw = require "vm.raw"
local errors = require "vm.errors"
local options = require "vm.options"

local M = {}

local spec = {
    argv = "table",
    output = "string",
    jobs = { "number|string", default = "auto" },
    memory = "size",
    seed = "integer",
    ["repeat"] = { "integer", default = 1, min = 1, max = 100000 },
    fail_fast = { "boolean", default = false },
    retries = { "integer", min = 0, max = 100 },
    keep = { "string", default = "never", one_of = { "never", "failed", "always" } },
    shell = { "boolean", default = false },
    timeout = "time",
    rerun_of = "string",
    resume = "string",
    resume_plan = "table",
    files = "table",
    folder = "string",
    isolation = { "string", one_of = { "test", "cell", "revert", "boot" } },
    test_timeout = "time",
    verbose = "any",
    quiet = "any",
    formats = "table",
    listen = "function",
}

---How a plan is run.
---@class vm.TestOptions
---@field argv? string[] the command line, for the record
---@field output? string where the run's folder is made; .vmatrix/runs beside the matrix file
---@field jobs? "auto"|integer how many tests run at once at most; auto: as the host's cpus allow
---@field memory? integer|string what the guests of all runs on this host may have together
---@field seed? integer of the order; the plan's, or a new one
---@field repeat? integer runs each test so often and tells its rate of failures
---@field fail_fast? boolean start nothing more after the first failure
---@field retries? integer instead of what the matrix says
---@field keep? "never"|"failed"|"always" keep the guests' state of these tests in the run's folder
---@field shell? boolean stop at a failure and open the guest's shell
---@field timeout? number|string of the whole run
---@field resume? string the folder of a run, whose tests without a verdict are run now
---@field resume_plan? table the whole plan of that run
---@field files? string[] the matrix files, for the record
---@field folder? string where .vmatrix is; the folder of the first matrix file
---@field isolation? "test"|"cell"|"revert"|"boot" instead of what the matrices say
---@field test_timeout? number|string of each test, instead of what the matrices say
---@field listen? fun(run: table) is given the run when its folder is there

local function files_of(plan)
    local files, seen = {}, {}
    for _, matrix in ipairs(plan.matrices) do
        if matrix.file and not seen[matrix.file] then
            seen[matrix.file] = true
            files[#files + 1] = matrix.file
        end
    end
    return files
end

local function secrets_of(plan)
    local list = {}
    for _, test in ipairs(plan.tests) do
        table.move(test.def.secrets or {}, 1, #(test.def.secrets or {}), #list + 1, list)
    end
    return list
end

local function open_store(plan, opts, slots)
    local store = require "vm.report.store"
    local masker = require("vm.test.secrets").new(secrets_of(plan))
    local argv = masker:value(opts.argv)
    if opts.resume then
        return store.resume(opts.resume, { plan = opts.resume_plan or plan, argv = argv, slots = slots })
    end
    local files = opts.files or files_of(plan)
    local place = opts.folder or (files[1] or ""):match "^(.*)/[^/]*$" or "."
    return store.create(place, { plan = plan, output = opts.output, argv = argv, files = files, seed = opts.seed,
        slots = slots })
end

-- What the command line says instead of the matrices.
local function override(plan, opts)
    for _, matrix in ipairs(plan.matrices) do
        matrix.isolation = opts.isolation or matrix.isolation
    end
    for _, test in ipairs(plan.tests) do
        test.def.timeout = opts.test_timeout or test.def.timeout
    end
end

---Runs a plan. Waits; returns the exit code: 0 all passed, 1 failures, 3 only errors of the
---infrastructure. Raises when the run could not be made. A cancellation ends the run in order.
---@param plan table from vm.matrix
---@param opts? vm.TestOptions
---@return integer
function M.run(plan, opts)
    opts = options.check("vm.test.run", opts, spec)
    opts.seed = opts.seed or math.tointeger(plan.seed) or string.unpack("<I4", raw.fs.random(4))
    opts.repeats = opts["repeat"]
    override(plan, opts)
    local jobs = tonumber(opts.jobs)
    opts.jobs = jobs and math.tointeger(jobs) or opts.jobs
    local slots = require("vm.test.admission").new(opts.jobs, nil, opts.memory):slots()
    local store <close> = open_store(plan, opts, slots)
    if opts.resume then
        opts.results = {}
        for id, result in pairs(store.results) do
            opts.results[id] = result
        end
    end
    if opts.keep ~= "never" then
        opts.keeper = require("vm.test.kept").keeper(opts.keep)
    end
    if opts.shell then
        opts.sheller = require("vm.test.kept").sheller()
    end
    if opts.listen then
        opts.listen(store)
    end
    local runner = require("vm.test.runner").new(plan, store, opts)
    local code
    do
        local _ <close> = setmetatable({}, { __close = function(_, err)
            local interrupted = errors.is(err, "cancelled")
            if interrupted then
                store:event { event = "interrupted" }
            end
            runner:finish(interrupted) -- an error of ours leaves the tests without a verdict: they are lost
            local _, exit = store:finish()
            code = exit
        end })
        runner:run()
    end
    return code
end

return M
