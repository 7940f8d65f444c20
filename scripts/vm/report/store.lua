-- The folder of a run while it is written: the plan, the event log, one file of results a cell.
local raw = require "vm.raw"
local errors = require "vm.errors"
local options = require "vm.options"
local escape = require "vm.report.escape"
local folder = require "vm.report.folder"
local read = require "vm.report.read"
local saver = require "vm.report.saver"
local schema = require "vm.report.schema"
local tidy = require "vm.report.tidy"
local verdict = require "vm.report.verdict"

local M = {}

local fs, json = raw.fs, raw.json

M.FORMAT = 1

-- Tests of the tree set it, so that an event that is not as documented fails them.
local strict = os.getenv "VMATRIX_CHECK_EVENTS" == "1"

---A run that is written.
---@class vm.report.Run
---@field id string
---@field path string its folder
---@field plan table as it was given
---@field info table what run.json says
---@field results table<string, table> by the cell's id
---@field followed? boolean somebody reads the logs while they are written
local Run = {}
Run.__index = Run

-- Files for ids that differ only in case must not meet where the file system does not see that.
local function name_files(plan)
    local names, taken = {}, {}
    local function add(id)
        if names[id] then
            return
        end
        local name = escape.file_name(id, raw.data.sha256)
        if taken[name:lower()] then
            name = ("%s~%s"):format(name, raw.data.sha256(id):sub(1, 16))
        end
        taken[name:lower()] = true
        names[id] = name
    end
    for _, cell in ipairs(plan.cells) do
        add(cell.id)
    end
    for _, test in ipairs(plan.tests) do
        add(test.id)
    end
    return names
end

local function encode(value)
    return errors.raise(json.encode(value)) .. "\n"
end

local function write_json(path, value)
    errors.raise(fs.write_atomic(path, encode(value)))
end

local function open_log(self)
    local path = self.path .. "/events.jsonl"
    local log, why = io.open(path, "ab")
    if not log then
        errors.fail("system", "cannot write the event log %s", why)
    end
    log:setvbuf("full", 1 << 16)
    self.log = log
end

local function new_run(path, id, plan)
    local self = setmetatable({
        path = path,
        id = id,
        plan = plan,
        results = {},
        names = name_files(plan),
        listeners = {},
        started = raw.task.now(),
    }, Run)
    self.saver = saver.new(function(cell)
        return ("%s/results/%s.json"):format(path, self.names[cell]), encode(self.results[cell])
    end)
    self.lock = folder.lock(path)
    if not self.lock then
        errors.fail("exists", "the run %s is being written by another process", path)
    end
    return self
end

local function host_facts()
    local _, memory = fs.memory_available()
    return { arch = raw.build.arch, system = raw.build.system, cpus = fs.cpu_count(), memory = memory,
        name = fs.hostname() }
end

---Makes the folder of a new run: below `output`, or in .vmatrix/runs beside the matrix file. The
---caller closes it. Says run_started and plan.
---@param place string the matrix file's folder
---@param opts { plan: table, output?: string, argv?: string[], files?: string[], seed?: any, slots?: integer }
---@return vm.report.Run
function M.create(place, opts)
    opts = options.check("report.store.create", opts, {
        plan = { "table", required = true },
        output = "string",
        argv = "table",
        files = "table",
        seed = "any",
        slots = "integer",
        estimate = "number",
        secrets = "table",
    })
    local path, id = folder.create(opts.output or folder.place(place))
    local self = new_run(path, id, opts.plan)
    self.info = tidy.value {
        format = M.FORMAT, id = id, started = fs.now_unix(), argv = opts.argv, files = opts.files,
        seed = opts.seed or opts.plan.seed, slots = opts.slots, version = _G._VMATRIX, host = host_facts(),
    }
    write_json(path .. "/plan.json", tidy.plan(opts.plan))
    write_json(path .. "/run.json", self.info)
    open_log(self)
    self:event { event = "run_started", id = id, format = schema.VERSION, version = _G._VMATRIX, argv = opts.argv,
        seed = self.info.seed, slots = opts.slots }
    self:event { event = "plan", cells = #opts.plan.cells, tests = #opts.plan.tests,
        skipped = opts.plan.skipped and #opts.plan.skipped, estimate = opts.estimate }
    return self
end

---Goes on writing a run that ended without all of its verdicts. The plan is the whole one of that
---run; only tests without a result should be run.
---@param path string its folder
---@param opts { plan: table, argv?: string[], slots?: integer }
---@return vm.report.Run
function M.resume(path, opts)
    local old = read.open(path)
    local self = new_run(path, old.id, opts.plan)
    self.info = old.info
    self.info.ended, self.info.exit, self.info.counts, self.info.duration = nil, nil, nil, nil
    for id, result in pairs(old.results) do
        self.results[id] = result
    end
    open_log(self)
    self.log:write "\n" -- whatever killed it may have left half a line
    self:event { event = "run_started", id = self.id, format = schema.VERSION, version = _G._VMATRIX,
        argv = opts.argv, seed = self.info.seed, slots = opts.slots, resumed = true }
    return self
end

---Calls fn(event) for each event that is written from now on. What it raises is its own affair.
---@param fn fun(event: table)
function Run:listen(fn)
    self.listeners[#self.listeners + 1] = fn
end

local function tell(self, event)
    for at = #self.listeners, 1, -1 do
        local ok, err = pcall(self.listeners[at], event)
        if not ok then
            table.remove(self.listeners, at)
            raw.log.write("warn", nil, "a report was given up: " .. tostring(err))
        end
    end
end

---Writes one event and tells the listeners. Text of guests is bounded and made UTF-8. That the log
---cannot be written to (a full disk) is said once and fails nothing: verdicts are not in it.
---@param event table `event` is its name
function Run:event(event)
    local now = event.t or fs.now_unix()
    local clean = tidy.event(event)
    clean.t = now
    local complaint = strict and schema.complaint(clean)
    if complaint then
        errors.fail("usage", "%s", complaint)
    end
    tell(self, clean)
    if not self.log then
        return
    end
    clean.t, clean.event = nil, nil
    local rest = json.encode(clean)
    clean.t, clean.event = now, event.event
    local ok = rest and self.log:write(('{"t":%.6f,"event":"%s"%s\n'):format(now, event.event,
        rest == "{}" and "}" or "," .. rest:sub(2)))
    ok = ok and self.log:flush()
    if not ok and not self.complained then
        self.complained = true
        raw.log.write("warn", nil, ("the event log %s/events.jsonl cannot be written to"):format(self.path))
    end
end


local function new_cell(cell)
    local matrix = cell.matrix
    return tidy.value { format = M.FORMAT, cell = cell.id, axes = cell.axes,
        matrix = tidy.matrix(matrix), tests = {} }
end

---Keeps a test's verdict: when it returns, it is on the disk. Raises when it cannot be kept; the
---verdict is "lost" then. Waits, and a cancellation meanwhile takes nothing back.
---@param test table of the plan
---@param result table { outcome =, reason =, duration =, started =, attempts = { ... }, ... }
function Run:result(test, result)
    if not schema.is_outcome(result.outcome) then
        errors.fail("usage", "test %s: %s is no outcome", test.id, options.show(result.outcome))
    end
    local cell = test.cell
    self.results[cell.id] = self.results[cell.id] or new_cell(cell)
    self.results[cell.id].tests[test.name] = tidy.result(result)
    self.saver:save(cell.id)
end

---Where the log of an attempt goes; its folder is there.
---@param test table|string a test of the plan, or its id
---@param attempt integer
---@return string path
---@return string below the run's folder: what a result's `log` says
function Run:log_file(test, attempt)
    local below = ("logs/%s.%d.log"):format(self:name(test), attempt)
    return self.path .. "/" .. below, below
end

---Where a guest's console log goes.
---@param name string of the guest, or a test's id
---@return string path
---@return string below the run's folder
function Run:console_file(name)
    local below = ("consoles/%s.log"):format(self:name(name))
    return self.path .. "/" .. below, below
end

---The folder of an attempt's artifacts, made now.
---@param test table|string
---@param attempt integer
---@return string path
---@return string below the run's folder
function Run:artifact_dir(test, attempt)
    local below = ("artifacts/%s/%d"):format(self:name(test), attempt)
    errors.raise(fs.mkdir_p(self.path .. "/" .. below))
    return self.path .. "/" .. below, below
end

---The file name of a test, a cell or another id.
---@param what table|string
---@return string
function Run:name(what)
    local id = type(what) == "table" and what.id or what
    return self.names[id] or escape.file_name(id, raw.data.sha256)
end

---The verdict so far: tests by outcome, those without a result as "lost", and the exit status.
---@return table<string, integer> counts
---@return integer exit
function Run:verdict()
    local outcomes = {}
    for at, test in ipairs(self.plan.tests) do
        local results = self.results[type(test.cell) == "table" and test.cell.id or test.cell]
        outcomes[at] = verdict.outcome(test, results and results.tests[test.name])
    end
    local counts = verdict.count(outcomes)
    return counts, verdict.exit(counts)
end

---Ends the run: says run_ended and writes the end into run.json. Returns what the verdict is.
---@param opts? { exit?: integer } the exit status, unless it is the verdict's
---@return table<string, integer> counts
---@return integer exit
function Run:finish(opts)
    opts = options.check("report.run.finish", opts, { exit = "integer" })
    self.saver:drain()
    local counts, exit = self:verdict()
    exit = opts.exit or exit
    local duration = raw.task.now() - self.started
    self:event { event = "run_ended", exit = exit, counts = counts, duration = duration }
    self.info.ended, self.info.exit, self.info.counts, self.info.duration = fs.now_unix(), exit, counts, duration
    write_json(self.path .. "/run.json", self.info)
    return counts, exit
end

---Closes the log and gives the run's lock back; harmless when repeated.
function Run:close()
    if self.lock then
        self.saver:drain()
        self.lock:close()
        self.lock = nil
    end
    if self.log then
        self.log:close()
        self.log = nil
    end
end

Run.__close = Run.close

M.open = read.open
M.list = folder.list
M.place = folder.place
M.prune = folder.prune

return M
