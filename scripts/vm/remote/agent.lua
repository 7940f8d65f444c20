-- Commands over the guest agent: what vm.ssh's connection is for SSH, with the same few functions that
-- exec and the copies use. It runs whole commands; what needs a stream waits for SSH.
local raw = require "vm.raw"
local errors = require "vm.errors"
local random_hex = require "vm.random_hex"
local link = require "vm.remote.agent_link"
local shallow = require "vm.shallow"
local shell = require "vm.remote.shell"

local M = {}

local now = raw.task.now
local base64, unbase64 = raw.data.base64, raw.data.unbase64

-- The most that a command can be given as its input this way, in bytes, and with a long command on top.
local INPUT_MAX <const>, ALL_MAX <const> = 7 * 1024 * 1024, 8 * 1024 * 1024

-- Seconds that one answer may take; an emulated guest gets more (patience).
local PATIENCE <const> = 10
-- Looking whether a command has ended: soon, then less and less often.
local LOOK_FIRST <const>, LOOK_LAST <const>, LOOK_MORE <const> = 0.004, 0.4, 1.4
-- Without a limit of its own a command may take this long.
local RUN_LIMIT <const> = 600

local ENV <const> = {
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME=/root", "USER=root", "LOGNAME=root", "SHELL=/bin/sh", "TERM=dumb",
}

local SIGNALS <const> = {
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM",
}

-- Ends a process, those it started and theirs, and those in their groups and sessions: SIGTERM, then
-- SIGKILL. The process number stands in front.
local KILL <const> = [=[
all=" $1 "; more=1
while [ $more = 1 ]; do
  more=0
  for f in /proc/[0-9]*/stat; do
    { read -r s <"$f"; } 2>/dev/null || continue
    p=${f#/proc/}; p=${p%/stat}
    set -- ${s##*) }
    case $all in *" $p "*) continue ;; *" $2 "* | *" $3 "* | *" $4 "*) all="$all$p "; more=1 ;; esac
  done
done
k() { for p in $all; do kill -$1 -$p; kill -$1 $p; done 2>/dev/null; }
alive() { for p in $all; do kill -0 $p 2>/dev/null && return 0; done; return 1; }
k TERM; n=0
while alive; do n=$((n+1)); [ $n -gt 20 ] && { k KILL; break; }; sleep 0.1 2>/dev/null || sleep 1; done
exit 0]=]

---The connection to one guest's agent.
---@class vm.Agent
---@field name string
---@field link vm.AgentLink
---@field opts { shell: nil, login: string, patience: number }
local Agent = {}
Agent.__index = Agent
Agent.__name = "vm.Agent"
Agent.kind = "agent"

---What a guest's agent is reached by.
---@class vm.AgentOptions
---@field path string of QEMU's socket
---@field name string the guest's, for messages
---@field login? string whom commands run as, root
---@field factor? number how many times longer everything takes there
---@field lost? fun() asked after a loss whether there is a better reason: it may wait, and call fail

---A connection to a guest's agent; nothing is sent before it is needed.
---@param opts vm.AgentOptions
---@return vm.Agent
function M.new(opts)
    return setmetatable({
        name = opts.name,
        opts = { lost = opts.lost },
        login = opts.login or "root",
        patience = PATIENCE * (opts.factor or 1),
        marker = "vx-" .. random_hex(4) .. ":",
        link = link.new(opts.path, opts.name),
    }, Agent)
end

---What the agent cannot do of what is asked for; nil when it can do all.
---@param opts vm.ExecOptions
---@return string|nil
function M.beyond(opts)
    return opts.pty and "a terminal (pty)" or opts.on_output and "output while the command runs (on_output)"
        or type(opts.stdin) == "function" and "input chunk by chunk (stdin as a function)"
        or opts.stdin and #opts.stdin > INPUT_MAX and "input of more than 7 MiB" or nil
end

---Hands through what a raw call returned, or raises its error.
---@param what string for messages
---@param value any
---@param err? vm.Error
---@param ... any
---@return any ...
function Agent:raise(what, value, err, ...)
    if value == nil and err ~= nil then
        error(self:explain(what, err), 0)
    end
    return value, err, ...
end

---What ended the machine, when that is what is behind a lost connection.
---@param err vm.Error
---@return vm.Error|nil
function Agent:behind(err)
    if err.kind == "connection" and not self.link.failure and self.opts.lost then self.opts.lost() end
    return (err.kind == "connection" or err.kind == "closed") and self.link.failure or nil
end

---The error to raise for one that a call met.
---@param what string
---@param err vm.Error
---@return vm.Error
function Agent:explain(what, err)
    local failure = self:behind(err)
    if failure then
        err = errors.new(failure.kind, failure.message, shallow(failure))
    end
    return errors.prefix(err, what)
end

---Asks the agent something; see vm.AgentLink's call.
---@param command string
---@param arguments? table
---@param seconds? number
---@return any
function Agent:call(command, arguments, seconds)
    return self.link:call(command, arguments, seconds or self.patience)
end

---Whether the agent answers; waits for that, at most so many seconds.
---@param seconds number
---@return boolean
---@return vm.Error|nil why
function Agent:answers(seconds)
    local ok, err = pcall(self.call, self, "guest-ping", nil, seconds)
    if not ok and not errors.is(err) then
        error(err, 0)
    end
    return ok, not ok and err or nil
end

---Whether it would answer at once, as far as is known.
---@return boolean
function Agent:is_open()
    return self.link.synced and self.link.failure == nil
end

---Where commands are run: this very object.
---@return vm.Agent
function Agent:session()
    return self
end

---Nothing is wrong with it, or what is.
---@return vm.Error|nil
function Agent:error()
    return self.link.failure
end

-- A command that runs: what vm.raw.ssh's handle of a whole run is.
local Handle = {}
Handle.__index = Handle

local function senseless(what)
    errors.fail("format", "the guest agent's answer about %s makes no sense", what)
end

-- Starts a program there without waiting for it; raises.
local function start(self, arguments, output, input, seconds)
    local answer = self:call("guest-exec", {
        path = "/bin/sh",
        arg = arguments,
        env = ENV,
        ["capture-output"] = output,
        ["input-data"] = input and base64(input) or nil,
    }, seconds)
    local pid = type(answer) == "table" and answer.pid
    return math.type(pid) == "integer" and pid or senseless "a new command"
end

-- One stream of a command's output; an agent leaves out what is empty.
local function output_of(text)
    text = text or ""
    return type(text) == "string" and errors.raise(unbase64(text)) or senseless "a command's output"
end

---Starts a command as a run that ends; the line is one of shell.lua's.
---@param request { command: string, stdin?: string, timeout?: number, max_output?: integer }
---@return table|nil handle
---@return vm.Error|nil
function Agent:run(request)
    local line, input = request.command, request.stdin
    if self.login ~= "root" then
        line = shell.as_user(self.login, line)
    end
    line = ("cd ~%s 2>/dev/null;%s"):format(self.login, line)
    if not utf8.len(line) then -- JSON has no such bytes: they go ahead of the input
        line, input = shell.loader(line), line .. (input or "")
    end
    if input and #input > ALL_MAX then
        return nil, errors.new("limit", "the guest agent takes at most 8 MiB of input for a command")
    end
    local handle = setmetatable({ agent = self, deadline = now() + (request.timeout or RUN_LIMIT),
        max = request.max_output or math.maxinteger }, Handle)
    local ok, pid = pcall(start, self, { "-c", line }, true, input, self.patience)
    if not ok then
        if not errors.is(pid) then
            error(pid, 0)
        elseif pid.kind == "timeout" then -- not the command's own limit
            pid.kind = "connection"
        end
        return nil, pid
    end
    handle.pid = pid
    return handle
end

-- The output, cut to its limit, without the line that says the group.
local function result_of(handle, status)
    local agent = handle.agent
    local out, err = output_of(status["out-data"]), output_of(status["err-data"])
    local from, to = err:find(agent.marker, 1, true)
    local group, after = err:match("^(%d+)\n()", to and to + 1)
    if from and group then
        err = err:sub(1, from - 1) .. err:sub(after)
        handle.said_group = math.tointeger(group)
    end
    local all = #out + #err
    out = out:sub(1, handle.max)
    err = err:sub(1, handle.max - #out)
    local dropped = all - #out - #err
    if status["out-truncated"] or status["err-truncated"] then
        dropped = dropped + 1 -- at least: the agent keeps 16 MiB and does not count the rest
    end
    local number = math.tointeger(status.signal)
    return {
        status = number == nil and (math.tointeger(status.exitcode) or -1) or nil,
        signal = number and (SIGNALS[number] or tostring(number)),
        stdout = out,
        stderr = err,
        truncated = dropped,
    }
end

-- Asks until it has ended, or the time is over (nil).
local function await(handle, deadline)
    local agent, pause, epoch = handle.agent, LOOK_FIRST, handle.agent.link.epoch
    while true do
        if agent.link.epoch ~= epoch then
            errors.fail("connection", "the command was lost: %s", tostring(agent.link.reason))
        end
        local status = agent:call("guest-exec-status", { pid = handle.pid })
        if type(status) ~= "table" then
            senseless "a command"
        elseif status.exited then
            handle.ended = true
            return status
        elseif now() >= deadline then
            return nil
        end
        agent.link.trouble:wait(math.max(0, math.min(pause, deadline - now())))
        pause = math.min(pause * LOOK_MORE, LOOK_LAST)
    end
end

local function wait(handle)
    local status = await(handle, handle.deadline)
    if status then
        return result_of(handle, status)
    end
    -- What it has written comes only when it is dead.
    local killed = handle.agent:kill_group(handle.pid)
    status = killed and await(handle, now() + handle.agent.patience)
    handle.ended = true
    local result = status and result_of(handle, status) or { stdout = "", stderr = "", truncated = 0 }
    return nil, errors.new("timeout", "time limit passed while waiting for a command", result)
end

---Waits for its end. Returns a result; or nil, err. One that takes too long is killed.
---@return table|nil
---@return vm.Error|nil
function Handle:wait()
    local ok, result, err = pcall(wait, self)
    if ok then
        return result, err
    elseif not errors.is(result) then
        error(result, 0)
    end
    self.ended = true
    if result.kind == "system" then -- it knows of no such process any more
        result = errors.new("connection", "the guest agent was restarted while the command ran: " .. result.message)
    elseif result.kind == "timeout" then
        result = errors.new("connection", result.message)
    end
    return nil, result
end

---The group that it said it runs in, once it has ended.
---@return integer|nil
function Handle:group()
    return self.said_group
end

---Whether its group may still become known.
---@return boolean
function Handle:pending()
    return false
end

---Kills it if it still runs, with all that it started. Harmless when repeated.
function Handle:close()
    if not self.ended then
        self.ended = true
        self.agent:kill_group(self.pid)
    end
end

Handle.__close = Handle.close

---Ends a process with all that it started; waits until they are gone. Never raises.
---@param pid integer
---@return boolean done
function Agent:kill_group(pid)
    local ok, done = pcall(function()
        local handle = setmetatable({ agent = self, max = 0 }, Handle)
        handle.pid = start(self, { "-c", KILL, "sh", tostring(pid) }, false, nil, self.patience)
        return await(handle, now() + self.patience) ~= nil
    end)
    if not ok or not done then
        raw.log.write("warn", self.name, ("process %d could not be ended over the guest agent"):format(pid))
    end
    return ok and done
end

---See vm.AgentLink.
---@param reason? string
function Agent:lose(reason)
    self.link:lose(reason)
end

---See vm.AgentLink.
---@param err vm.Error
function Agent:fail(err)
    self.link:fail(err)
end

---Ends it. Harmless when repeated.
function Agent:close()
    self.link:close()
end

return M
