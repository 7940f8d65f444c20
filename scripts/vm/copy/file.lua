-- Copying one file: over SFTP, or as the smallest tar stream where the guest has no SFTP server.
local raw = require "vm.raw"
local errors = require "vm.errors"
local job = require "vm.copy.job"
local shell = require "vm.copy.shell"
local trouble = require "vm.copy.trouble"

local M = {}

local function progress_of(opts, total)
    return opts.progress and function(bytes)
        opts.progress(bytes, total)
    end
end

local function put_sftp(remote, what, host, stat, target, opts)
    local temp = target.parent .. "/" .. target.temp
    local sftp, lease = job.sftp(remote)
    local _ <close> = lease
    shell.place(remote, what, target)
    local guard <close> = trouble.discarding(remote, temp)
    local count = trouble.explained(remote, what, temp, job.run, remote, what,
        { work = "read", path = host, sftp = sftp, remote = temp }, progress_of(opts, stat.size))
    errors.raise(sftp:set(temp, stat.mode, stat.mtime))
    shell.rename(remote, what, temp, target.path)
    guard.armed = false
    return job.summary("sftp", count)
end

local function put_shell(remote, what, host, stat, target, opts)
    local temp = target.parent .. "/" .. target.temp
    local script = ([[
if [ -d "$1" ]; then echo "it is a folder; end the name with / to copy into it" >&2; exit 17; fi
mkdir -p "$2" || exit 2
trap '' PIPE
trap 'rm -f "$3"' EXIT
cat >"$3" || exit 2
[ "$(wc -c <"$3")" -eq %d ] || { echo "the stream was cut" >&2; exit 4; }
touch -d @%d "$3" 2>/dev/null
chmod %o "$3" && mv -f "$3" "$1" || exit 6
]]):format(stat.size, stat.mtime, stat.mode)
    local count, result = job.run(remote, what, {
        work = "read", path = host, command = shell.command(script, target.path, target.parent, temp),
    }, progress_of(opts, stat.size))
    if result.status ~= 0 then
        shell.fail(what, result)
    end
    return job.summary("shell", count)
end

---Sends a file into the guest.
---@param remote table
---@param what string
---@param host string
---@param stat table of the file
---@param target table { path, parent, temp }
---@param opts table
---@return vm.CopyResult
function M.put(remote, what, host, stat, target, opts)
    if not remote.cache.no_sftp then
        local sftp, lease = job.sftp(remote)
        local answer, err
        do
            local _ <close> = lease
            answer, err = sftp:stat(".")
        end
        if answer then
            return put_sftp(remote, what, host, stat, target, opts)
        elseif err.kind ~= "unsupported" then
            error(errors.prefix(err, what), 0)
        end
        remote.cache.no_sftp = true
    end
    return put_shell(remote, what, host, stat, target, opts)
end

-- Mode, time and size of a file without SFTP. Nothing depends on the guest telling the truth.
local function stat_shell(remote, path)
    local text = shell.stat(remote, path)
    local mode, mtime = text:match "^(%d+) (%d+)\n$"
    return {
        mode = mode and tonumber(mode, 8) or tonumber("644", 8),
        mtime = mtime and math.tointeger(mtime) or os.time(),
    }
end

local function get_shell(remote, what, path, temp, opts)
    local stat = stat_shell(remote, path)
    local count, result = job.run(remote, what, {
        work = "write", path = temp, max_bytes = opts.max_bytes,
        command = shell.command('exec cat <"$1"', path),
    }, progress_of(opts))
    if result.status ~= 0 then
        shell.fail(what, result)
    end
    return job.summary("shell", count), stat
end

local function check_space(what, target, size, opts)
    if size > opts.max_bytes then
        errors.fail("limit", "%s: it has %d bytes, more than max_bytes allows (%d)", what, size, opts.max_bytes)
    end
    local space = errors.raise(raw.fs.space(target.parent))
    if size > space.free then
        errors.fail("nospace", "%s: it has %d bytes, and %d are free", what, size, space.free)
    end
end

local function get_sftp(remote, what, path, target, temp, opts)
    local sftp, lease = job.sftp(remote)
    local _ <close> = lease
    local stat, err = sftp:stat(path)
    if stat == nil then
        if err.kind == "unsupported" then
            remote.cache.no_sftp = true
            return nil
        end
        error(errors.prefix(err, what), 0)
    end
    check_space(what, target, stat.size, opts)
    local count, result = job.run(remote, what, {
        work = "write", path = temp, sftp = sftp, remote = path, max_bytes = opts.max_bytes,
    }, progress_of(opts, stat.size))
    return job.summary("sftp", count), result
end

---Fetches a file from the guest.
---@param remote table
---@param what string
---@param source table { path }
---@param target table { path, parent, temp } on the host
---@param opts table
---@return vm.CopyResult
function M.get(remote, what, source, target, opts)
    local there = raw.fs.stat(target.path)
    if there and there.type == "dir" then
        errors.fail("exists", "%s: %s is a folder; end the name with '/' to copy into it", what, target.path)
    end
    errors.raise(raw.fs.mkdir_p(target.parent))
    local temp = target.parent .. "/" .. target.temp
    local _ <close> = setmetatable({}, {
        __close = function()
            if raw.fs.exists(temp) then
                errors.raise(raw.fs.unlink(temp))
            end
        end,
    })
    local path = source.path:sub(1, 1) == "/" and source.path or "./" .. source.path
    local summary, stat
    if not remote.cache.no_sftp then
        summary, stat = get_sftp(remote, what, path, target, temp, opts)
    end
    if summary == nil then
        summary, stat = get_shell(remote, what, path, temp, opts)
    end
    errors.raise(raw.tree.set(temp, stat.mode & tonumber("777", 8), stat.mtime))
    errors.raise(raw.fs.rename(temp, target.path))
    return summary
end

return M
