-- Copying folders: one tar stream over one channel, or SFTP where the guest has no tar.
local raw = require "vm.raw"
local errors = require "vm.errors"
local job = require "vm.copy.job"
local shallow = require "vm.shallow"
local shell = require "vm.copy.shell"

local M = {}

-- Whether a pattern means the path or a folder it is in.
local function excluded(exclude, path)
    if exclude == nil then
        return false
    end
    local at = 0
    repeat
        at = path:find("/", at + 1, true)
        if raw.tree.matches(exclude, at and path:sub(1, at - 1) or path) then
            return true
        end
    until at == nil
    return false
end

-- What the guest has and the host has not, as a list for xargs -0.
local function to_remove(remote, what, items, target, opts)
    local have, gone, list = {}, {}, {}
    for _, item in ipairs(items) do
        have[item.path] = item.type == "dir" and "dir" or "other"
    end
    local folders, others = shell.list(remote, what, target.path)
    local function look(path, kind)
        local parent = path:match "^(.*)/[^/]*$"
        if parent and gone[parent] then
            gone[path] = true
        elseif have[path] ~= kind and not path:find "^%.vmatrix%-%x+" and not excluded(opts.exclude, path) then
            gone[path] = true
            list[#list + 1] = "./" .. path
        end
    end
    for _, path in ipairs(folders) do
        look(path, "dir")
    end
    for _, path in ipairs(others) do
        look(path, "other")
    end
    return #list > 0 and table.concat(list, "\0") .. "\0" or ""
end

-- Everything that will be sent; only asked for when somebody wants to know.
local function survey(sources, opts)
    local items, total = {}, 0
    for _, source in ipairs(sources) do
        local found = errors.raise(raw.tree.walk(source.path, { follow = source.follow, exclude = opts.exclude }))
        for _, item in ipairs(found) do
            if item.type == "file" then
                total = total + item.size
            end
            items[#items + 1] = item
        end
    end
    return items, total
end

---Sends folders, or the matches of a pattern, into the guest.
---@param remote table
---@param what string
---@param sources table[] { path, name, follow }; without a name the source is the target itself
---@param target table { path, parent, temp }
---@param opts table
---@return vm.CopyResult
function M.send(remote, what, sources, target, opts)
    local items, total
    if opts.progress or opts.delete then
        items, total = survey(sources, opts)
    end
    local gone = opts.delete and to_remove(remote, what, items, target, opts) or ""
    local tar = shell.tar(remote)
    if tar == "none" then
        return require("vm.copy.sftp").send(remote, what, sources, target, opts, gone, total)
    end
    local packed = {}
    for i, source in ipairs(sources) do
        packed[i] = {
            path = source.path, name = source.name and "t/" .. source.name or "t", follow = source.follow,
        }
    end
    local progress = opts.progress and function(bytes)
        opts.progress(bytes, total)
    end
    local count, result = job.run(remote, what, {
        work = "pack", sources = packed, exclude = opts.exclude, gnu = tar ~= "gnu" and tar ~= "bsd",
        last_name = "end", last_data = gone, command = shell.receive(remote, target),
    }, progress)
    if result.status ~= 0 then
        shell.fail(what, result)
    elseif result.early then
        errors.fail("format", "%s: the guest stopped reading before the end", what)
    end
    return job.summary("tar", count)
end

---Puts what was written aside on the host into place.
---@param temp string the folder
---@param target table
---@param inside boolean whether temp is in the target
---@param opts table
local function commit(what, temp, target, inside, opts)
    local ok, err
    if inside then
        ok, err = raw.tree.merge(temp .. "/t", target.path, {
            mirror = opts.delete, exclude = opts.exclude, keep = target.temp,
        })
    else
        ok, err = raw.fs.rename(temp .. "/t", target.path)
    end
    if not ok then
        error(errors.prefix(err, what), 0)
    end
end

local ONLY_CHANGED <const> = { "file changed as we read it", "File removed before we read it", "socket ignored" }

-- GNU tar ends with 1 when a file grew while it was read: its content is a state it had.
local function acceptable(remote, result)
    if result.status ~= 1 or shell.tar(remote) ~= "gnu" then
        return result.status == 0
    end
    for line in shell.said(result.words):gmatch "[^\n]+" do
        local known = false
        for _, text in ipairs(ONLY_CHANGED) do
            known = known or line:find(text, 1, true) ~= nil
        end
        if not known then
            return false
        end
    end
    return true
end

-- What is told how far it is, with about how much there is in all.
local function with_total(remote, source, opts)
    local progress = opts.progress
    local total = progress and not source.pattern and not opts.exclude and shell.size(remote, source.path)
    if not total then
        return opts
    end
    local copy = shallow(opts)
    copy.progress = function(bytes)
        progress(bytes, math.max(total, bytes))
    end
    return copy
end

---Fetches a folder, or what a pattern matches, from the guest.
---@param remote table
---@param what string
---@param source table { path } or { pattern }
---@param target table { path, parent, temp } on the host
---@param opts table
---@return vm.CopyResult
function M.fetch(remote, what, source, target, opts)
    local stat = raw.fs.stat(target.path)
    if stat and stat.type ~= "dir" then
        errors.fail("exists", "%s: %s is there already and not a folder", what, target.path)
    end
    if not stat then
        errors.raise(raw.fs.mkdir_p(target.parent))
    end
    opts = with_total(remote, source, opts)
    local temp = (stat and target.path or target.parent) .. "/" .. target.temp
    errors.raise(raw.tree.mkdir(temp, tonumber("700", 8)))
    local _ <close> = job.removing(temp)
    errors.raise(raw.tree.mkdir(temp .. "/t", tonumber("755", 8)))
    local summary
    if shell.tar(remote) == "none" then
        summary = require("vm.copy.sftp").fetch(remote, what, source, temp .. "/t", opts)
    else
        local command
        local strip = 0
        if source.pattern then
            command, strip = shell.send_matches(remote, source.pattern)
        else
            command = shell.send(remote, source.path)
        end
        local count, result = job.run(remote, what, {
            work = "unpack", path = temp .. "/t", strip = strip, exclude = opts.exclude, command = command,
            max_bytes = opts.max_bytes, max_entries = opts.max_entries, skip_unsafe = opts.unsafe == "skip",
        }, opts.progress and function(bytes)
            opts.progress(bytes, nil)
        end)
        if result.status == 44 then
            errors.fail("notfound", "%s: nothing matches", what)
        elseif not acceptable(remote, result) then
            shell.fail(what, result)
        end
        summary = job.summary("tar", count)
    end
    commit(what, temp, target, stat ~= nil, opts)
    return summary
end

return M
