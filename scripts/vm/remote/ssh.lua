-- Connections: one authenticated session, opened when first needed and again after a loss; and
-- vm.ssh, which gives any machine the verbs of a guest.
local raw = require "vm.raw"
local errors = require "vm.errors"
local options = require "vm.options"
local random_hex = require "vm.random_hex"
local scope = require "vm.task.scope"
local shallow = require "vm.shallow"
local shell = require "vm.remote.shell"

local M = {}

-- Dropbear from 2022.82 to 2024.85 closes a channel that has no command yet when a command on another
-- channel ends, and then ends the connection by an assertion (github.com/mkj/dropbear/issues/321).
-- There every command gets a session that runs no other: this many at most, with seconds between two
-- looks for one that became free, and until a command gives up.
local LONE_MAX <const>, LONE_LOOK <const>, LONE_PATIENCE <const> = 16, 0.01, 600

local function one_at_a_time(server)
    local year, number = server:match "dropbear_(%d+)%.(%d+)"
    local version = year and tonumber(year) * 100 + tonumber(number)
    return version ~= nil and version >= 202282 and version <= 202485
end

---@class vm.Conn
---@field name string what messages call it
---@field tidy? fun(self, session) what the next session is to do first
local Conn = {}
Conn.__index = Conn
Conn.__name = "vm.Conn"

---@class vm.ConnOptions: vm.SshOptions
---@field name? string
---@field address? fun(): string, integer asked at every connect, for ports that change
---@field unchecked? boolean take any host key
---@field lost? fun() asked after a loss whether there is a better reason: it may wait, and call conn:fail
---@field keepalive_count? integer how many silences make the peer dead, 3

---Makes a connection; nothing is sent before it is needed.
---@param opts vm.ConnOptions
---@return vm.Conn
function M.connect(opts)
    return setmetatable({
        opts = opts,
        name = opts.name or ("%s@%s:%d"):format(opts.user, opts.host, opts.port or 22),
        marker = "vx-" .. random_hex(4) .. ":",
        connected = raw.task.event(),
        session_count = 0,
        spares = {}, -- further sessions, with servers that run one command at a time
    }, Conn)
end

local function copy(err)
    return errors.new(err.kind, err.message, shallow(err))
end

---Hands through what a raw call returned, or raises its error; when the connection was failed from
---outside, that error is raised instead.
---@param what string for messages
---@param value any
---@param err? vm.Error
---@param ... any
---@return any ...
function Conn:raise(what, value, err, ...)
    if value == nil and err ~= nil then
        error(self:explain(what, err), 0)
    end
    return value, err, ...
end

---What ended the machine, when that is what is behind a lost connection; asks once more if need be.
---@param err vm.Error
---@return vm.Error|nil
function Conn:behind(err)
    if err.kind == "connection" and not self.failure and self.opts.lost then self.opts.lost() end
    return (err.kind == "connection" or err.kind == "closed") and self.failure or nil
end

---The error to raise for a raw one.
---@param what string
---@param err vm.Error
---@return vm.Error
function Conn:explain(what, err)
    local failure = self:behind(err)
    if failure then
        local better = copy(failure)
        better.stdout, better.stderr, better.truncated = err.stdout, err.stderr, err.truncated
        err = better
    end
    -- Raw messages begin with who is at the other end; `what` may have said so already.
    local said = self.name .. ": "
    if what:sub(1, #said) == said and err.message:sub(1, #said) == said then
        err.message = err.message:sub(#said + 1)
    end
    return errors.prefix(err, what)
end

---Whether a session is up.
---@return boolean
function Conn:is_open()
    return self.raw_session ~= nil and self.raw_session:error() == nil
end

-- Whoever is connecting may be cancelled: the next in line then takes over.
local function connect(self, timeout)
    self.connecting = true
    local _ <close> = setmetatable({}, { __close = function()
        self.connecting = false
        self.pending = nil
        self.connected:broadcast()
    end })
    local opts = {}
    for name, value in pairs(self.opts) do
        opts[name] = value
    end
    if opts.address then
        opts.host, opts.port = opts.address()
    end
    opts.timeout = timeout or opts.timeout
    local session, err = raw.ssh.open(opts)
    if not session then
        return nil, err
    end
    self.pending = session
    local ok
    ok, err = session:ready()
    if not ok then
        session:close()
        return nil, err
    end
    self.session_count = self.session_count + 1
    self.lone = one_at_a_time(session:info().server)
    if self.tidy then self:tidy(session) end
    return session
end

local function main_session(self, what, timeout)
    local session = self.raw_session
    if session and session:error() == nil and not self.failure then
        return session
    end
    while true do
        if self.failure then
            error(errors.prefix(copy(self.failure), what), 0)
        end
        session = self.raw_session
        if session and session:error() == nil then
            return session
        end
        if not self.connecting then
            if session then
                session:close()
                self.raw_session = nil
            end
            session = self:raise(what, connect(self, timeout))
            self.raw_session = session
            return session
        end
        self.connected:wait()
    end
end

-- A session on which nothing runs, of those that are there; drops those that are of no use.
local function quiet_session(self)
    local main = self.raw_session
    if main:use() == "littered" then
        self.raw_session = nil
        return main:close() and nil
    elseif main:use() == "quiet" then
        return main
    end
    for i = #self.spares, 1, -1 do
        local spare = self.spares[i]
        if spare:error() or spare:use() == "littered" then
            spare:close()
            table.remove(self.spares, i)
        elseif spare:use() == "quiet" then
            return spare
        end
    end
end

local function lone_session(self, what, timeout)
    local deadline = raw.task.now() + LONE_PATIENCE
    while true do
        main_session(self, what, timeout)
        local session = quiet_session(self)
        if session then
            return session
        elseif self.raw_session and not self.connecting and #self.spares < LONE_MAX - 1 then
            table.insert(self.spares, (self:raise(what, connect(self, timeout))))
        elseif self.raw_session and raw.task.now() > deadline then
            errors.fail("timeout", "%s: %d commands run on that server and none ended within %d s; its dropbear " ..
                "cannot take more: a newer one (2024.86) can", what, LONE_MAX, LONE_PATIENCE)
        elseif self.raw_session then
            self.connected:wait(LONE_LOOK)
        end
    end
end

---The raw session to open a channel on now; connects when there is none.
---@param what string for messages
---@param timeout? number seconds for connecting
---@return userdata
function Conn:session(what, timeout)
    local session = main_session(self, what, timeout)
    return self.lone and lone_session(self, what, timeout) or session
end

---Connects now rather than when first needed.
---@param opts? { timeout?: number }
---@return vm.Conn self
function Conn:open(opts)
    self:session(self.name .. ": connect", opts and opts.timeout)
    return self
end

local function drop(self, message)
    for _, name in ipairs { "pending", "raw_session" } do
        local session = self[name]
        self[name] = nil
        if session then
            session:fail(message)
            session:close()
        end
    end
    for _, spare in ipairs(self.spares) do
        spare:fail(message)
        spare:close()
    end
    self.spares = {}
end

---Everything that waits on it now, or is asked of it later, raises this error.
---@param err vm.Error
function Conn:fail(err)
    self.failure = self.failure or err
    drop(self, err.message)
    self.connected:broadcast()
end

---Gives up the session, for a machine that is about to go or was reset: what runs fails with kind
---"connection", and the next command connects anew. Forgets an earlier fail.
---@param reason? string
function Conn:lose(reason)
    self.failure = nil
    drop(self, ("%s: the connection was lost: %s"):format(self.name, reason or "it was reset"))
end

---Ends it. Harmless when repeated.
function Conn:close()
    if not self.failure then
        self:fail(errors.new("closed", self.name .. ": the connection is closed"))
    end
end

---Ends a process group on the other side: SIGTERM, SIGKILL after a grace. Waits until it is gone;
---does nothing without a session, and never raises.
---@param group integer
---@param user? string
---@return boolean done
function Conn:kill_group(group, user)
    if not self.lone and not self:is_open() then
        return false
    end
    local ok, session = true, self.raw_session
    if self.lone then
        ok, session = pcall(self.session, self, self.name .. ": kill")
    end
    local run = ok and session:run { command = shell.kill_line(group, user), timeout = 20, max_output = 4096 }
    local result = run and run:wait()
    if run then
        run:close()
    end
    if not result then
        raw.log.write("warn", self.name, ("process group %d could not be ended"):format(group))
    end
    return result ~= nil
end

---A machine reached by SSH: the same verbs as a guest has for commands and copies.
---@class vm.Ssh
---@field name string
---@field private conn vm.Conn
local Ssh = { __name = "vm.Ssh" }
M.Ssh = Ssh

local parts = { "vm.remote.exec", "vm.copy", "vm.terminal" }

function Ssh.__index(_, key)
    local value = rawget(Ssh, key)
    if value ~= nil then
        return value
    end
    for _, name in ipairs(parts) do
        value = require(name).methods[key]
        if value ~= nil then
            rawset(Ssh, key, value)
            return value
        end
    end
end

function Ssh:__tostring()
    return ("ssh %s (%s)"):format(self.name, self.conn:is_open() and "connected" or "not connected")
end

---What messages begin with.
---@param verb string
---@return string
---@private
function Ssh:what(verb)
    return ("%s: %s"):format(self.name, verb)
end

---Raises an error about this machine.
---@param kind string
---@param verb string
---@param format string
---@param ... any
---@private
function Ssh:fail(kind, verb, format, ...)
    errors.fail(kind, "%s: %s", self:what(verb), string.format(format, ...))
end

---The connection that commands and copies use.
---@param verb string
---@param wanted? string
---@return vm.Conn
---@private
function Ssh:transport(verb, wanted)
    return wanted ~= "agent" and self.conn or self:fail("unsupported", verb, "vm.ssh knows no guest agent")
end

---Seconds that a default limit becomes for this machine.
---@param seconds number
---@return number
---@private
function Ssh.limit(_, seconds)
    return seconds
end

---Closes the connection; what runs on it fails. Harmless when repeated.
function Ssh:close()
    scope.disown(self)
    self.conn:close()
end

Ssh.__close = Ssh.close

local spec = {
    host = { "string", required = true },
    port = { "integer", default = 22, min = 1, max = 65535 },
    user = { "string", default = "root" },
    key = "string",
    key_text = "string",
    passphrase = "string",
    password = "string",
    agent = "boolean",
    host_key = { "string", required = true },
    timeout = { "time", default = 30 },
    keepalive = { "time", default = 15 },
    shell = "string",
}

---How to reach a machine.
---@class vm.SshOptions
---@field host string a name or an address
---@field port? integer 22
---@field user? string root
---@field key? string path of a private key; ed25519 is best
---@field key_text? string the private key itself
---@field passphrase? string of the key
---@field password? string
---@field agent? boolean ask the SSH agent: the default when no key and no password is given
---@field host_key string the server's public key, or its fingerprint ("SHA256:...")
---@field timeout? number|string for connecting, 30 s
---@field keepalive? number|string silence after which the peer is asked for a sign of life, 15 s
---@field shell? string path of a POSIX shell, for users whose own is none

---A connection to any machine that speaks SSH, VM or not: exec, run, output, spawn and the copies.
---Connects when first needed. It belongs to the running task.
---@param opts vm.SshOptions
---@return vm.Ssh
function M.open(opts)
    opts = options.check("vm.ssh", opts, spec)
    if opts.key then
        opts.key = require("vm.script").path(opts.key)
    elseif not opts.key_text and not opts.password and opts.agent == nil then
        opts.agent = true
    end
    local conn = M.connect(opts)
    local self = setmetatable({ name = conn.name, conn = conn }, Ssh)
    scope.own(self)
    return self
end

return M
