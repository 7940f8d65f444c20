-- The folder of a run as it is read, perhaps while it is written or after it was killed: what cannot
-- be read is a problem that is told, and never an error.
local raw = require "vm.raw"
local errors = require "vm.errors"
local folder = require "vm.report.folder"
local options = require "vm.options"

local M = {}

local fs, json = raw.fs, raw.json

local MAX <const> = 1 << 30

---A run that is read.
---@class vm.report.Folder
---@field id string
---@field path string
---@field info table what run.json says
---@field plan table what plan.json says
---@field results table<string, table> by the cell's id
---@field alive boolean whether a process is writing it
---@field problems string[] what could not be read
local Folder = {}
Folder.__index = Folder

local function read_json(path)
    local text, err = fs.read(path, MAX)
    if not text then
        return nil, err
    end
    local value
    value, err = json.decode(text)
    if value ~= nil and type(value) ~= "table" then
        value, err = nil, errors.new("format", "it is no object")
    end
    return value, err and errors.prefix(err, path) or nil
end

local function read_results(self)
    local place = self.path .. "/results"
    for _, name in ipairs(fs.list(place) or {}) do
        if name:find "%.json$" then
            local result, err = read_json(place .. "/" .. name)
            if result and type(result.cell) == "string" and type(result.tests) == "table" then
                self.results[result.cell] = result
            else
                table.insert(self.problems, err and tostring(err) or ("%s/%s is no result"):format(place, name))
            end
        end
    end
end

-- Whether a process holds its lock. Nothing is written: the folder may be someone else's.
local function is_alive(path)
    if not fs.exists(path .. "/.lock") then
        return false
    end
    local lock, err = fs.lock(path .. "/.lock", true)
    if lock then
        lock:close()
    end
    return lock == nil and err.kind == "exists"
end

---Opens a run to read it: a path, an id or the beginning of one, or "last".
---@param what string
---@param opts? { runs?: string } the folder of runs
---@return vm.report.Folder
function M.open(what, opts)
    opts = options.check("report.store.open", opts, { runs = "string" })
    local path = folder.find(what, opts.runs)
    local plan, err = read_json(path .. "/plan.json")
    if not plan then
        errors.fail("format", "the run %s cannot be read: %s", path, tostring(err))
    end
    local self = setmetatable({ path = path, plan = plan, results = {}, problems = {} }, Folder)
    self.plan.cells, self.plan.tests = plan.cells or {}, plan.tests or {}
    self.plan.skipped, self.plan.matrices = plan.skipped or {}, plan.matrices or {}
    self.info, err = read_json(path .. "/run.json")
    if not self.info then
        self.problems[1] = tostring(err)
        self.info = {}
    end
    self.id = type(self.info.id) == "string" and self.info.id or path:match "[^/]+$"
    self.alive = is_alive(path)
    read_results(self)
    return self
end

---The events of the run in their order, those with one of these names only if any is given. What was
---not written whole is left out.
---@param ... string
---@return fun(): table|nil
function Folder:events(...)
    local wanted = {}
    for _, name in ipairs { ... } do
        wanted[name] = true
    end
    local all = next(wanted) == nil
    local log = io.open(self.path .. "/events.jsonl", "rb")
    return function()
        while log do
            local line = log:read "L"
            if not line then
                log:close()
                log = nil
            elseif line:sub(-2) == "}\n" and (all or wanted[line:match '^{"t":[%d.]+,"event":"([%w_]+)"']) then
                local event = json.decode(line)
                if type(event) == "table" and type(event.event) == "string" and (all or wanted[event.event]) then
                    return event
                end
            end
        end
    end
end

return M
