-- Runs whose owner is dead: finding them and clearing them away. A run is alive while its owner, or a
-- guardian at work, holds the lock on its record; what is locked is never touched.
local raw = require "vm.raw"
local paths = require "vm.host.paths"

local M = {}

local fs = raw.fs

---A run that nobody owns.
---@class vm.DeadRun
---@field id string
---@field record string the file that names its folders
---@field paths string[] its folders

-- A folder without a word about its owner may be one that is being made; an old one is not.
local UNKNOWN_AGE = 3600

-- The first line of a small file, or nil.
local function first_line(path)
    local text = fs.read(path, 8192)
    return text and text:match "^([^\n]+)\n"
end

-- Adds the folders of runs that are in a place, by the record that they belong to.
local function look_in(place, found)
    local stat = fs.lstat(place)
    if not stat or stat.type ~= "dir" or stat.uid ~= fs.uid() then
        return
    end
    local function add(record, id, path)
        local run = found[record]
        if not run then
            run = { id = id, record = record, paths = {}, known = {} }
            found[record] = run
            found[#found + 1] = run
        end
        if path and not run.known[path] then
            run.known[path] = true
            run.paths[#run.paths + 1] = path
        end
    end
    for _, name in ipairs(fs.list(place) or {}) do
        local path = place .. "/" .. name
        local id = name:match "^(%x%x%x%x%x%x%x%x)%.run$"
        if id then
            add(path, id)
            for line in (fs.read(path, 65536) or ""):gmatch "([^\n]*)\n" do
                add(path, id, line:match "^path (/.*)$")
            end
        elseif name:find "^%x%x%x%x%x%x%x%x$" then
            local record = first_line(path .. "/.owner")
            local folder = fs.lstat(path)
            if record then
                add(record, name, path)
            elseif folder and folder.mtime < os.time() - UNKNOWN_AGE then
                add(("%s/%s.run"):format(place, name), name, path)
            end
        end
    end
end

-- The lock of a dead run, true when its record can no longer be made, or nil when it is alive.
local function take(run)
    local lock, err = fs.lock(run.record, true)
    return lock or (err.kind == "notfound") or nil
end

local function release(run, lock, keep)
    if lock ~= true then
        if not keep then
            fs.unlink(run.record)
        end
        lock:close()
    end
end

---The runs of this user that nobody owns any more. Does not wait.
---@return vm.DeadRun[]
function M.dead()
    local found, dead = {}, {}
    local places = paths.runs()
    places[#places + 1] = ("/run/user/%d/vmatrix"):format(fs.uid())
    table.move(paths.files(), 1, #paths.files(), #places + 1, places)
    places[#places + 1] = paths.ram()
    local seen = {}
    for _, place in ipairs(places) do
        if not seen[place] then
            seen[place] = true
            look_in(place, found)
        end
    end
    for _, run in ipairs(found) do
        local existed = fs.exists(run.record)
        local lock = take(run)
        if lock then
            release(run, lock, existed)
            dead[#dead + 1] = run
        end
    end
    return dead
end

---The processes of a dead run that are still there.
---@param run vm.DeadRun
---@return table[]|nil processes of { pid =, name = }
---@return vm.Error|nil err
function M.processes(run)
    return raw.run.processes(run.paths)
end

---Kills a dead run's processes and removes its folders. Waits. Returns what was done: { killed = n,
---removed = n }, or nil when somebody else clears it away already, or nil and an error.
---@param run vm.DeadRun
---@return table|nil done
---@return vm.Error|nil err
function M.clear(run)
    local lock = take(run)
    for _ = 1, 4 do
        if lock then
            break
        end
        raw.task.sleep(0.05) -- one who only looks whether it is dead has the lock for a moment
        lock = take(run)
    end
    if not lock then
        return nil
    end
    local done, err = raw.run.sweep(run.paths)
    release(run, lock, err ~= nil)
    return done, err
end

return M
