-- Where prepared states are kept: <cache>/states/<key>/ is a template's folder, and beside it <key>.json
-- says what it is and what went into its key. Who builds or removes one holds <key>.lock. All of it may be
-- deleted at any moment.
local raw = require "vm.raw"
local errors = require "vm.errors"
local paths = require "vm.host.paths"
local random_hex = require "vm.random_hex"

local M = {}

local fs = raw.fs
local raise = errors.raise

---What is known of a kept state: what <key>.json holds.
---@class vm.StateRecord
---@field format integer
---@field key string
---@field id string of this build: another one of the same key has another
---@field name string of its last step, "boot" for none
---@field parent string|nil the key of the state it was made from
---@field steps string[] the names of all steps, from the boot on
---@field guest string what the guest is, in words
---@field cell string the axes that it depends on, in words
---@field line string what it has in common with its earlier and later versions
---@field parts vm.KeyPart[] what its key is made of
---@field why string[] what had changed since its last version
---@field created integer
---@field seconds number that it took from the state before it
---@field cold number seconds that it took from nothing, all steps together

local FORMAT <const> = 1

---The folder of all states.
---@return string
function M.folder()
    return paths.cache() .. "/states"
end

---Makes the folder of all states.
---@return string
function M.make_folder()
    raise(fs.mkdir_p(M.folder(), 448)) -- 0700
    return M.folder()
end

---The folder of one state.
---@param key string
---@return string
function M.path(key)
    return ("%s/%s"):format(M.folder(), key)
end

---A new name for one build.
---@return string
function M.new_id()
    return random_hex(8)
end

local function is_record(record)
    return type(record) == "table" and record.format == FORMAT and type(record.key) == "string"
        and type(record.parts) == "table" and type(record.name) == "string" and type(record.id) == "string"
end

---What is known of a state, or nil.
---@param key string
---@return vm.StateRecord|nil
function M.read(key)
    local text = fs.read(M.path(key) .. ".json", 64 << 20)
    local record = text and raw.json.decode(text)
    return is_record(record) and record.key == key and record or nil
end

---Writes down what is known of a state.
---@param record vm.StateRecord
function M.write(record)
    record.format = FORMAT
    raise(fs.write_atomic(M.path(record.key) .. ".json", raise(raw.json.encode(record)), 384)) -- 0600
end

---Notes that a state was used now.
---@param key string
function M.touch(key)
    raw.tree.set(M.path(key) .. ".json", 384, os.time())
end

---The lock of whoever builds or removes a state.
---@param key string
---@return userdata|nil lock
---@return vm.Error|nil err kind "exists" when another one holds it
function M.lock(key)
    return fs.lock(M.path(key) .. ".lock", true)
end

---Writes into a lock that is held who holds it and what for.
---@param key string
---@param text string
function M.sign(key, text)
    local file = io.open(M.path(key) .. ".lock", "w")
    if file then
        file:write(("process %d: %s\n"):format(fs.pid(), text))
        file:close()
    end
end

---Who holds a lock, in words.
---@param key string
---@return string
function M.signature(key)
    local text = fs.read(M.path(key) .. ".lock", 4096) or ""
    return (text:match "^([^\n]+)" or "another process"):gsub("[%c\127-\255]", "?")
end

---Removes the files of a state whose lock the caller holds, whole or not. The guests that were forked
---from it hold their files open and go on.
---@param key string
function M.remove(key)
    local path = M.path(key)
    fs.unlink(path .. ".json")
    fs.unlink(path .. ".times")
    fs.unlink(path .. "/template.json") -- nobody opens it any more
    local aside = ("%s.old-%s"):format(path, M.new_id())
    local moved, err = fs.rename(path, aside)
    if moved then
        raise(fs.remove_tree(aside))
    elseif err.kind ~= "notfound" then
        error(err, 0)
    end
end

-- Bytes on disk of all in a folder; a file with several names counts once for all folders.
local function size_of(folder, seen)
    local bytes = 0
    for _, name in ipairs(fs.list(folder) or {}) do
        local stat = fs.lstat(folder .. "/" .. name)
        if stat and stat.type == "file" then
            local file = ("%d:%d"):format(stat.dev, stat.ino)
            if stat.nlink == 1 or not seen[file] then
                bytes = bytes + stat.blocks * 512
            end
            seen[file] = true
        end
    end
    return bytes
end

---A state as it is kept.
---@class vm.StateEntry
---@field key string
---@field path string
---@field bytes integer on disk
---@field used integer when it was last used, seconds since 1970
---@field record vm.StateRecord|nil nil when it says nothing of itself, and is of no use
---@field children string[] keys of those whose disks stand on its own

---Everything that is kept, the longest unused first.
---@return vm.StateEntry[]
function M.list()
    local entries, by_key, seen = {}, {}, {}
    local names = fs.list(M.folder()) or {}
    for _, name in ipairs(names) do
        local key = name:match "^(%x+)$"
        if key then
            local path = M.path(key)
            local whole = fs.exists(path .. "/template.json")
            local stat = fs.lstat(path .. ".json") or fs.lstat(path)
            local entry = { key = key, path = path, bytes = size_of(path, seen), used = stat and stat.mtime or 0,
                record = whole and M.read(key) or nil, children = {} }
            entries[#entries + 1], by_key[key] = entry, entry
        end
    end
    for _, entry in ipairs(entries) do
        local parent = entry.record and by_key[entry.record.parent]
        if parent then
            table.insert(parent.children, entry.key)
        end
    end
    table.sort(entries, function(a, b)
        if a.used ~= b.used then
            return a.used < b.used
        end
        return a.key < b.key
    end)
    return entries
end

local OLD <const> = 90 * 86400 -- seconds after which the parts of a last version are forgotten

---Names in the folder of states that are the rest of something: builds and removals that did not end, and
---small files of what is gone.
---@return table[] of { key =, path =, kind = "build"|"removal"|"file" }; with a key, whoever has its lock needs it
function M.leftovers()
    local found = {}
    local function add(key, name, kind)
        found[#found + 1] = { key = key, path = ("%s/%s"):format(M.folder(), name), kind = kind }
    end
    for _, name in ipairs(fs.list(M.folder()) or {}) do
        local key, suffix = name:match "^(%x+)%.(%l+)%-%x+$"
        if suffix == "new" or suffix == "old" then
            add(suffix == "new" and key or nil, name, suffix == "new" and "build" or "removal")
        end
        key, suffix = name:match "^(%x+)%.(%l+)$"
        if (suffix == "json" or suffix == "times" or suffix == "lock") and not fs.exists(M.path(key)) then
            add(key, name, "file")
        end
    end
    for _, name in ipairs(fs.list(M.folder() .. "/last") or {}) do
        local stat = fs.lstat(("%s/last/%s"):format(M.folder(), name))
        if stat and stat.mtime < os.time() - OLD then
            add(nil, "last/" .. name, "file")
        end
    end
    return found
end

local function last_path(line)
    return ("%s/last/%s.json"):format(M.folder(), line)
end

---The parts of the last version of a state, whatever became of it.
---@param line string
---@return { key: string, parts: vm.KeyPart[] }|nil
function M.last(line)
    local text = fs.read(last_path(line), 64 << 20)
    local last = text and raw.json.decode(text)
    return type(last) == "table" and type(last.parts) == "table" and last or nil
end

---Remembers the parts of the newest version.
---@param record vm.StateRecord
function M.set_last(record)
    raise(fs.mkdir_p(M.folder() .. "/last", 448)) -- 0700
    local text = raise(raw.json.encode { key = record.key, parts = record.parts })
    raise(fs.write_atomic(last_path(record.line), text, 384)) -- 0600
end

local TIMES <const> = 9 -- measurements that are kept

---Seconds that forks of a state took to their first command, the newest last.
---@param key string
---@return number[]
function M.times(key)
    local list = {}
    for word in (fs.read(M.path(key) .. ".times", 4096) or ""):gmatch "[%d.]+" do
        list[#list + 1] = tonumber(word)
    end
    return list
end

---Adds a measurement.
---@param key string
---@param seconds number
function M.add_time(key, seconds)
    local list = M.times(key)
    list[#list + 1] = seconds
    local words = {}
    for i = math.max(1, #list - TIMES + 1), #list do
        words[#words + 1] = ("%.3f"):format(list[i])
    end
    if fs.exists(M.path(key)) then
        fs.write_atomic(M.path(key) .. ".times", table.concat(words, " ") .. "\n", 384)
    end
end

return M
