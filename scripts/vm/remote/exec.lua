-- Commands on the other side: exec, run, output and spawn, for guests and for vm.ssh alike.
local raw = require "vm.raw"
local agent = require "vm.remote.agent"
local errors = require "vm.errors"
local options = require "vm.options"
local shell = require "vm.remote.shell"
local watch = require "vm.remote.watch"

local M = { methods = {} }

---@class vm.Guest
local Guest = M.methods

local now = raw.task.now

-- Seconds that a command may take unless told otherwise.
local DEFAULT_LIMIT <const> = 600

local common = {
    env = "table",
    cwd = "string",
    user = "string",
    transport = { "string", one_of = { "auto", "ssh", "agent" } },
    pty = { "boolean", default = false },
    max_output = { "number|size", default = 8 * 1024 * 1024, min = 0 },
}

local function with(more)
    local spec = {}
    for name, rule in pairs(common) do
        spec[name] = rule
    end
    for name, rule in pairs(more) do
        spec[name] = rule
    end
    return spec
end

local exec_spec = with { stdin = "string|function", timeout = "time", on_output = "function" }
local run_spec = with { stdin = "string|function", timeout = "time", on_output = "function", ok = "table|integer" }
local spawn_spec = with {}

---How to run a command.
---@class vm.ExecOptions
---@field stdin? string|fun(): string|nil what it reads; a function is asked for chunk after chunk
---@field env? table<string, string> further environment
---@field cwd? string the folder it runs in
---@field user? string whom it runs as, by su or sudo -n
---@field pty? boolean on a terminal; stderr then comes with stdout
---@field timeout? number|string 600 s, longer when the guest is emulated
---@field on_output? fun(stream: "stdout"|"stderr", chunk: string) is given the output as it comes
---@field max_output? integer|string bytes kept, 8 MiB; the rest is dropped and counted
---@field transport? "auto"|"ssh"|"agent" of a guest: another way than its own
---@field ok? integer|integer[] run and output only: the statuses that are fine, 0 unless told otherwise

---What a command ended with.
---@class vm.Result
---@field ok boolean whether its status was 0
---@field status integer|nil
---@field signal string|nil "KILL", when a signal ended it
---@field stdout string
---@field stderr string
---@field truncated integer bytes of output that were dropped
---@field duration number seconds

local stream_names = { "stdout", "stderr" }

-- A command that has been started: closed before its end was seen, it is killed.
local Started = {}
Started.__index = Started

-- Its group is said first of all, but may still be on its way.
local function group_of(handle)
    if handle.await_group then
        return handle:await_group(2) or nil
    end
    local limit = now() + 2
    local group = handle:group()
    while not group and handle:pending() and now() < limit do
        raw.task.sleep(0.02)
        group = handle:group()
    end
    return group
end

function Started:__close()
    local group = not self.ended and group_of(self.handle)
    -- The channel first: the server may allow no further one.
    self.handle:close()
    if group then
        self.conn:kill_group(group, self.user)
    end
end

local function started(conn, handle, user)
    return setmetatable({ conn = conn, handle = handle, user = user, ended = false }, Started)
end

local function tail(text)
    local lines = {}
    for line in (text:sub(-2000):gsub("%s+$", "")):gmatch("[^\n]+") do
        lines[#lines + 1] = "  " .. line:gsub("%c", "?")
    end
    return table.concat(lines, "\n", math.max(1, #lines - 9))
end

local function finish_result(result, begun)
    result.ok = result.status == 0
    result.duration = now() - begun
    return result
end

local function add_output(err, result)
    err.stdout, err.stderr, err.truncated = result.stdout, result.stderr, result.truncated
    return err
end

-- The wrapper ends without a report when it could not even begin.
local function check_begun(what, result, opts, group)
    if group or result.signal then
        return
    end
    local said = tail(result.stderr):match("[^ ].*") or ""
    if opts.cwd and result.status == 125 then
        local text = ("%s: cannot enter the folder %s there: %s"):format(what, options.show(opts.cwd), said)
        error(add_output(errors.new("notfound", text), result), 0)
    elseif opts.user then
        local text = ("%s: cannot become user %s there, neither as root by su nor by sudo without a password: %s")
            :format(what, opts.user, said)
        error(add_output(errors.new("denied", text), result), 0)
    end
end

local function timed_out(what, command, limit, result)
    return add_output(errors.new("timeout", ("%s: %s did not end within %g s and was killed")
        :format(what, options.show(shell.show(command)), limit)), result)
end

-- The common case as one wait.
local function exec_whole(conn, session, what, command, request, opts, limit)
    local handle = conn:raise(what, session:run(request))
    local guard <close> = started(conn, handle, opts.user)
    local result, err = handle:wait()
    if not result then
        guard.ended = err.kind ~= "timeout"
        if err.kind == "timeout" then
            error(timed_out(what, command, limit, err), 0)
        end
        error(conn:explain(what, err), 0)
    end
    guard.ended = true
    return result, handle:group()
end

-- Keeps what comes, up to a limit.
local Keeper = {}
Keeper.__index = Keeper

local function keeper(max)
    return setmetatable({ max = max, kept = 0, truncated = 0, parts = { {}, {} } }, Keeper)
end

function Keeper:add(stream, chunk)
    local room = self.max - self.kept
    if #chunk > room then
        self.truncated = self.truncated + #chunk - room
        chunk = chunk:sub(1, room)
    end
    if chunk ~= "" then
        self.kept = self.kept + #chunk
        table.insert(self.parts[stream], chunk)
    end
end

function Keeper:result(into)
    into = into or {}
    into.stdout, into.stderr = table.concat(self.parts[1]), table.concat(self.parts[2])
    into.truncated = self.truncated
    return into
end

local function next_input(what, source)
    local chunk = source()
    if chunk ~= nil and type(chunk) ~= "string" then
        errors.fail("usage", "%s: the stdin function must return strings and, at the end, nil; it returned %s",
            what, options.show(chunk))
    end
    return chunk
end

-- What there is to write, as a function that yields it; nil for none.
local function input_of(opts)
    local given, ahead = opts.stdin, opts.ahead
    if not ahead and type(given) ~= "string" then
        return given
    end
    return function()
        local chunk = ahead
        if chunk then
            ahead = nil
        elseif type(given) == "function" then
            return given()
        else
            chunk, given = given, nil
        end
        return chunk
    end
end

-- Input and output chunk by chunk.
local function exec_streamed(conn, session, what, command, request, opts, limit)
    local source, kept = input_of(opts), keeper(opts.max_output)
    request.stdin = source ~= nil
    local handle = conn:raise(what, session:start(request))
    local guard <close> = started(conn, handle, opts.user)
    local deadline = now() + limit
    local input, given = nil, 0
    while true do
        if source and input == nil then
            input, given = next_input(what, source), 0
            if input == nil then
                source = nil
                handle:close_stdin()
            end
        end
        local left = math.max(0.001, deadline - now())
        local stream, chunk, so_far
        if input then
            stream, chunk, so_far = handle:exchange(input, given, left)
        else
            stream, chunk = handle:read(left)
        end
        if stream == nil then
            if chunk == nil then
                break
            elseif chunk.kind == "timeout" then
                error(timed_out(what, command, limit, kept:result()), 0)
            end
            guard.ended = true
            error(add_output(conn:explain(what, chunk), kept:result()), 0)
        end
        given = so_far
        if stream == 0 then
            input = nil
        else
            kept:add(stream, chunk)
            if opts.on_output then
                opts.on_output(stream_names[stream], chunk)
            end
        end
        if now() >= deadline then
            error(timed_out(what, command, limit, kept:result()), 0)
        end
    end
    guard.ended = true
    local result = kept:result()
    result.status, result.signal = handle:result()
    return result, handle:group()
end

-- What a step or a test gives all its commands, and above it what one command asks for.
local function add_env(opts, default)
    if default then
        local env = {}
        for _, from in ipairs { default, opts.env or {} } do
            for name, value in pairs(from) do
                env[name] = value
            end
        end
        opts.env = env
    end
end

local function exec(self, verb, command, opts, spec)
    local what = self:what(verb)
    opts = options.check(what, opts, spec)
    add_env(opts, self.default_env)
    local seen <close> = watch.begin(self, verb, command, opts)
    local begun = now()
    local conn = self:transport(verb, opts.transport, agent.beyond(opts))
    opts.shell = conn.opts.shell
    -- Cheaper for both sides than an end of input that has to be sent.
    opts.stdin_unused = opts.stdin == nil and not opts.pty
    local limit = opts.timeout or self:limit(DEFAULT_LIMIT)
    local line, ahead = shell.line(what, command, opts, conn.marker)
    local request = {
        command = line,
        marker = conn.marker,
        pty = opts.pty,
        max_output = opts.max_output,
        stdin_unused = opts.stdin_unused and not ahead,
    }
    local session = conn:session(what)
    local result, group
    if opts.on_output or type(opts.stdin) == "function" then
        opts.ahead = ahead
        result, group = exec_streamed(conn, session, what, command, request, opts, limit)
    else
        request.stdin, request.timeout = opts.stdin, limit
        if ahead then
            request.stdin = ahead .. (opts.stdin or "")
        end
        result, group = exec_whole(conn, session, what, command, request, opts, limit)
    end
    check_begun(what, result, opts, group)
    finish_result(result, begun)
    if seen then
        seen:ended(result)
    end
    return result, opts, what
end

---Runs a command and waits for its end; any status is a result.
---@param command string|string[] a string goes to the shell there; a list of words is quoted exactly
---@param opts? vm.ExecOptions
---@return vm.Result
function Guest:exec(command, opts)
    return (exec(self, "exec", command, opts, exec_spec))
end

-- The name that errors about this object carry, if it is a guest.
local function conn_guest(self)
    return rawget(self, "login") and self.name or nil
end

local function wanted(result, ok)
    if type(ok) == "number" then
        return result.status == ok
    end
    for _, status in ipairs(ok or { 0 }) do
        if result.status == status then
            return true
        end
    end
    return false
end

local function run(self, verb, command, opts)
    local result, checked, what = exec(self, verb, command, opts, run_spec)
    if wanted(result, checked.ok) then
        return result
    end
    local how = result.signal and "was ended by signal " .. result.signal
        or "ended with status " .. tostring(result.status)
    local said = tail(result.stderr ~= "" and result.stderr or result.stdout)
    error(errors.new("exit", ("%s: %s %s%s"):format(what, options.show(shell.show(command)), how,
        said ~= "" and "; its last lines:\n" .. said or " and said nothing"), {
        code = result.status or 0,
        guest = conn_guest(self),
        status = result.status,
        signal = result.signal,
        stdout = result.stdout,
        stderr = result.stderr,
        truncated = result.truncated,
    }), 0)
end

---Runs a command and raises kind "exit" unless its status is 0, or one of those in `ok`.
---@param command string|string[]
---@param opts? vm.ExecOptions
---@return vm.Result
function Guest:run(command, opts)
    return run(self, "run", command, opts)
end

---Runs a command as run does and returns its stdout without the last newline.
---@param command string|string[]
---@param opts? vm.ExecOptions
---@return string
function Guest:output(command, opts)
    return (run(self, "output", command, opts).stdout:gsub("\r?\n$", ""))
end

---Starts a command and goes on. The process is killed when it is closed, or its owner ends.
---@param command string|string[]
---@param opts? vm.ExecOptions env, cwd, user, pty, max_output
---@return vm.Process
function Guest:spawn(command, opts)
    local what = self:what("spawn")
    opts = options.check(what, opts, spawn_spec)
    add_env(opts, self.default_env)
    watch.spawned(self, command)
    local conn = self:transport("spawn", opts.transport, "a process that goes on (spawn)")
    opts.shell = conn.opts.shell
    local line, ahead = shell.line(what, command, opts, conn.marker)
    local handle = conn:raise(what, conn:session(what):start {
        command = line,
        marker = conn.marker,
        pty = opts.pty,
        stdin = true,
    })
    local process = require("vm.remote.process").new(what, conn, handle, command, opts, keeper(opts.max_output))
    if ahead then
        process:write(ahead)
    end
    return process
end

return M
