-- File copy between the host and any machine with a shell: what to copy where. How it travels is in
-- tree.lua, file.lua and sftp.lua, what the guest does in shell.lua.
local raw = require "vm.raw"
local agent = require "vm.remote.agent"
local errors = require "vm.errors"
local options = require "vm.options"
local progress = require "vm.terminal.progress"
local script = require "vm.script"
local shell = require "vm.copy.shell"
local random_hex = require "vm.random_hex"
local task = require "vm.task"

local M = {}

local common = {
    exclude = "table",
    delete = "boolean",
    timeout = "time",
    progress = "function",
}

local transports = { "string", one_of = { "auto", "ssh", "agent" } }

local out_only = {
    max_bytes = { "size", default = 64 << 30 },
    max_entries = { "integer", default = 1 << 20, min = 1 },
    unsafe = { "string", one_of = { "refuse", "skip" }, default = "refuse" },
}

local function with(a, b)
    local all = {}
    for _, spec in ipairs { a, b } do
        for name, rule in pairs(spec) do
            all[name] = rule
        end
    end
    return all
end

local in_spec, out_spec = common, with(common, out_only)

-- What is known of a session, for as long as it lives.
local caches = setmetatable({}, { __mode = "k" })

local function remote_of(conn, what)
    local session = conn:session(what)
    caches[session] = caches[session] or { idle = {} }
    return { session = session, what = what, cache = caches[session], conn = conn }
end

local function check_path(what, path)
    if type(path) ~= "string" or path == "" then
        errors.fail("usage", "%s: a path expected, got %s", what, options.show(path))
    elseif path:find("\0", 1, true) then
        errors.fail("usage", "%s: a path holds no zero byte", what)
    end
    return path
end

local function check(what, src, dst, opts, spec)
    check_path(what, src)
    check_path(what, dst)
    opts = options.check(what, opts, spec)
    for _, pattern in ipairs(opts.exclude or {}) do
        if type(pattern) ~= "string" then
            errors.fail("usage", "%s: option 'exclude': patterns expected, got %s", what, options.show(pattern))
        end
    end
    return opts
end

-- "a//b/" -> "a//b": a slash after a source means nothing.
local function without_slash(path)
    return path:match "^(.-)/*$" ~= "" and path:match "^(.-)/*$" or "/"
end

local function has_glob(path)
    return path:find "[%*%?%[]" ~= nil
end

local function basename(path)
    return path:match "[^/]+$"
end

local function parent_of(path)
    local parent = path:match "^(.*)/[^/]*$"
    return parent == nil and "." or parent == "" and "/" or parent
end

local function fresh_name()
    return ".vmatrix-" .. random_hex(8)
end

-- Where something goes: the final name, its folder, a name for what is written aside. A relative name
-- gets "./" so that it never looks like an option.
local function target_of(path)
    path = without_slash(path)
    if path:sub(1, 1) ~= "/" then
        path = "./" .. path
    end
    return { path = path, parent = parent_of(path), temp = fresh_name() }
end

local function final_name(dst, src_name)
    if dst:sub(-1) ~= "/" then
        return dst
    end
    if src_name == nil or src_name == "." or src_name == ".." then
        errors.fail("usage", "copying into %s needs a source with a name", dst)
    end
    return dst .. src_name
end

local function check_glob(what, src, dst, opts)
    if dst:sub(-1) ~= "/" then
        errors.fail("usage", "%s: %s may match several files, so the target must end with '/': '%s/'",
            what, src, dst)
    elseif opts.delete then
        errors.fail("usage", "%s: delete = true mirrors one folder, and %s is a pattern", what, src)
    end
end

-- How far a copy is, where somebody sees it and the caller does not look himself.
local function watched(src, opts)
    local bar = progress.call("copy " .. raw.tree.shown(src))
    if bar.driver and not opts.progress then
        opts.progress = bar:callback()
    end
    return bar
end

-- Runs the body of a verb within its time; those of whole small files have a name, and may go over a
-- guest agent. A connection that was lost because the machine died says
-- that instead.
local function verb(machine, what, opts, fn, name)
    local conn
    local function body()
        conn = machine:transport(name or "copy", opts.transport, not name and "a copy of files" or nil)
        return fn(remote_of(conn, what))
    end
    local result, err
    if opts.timeout then
        result, err = task.try(task.timeout, opts.timeout, body)
    else
        result, err = task.try(body)
    end
    if result ~= nil then
        return result
    end
    if errors.is(err, "timeout") and opts.timeout then
        errors.fail("timeout", "%s: not done within %g s", what, opts.timeout)
    elseif errors.is(err) and conn and conn:behind(err) then
        err = conn:explain(what, err)
    end
    error(err, 0)
end

---What a copy did.
---@class vm.CopyResult
---@field how string "tar", "sftp" or "shell": how the content travelled
---@field bytes integer of file content
---@field files integer
---@field folders integer
---@field links integer
---@field skipped string[] escaped names of what was left out: sockets and devices, unsafe entries
---@field duration number seconds

---What the verbs of file copy take.
---@class vm.CopyOptions
---@field exclude? string[] patterns: without a slash a name at any depth, with one the path below the source
---@field delete? boolean mirror: remove from the target what the source does not have
---@field timeout? number|string
---@field progress? fun(done: integer, total: integer|nil) bytes; nil: not known; of a folder that comes out: about
---@field max_bytes? string|integer copy_out only: refuse more than this (64 GiB)
---@field max_entries? integer copy_out only: refuse more files than this (1,048,576)
---@field unsafe? string copy_out only: "refuse" (default) or "skip" links that lead outside, devices and fifos

---Copies files or folders of the host into a machine. `dst` is the final name; ending in "/" it means
---into it. Relative host paths start at the script's folder.
---@param machine vm.Ssh|vm.Guest
---@param src string a file, a folder or a glob on the host
---@param dst string a path on the machine
---@param opts? vm.CopyOptions
---@return vm.CopyResult
function M.copy_in(machine, src, dst, opts)
    local what = machine:what(("copy_in %s to %s"):format(raw.tree.shown(tostring(src)),
        raw.tree.shown(tostring(dst))))
    opts = check(what, src, dst, opts, in_spec)
    if machine.step then
        machine.step:check_copy(what, src, opts.exclude)
    end
    local bar <close> = watched(src, opts) -- luacheck: ignore 211
    return verb(machine, what, opts, function(remote)
        local started = task.now()
        local host = without_slash(script.path(src))
        local result
        if has_glob(src) and not raw.fs.exists(host) then
            check_glob(what, src, dst, opts)
            local matches = errors.raise(raw.fs.glob(host))
            if #matches == 0 then
                errors.fail("notfound", "%s: nothing matches", what)
            end
            local sources = {}
            for i, path in ipairs(matches) do
                sources[i] = { path = path, name = basename(path), follow = false }
            end
            result = require("vm.copy.tree").send(remote, what, sources, target_of(dst), opts)
        else
            local stat = errors.raise(raw.fs.stat(host))
            local name = basename(host)
            if name == nil or name == "." or name == ".." then
                name = basename(errors.raise(raw.fs.realpath(host)))
            end
            local target = target_of(final_name(dst, name))
            if stat.type == "dir" then
                local sources = { { path = host, follow = true } }
                result = require("vm.copy.tree").send(remote, what, sources, target, opts)
            elseif stat.type ~= "file" then
                errors.fail("unsupported", "%s: %s is neither a file nor a folder", what, src)
            else
                result = require("vm.copy.file").put(remote, what, host, stat, target, opts)
            end
        end
        result.duration = task.now() - started
        return result
    end)
end

---Copies files or folders of a machine to the host. The machine is not trusted: absolute names, "..",
---links that lead outside, devices and more than max_bytes are refused, and nothing is written
---outside `dst`, which is the final name; ending in "/" it means into it.
---@param machine vm.Ssh|vm.Guest
---@param src string a file, a folder or a glob on the machine
---@param dst string a path on the host
---@param opts? vm.CopyOptions
---@return vm.CopyResult
function M.copy_out(machine, src, dst, opts)
    local what = machine:what(("copy_out %s to %s"):format(raw.tree.shown(tostring(src)),
        raw.tree.shown(tostring(dst))))
    opts = check(what, src, dst, opts, out_spec)
    local bar <close> = watched(src, opts) -- luacheck: ignore 211
    return verb(machine, what, opts, function(remote)
        local started = task.now()
        local path = without_slash(src)
        local kind = shell.kind(remote, path)
        local host = script.path(dst)
        local result
        if kind == "none" and has_glob(src) then
            check_glob(what, src, dst, opts)
            result = require("vm.copy.tree").fetch(remote, what, { pattern = path }, target_of(host), opts)
        elseif kind == "none" then
            errors.fail("notfound", "%s: no such file in the guest", what)
        elseif kind == "other" then
            errors.fail("unsupported", "%s: neither a file nor a folder", what)
        else
            local target = target_of(final_name(host, basename(path)))
            local how = kind == "dir" and require("vm.copy.tree").fetch or require("vm.copy.file").get
            result = how(remote, what, { path = path }, target, opts)
        end
        result.duration = task.now() - started
        return result
    end)
end

---Reads a file of a machine whole.
---@param machine vm.Ssh|vm.Guest
---@param path string
---@param opts? { max?: string|integer, timeout?: number|string, transport?: string } max: 64 MiB; more is an error
---@return string
function M.read(machine, path, opts)
    check_path("read", path)
    opts = options.check("read", opts, { max = { "number|size", default = 64 << 20 }, timeout = "time",
        transport = transports })
    local what = machine:what("read " .. raw.tree.shown(path))
    return verb(machine, what, opts, function(remote)
        return shell.read(remote, path, opts.max)
    end, "read")
end

---Writes a file on a machine whole: under a temporary name, then renamed.
---@param machine vm.Ssh|vm.Guest
---@param path string
---@param data string
---@param opts? { mode?: integer, timeout?: number|string, transport?: string } mode: tonumber("644", 8)
function M.write(machine, path, data, opts)
    check_path("write", path)
    local what = machine:what("write " .. raw.tree.shown(path))
    if type(data) ~= "string" then
        errors.fail("usage", "%s: a string expected, got %s", what, options.show(data))
    end
    opts = options.check("write", opts, {
        mode = { "integer", default = tonumber("644", 8), min = 0, max = tonumber("7777", 8) },
        timeout = "time",
        transport = transports,
    })
    verb(machine, what, opts, function(remote)
        shell.write(remote, what, target_of(path), data, opts.mode)
        return true
    end, agent.beyond { stdin = data } == nil and "write" or nil)
end

M.methods = { copy_in = M.copy_in, copy_out = M.copy_out, read = M.read, write = M.write }

return M
