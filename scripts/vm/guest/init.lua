-- A guest: what it is, what happens to it, and its end. It is made in create.lua; starting, readiness,
-- ports and snapshots have files of their own, and commands reach it through the connection of vm.ssh.
local raw = require "vm.raw"
local errors = require "vm.errors"
local held = require "vm.guest.held"
local reaper = require "vm.task.reaper"
local scope = require "vm.task.scope"
local task = require "vm.task"

---A virtual machine: what vm.create and vm.boot return.
---@class vm.Guest
---@field name string
---@field arch string
---@field accel string "kvm", "hvf" or "tcg"
---@field emulated boolean whether every instruction is emulated
local Guest = {}
Guest.__index = Guest
Guest.__name = "vm.Guest"

---How many times longer the default limits are for an emulated guest.
Guest.EMULATION_FACTOR = 3

-- The verbs that have a file of their own; exec and copy are the same for any machine.
for _, part in ipairs {
    "vm.guest.transport", "vm.guest.power", "vm.guest.ready", "vm.guest.ports", "vm.guest.snapshot", "vm.network.link",
    "vm.template", "vm.remote.exec", "vm.copy", "vm.guest.install", "vm.terminal",
} do
    for name, method in pairs(require(part).methods) do
        Guest[name] = method
    end
end

function Guest:__tostring()
    return ("guest %s (%s, %s)"):format(self.name, self.arch, self.closed and "closed" or self.last_state)
end

---What messages begin with.
---@param verb string
---@return string
---@private
function Guest:what(verb)
    return ("guest %s: %s"):format(self.name, verb)
end

---Raises an error about this guest.
---@param kind string
---@param verb string
---@param format string
---@param ... any
---@private
function Guest:fail(kind, verb, format, ...)
    local err = errors.new(kind, self:what(verb) .. ": " .. string.format(format, ...))
    err.guest = self.name
    error(err, 0)
end

---Hands through what a raw call returned, or raises its error with the guest's name.
---@param verb string
---@param value any
---@param err? vm.Error
---@param ... any
---@private
function Guest:raise(verb, value, err, ...)
    if value == nil and err ~= nil then
        err.guest = self.name
        local said = ("guest %s: "):format(self.name)
        if err.message:sub(1, #said) == said then -- what() says it
            err.message = err.message:sub(#said + 1)
        end
        error(errors.prefix(err, self:what(verb)), 0)
    end
    return value, err, ...
end

---Raises when the guest was closed.
---@param verb string
---@private
function Guest:check_open(verb)
    if self.closed or self.consumed then
        self:fail("closed", verb, "%s", self.consumed or "the guest is closed")
    end
end

---Raises what ended the guest, if it crashed or panicked.
---@param verb string
---@private
function Guest:check_alive(verb)
    self:check_open(verb)
    if self.failure then
        error(errors.new(self.failure.kind, self:what(verb) .. ": " .. self.failure.reason,
            { guest = self.name, signal = self.failure.signal, console = self.failure.console }), 0)
    end
    if self.last_state ~= "running" and self.last_state ~= "paused" then
        self:fail("closed", verb, "the guest is not running (it is %s)", self.last_state)
    end
end

---Seconds that a default limit becomes for this guest; the log says when it is longer.
---@param seconds number
---@return number
---@private
function Guest:limit(seconds)
    return self.emulated and seconds * Guest.EMULATION_FACTOR or seconds
end

---Ends every wait on this guest with an error.
---@param kind string
---@param reason string
---@param signal? integer that ended QEMU
---@private
function Guest:fail_waits(kind, reason, signal)
    if self.failure then
        return
    end
    local tail = self.console_log:tail(12)
    local text = reason
    if tail ~= "" then
        text = ("%s; the console's last lines:\n%s"):format(reason, tail)
    end
    self.failure = { kind = kind, reason = text, signal = signal, console = tail }
    raw.log.write("info", self.name, reason)
    self:fail_connections(errors.new(kind, text, { signal = signal, console = tail }))
    self:wake()
end

-- How long after a connection to it was lost a guest may turn out to be gone itself, in seconds.
local FATE <const> = 1

---Waits a moment for news that the guest is gone, after something that may come of that.
---@private
function Guest:await_fate()
    local deadline = raw.task.now() + FATE
    while not self.failure and raw.task.now() < deadline do
        self.changed:wait(deadline - raw.task.now())
    end
end

local gone = { stopped = true, crashed = true }

---Runs a call to libvirt that changes the guest in a task of the host: when its caller is cancelled
---the call still ends, and close waits for that.
---@param fn function
---@param ... any its arguments
---@return any ... what it returned
---@private
function Guest:change(fn, ...)
    local change
    change = task.spawn_detached("change " .. self.name, function(...)
        local _ <close> = setmetatable({}, { __close = function() self.changes[change] = nil end })
        return fn(...)
    end, ...)
    self.changes[change] = true
    return change:join()
end

---Some of libvirt's events were dropped: asks how the guest is.
---@private
function Guest:on_lost_events()
    if self.life == nil then
        return
    end
    self.life = "started"
    task.spawn_detached("state " .. self.name, function()
        if not self.closed and self.domain:state() == "shutoff" then
            self:on_event { event = "stopped", reason = "unknown" }
        end
    end)
end

---Takes one of libvirt's events.
---@param event table from raw.virt
---@private
function Guest:on_event(event)
    raw.log.write("debug", self.name, ("libvirt: %s (%s)"):format(event.event, event.reason or "-"))
    if gone[event.event] then
        if self.life ~= "started" then
            return -- the end of an earlier life, or of a start that failed
        end
        self.life = "ended"
    end
    if event.event == "started" then
        self.life = "started"
        self.last_state = event.reason == "restored" and "paused" or "running"
        self.pid = event.pid or self.pid
        held.note()
    elseif event.event == "suspended" then
        self.last_state = "paused"
    elseif event.event == "resumed" then
        self.last_state = "running"
    elseif event.event == "crashed" or event.reason == "panicked" then
        if self.spec.panic ~= "ignore" then
            -- The console is about to say why, and then ends the waits itself.
            local log = self.console_log
            local boot, calm = log.boot, log.calm
            task.spawn_detached("panic " .. self.name, function()
                self:await_fate()
                if log.boot == boot and log.calm == calm then -- not started anew or reverted
                    self:fail_waits("panic", "the guest's kernel panicked")
                end
            end)
        end
    end
    if gone[event.event] then
        self.last_state = "stopped"
        if not self.stopping then
            if event.reason == "shutdown" then
                self:fail_waits("closed", "the guest powered itself off")
            elseif event.reason ~= "from snapshot" and event.reason ~= "panicked" then
                self:fail_waits("crashed", event.signal and event.signal > 0
                    and ("QEMU exited: signal %d"):format(event.signal)
                    or ("QEMU exited (%s)"):format(event.reason or "unknown reason"), event.signal)
            end
        end
    end
    self:wake()
end

---Makes whoever waits for something of this guest look again.
---@private
function Guest:wake()
    self.changed:broadcast()
    self.console_log.grown:broadcast()
end

---What libvirt says of it now: "running", "paused", "stopped", "shutdown" (on its way), "crashed".
---@return string
function Guest:state()
    self:check_open("state")
    local state = self:raise("state", self.domain:state())
    return state == "shutoff" and "stopped" or state
end

---What guest:info returns.
---@class vm.GuestInfo
---@field name string
---@field state string
---@field arch string
---@field accel string
---@field cpus integer
---@field memory integer bytes
---@field cpu_time number seconds that its cpus have used
---@field pid integer|nil QEMU's process on this host
---@field disks { path: string, size: integer, used: integer }[] bytes

---Figures about the guest.
---@return vm.GuestInfo
function Guest:info()
    self:check_open("info")
    local info = self:raise("info", self.domain:info())
    local disks = {}
    for i, path in ipairs(self.disk_paths) do
        local block = self:raise("info", self.domain:block_info(path))
        disks[i] = { path = path, size = block.capacity, used = block.allocation }
    end
    return {
        name = self.name,
        state = info.state == "shutoff" and "stopped" or info.state,
        arch = self.arch,
        accel = self.accel,
        cpus = info.cpus,
        memory = info.max_memory,
        cpu_time = info.cpu_time,
        pid = info.pid,
        disks = disks,
    }
end

---What the serial console has said so far, as it came; at most the last 16 MiB. With "attach", this
---program's terminal becomes the console's: "~." at the beginning of a line leaves it.
---@param how? "attach"
---@return string|nil text nothing when it was attached
function Guest:console(how)
    self:check_open("console")
    if how == "attach" then
        return require("vm.terminal").attach_console(self)
    elseif how ~= nil then
        self:fail("usage", "console", "\"attach\" or nothing expected, got %s", require("vm.options").show(how))
    end
    return self.console_log:all()
end

-- How long a change that is under way when the guest is closed may take before the plug is pulled, in
-- seconds.
local CHANGE <const> = 5

-- Every step is tried; the first error is raised at the end.
local function close_steps(self)
    local first
    local function try(fn, ...)
        local ok, err = pcall(fn, ...)
        first = first or (not ok and err or nil)
    end
    try(self.close_connections, self)
    while next(self.changes) do
        local change = next(self.changes)
        if not pcall(task.timeout, CHANGE, change.ended, change) and self.domain then
            self.domain:destroy()
            change:ended()
        end
    end
    if self.domain then
        try(function()
            local _ <close> = self.connection.gone and self.connection:find_again(self)
            if not self.domain then return end
            local state = self.domain:state()
            if state ~= nil and state ~= "shutoff" then
                local done, err = self.domain:destroy()
                -- It may have ended by itself meanwhile.
                if not done and self.domain:state() ~= "shutoff" then
                    self:raise("close", done, err)
                end
            end
            local done, err = self.domain:undefine()
            if not done and err.kind ~= "notfound" then
                self:raise("close", done, err)
            end
        end)
    end
    try(require("vm.network.cards").release, self)
    if self.console_log then
        try(self.console_log.close, self.console_log)
    end
    if self.files then
        try(self.files.remove, self.files)
    end
    if self.fork_of then
        try(self.fork_of.let_go, self.fork_of)
    end
    return first
end

---Deletes the guest with its disks; returns when all of it is gone. Harmless when repeated.
function Guest:close()
    if self.closed then
        self.closing:ended()
        return
    end
    self.closed, self.stopping = true, true
    self.failure = self.failure or { kind = "closed", reason = self.consumed or "the guest is closed" }
    self.changed:broadcast()
    scope.disown(self)
    -- Whoever is cancelled meanwhile still gets it closed: the steps run in a task of the host.
    self.closing = task.spawn_detached("close " .. self.name, function()
        local first = close_steps(self)
        if self.connection.guests[self.name] == self then
            self.connection.guests[self.name] = nil
        end
        held.note()
        if first then
            error(first, 0)
        end
    end)
    self.closing:join()
end

Guest.__close = reaper.close

return Guest
