-- Running one copy job of vm.raw.copy to its end, with progress, and never leaving its thread behind.
local raw = require "vm.raw"
local errors = require "vm.errors"

local M = {}

local EVERY <const> = 0.1 -- seconds between calls of progress

-- Whatever happened, the thread has ended when this has run: what it wrote may be removed then.
local function ending(job)
    return setmetatable({}, {
        __close = function()
            job:stop()
            job:wait()
            job:close()
        end,
    })
end

---Runs a job. `progress` is called with the bytes so far. Returns what was counted and the transport's
---result; raises the job's error, with `what` before it.
---@param remote table
---@param what string
---@param spec table as vm.raw.copy.start takes it
---@param progress? fun(bytes: integer)
---@return table count
---@return table result
function M.run(remote, what, spec, progress)
    local job = errors.raise(raw.copy.start(remote.session, spec))
    local _ <close> = ending(job)
    local over, err
    repeat
        over, err = job:wait(progress and EVERY or nil)
        if progress then
            progress(job:count().bytes)
        end
    until over ~= false
    local result = job:result()
    if over == nil then
        -- A command that failed leaves half a stream: its own words say more than that.
        if err.kind == "format" and result.status and result.status ~= 0 then
            return job:count(), result
        end
        error(errors.prefix(err, what), 0)
    end
    return job:count(), result
end

---A count as verbs return it.
---@param how string
---@param count table
---@return vm.CopyResult
function M.summary(how, count)
    local skipped = {}
    for name in (count.skipped_names or ""):gmatch "[^\n]+" do
        skipped[#skipped + 1] = name
    end
    return {
        how = how, bytes = count.bytes, files = count.files, folders = count.folders, links = count.links,
        skipped = skipped,
    }
end

---An SFTP channel of the session's idle ones, or a new one. Closing the second value gives it back.
---@param remote table
---@return table sftp
---@return table lease
function M.sftp(remote)
    local idle = remote.cache.idle
    local sftp = table.remove(idle)
    while sftp and not sftp:alive() do
        sftp:close()
        sftp = table.remove(idle)
    end
    sftp = sftp or errors.raise(raw.sftp.open(remote.session))
    return sftp, setmetatable({}, {
        __close = function()
            if sftp:alive() and #idle < 4 then
                idle[#idle + 1] = sftp
            else
                sftp:close()
            end
        end,
    })
end

---Removes a folder of the host when the value is closed.
---@param path string
---@return table
function M.removing(path)
    return setmetatable({}, {
        __close = function()
            errors.raise(raw.fs.remove_tree(path))
        end,
    })
end

return M
