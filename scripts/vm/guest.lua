-- A guest: made from a spec, started, watched and closed. Commands and copies reach it through the
-- connection of vm.ssh; snapshots, forwards and readiness are in files of their own.
local raw = require "vm.raw"
local console = require "vm.console"
local errors = require "vm.errors"
local options = require "vm.options"
local scope = require "vm.scope"
local spec_of = require "vm.spec"
local storage = require "vm.storage"
local task = require "vm.task"

local M = {}

local raise = errors.raise

---@class vm.Guest
---@field name string
---@field arch string
---@field accel string "kvm", "hvf" or "tcg"
---@field emulated boolean whether every instruction is emulated
local Guest = {}
Guest.__index = Guest
Guest.__name = "vm.Guest"
M.Guest = Guest

---How many times longer the default limits are for an emulated guest.
M.EMULATION_FACTOR = 3

-- The verbs that have a file of their own; exec and copy are the same for any machine.
for _, part in ipairs { "vm.power", "vm.ready", "vm.ports", "vm.snapshot" } do
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
function Guest:what(verb)
    return ("guest %s: %s"):format(self.name, verb)
end

---Raises an error about this guest.
---@param kind string
---@param verb string
---@param format string
---@param ... any
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
function Guest:raise(verb, value, err, ...)
    if value == nil and err ~= nil then
        err.guest = self.name
        error(errors.prefix(err, self:what(verb)), 0)
    end
    return value, err, ...
end

---Raises when the guest was closed.
---@param verb string
function Guest:check_open(verb)
    if self.closed then
        self:fail("closed", verb, "the guest is closed")
    end
end

---Raises what ended the guest, if it crashed or panicked.
---@param verb string
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
function Guest:limit(seconds)
    return self.emulated and seconds * M.EMULATION_FACTOR or seconds
end

---Ends every wait on this guest with an error.
---@param kind string
---@param reason string
---@param signal? integer that ended QEMU
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
    if self.conn then
        self.conn:fail(errors.new(kind, text, { guest = self.name, signal = signal, console = tail }))
    end
    self.changed:broadcast()
    self.console_log.grown:broadcast()
end

local gone = { stopped = true, crashed = true }

---Takes one of libvirt's events.
---@param event table from raw.virt
function Guest:on_event(event)
    raw.log.write("debug", self.name, ("libvirt: %s (%s)"):format(event.event, event.reason or "-"))
    if event.event == "started" then
        self.last_state = event.reason == "restored" and "paused" or "running"
        self.pid = event.pid or self.pid
    elseif event.event == "suspended" then
        self.last_state = "paused"
    elseif event.event == "resumed" then
        self.last_state = "running"
    elseif event.event == "crashed" or event.reason == "panicked" then
        if self.spec.panic ~= "ignore" then
            self:fail_waits("panic", "the guest's kernel panicked")
        end
    end
    if gone[event.event] then
        self.last_state = "stopped"
        if not self.stopping then
            if event.reason == "shutdown" then
                self:fail_waits("closed", "the guest powered itself off")
            elseif event.reason ~= "from_snapshot" and event.reason ~= "panicked" then
                self:fail_waits("crashed", event.signal and event.signal > 0
                    and ("QEMU exited: signal %d"):format(event.signal)
                    or ("QEMU exited (%s)"):format(event.reason or "unknown reason"), event.signal)
            end
        end
    end
    self.changed:broadcast()
end

local function build_disks(self, what)
    local spec, files = self.spec, self.files
    local image = spec.image ~= "seed" and spec.image or nil
    local disks = { files:root_disk(what, image, spec.disk) }
    for i, item in ipairs(spec.disks) do
        disks[#disks + 1] = files:more_disk(what, item, i + 1)
    end
    for _, path in ipairs(spec.media) do
        disks[#disks + 1] = { path = path, format = "raw", cdrom = true, readonly = true }
    end
    return disks
end

local function random_mac()
    local a, b, c = raise(raw.fs.random(3)):byte(1, 3)
    return ("52:54:00:%02x:%02x:%02x"):format(a, b, c) -- 52:54:00 is QEMU's
end

local function build_nics(self)
    local nics = {}
    for i, nic in ipairs(self.spec.nics) do
        nics[i] = { mac = nic.mac or random_mac(), restrict = nic.restrict, forwards = {} }
    end
    if nics[1] then
        local forwards = nics[1].forwards
        if self.login then
            forwards[1] = { host_addr = "127.0.0.1", host_port = 0, guest_port = self.login.port }
        end
        for _, forward in ipairs(self.spec.forward) do
            forwards[#forwards + 1] = { host_addr = forward.address, host_port = forward.host,
                guest_port = forward.guest, udp = forward.udp }
        end
    end
    return nics
end

local function description(self, what)
    local spec, boot = self.spec, self.boot_files
    return {
        name = self.name,
        arch = spec.arch,
        machine = spec.machine,
        accel = spec.accel,
        emulator = self.emulator,
        cpus = spec.cpus,
        memory = spec.memory,
        cpu_model = spec.cpu.model,
        cpu_features = spec.cpu.features,
        kernel = boot.kernel,
        initrd = boot.initrd,
        append = boot.append,
        firmware = spec.firmware,
        ram = self.files:ram(what, spec.memory),
        console_log = self.console_log.path,
        tb_cache = spec.emulated and 256 * 1024 * 1024 or nil,
        disks = build_disks(self, what),
        nics = build_nics(self),
        owner = self.connection.local_daemon and ("+%d:+%d"):format(raw.fs.uid(), raw.fs.gid()) or nil,
        qemu_args = spec.qemu_args,
    }
end

local function check_emulator(what, spec)
    local name = spec.arch_info.emulator
    local path = require("vm.host").which(name)
    if not path then
        errors.fail("unsupported", "%s: no QEMU for %s: %s is not installed; `vmatrix doctor` names the package",
            what, spec.arch, name)
    end
    return path
end

---Creates a guest that is not started yet. It belongs to the running task.
---@param connection vm.Connection
---@param opts vm.CreateOptions
---@param what? string
---@return vm.Guest
function M.create(connection, opts, what)
    what = what or "vm.create"
    local spec = spec_of.check(what, opts)
    if not connection.embedded and not connection.local_daemon then
        errors.fail("unsupported", "%s: guests cannot be made through %s: their disks and memory are files of "
            .. "this host; use the default connection, qemu:///system or qemu:///session", what, connection.uri)
    end
    if connection.guests[spec.name] then
        errors.fail("exists", "%s: there is a guest named %s already", what, spec.name)
    end
    local label = ("%s: guest %s"):format(what, spec.name)
    local self = setmetatable({
        name = spec.name,
        arch = spec.arch,
        accel = spec.accel,
        emulated = spec.emulated,
        spec = spec,
        connection = connection,
        last_state = "stopped",
        changed = raw.task.event(),
        emulator = check_emulator(label, spec),
        closed = false,
    }, Guest)
    connection.guests[self.name] = self
    scope.own(self)
    local ok, err = pcall(function()
        local run = require("vm.run").open()
        self.files = storage.new(run, self.name)
        self.console_log = console.follow(self.files:path("console.log"), function(line)
            if spec.panic ~= "ignore" then
                self:fail_waits("panic", "the guest's kernel panicked: " .. line)
            end
        end)
        self.login, self.boot_files = require("vm.image").prepare(self, run, label)
        local xml = raise(raw.virt.xml(description(self, label)))
        self.domain = self:raise("create", connection.raw:define(xml))
    end)
    if not ok then
        self:close()
        error(err, 0)
    end
    return self
end

---Creates a guest and starts it.
---@param connection vm.Connection
---@param opts vm.CreateOptions and those of guest:start
---@return vm.Guest
function M.boot(connection, opts)
    local create, start = {}, {}
    if type(opts) ~= "table" then
        errors.fail("usage", "vm.boot: a table of options expected, got %s", options.show(opts))
    end
    for name, value in pairs(opts) do
        if name == "wait" or name == "timeout" then
            start[name] = value
        else
            create[name] = value
        end
    end
    local guest = M.create(connection, create, "vm.boot")
    local ok, err = pcall(guest.start, guest, start)
    if not ok then
        guest:close()
        error(err, 0)
    end
    return guest
end

---What libvirt says of it now: "running", "paused", "stopped", "shutdown" (on its way), "crashed".
---@return string
function Guest:state()
    self:check_open("state")
    local state = self:raise("state", self.domain:state())
    return state == "shutoff" and "stopped" or state
end

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
    for i, path in ipairs { self.files:path("disk.qcow2") } do
        local block = self.domain:block_info("vda") or {}
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

---What the serial console has said so far, as it came; at most the last 16 MiB.
---@return string
function Guest:console()
    self:check_open("console")
    return self.console_log:all()
end

-- Every step is tried; the first error is raised at the end.
local function close_steps(self)
    local first
    local function try(fn, ...)
        local ok, err = pcall(fn, ...)
        first = first or (not ok and err or nil)
    end
    if self.conn then
        try(self.conn.close, self.conn)
    end
    if self.domain then
        try(function()
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
    if self.console_log then
        try(self.console_log.close, self.console_log)
    end
    if self.files then
        try(self.files.remove, self.files)
    end
    return first
end

---Deletes the guest with its disks. Harmless when repeated.
function Guest:close()
    if self.closed then
        return
    end
    self.closed, self.stopping = true, true
    self.failure = self.failure or { kind = "closed", reason = "the guest is closed" }
    self.changed:broadcast()
    scope.disown(self)
    -- Whoever is cancelled meanwhile still gets it closed: the steps run in a task of the host.
    local closing = task.spawn_detached("close " .. self.name, function()
        return close_steps(self)
    end)
    local first = closing:join()
    if self.connection.guests[self.name] == self then
        self.connection.guests[self.name] = nil
    end
    if first then
        error(first, 0)
    end
end

Guest.__close = function(self)
    self:close()
end

return M
