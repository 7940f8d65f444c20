-- Folders over SFTP, for guests without tar: slower, a request or more for each file.
local raw = require "vm.raw"
local errors = require "vm.errors"
local job = require "vm.copy.job"
local shell = require "vm.copy.shell"
local trouble = require "vm.copy.trouble"

local M = {}

local MAX_DEPTH <const> = 256

local function raise(what, value, err)
    if value == nil then
        error(errors.prefix(err, what), 0)
    end
    return value
end

-- One file's job, with the bytes before it added to what progress sees.
local function move(state, spec)
    local progress = state.opts.progress and function(bytes)
        state.opts.progress(state.count.bytes + bytes, state.total)
    end
    spec.sftp = state.sftp
    local count, result = job.run(state.remote, state.what, spec, progress)
    state.count.bytes = state.count.bytes + count.bytes
    state.count.files = state.count.files + 1
    return result
end

local function skip(state, path)
    state.count.skipped_names = state.count.skipped_names .. raw.tree.shown(path) .. "\n"
end

local function new_state(remote, what, opts, total)
    return {
        remote = remote, what = what, opts = opts, total = total,
        count = { bytes = 0, files = 0, folders = 0, links = 0, skipped_names = "" },
    }
end

local function send_item(state, source, item, to, late)
    local path = item.path == "" and to or to .. "/" .. item.path
    local sftp, what = state.sftp, state.what
    if item.type == "dir" then
        if path ~= state.root then
            raise(what, sftp:mkdir(path, tonumber("700", 8)))
        end
        late[#late + 1] = { path = path, item = item }
        state.count.folders = state.count.folders + 1
    elseif item.type == "file" then
        move(state, {
            work = "read", remote = path,
            path = item.path == "" and source.path or source.path .. "/" .. item.path,
        })
        raise(what, sftp:set(path, item.mode, item.mtime))
    elseif item.type == "link" then
        raise(what, sftp:symlink(path, item.target))
        state.count.links = state.count.links + 1
    else
        skip(state, item.path)
    end
end

---Sends folders or the matches of a pattern.
---@param remote table
---@param what string
---@param sources table[]
---@param target table
---@param opts table
---@param gone string what is removed from the target
---@param total integer|nil bytes
---@return vm.CopyResult
function M.send(remote, what, sources, target, opts, gone, total)
    local state = new_state(remote, what, opts, total)
    local lease
    state.sftp, lease = job.sftp(remote)
    local _ <close> = lease
    local temp = shell.begin(remote, what, target)
    local guard <close> = trouble.discarding(remote, temp)
    state.root = temp .. "/t"
    local late = {}
    for _, source in ipairs(sources) do
        local to = source.name and state.root .. "/" .. source.name or state.root
        local items = errors.raise(raw.tree.walk(source.path, { follow = source.follow, exclude = opts.exclude }))
        for _, item in ipairs(items) do
            trouble.explained(remote, what, temp .. "/probe", send_item, state, source, item, to, late)
        end
    end
    for i = #late, 1, -1 do
        raise(what, state.sftp:set(late[i].path, late[i].item.mode, late[i].item.mtime))
    end
    shell.commit(remote, what, target, gone)
    guard.armed = false
    return job.summary("sftp", state.count)
end

local function refuse(state, kind, path, why)
    errors.fail(kind, "%s: %s: %s", state.what, raw.tree.shown(path), why)
end

local function excluded(state, path)
    return state.opts.exclude ~= nil and raw.tree.matches(state.opts.exclude, path)
end

-- A name as it may be used below a folder of ours; the guest made it up.
local function check_name(state, path, name, seen)
    if name == "" or name == "." or name == ".." or name:find("/", 1, true) then
        refuse(state, "unsafe", path .. "/" .. name, "a name with a slash or dots")
    elseif seen[name] then
        refuse(state, "unsafe", path .. "/" .. name, "the name comes twice")
    end
    seen[name] = true
end

local function check_file(state, path, stat)
    local count, opts = state.count, state.opts
    if stat.size > opts.max_bytes - count.bytes then
        refuse(state, "limit", path, "with it the copy is larger than max_bytes allows")
    end
    local space = errors.raise(raw.fs.space(state.into))
    if stat.size > space.free then
        refuse(state, "nospace", path, "it is larger than what is free on this disk")
    end
end

local function unsafe(state, path, why)
    if state.opts.unsafe ~= "skip" then
        refuse(state, "unsafe", path, why)
    end
    skip(state, path)
end

local fetch_folder

local function fetch_item(state, from, path, depth)
    local remote_path, host_path = from .. "/" .. path, state.into .. "/" .. path
    local stat = raise(state.what, state.sftp:lstat(remote_path))
    state.entries = state.entries + 1
    if state.entries > state.opts.max_entries then
        refuse(state, "limit", path, "more entries than allowed")
    end
    if stat.type == "dir" then
        errors.raise(raw.tree.mkdir(host_path, tonumber("700", 8)))
        state.count.folders = state.count.folders + 1
        state.late[#state.late + 1] = { path = host_path, stat = stat }
        fetch_folder(state, from, path, depth + 1)
    elseif stat.type == "file" then
        check_file(state, path, stat)
        local result = move(state, {
            work = "write", path = host_path, remote = remote_path,
            max_bytes = state.opts.max_bytes - state.count.bytes,
        })
        errors.raise(raw.tree.set(host_path, result.mode & tonumber("777", 8), result.mtime))
    elseif stat.type == "link" then
        local target = raise(state.what, state.sftp:readlink(remote_path))
        if target:find("\0", 1, true) or not raw.tree.link_stays(target, depth) then
            unsafe(state, path, "a symbolic link that leads outside, to " .. raw.tree.shown(target))
        else
            -- Made at the very end: until then no path of ours can lead through a link.
            state.links[#state.links + 1] = { path = host_path, target = target, mtime = stat.mtime }
        end
    else
        unsafe(state, path, "neither a file, a folder nor a link")
    end
end

function fetch_folder(state, from, path, depth)
    if depth > MAX_DEPTH then
        refuse(state, "limit", path, "too deep")
    end
    local names = raise(state.what, state.sftp:list(path == "" and from or from .. "/" .. path))
    local seen = {}
    for _, name in ipairs(names) do
        check_name(state, path, name, seen)
        local below = path == "" and name or path .. "/" .. name
        if not excluded(state, below) then
            fetch_item(state, from, below, depth)
        end
    end
end

---Fetches a folder into an empty one of ours.
---@param remote table
---@param what string
---@param source table { path }
---@param into string
---@param opts table
---@return vm.CopyResult
function M.fetch(remote, what, source, into, opts)
    if source.pattern then
        errors.fail("unsupported", "%s: patterns need tar in the guest", what)
    end
    local state = new_state(remote, what, opts)
    local lease
    state.sftp, lease = job.sftp(remote)
    local _ <close> = lease
    state.into, state.late, state.links, state.entries = into, {}, {}, 0
    local from = source.path:sub(1, 1) == "/" and source.path or "./" .. source.path
    local root = raise(what, state.sftp:stat(from))
    state.late[1] = { path = into, stat = root }
    fetch_folder(state, from, "", 0)
    for _, link in ipairs(state.links) do
        errors.raise(raw.fs.symlink(link.target, link.path))
        errors.raise(raw.tree.set(link.path, 0, link.mtime))
        state.count.links = state.count.links + 1
    end
    for i = #state.late, 1, -1 do
        local folder = state.late[i]
        errors.raise(raw.tree.set(folder.path, folder.stat.mode & tonumber("777", 8), folder.stat.mtime))
    end
    return job.summary("sftp", state.count)
end

return M
