-- How commands reach a guest: over SSH, or over the guest agent. Either is a table of the same functions
-- (session, raise, explain, behind, kill_group); here one of them is chosen.
local raw = require "vm.raw"
local errors = require "vm.errors"
local random_hex = require "vm.random_hex"
local task = require "vm.task"

local M = { methods = {} }

---@class vm.Guest
local Guest = M.methods

-- How long a log-in may take, in seconds: a guest of many programs needs most of them when it has just been forked.
local CONNECT <const> = 30

-- How long a guest that may also be reached by SSH is given to say whether its agent answers, in seconds.
local AGENT_CHANCE <const> = 2

-- A handshake takes an emulated guest longer than several commands over the agent, and would be in the way
-- of the first ones: SSH is opened, beside what runs, for a guest that is asked for more than these.
local SSH_AFTER <const> = 3

-- Slots of the root bus are given out in runtime/virt (domain_xml.c, and card.c for the root ports); this
-- one is free there.
local SLOT <const> = "0x1c"

local sockets = 0

---Gives a guest that is to have an agent the channel to it: a socket of QEMU's in the run's short
---folder, since paths of sockets are short. It is not libvirt's, which would talk on it as well.
---@param guest vm.Guest
---@param run table from vm.run
function M.prepare(guest, run)
    if not guest.spec.agent then
        return
    end
    sockets = sockets + 1
    local path = guest.agent_path -- that of a guest that is taken over
    if not path then
        path = ("%s/agent%s"):format(run.root, run.kept and random_hex(4) or tostring(sockets))
    end
    guest.agent = require("vm.remote.agent").new {
        path = path,
        name = guest.name,
        login = guest.login and guest.login.user,
        factor = guest:limit(1),
        lost = function()
            guest:await_fate()
        end,
    }
end

---What QEMU is told beyond its description: the agent's channel, and what the user adds.
---@param guest vm.Guest
---@param suffix? string for another channel, of a second QEMU
---@return string[]
function M.qemu_args(guest, suffix)
    local args, given = {}, guest.spec.qemu_args or {}
    if guest.agent then
        local bus = guest.spec.arch_info.pci_bus
        local path = (guest.agent.link.path .. (suffix or "")):gsub(",", ",,")
        args = {
            "-chardev", "socket,id=vxagent,server=on,wait=off,path=" .. path,
            "-device", bus and ("virtio-serial-pci,id=vxserial,bus=%s,addr=%s"):format(bus, SLOT)
                or "virtio-serial-ccw,id=vxserial,devno=fe.0.0200",
            "-device", "virtserialport,bus=vxserial.0,chardev=vxagent,id=vxagentport,name=org.qemu.guest_agent.0",
        }
    end
    return table.move(given, 1, #given, #args + 1, args)
end

---Whether SSH can be used at all.
---@return boolean
---@private
function Guest:has_ssh()
    return self.login ~= nil and self.spec.nat
end

---Whether commands can reach it in any way.
---@return boolean
---@private
function Guest:has_commands()
    local wanted = self.spec.transport
    return (wanted ~= "agent" and self:has_ssh()) or (wanted ~= "ssh" and self.agent ~= nil)
end

local function ssh(self, verb)
    local login = self.login
    if not login then
        self:fail("unsupported", verb, "no login is known for this guest; give option 'ssh' to vm.create")
    end
    if not self.spec.nat then
        self:fail("usage", verb, "the guest has no \"nat\" network card: commands cannot reach it")
    end
    if not self.conn then
        self.conn = require("vm.remote.ssh").connect {
            name = ("%s@%s"):format(login.user, self.name),
            address = function()
                return "127.0.0.1", self:port(login.port)
            end,
            user = login.user,
            key = login.key,
            password = login.password,
            host_key = login.host_key,
            unchecked = login.host_key == nil,
            timeout = self:limit(CONNECT),
            lost = function()
                self:await_fate()
            end,
        }
    end
    return self.conn
end

-- QEMU knows whether anything in the guest has opened the channel.
local function is_opened(self)
    local answer = self.domain:monitor '{"execute":"query-chardev"}'
    local reply = answer and raw.json.decode(answer)
    for _, chardev in ipairs(type(reply) == "table" and reply["return"] or {}) do
        if chardev.label == "vxagent" then
            return chardev["frontend-open"] == true
        end
    end
    return false
end

---What is known of an agent that does not answer.
---@return string
---@private
function Guest:agent_trouble()
    if is_opened(self) then
        return "something has opened its channel in the guest, but does not answer: it hangs, or is not qemu-ga"
    end
    return "nothing in the guest has opened its channel: is qemu-guest-agent installed and running there?"
end

---Waits until the agent that was asked to restart its guest is gone: it answers until then. Its channel
---is closed by the reset at the latest.
---@param seconds number at most
---@private
function Guest:await_agent_gone(seconds)
    local deadline = raw.task.now() + seconds
    while self.agent and self.last_state == "running" and is_opened(self) and raw.task.now() < deadline do
        self.changed:wait(0.05)
    end
end

-- The agent, once it has answered; it was asked a moment ago, or it is asked now.
local function agent_now(self, verb)
    local agent = self.agent
    if agent:is_open() then
        return agent
    end
    local seconds = agent:answers(0.3) and 0 or is_opened(self) and agent.patience or self:limit(AGENT_CHANCE)
    if seconds > 0 then
        local ok, why = agent:answers(seconds)
        if not ok then
            self:check_alive(verb)
            self:fail("connection", verb, "%s; %s", why.message, self:agent_trouble())
        end
    end
    return agent
end

---By what its commands may go: "ssh", "agent" or "either".
---@return string
---@private
function Guest:ways()
    local wanted = self.spec.transport
    if not self.agent or wanted == "ssh" then
        return "ssh"
    end
    return wanted == "auto" and self:has_ssh() and "either" or "agent"
end

---Opens SSH in the background, unless that is under way.
---@param fn? fun(conn: vm.Conn) how
---@private
function Guest:open_ssh_beside(fn)
    if self.opening_ssh then
        return
    end
    local conn = ssh(self, "connect")
    self.opening_ssh = task.spawn_detached("ssh " .. self.name, function()
        local _ <close> = setmetatable({}, { __close = function() self.opening_ssh = nil end })
        local ok, err = pcall(fn or conn.open, conn)
        if not ok then
            raw.log.write("debug", self.name, "no SSH beside the guest agent: " .. tostring(err))
        end
    end)
end

-- SSH for what only SSH can do. A guest that its agent called ready may be on the way to it: that login is
-- waited for, since its sshd need not have begun to listen.
local function ssh_in_time(self, verb)
    if self.opening_ssh and not (self.conn and self.conn:is_open()) then
        self.opening_ssh:ended()
        self:check_alive(verb)
    end
    return ssh(self, verb)
end

local function choose(self, verb)
    if self.conn and self.conn:is_open() then
        return self.conn
    elseif not self.agent or self.agent.refused then
        return ssh(self, verb)
    elseif not self:has_ssh() then
        return agent_now(self, verb)
    elseif self.agent:is_open() or self.agent:answers(self:limit(AGENT_CHANCE)) then
        self.agent.count = (self.agent.count or 0) + 1
        if self.agent.count > SSH_AFTER then
            self:open_ssh_beside()
        end
        return self.agent
    end
    self:check_alive(verb)
    return ssh(self, verb)
end

---The connection that commands and copies use.
---@param verb string for messages
---@param wanted? "auto"|"ssh"|"agent" the guest's own unless told otherwise
---@param beyond? string what is asked for that the agent cannot do
---@return vm.Conn|vm.Agent
---@private
function Guest:transport(verb, wanted, beyond)
    self:check_alive(verb)
    if self.waking then
        require("vm.guest.wake").await(self, verb)
    end
    wanted = wanted or self.spec.transport
    if wanted == "ssh" then
        return ssh_in_time(self, verb)
    elseif wanted == "agent" or (beyond and not self:has_ssh() and self.agent) then
        if not self.agent then
            self:fail("unsupported", verb, "the guest has no agent; give option 'agent' to vm.create if it has one")
        elseif beyond then
            self:fail("unsupported", verb, "%s is beyond the guest agent: it needs SSH", beyond)
        end
        return agent_now(self, verb)
    elseif beyond then
        return ssh_in_time(self, verb)
    end
    return choose(self, verb)
end

---Gives up the connections: the guest is about to go, or is another one now.
---@param reason? string
---@private
function Guest:lose_connection(reason)
    for _, name in ipairs { "conn", "agent" } do
        if self[name] then
            self[name]:lose(reason)
            self[name].count = nil
        end
    end
end

---Whether the agent is there and may run commands.
---@param seconds number how long it may take to answer
---@return boolean
---@return string|nil why
---@return boolean|nil never
---@private
function Guest:agent_ready(seconds)
    local ok, err = self.agent:answers(seconds)
    if not ok then
        return false, err.message
    end
    local known, info = pcall(self.agent.call, self.agent, "guest-info")
    for _, command in ipairs(known and type(info) == "table" and info.supported_commands or {}) do
        if command.name == "guest-exec" and not command.enabled then
            self.agent.refused = true
            return false, "the guest agent is not allowed to run commands: guest-exec is disabled there", true
        end
    end
    return true
end

---Closes both connections; raises the first error.
---@private
function Guest:close_connections()
    local first
    for _, name in ipairs { "conn", "agent" } do
        local ok, err = true, nil
        if self[name] then
            ok, err = pcall(self[name].close, self[name])
        end
        first = first or (not ok and err or nil)
    end
    if self.opening_ssh then
        self.opening_ssh:ended()
    end
    if first then
        error(first, 0)
    end
end

---An error that ends what waits on either connection.
---@param err vm.Error
---@private
function Guest:fail_connections(err)
    for _, name in ipairs { "conn", "agent" } do
        if self[name] then
            self[name]:fail(errors.new(err.kind, err.message,
                { guest = self.name, signal = err.signal, console = err.console }))
        end
    end
end

return M
