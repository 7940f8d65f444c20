-- What may go of the cache of images: rests of builds that did not end, and seed guests of other recipes
-- than this program's that have not been made for a month.
local raw = require "vm.raw"
local paths = require "vm.host.paths"
local seed = require "vm.seed"

local M = {}

local fs = raw.fs
local MONTH <const> = 30 * 86400

-- The locks of all that build images; nil while one is at work.
local function lock_all(images)
    local locks = {}
    local guard = setmetatable({}, { __close = function()
        for _, lock in ipairs(locks) do
            lock:close()
        end
    end })
    for _, path in ipairs(fs.glob(images .. "/*.lock") or {}) do
        local lock = fs.lock(path, true)
        if not lock then
            guard.busy = true
            return guard
        end
        locks[#locks + 1] = lock
    end
    return guard
end

local function is_old_seed(name, folder)
    local agent, arch = name:match "^seed(%-?%l*)%-([%w_]+)%-%x+$" -- "seed-x86_64-0123", "seed-agent-x86_64-0123"
    local stat = arch and fs.lstat(folder .. "/manifest.lua")
    if not stat or stat.mtime > os.time() - MONTH then
        return false
    end
    for _, known in ipairs(seed.arches()) do
        if known == arch then
            local current = seed.image(arch, agent == "-agent")
            return not current or current.folder ~= folder
        end
    end
    return false
end

---What can be removed.
---@return { path: string, reason: string }[]
function M.find()
    local found = {}
    local cache = paths.cache()
    local function add(path, reason)
        found[#found + 1] = { path = path, reason = reason }
    end
    for _, name in ipairs(fs.list(cache .. "/images") or {}) do
        local folder = ("%s/images/%s"):format(cache, name)
        if name:find "%.new$" or name:find "%.new%.old$" then
            add(folder, "its building was interrupted")
        elseif is_old_seed(name, folder) then
            add(folder, "an older seed guest")
        end
    end
    for _, name in ipairs(fs.list(cache .. "/apt") or {}) do
        add(("%s/apt/%s"):format(cache, name), "its building was interrupted")
    end
    return found
end

---Removes it, unless an image is being built.
---@param dry_run? boolean
---@return table[] removed of { path =, reason =, done = }
function M.run(dry_run)
    local guard <close> = lock_all(paths.cache() .. "/images")
    local removed = {}
    for _, item in ipairs(not guard.busy and M.find() or {}) do
        local ok, err = true, nil
        if not dry_run then
            ok, err = fs.remove_tree(item.path)
        end
        if ok then
            removed[#removed + 1] = { path = item.path, reason = item.reason, done = not dry_run }
        else
            raw.log.write("warn", nil, tostring(err))
        end
    end
    return removed
end

return M
