-- A process on the other side that was spawned: written to, read from, signalled, waited for.
local raw = require "vm.raw"
local errors = require "vm.errors"
local options = require "vm.options"
local reaper = require "vm.task.reaper"
local scope = require "vm.task.scope"
local shell = require "vm.remote.shell"

local M = {}

---A command that was started and goes on: guest:spawn.
---@class vm.Process
---@field command string|string[]
local Process = {}
Process.__index = Process
Process.__name = "vm.Process"

local now = raw.task.now
local stream_names = { "stdout", "stderr" }

---Makes the object of a command that has been started; the running task owns it.
---@param what string for messages
---@param conn vm.Conn
---@param handle userdata of vm.raw.ssh
---@param command string|string[]
---@param opts vm.ExecOptions
---@param kept table keeps the output, up to a limit
---@return vm.Process
function M.new(what, conn, handle, command, opts, kept)
    local self = setmetatable({
        what = what,
        conn = conn,
        handle = handle,
        command = command,
        user = opts.user,
        kept = kept,
        begun = now(),
        lines_left = "",
    }, Process)
    scope.own(self)
    return self
end

function Process:__tostring()
    return ("process %s (%s)"):format(shell.show(self.command), self.closed and "closed"
        or self.result and "ended" or "running")
end

---Hands through what a raw call returned, or raises its error with the command's name.
---@param value any
---@param err? vm.Error
---@param ... any
---@return any ...
---@private
function Process:raise(value, err, ...)
    if value == nil and err ~= nil then
        if err.kind == "timeout" then
            err.message = ("time limit passed while waiting for %s"):format(options.show(shell.show(self.command)))
        end
        error(self.conn:explain(self.what, err), 0)
    end
    return value, err, ...
end

---Writes to its standard input; waits while it does not read.
---@param data string
---@param opts? { timeout?: number|string }
function Process:write(data, opts)
    opts = options.check(self.what .. ": write", opts, { timeout = "time" })
    self:raise(self.handle:write(data, opts.timeout))
end

---Ends its standard input.
function Process:close_stdin()
    self.handle:close_stdin()
end

-- The next chunk: the stream's number and the bytes; nil at the end.
local function next_chunk(self, timeout)
    if self.result then
        return nil
    end
    local stream, chunk = self:raise(self.handle:read(timeout))
    if stream == nil then
        self.result = { duration = now() - self.begun }
        self.result.status, self.result.signal = self.handle:result()
        self.result.ok = self.result.status == 0
    end
    return stream, chunk
end

---Waits for output, of either stream.
---@param opts? { timeout?: number|string }
---@return string|nil chunk nil at the end
---@return "stdout"|"stderr"|nil stream
function Process:read(opts)
    opts = options.check(self.what .. ": read", opts, { timeout = "time" })
    local stream, chunk = next_chunk(self, opts.timeout)
    if stream then
        return chunk, stream_names[stream]
    end
end

---The lines of its stdout, one by one, without their newlines; waits for each. What comes on stderr
---meanwhile is kept for wait.
---@return fun(): string|nil
function Process:lines()
    return function()
        while true do
            local line, rest = self.lines_left:match("^([^\n]*)\n(.*)$")
            if line then
                self.lines_left = rest
                return (line:gsub("\r$", ""))
            end
            local stream, chunk = next_chunk(self)
            if stream == 1 then
                self.lines_left = self.lines_left .. chunk
            elseif stream == 2 then
                self.kept:add(2, chunk)
            elseif self.lines_left ~= "" then
                line, self.lines_left = self.lines_left, ""
                return line
            else
                return nil
            end
        end
    end
end

---Ends its input and waits for its end. The result has what was not read before, up to max_output.
---@param opts? { timeout?: number|string }
---@return vm.Result
function Process:wait(opts)
    opts = options.check(self.what .. ": wait", opts, { timeout = "time" })
    local deadline = opts.timeout and now() + opts.timeout
    self.handle:close_stdin()
    while not self.result do
        local stream, chunk = next_chunk(self, deadline and math.max(0.001, deadline - now()))
        if stream then
            self.kept:add(stream, chunk)
        end
    end
    return self.kept:result(self.result)
end

---Sends a signal to the process and those it started.
---@param name string|integer "TERM", "KILL", "INT", ..., or a number
function Process:signal(name)
    local text = tostring(name):upper():gsub("^SIG", "")
    if not text:find("^%w+$") then
        errors.fail("usage", "%s: signal: a name such as TERM expected, got %s", self.what, options.show(name))
    end
    local group = self:group()
    if self.result or not group then
        errors.fail("closed", "%s: signal: %s has ended, or never said its process group", self.what,
            options.show(shell.show(self.command)))
    end
    local session = self.conn:session(self.what)
    local run <close> = self.conn:raise(self.what,
        session:run { command = shell.signal_line(group, text, self.user), timeout = 20 })
    local result = self.conn:raise(self.what, run:wait())
    if result.status ~= 0 then
        errors.fail("closed", "%s: signal %s: %s", self.what, text,
            result.stderr ~= "" and result.stderr:gsub("%c", " ") or "there is no such process any more")
    end
end

---The id of its process group there; nil when it never said.
---@return integer|nil
function Process:group()
    local group = self.handle:group()
    if not group and not self.result and not self.closed then
        group = self.handle:await_group(10) or nil
    end
    return group
end

---Kills it if it still runs, with those it started, and waits until they are gone. Harmless when
---repeated.
function Process:close()
    if self.closed then
        return
    end
    self.closed = true
    scope.disown(self)
    local group = not self.result and self.handle:await_group(2)
    self.handle:close()
    if group then
        self.conn:kill_group(group, self.user)
    end
end

Process.__close = reaper.close

return M
