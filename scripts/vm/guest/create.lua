-- Making a guest: its files, its description for libvirt, and the first start.
local raw = require "vm.raw"
local cards = require "vm.network.cards"
local console = require "vm.guest.console"
local disk_io = require "vm.host.disk_io"
local errors = require "vm.errors"
local firmware_of = require "vm.guest.firmware"
local Guest = require "vm.guest"
local options = require "vm.options"
local scope = require "vm.task.scope"
local spec_of = require "vm.guest.spec"
local storage = require "vm.guest.storage"
local transport = require "vm.guest.transport"

local M = {}

local raise = errors.raise

local function build_disks(self, what)
    local spec, files = self.spec, self.files
    local image = spec.image ~= "seed" and spec.image or nil
    local disks = { files:root_disk(what, self.image_file or image, spec.disk) }
    for i, item in ipairs(spec.disks) do
        disks[#disks + 1] = files:more_disk(what, item, i + 1)
    end
    self.disk_paths = {}
    for i, item in ipairs(disks) do
        self.disk_paths[i] = item.path
    end
    for _, path in ipairs(spec.media) do
        disks[#disks + 1] = { path = path, format = "raw", cdrom = true, readonly = true }
    end
    if self.seed_iso then
        disks[#disks + 1] = { path = self.seed_iso, format = "raw", cdrom = true, readonly = true }
        self.seed_drive = #disks
    end
    return disks
end

local function description(self, what)
    local spec, boot = self.spec, self.boot_files
    local firmware, kernel = firmware_of.choose(what, spec, boot)
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
        kernel = kernel,
        initrd = boot.initrd,
        append = boot.append,
        firmware = firmware,
        ram = self.files:ram(what, spec.memory),
        console_log = self.console_log.path,
        tb_cache = spec.emulated and 256 * 1024 * 1024 or nil,
        -- Noted with the guest: memory that was kept of one without it holds signatures that this cpu takes for wrong.
        qemu_global = spec.emulated and not spec.cpu.model and spec.arch_info.tcg_global or nil,
        disks = build_disks(self, what),
        disk_io = disk_io.choose(spec.arch, self.emulator),
        nics = cards.describe(self),
        card_slots = spec.card_slots,
        owner = self.connection.local_daemon and ("+%d:+%d"):format(raw.fs.uid(), raw.fs.gid()) or nil,
        qemu_args = transport.qemu_args(self),
    }
end

---The path of the QEMU that a guest needs.
---@param what string
---@param spec table
---@return string
function M.emulator(what, spec)
    local name = spec.arch_info.emulator
    local path = require("vm.host").which(name)
    if not path then
        errors.fail("unsupported", "%s: no QEMU for %s: %s is not installed; `vmatrix doctor` names the package",
            what, spec.arch, name)
    end
    return path
end

---Makes a guest of a checked description: its name is taken, and `build` makes its files and `desc`,
---what raw.virt.xml takes; then it is defined. Closed again when that fails. It belongs to the running
---task.
---@param connection vm.Connection
---@param spec table from vm.guest.spec
---@param what string
---@param build fun(self: vm.Guest, run: vm.Run, label: string)
---@return vm.Guest
function M.make(connection, spec, what, build)
    if not connection.embedded and not connection.local_daemon then
        errors.fail("unsupported", "%s: guests cannot be made through %s: their disks and memory are files of "
            .. "this host; use the default connection, qemu:///system or qemu:///session", what, connection.uri)
    end
    while connection.guests[spec.name] and connection.guests[spec.name].closing do
        connection.guests[spec.name].closing:ended()
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
        changes = {},
        emulator = M.emulator(label, spec),
        closed = false,
    }, Guest)
    connection.guests[self.name] = self
    scope.own(self)
    scope.or_close(self, function()
        local run = require("vm.run").open()
        self.files = storage.new(run, self.name)
        self.console_log = console.of(self, self.files:path "console.log")
        build(self, run, label)
        self:raise("create", self:change(function()
            local domain, err = connection.raw:define(raise(raw.virt.xml(self.desc)))
            self.domain = domain
            return domain, err
        end))
    end)
    return self
end

---Creates a guest that is not started yet. It belongs to the running task.
---@param connection vm.Connection
---@param opts vm.CreateOptions
---@param what? string
---@return vm.Guest
function M.create(connection, opts, what)
    what = what or "vm.create"
    local spec = spec_of.check(what, opts)
    if spec.keep then
        errors.fail("unsupported", "%s: option 'keep': a guest on %s ends with its script; vm.create and vm.boot, and "
            .. "`vmatrix boot`, make one that is kept, which needs no daemon", what, connection.uri)
    end
    return M.of_spec(connection, spec, what)
end

---The same with options that were checked already.
---@param connection vm.Connection
---@param spec table from vm.guest.spec
---@param what string
---@return vm.Guest
function M.of_spec(connection, spec, what)
    return M.make(connection, spec, what, function(self, run, label)
        cards.allocate(self)
        self.login, self.boot_files = require("vm.guest.image").prepare(self, run, label)
        transport.prepare(self, run)
        self.desc = description(self, label)
    end)
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
    return scope.or_close(guest, guest.start, guest, start)
end

return M
