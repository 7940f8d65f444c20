-- Keeping the states within their limit: those that were not used for the longest time go first. One that
-- is in use stays, and one that the disks of others stand on goes after them.
local raw = require "vm.raw"
local options = require "vm.options"
local store = require "vm.state.store"

local M = {}

local fs = raw.fs
local GIB <const> = 1 << 30

---How many bytes the states may take: VMATRIX_STATES_SIZE, or 20 GiB, or a quarter of what the disk has for
---them if that is less.
---@return integer
function M.limit()
    local given = os.getenv "VMATRIX_STATES_SIZE"
    if given and given ~= "" then
        return options.size("VMATRIX_STATES_SIZE", given)
    end
    local space = fs.space(store.folder())
    return math.min(20 * GIB, space and space.total // 4 or 20 * GIB)
end

---What was removed, or would be.
---@class vm.Removed
---@field path string
---@field key string
---@field name string
---@field bytes integer
---@field reason string
---@field done boolean

-- Removes one state if nobody uses it; returns whether it did.
local function remove(entry)
    local lock = store.lock(entry.key)
    if not lock then
        return false -- it is being built
    end
    local _ <close> = setmetatable({}, { __close = function() lock:close() end })
    local alone
    if fs.exists(entry.path) then
        local err
        alone, err = fs.lock(entry.path .. "/lock", true) -- who has it open shares this lock
        if not alone and err.kind ~= "notfound" then
            return false
        end
    end
    local ok, problem = pcall(store.remove, entry.key)
    if alone then
        alone:close()
    end
    if not ok then
        raw.log.write("warn", nil, ("state %s cannot be removed: %s"):format(entry.key, tostring(problem)))
        return false
    end
    fs.unlink(store.path(entry.key) .. ".lock")
    return true
end

-- Whether an entry may go; a child that is going to be removed does not hold its parent.
local function is_free(entry, gone)
    for _, child in ipairs(entry.children) do
        if not gone[child] then
            return false
        end
    end
    return true
end

local function in_use(entry)
    local build = store.lock(entry.key)
    if not build then
        return true
    end
    build:close()
    if fs.exists(entry.path .. "/lock") then
        local lock, err = fs.lock(entry.path .. "/lock", true)
        if not lock then
            return err.kind == "exists"
        end
        lock:close()
    end
    return false
end

---Removes states: those that are of no use, those that were not used for `older` seconds, and from the
---longest unused on until they take at most `max` bytes.
---@param opts { max?: integer, older?: number, dry_run?: boolean, keep?: string }
---@return vm.Removed[]
---@return integer bytes that are left
function M.run(opts)
    local entries = store.list()
    local total, gone, stuck, removed = 0, {}, {}, {}
    for _, entry in ipairs(entries) do
        total = total + entry.bytes
    end
    local function reason(entry)
        if not entry.record then
            return "it is not whole"
        elseif opts.older and entry.used < os.time() - opts.older then
            return ("not used for %d days"):format((os.time() - entry.used) // 86400)
        elseif opts.max and total > opts.max then
            return "there is no room for more"
        end
    end
    local again
    repeat
        again = false
        for _, entry in ipairs(entries) do
            local key = entry.key
            local why = not gone[key] and not stuck[key] and key ~= opts.keep and is_free(entry, gone) and reason(entry)
            if why then
                local done
                if opts.dry_run then
                    done = not in_use(entry)
                else
                    done = remove(entry)
                end
                if done then
                    gone[key], again = true, true
                    total = total - entry.bytes
                    removed[#removed + 1] = { path = entry.path, key = key, bytes = entry.bytes, reason = why,
                        name = entry.record and entry.record.name or "?", done = not opts.dry_run }
                    break -- its parent may be the one that was unused for longest now
                end
                stuck[key] = true -- in use
            end
        end
    until not again
    return removed, total
end

local because <const> = { build = "its building was interrupted", removal = "its removal was interrupted" }

-- Removes a rest if nobody is at work on it; returns whether it did.
local function remove_rest(rest, dry_run)
    local lock = rest.key and store.lock(rest.key)
    if rest.key and not lock then
        return false
    end
    local ok, err = true, nil
    if not dry_run then
        ok, err = fs.remove_tree(rest.path)
    end
    if lock then
        if not fs.exists(store.path(rest.key)) and not dry_run then
            fs.unlink(store.path(rest.key) .. ".lock")
        end
        lock:close()
    end
    if not ok then
        raw.log.write("warn", nil, tostring(err))
    end
    return ok
end

---Removes what builds and removals left that did not end, and the small files of what is gone, of which
---nothing is said.
---@param dry_run? boolean
---@return vm.Removed[]
function M.leftovers(dry_run)
    local removed = {}
    for _, rest in ipairs(store.leftovers()) do
        local done = not (dry_run and rest.kind == "file") and remove_rest(rest, dry_run)
        if done and because[rest.kind] then
            removed[#removed + 1] = { path = rest.path, key = rest.path:match "/(%x+)[^/]*$", bytes = 0, name = "?",
                done = not dry_run, reason = because[rest.kind] }
        end
    end
    return removed
end

local function run_and_tell(opts_of)
    local ok, removed = pcall(function()
        local opts = opts_of()
        return opts and M.run(opts) or {}
    end)
    if not ok then
        raw.log.write("warn", nil, "states cannot be kept within their limit: " .. tostring(removed))
        return
    end
    for _, item in ipairs(removed) do
        raw.log.write("info", nil, ("removed the state '%s' (%s): %s"):format(item.name, item.key:sub(1, 12),
            item.reason))
    end
end

---After a state was added: others go if the limit asks for it.
---@param keep string the key of the new one
function M.after(keep)
    run_and_tell(function()
        return { max = M.limit(), keep = keep }
    end)
end

---Before a state is added: others go if the disk has no room for it.
---@param bytes integer what it may need
function M.before(bytes)
    run_and_tell(function()
        local space = fs.space(store.folder())
        local missing = space and bytes - space.free or 0
        if missing <= 0 then
            return nil
        end
        local total = 0
        for _, entry in ipairs(store.list()) do
            total = total + entry.bytes
        end
        return { max = math.max(0, total - missing) }
    end)
end

return M
