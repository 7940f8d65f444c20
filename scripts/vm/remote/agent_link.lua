-- The wire to a guest agent: lines of JSON over QEMU's socket. The agent answers one request at a time,
-- in order; it may hang, be restarted, say garbage, or answer long after its caller has given up. So a
-- request whose answer did not come makes the next one begin with a sync: a byte that no JSON holds
-- makes the agent forget what it was reading, and its answer begins with such a byte, too.
local raw = require "vm.raw"
local errors = require "vm.errors"
local options = require "vm.options"
local shallow = require "vm.shallow"
local task = require "vm.task"

local M = {}

local now, json = raw.task.now, raw.json

-- The longest answer there may be: the 16 MiB of output that an agent keeps of either stream, in base64.
local LINE_MAX <const> = 48 * 1024 * 1024
-- How many lines that are no answer one request puts up with.
local NOISE_MAX <const> = 10000
-- A sync that is lost (the agent was just starting) is sent again after so many seconds, then twice that.
local SYNC_AGAIN <const> = 0.5

---@class vm.AgentLink
---@field name string what messages call it
---@field synced boolean whether the next answer is that of the next request
---@field failure vm.Error|nil what ended the machine
local Link = {}
Link.__index = Link
M.Link = Link

---A link over a socket; nothing is sent before it is needed.
---@param path string of QEMU's socket
---@param name string for messages
---@return vm.AgentLink
function M.new(path, name)
    return setmetatable({
        path = path,
        name = name,
        turn = raw.task.event(1), -- a notification: whose turn it is
        arrived = raw.task.event(),
        trouble = raw.task.event(),
        epoch = 0, -- counts what made earlier requests void
        number = string.unpack("<I4", raw.fs.random(4)) & 0xffffff,
        parts = {},
        length = 0,
        synced = false,
    }, Link)
end

-- An answer is taken when it is the one that is waited for; all others are late, or noise.
local function take_answer(self, answer, delimited)
    local wanted = self.wanted
    if not wanted then
        return
    elseif wanted.sync then
        if delimited and wanted.sync == answer["return"] then
            wanted.answer = answer
        end
    elseif not delimited and (answer.id == nil or answer.id == wanted.id)
        and (answer["return"] ~= nil or type(answer.error) == "table") then
        wanted.answer = answer
    end
    if wanted.answer then
        self.arrived:broadcast()
    end
end

local function take_line(self, line)
    local from = line:match "^.*()\255"
    line = line:sub(from and from + 1 or 1)
    local answer = line:find "^%s*{" and json.decode(line)
    if type(answer) == "table" then
        take_answer(self, answer, from ~= nil)
    elseif self.wanted and line:find "%S" then
        self.wanted.noise = (self.wanted.noise or 0) + 1
        self.wanted.said = line:sub(1, 60)
        if self.wanted.noise > NOISE_MAX then
            self.arrived:broadcast()
        end
    end
end

local function take_bytes(self, bytes)
    local from = 1
    while from <= #bytes do
        local stop = bytes:find("\n", from, true)
        self.length = self.length + (stop or #bytes + 1) - from
        if self.length > LINE_MAX then
            self.parts = {}
            if self.wanted and not self.wanted.sync then
                self.wanted.oversize = true
                self.arrived:broadcast()
            end
        else
            self.parts[#self.parts + 1] = bytes:sub(from, (stop or 0) - 1)
        end
        if not stop then
            return
        end
        local line = self.length <= LINE_MAX and table.concat(self.parts) or ""
        self.parts, self.length = {}, 0
        take_line(self, line)
        from = stop + 1
    end
end

local function disturb(self)
    self.synced = false
    self.arrived:broadcast()
    self.trouble:broadcast()
end

-- Reads as long as the socket is open, whether somebody waits or not.
local function read_on(self, channel)
    while true do
        local bytes, err = channel:read()
        if self.channel ~= channel then
            return
        elseif not bytes then
            self.channel, self.epoch = nil, self.epoch + 1
            self.reason = err and err.message or "QEMU closed its channel"
            channel:close()
            return disturb(self)
        end
        take_bytes(self, bytes)
    end
end

local function open(self)
    if not self.channel then
        local channel = errors.raise(raw.channel.open(self.path))
        self.channel, self.synced, self.parts, self.length = channel, false, {}, 0
        self.reader = task.spawn_detached("agent " .. self.name, read_on, self, channel)
    end
end

---Makes what waits now fail with kind "connection", and whatever was asked before void: the machine was
---reset or taken back. The socket stays. Forgets an earlier fail.
---@param reason? string
function Link:lose(reason)
    self.failure = nil
    self.reason = reason or "it was reset"
    self.epoch = self.epoch + 1
    self.parts, self.length = {}, 0
    disturb(self)
end

---Everything that waits on it now, or is asked of it later, raises this error.
---@param err vm.Error
function Link:fail(err)
    self.failure = self.failure or err
    self.epoch = self.epoch + 1
    disturb(self)
end

---Closes the socket. Harmless when repeated.
function Link:close()
    self:fail(errors.new("closed", self.name .. ": the guest agent's channel is closed"))
    local channel = self.channel
    self.channel = nil
    if channel then
        channel:close()
        self.reader:ended()
    end
end

local function check_epoch(self, epoch)
    if self.failure then
        error(errors.new(self.failure.kind, self.failure.message, shallow(self.failure)), 0)
    elseif self.epoch ~= epoch then
        errors.fail("connection", "the guest agent's answer was lost: %s", self.reason or "it was reset")
    end
end

-- Sends a text and waits for what take_answer puts into wanted; false when the time is over.
local function exchange(self, text, wanted, deadline, epoch)
    self.wanted = wanted
    local _ <close> = setmetatable({}, { __close = function()
        self.wanted = nil
        self.synced = self.synced and wanted.answer ~= nil
    end })
    errors.raise(self.channel:queue(text))
    while not wanted.answer do
        if wanted.oversize then
            errors.fail("limit", "the guest agent's answer is longer than %d MiB", LINE_MAX // 2 ^ 20)
        elseif (wanted.noise or 0) > NOISE_MAX then
            errors.fail("format", "the guest agent says nothing but what is no answer: %s", options.show(wanted.said))
        end
        local left = deadline - now()
        if left <= 0 then
            return false
        end
        self.arrived:wait(left)
        check_epoch(self, epoch)
    end
    return true
end

local function next_number(self)
    self.number = self.number + 1
    return self.number
end

local function sync(self, deadline, epoch)
    local wanted, pause = {}, SYNC_AGAIN
    while now() < deadline do
        -- Only the answer to the last one will do: the agent answers in order, and complains, without a
        -- number, of the byte that begins each.
        local number = next_number(self)
        wanted.sync = number
        local text = json.encode { execute = "guest-sync-delimited", arguments = { id = number } }
        if exchange(self, "\255" .. text .. "\n", wanted, math.min(deadline, now() + pause), epoch) then
            self.synced = true
            return wanted
        end
        pause = pause * 2
    end
    return nil, wanted
end

local function describe(command, seconds, wanted)
    local said = wanted and wanted.said and "; it said " .. options.show(wanted.said) or ""
    return errors.new("timeout", ("the guest agent did not answer %s within %g s%s"):format(command,
        seconds, said))
end

-- Error classes and texts of the agent as kinds of ours.
local function kind_of(class, text)
    text = text:lower()
    if class == "CommandNotFound" or text:find("has been disabled", 1, true) or text:find("not allowed", 1, true) then
        return "unsupported"
    elseif text:find("no such file", 1, true) then
        return "notfound"
    elseif text:find("permission denied", 1, true) or text:find("read-only", 1, true) then
        return "denied"
    elseif text:find("no space left", 1, true) then
        return "nospace"
    end
    return "system"
end

---Asks the agent to do something and returns its answer. Others wait their turn. Raises its error, kind
---"timeout" when it does not answer in time, "connection" when it is gone.
---@param command string such as "guest-ping"
---@param arguments? table
---@param seconds number for all of it
---@return any
function Link:call(command, arguments, seconds)
    local deadline, epoch = now() + seconds, self.epoch
    check_epoch(self, epoch)
    if not self.turn:wait(seconds) then
        error(describe(command, seconds), 0)
    end
    local _ <close> = setmetatable({}, { __close = function()
        self.turn:notify()
    end })
    check_epoch(self, epoch)
    open(self)
    if not self.synced then
        local done, wanted = sync(self, deadline, epoch)
        if not done then
            error(describe(command, seconds, wanted), 0)
        end
    end
    local wanted = { id = next_number(self) }
    local text, err = json.encode { execute = command, arguments = arguments, id = wanted.id }
    if not text then
        errors.fail("usage", "%s: %s", command, err.message)
    elseif not exchange(self, text .. "\n", wanted, deadline, epoch) then
        error(describe(command, seconds, wanted), 0)
    end
    local answer = wanted.answer
    if answer.error then
        local class, said = tostring(answer.error.class), tostring(answer.error.desc):sub(1, 500):gsub("%c", "?")
        errors.fail(kind_of(class, said), "the guest agent refuses %s: %s", command, said)
    end
    return answer["return"]
end

return M
