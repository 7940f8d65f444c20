-- The folders of runs: where they are, which one is meant, which ones are too old.
local raw = require "vm.raw"
local errors = require "vm.errors"

local M = {}

local fs = raw.fs

-- Sorts by time to a 256th of a second; the rest is chance.
local function new_id()
    local now = fs.now_unix()
    local fraction = math.floor(now % 1 * 256)
    local chance = errors.raise(fs.random(2))
    return ("%s-%02x%02x%02x"):format(os.date("!%Y%m%d-%H%M%S", math.floor(now)), fraction, chance:byte(1, 2))
end

---Where the runs of a matrix are.
---@param folder string of the matrix file
---@return string
function M.place(folder)
    return folder == "." and ".vmatrix/runs" or folder:gsub("(.)/+$", "%1") .. "/.vmatrix/runs"
end

-- A link that says which run is the newest; that it cannot be made is no reason to fail.
local function link_last(place, id)
    local temp = ("%s/.last-%s"):format(place, id)
    if fs.symlink(id, temp) and not fs.rename(temp, place .. "/last") then
        fs.unlink(temp)
    end
end

---Makes the folder of a new run below a place.
---@param place string
---@return string path
---@return string id
function M.create(place)
    errors.raise(fs.mkdir_p(place))
    local hidden = place:match "^(.*%.vmatrix)/runs$"
    if hidden and not fs.exists(hidden .. "/.gitignore") then
        fs.write_atomic(hidden .. "/.gitignore", "*\n")
    end
    for _ = 1, 100 do
        local id = new_id()
        local path = place .. "/" .. id
        if not fs.exists(path) then
            for _, name in ipairs { "results", "logs", "consoles", "artifacts" } do
                errors.raise(fs.mkdir_p(path .. "/" .. name))
            end
            link_last(place, id)
            return path, id
        end
    end
    return errors.fail("exists", "cannot find a free name for a run below %s", place)
end

local function is_run(path)
    return fs.exists(path .. "/run.json") or fs.exists(path .. "/plan.json")
end

---The ids of the runs in a place, oldest first.
---@param place string
---@return string[]
function M.list(place)
    local ids = {}
    for _, name in ipairs(fs.list(place) or {}) do
        if name:find "^%d+%-%d+%-%x+$" and is_run(place .. "/" .. name) then
            ids[#ids + 1] = name
        end
    end
    return ids
end

---The nearest place with runs, here or in a folder above.
---@return string|nil
function M.nearest()
    local here = errors.raise(fs.cwd())
    local folder = here
    while folder do
        local place = (folder == "/" and "" or folder) .. "/.vmatrix/runs"
        if #M.list(place) > 0 then
            return folder == here and ".vmatrix/runs" or place
        end
        folder = folder:match "^(/.*)/[^/]+$" or (folder ~= "/" and folder ~= "" and "/") or nil
    end
end

local function matching(place, what)
    local found = {}
    for _, id in ipairs(M.list(place)) do
        if id == what then
            return { id }
        elseif id:sub(1, #what) == what or id:match "%x+$" == what then
            found[#found + 1] = id
        end
    end
    return found
end

---The path of the run that is meant: a path, an id or the beginning of one, its last part, or
---"last". Raises when there is none, or more than one.
---@param what string
---@param place? string where to look; the nearest one unless given
---@return string
function M.find(what, place)
    if what:find("/", 1, true) and is_run(what) or what ~= "last" and not place and is_run(what) then
        return (what:gsub("(.)/+$", "%1"))
    end
    place = place or M.nearest()
    if not place then
        errors.fail("notfound", "no run %s: there is no .vmatrix/runs here or in a folder above; "
            .. "`--runs DIR` says where to look", what)
    end
    local ids = M.list(place)
    if what == "last" and #ids > 0 then
        return place .. "/" .. ids[#ids]
    end
    local found = what ~= "last" and what ~= "" and matching(place, what) or {}
    if #found == 1 then
        return place .. "/" .. found[1]
    elseif #found > 1 then
        errors.fail("usage", "several runs begin with %s: %s", what, table.concat(found, ", "))
    end
    return errors.fail("notfound", "no run %s in %s; `vmatrix report --list` shows those that are there", what, place)
end

---The lock of a run, which the process that writes it holds: nil when another has it.
---@param path string
---@return table|nil lock
function M.lock(path)
    local lock, err = fs.lock(path .. "/.lock", true)
    if not lock and err.kind ~= "exists" then
        error(err, 0)
    end
    return lock
end

---Removes the oldest runs but `keep`; one that is still written stays. Returns the removed ids.
---@param place string
---@param keep integer
---@return string[]
function M.prune(place, keep)
    local ids, removed = M.list(place), {}
    for at = 1, #ids - keep do
        local path = place .. "/" .. ids[at]
        local lock = M.lock(path)
        if lock then
            local ok, err = fs.remove_tree(path)
            lock:close()
            errors.raise(ok, err)
            removed[#removed + 1] = ids[at]
        end
    end
    local left = M.list(place)
    if #removed > 0 and #left > 0 then
        link_last(place, left[#left])
    end
    return removed
end

return M
