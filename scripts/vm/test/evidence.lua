-- What is kept of a test: the files that it named, and when it failed the console and the guest's state.
local raw = require "vm.raw"
local errors = require "vm.errors"
local task = require "vm.task"

local M = {}

local fs = raw.fs

-- Seconds for all the files of a test, and for what a guest is asked about itself. Bytes of a copy, and
-- of a file in which secrets are looked for.
local COLLECT <const>, ASK <const> = 120, 30
local MOST <const>, MASKED <const> = 4 * 1024 ^ 3 // 1, 64 * 1024 * 1024

-- Asked of a guest whose test failed; what it does not have is left out.
local STATE <const> = [[
for c in 'uname -a' uptime 'cat /proc/loadavg' free df mount 'ps aux || ps' 'ip addr || ifconfig' 'dmesg | tail -n 60'
do echo "--- $c"; sh -c "$c" 2>&1 | head -n 200; done]]

local function kind_of(path)
    local base = path:match "[^/]*$"
    if base == "core" or base:find "^core[.-]" or base:find "%.core$" then
        return "core"
    elseif base:find "[atmul]san" then
        return "sanitizer"
    end
    return "collected"
end

-- The files below a folder, with their sizes.
local function files_below(folder, below, out)
    for _, name in ipairs(fs.list(folder) or {}) do
        local path = folder .. "/" .. name
        local stat = fs.lstat(path)
        if stat and stat.type == "dir" then
            files_below(path, below .. "/" .. name, out)
        elseif stat then
            out[#out + 1] = { path = below .. "/" .. name, full = path, size = stat.size, type = stat.type }
        end
    end
    return out
end

-- Masks secrets in a file of text.
local function mask(file, masker)
    if #masker.values == 0 or file.type ~= "file" or file.size > MASKED then
        return
    end
    local text = fs.read(file.full, MASKED)
    if text and not text:sub(1, 8192):find "\0" then
        local masked = masker:text(text)
        if masked ~= text then
            errors.raise(fs.write_atomic(file.full, masked))
        end
    end
end

-- The folder on the host for what a pattern of the guest names: that of the first name with a wildcard,
-- or the parent.
local function folder_for(pattern)
    local folder = ""
    for name in pattern:gsub("/+$", ""):match "^(.*)/[^/]*$":gmatch "[^/]+" do
        if name:find "[*?%[]" then
            break
        end
        folder = folder .. "/" .. name
    end
    return folder
end

local function copy(guest, pattern, folder)
    errors.raise(fs.mkdir_p(folder))
    return guest:copy_out(pattern, folder .. "/", { unsafe = "skip", max_bytes = MOST, timeout = COLLECT })
end

---Copies what the matrix and the test named out of the guests.
---@param attempt table { lease, patterns, dir, below, masker, emit, outcome }
---@return table[] artifacts { path, size, kind }
function M.collect(attempt)
    local several = #attempt.lease.list > 1
    local function from(name, guest, item)
        local folder = ("%s%s%s"):format(attempt.dir(), several and "/" .. name or "", folder_for(item.path))
        local ok, err = pcall(copy, guest, item.path, folder)
        if not ok and (item.asked or not errors.is(err, "notfound")) then
            attempt.emit { event = "warning", kind = "artifact",
                text = ("%s was not kept: %s"):format(item.path, tostring(err)) }
        end
    end
    for _, item in ipairs(attempt.patterns) do
        for name, guest in pairs(attempt.lease.by_name) do
            if item.guest == nil or item.guest == name then
                from(name, guest, item)
            end
        end
    end
    return attempt.has_dir() and M.list(attempt) or {}
end

---What there is in the attempt's folder of artifacts.
---@param attempt table
---@return table[]
function M.list(attempt)
    local list = {}
    for _, file in ipairs(files_below(attempt.dir(), attempt.below(), {})) do
        mask(file, attempt.masker)
        local stat = fs.lstat(file.full)
        list[#list + 1] = { path = file.path, size = stat and stat.size or file.size,
            kind = attempt.kinds[file.path] or kind_of(file.path) }
    end
    return list
end

local function write(path, text)
    local ok, err = fs.write_atomic(path, text)
    return ok, err
end

---Keeps the guests' consoles and what they say of themselves, after a failure.
---@param attempt table also console_file(name) -> path, below
---@return string|nil console below the run's folder: of the first guest
function M.guests(attempt)
    local console
    for name, guest in pairs(attempt.lease.by_name) do
        if guest.console_log then
            local path, below = attempt.console_file(#attempt.lease.list > 1 and name or nil)
            local ok, text = pcall(guest.console, guest)
            if ok and text ~= "" and write(path, attempt.masker:text(text)) then
                console = console or below
            end
        end
        local lines = { tostring(guest) }
        local ok, info = pcall(function() return guest.info and guest:info() end)
        if ok and info then
            lines[#lines + 1] = errors.raise(raw.json.encode(info))
        end
        if guest.failure then
            lines[#lines + 1] = tostring(guest.failure.reason)
        else
            local asked, result = pcall(task.timeout, ASK, guest.exec, guest, STATE, { timeout = ASK })
            lines[#lines + 1] = asked and result.stdout or tostring(result)
        end
        local file = ("%s/guest-%s.txt"):format(attempt.dir(), name)
        attempt.kinds[("%s/guest-%s.txt"):format(attempt.below(), name)] = "state"
        write(file, attempt.masker:text(table.concat(lines, "\n") .. "\n"))
    end
    return console
end

return M
