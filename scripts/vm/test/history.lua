-- How long the tests of a matrix file took, run after run: one small file for each matrix file.
local raw = require "vm.raw"
local paths = require "vm.host.paths"

local M = {}

local fs = raw.fs

-- How much the latest time counts against those before it, and how many tests are remembered.
local LATEST <const>, MOST <const> = 0.5, 200000

-- The file for a matrix file, and its folder; nil where there is no home.
local function file_of(matrix_file)
    local folder = paths.history()
    local path = fs.realpath(matrix_file) or matrix_file
    local base = path:match "[^/]*$":gsub("[^%w._-]", "_"):sub(1, 40)
    return folder and ("%s/%s-%s.json"):format(folder, base, raw.data.sha256(path):sub(1, 16)), folder
end

local function read(file)
    local text = file and fs.read(file, 64 * 1024 * 1024)
    local ok, data = pcall(raw.json.decode, text or "")
    local known = {}
    if ok and type(data) == "table" and data.format == 1 and type(data.seconds) == "table" then
        for id, seconds in pairs(data.seconds) do
            if type(id) == "string" and type(seconds) == "number" and seconds >= 0 then
                known[id] = seconds
            end
        end
    end
    return known
end

---Seconds that each test of a matrix file takes, as earlier runs have it. Empty when nothing is known.
---@param matrix_file string
---@return table<string, number>
function M.load(matrix_file)
    return read((file_of(matrix_file)))
end

---The same for all files of a plan.
---@param plan table
---@return table<string, number>
function M.of(plan)
    local all = {}
    for _, matrix in ipairs(plan.matrices) do
        for id, seconds in pairs(matrix.file and M.load(matrix.file) or {}) do
            all[id] = seconds
        end
    end
    return all
end

---Adds times of this run to what is known. Waits for a moment if another run does the same.
---@param matrix_file string
---@param seconds table<string, number> by test id
---@return boolean|nil done
---@return vm.Error|nil err
function M.add(matrix_file, seconds)
    local file, folder = file_of(matrix_file)
    if not file or next(seconds) == nil then
        return true
    end
    local ok, err = paths.private(folder)
    local lock
    if ok then
        lock, err = fs.lock(file .. ".lock")
    end
    if not lock then
        return nil, err
    end
    local known, count = read(file), 0
    for id in pairs(known) do
        count = count + 1
        if count > MOST then
            known[id] = nil
        end
    end
    for id, latest in pairs(seconds) do
        local before = known[id]
        -- Milliseconds are enough.
        known[id] = math.floor((before and before + (latest - before) * LATEST or latest) * 1000 + 0.5) / 1000
    end
    ok, err = fs.write_atomic(file, raw.json.encode { format = 1, seconds = known })
    lock:close()
    return ok, err
end

return M
