-- Making guests of a template.
local raw = require "vm.raw"
local arches = require "vm.arch"
local cards = require "vm.network.cards"
local create = require "vm.guest.create"
local disk_io = require "vm.host.disk_io"
local errors = require "vm.errors"
local options = require "vm.options"
local scope = require "vm.task.scope"
local shallow = require "vm.shallow"
local spec_of = require "vm.guest.spec"
local task = require "vm.task"
local timers = require "vm.guest.timers"
local transport = require "vm.guest.transport"
local wake = require "vm.guest.wake"

local M = {}

local raise = errors.raise

local fork_spec = {
    name = "string",
    count = { "integer", min = 1, max = 1000 },
    hostname = "string|boolean",
    machine_id = { "boolean", default = false },
    forward = "table",
    networks = "table",
    wait = { "string", one_of = { "none", "commands" } },
    timeout = "time",
}

---QEMU's arguments for a guest that waits for its state.
---@param args string[]|nil
---@return string[]
function M.incoming(args)
    local list = table.move(args or {}, 1, #(args or {}), 1, {})
    list[#list + 1] = "-incoming"
    list[#list + 1] = "defer"
    return list
end

local function next_name(self)
    while true do
        self.count = self.count + 1
        local name = ("%s-f%d"):format(self.name:sub(1, 40), self.count)
        if not self.connection.guests[name] then
            return name
        end
    end
end

-- The guest's own ports, or those of the template; a port of the host cannot be had twice.
local function forwards_of(spec, given, what)
    local list = {}
    for i, item in ipairs(given or spec.forward) do
        list[i] = given and spec_of.forward(("%s: forward[%d]"):format(what, i), item) or shallow(item)
        list[i].host = given and list[i].host or 0
    end
    return list
end

-- Overlays of the disks that may be written to; with "snapshot" full copies, which hold the snapshot.
local function build_disks(self, desc, way, label)
    local disks = {}
    self.disk_paths = {}
    for i, item in ipairs(desc.disks) do
        if item.readonly or item.cdrom then
            disks[i] = item
        elseif way == "snapshot" then
            disks[i] = shallow(item)
            disks[i].path = self.files:path(("disk%d.qcow2"):format(i))
            self:raise(label, raw.fs.copy(item.path, disks[i].path))
        else
            disks[i] = self.files:fork_disk(("disk%d.qcow2"):format(i), item)
        end
        if not item.cdrom then
            self.disk_paths[#self.disk_paths + 1] = disks[i].path
        end
    end
    return disks
end

-- The files and the description of a fork.
local function build(self, template, run, label)
    local info, way = template.info, template.way
    cards.allocate(self)
    self.login = info.login and shallow(info.login)
    self.boot_files = shallow(info.boot)
    transport.prepare(self, run)
    self.inherited = info.outside -- what it stands on, a template made of it will, too
    self.boot_files.kernel, self.boot_files.initrd = info.desc.kernel, info.desc.initrd
    local desc = shallow(info.desc)
    desc.name, desc.uuid = self.name, nil
    desc.console_log = self.console_log.path
    desc.disks = build_disks(self, info.desc, way, label)
    desc.disk_io = disk_io.choose(self.arch, self.emulator)
    desc.nics = cards.describe(self)
    if desc.nvram then
        local nvram = self.files:path("nvram")
        raise(raw.fs.copy(desc.nvram, nvram))
        desc.nvram = nvram
    end
    self.desc = desc
    if way == "live" then
        desc.ram_private = true
        desc.qemu_args = M.incoming(transport.qemu_args(self))
    else
        desc.ram = self.files:ram(label, self.spec.memory)
        desc.ram_private = false
        desc.qemu_args = transport.qemu_args(self)
    end
end

local function start_live(self, template)
    self:raise("fork", self:change(self.domain.wake, self.domain, template.folder .. "/state"))
    self.desc.qemu_args = transport.qemu_args(self) -- its next start is a boot, which waits for no state
    self:redefine("fork")
end

local function start_snapshot(self)
    self:raise("fork", self:change(function()
        local ok, err = self.domain:start { paused = true }
        if not ok then
            return ok, err
        end
        local said
        said, err = self.domain:hmp("loadvm " .. require("vm.template.freeze").SNAPSHOT)
        if not said then
            return said, err
        elseif said:find("Error", 1, true) then
            return nil, errors.new("libvirt", "QEMU cannot load the snapshot: " .. said:gsub("%s+", " "))
        end
        return self.domain:resume()
    end))
end

-- The networks to be on: pairs of a network and options of network:plug.
local function networks_of(template, given, what)
    local list = {}
    for i, item in ipairs(given or template.networks) do
        local own = require("vm.network").is(item) and { net = item } or item
        own = options.check(("%s: networks[%d]"):format(what, i), own,
            { net = "any", address = "string", mac = "string", hostname = "string" })
        if not require("vm.network").is(own.net) then
            errors.fail("usage", "%s: networks[%d]: a network of vm.network expected, got %s", what, i,
                options.show(own.net))
        end
        list[i] = { own.net, { address = own.address, mac = own.mac, hostname = own.hostname } }
    end
    return list
end

-- One fork, running; what it waits for is the caller's affair.
local function make(template, opts, what)
    template:hold()
    local spec = shallow(template.info.spec)
    spec.arch_info = arches.find(what, spec.arch)
    spec.name = opts.name or next_name(template)
    spec_of.check_name(what, spec.name)
    spec.forward = forwards_of(spec, opts.forward, what)
    local ok, self = pcall(create.make, template.connection, spec, what, function(self, run, label)
        build(self, template, run, label)
    end)
    if not ok then
        template:let_go()
        error(self, 0)
    end
    self.fork_of = template
    self.origin = { how = template.way, template = template.name }
    scope.or_close(self, function()
        self.failure, self.stopping = nil, false
        self.life = "starting"
        if template.way == "live" then
            start_live(self, template)
        elseif template.way == "snapshot" then
            start_snapshot(self)
        else
            self:raise("fork", self:change(self.domain.start, self.domain, {}))
        end
        if template.way ~= "boot" then
            timers.set_again(self, "fork")
        end
        self:check_open("fork")
        if self.life ~= "ended" then
            self.last_state, self.life = "running", "started"
        end
        self.forked = template.way ~= "boot" or nil
    end)
    raw.log.write("info", self.name, ("forked from template %s (%s)"):format(template.name, template.way))
    return self
end

local function fork_one(template, opts, what)
    local networks = networks_of(template, opts.networks, what)
    local self = make(template, opts, what)
    scope.or_close(self, function()
        local limit = opts.timeout or self:limit(60)
        if template.way == "boot" then
            self:wait_ready { timeout = opts.timeout or self:limit(120) }
        end
        wake.begin(self, {
            hostname = opts.hostname == true and self.name or opts.hostname or nil,
            machine_id = opts.machine_id,
        })
        if opts.wait ~= "none" and self.waking then
            task.timeout(limit, wake.await, self, "fork")
        end
        for _, pair in ipairs(networks) do
            pair[1]:plug(self, pair[2])
        end
    end)
    return self
end

---Makes one guest of a template, or with `count` a list of them, all at once.
---@param template vm.Template
---@param opts? vm.ForkOptions
---@return vm.Guest|vm.Guest[]
function M.fork(template, opts)
    local what = template:what("fork")
    opts = options.check(what, opts, fork_spec)
    if opts.hostname == false then
        opts.hostname = nil
    end
    if not opts.count then
        return fork_one(template, opts, what)
    end
    local list = {}
    for i = 1, opts.count do
        list[i] = shallow(opts)
        list[i].name = opts.name and ("%s-%d"):format(opts.name, i) or nil
        list[i].hostname = type(opts.hostname) == "string" and ("%s-%d"):format(opts.hostname, i) or opts.hostname
    end
    return task.parallel(list, function(one)
        return fork_one(template, one, what)
    end)
end

return M
