-- Freezing a guest into a template.
local raw = require "vm.raw"
local errors = require "vm.errors"
local features = require "vm.guest.features"
local run_of = require "vm.run"
local shallow = require "vm.shallow"
local task = require "vm.task"
local template = require "vm.template"

local M = {}

local fs = raw.fs
local raise = errors.raise

-- Seconds in which the guest may hear that its ssh session is over, before it is frozen.
local HANG_UP <const> = 0.5

---The version of the template's description; a number that this program does not know is refused.
M.FORMAT = 1

---The name of the internal snapshot that copies are started from.
M.SNAPSHOT = "vmatrix-fork"

-- Ends the ssh session and waits a little until the guest knows: what it holds of it would be in every
-- fork. QEMU's table tells when the connection is gone.
local function hang_up(self)
    if not self.conn or not self.conn:is_open() then
        return
    end
    self.conn:lose("the guest is being frozen")
    local deadline = raw.task.now() + HANG_UP
    while raw.task.now() < deadline do
        local known = false
        local text = self.domain:hmp("info usernet") or ""
        for state, port in text:gmatch("TCP%[([%w_]+)%]%s+%S+%s+%S+%s+%S+%s+%S+%s+(%d+)") do
            known = known or (port == tostring(self.login.port) and state ~= "HOST_FORWARD" and state ~= "TIME_WAIT")
        end
        if not known then
            return
        end
        task.sleep(0.01)
    end
end

-- The machine type that a name such as "q35" stands for today, and the firmware's files.
local function resolve(self, desc)
    local xml = self:raise("template", self.domain:xml(false))
    desc.machine = xml:match("<type[^>]- machine=['\"]([^'\"]+)['\"]") or desc.machine
    local loader = xml:match("<loader[^>]*>([^<]+)</loader>")
    local nvram = xml:match("<nvram[^>]*>([^<]+)</nvram>")
    if loader and nvram then
        desc.loader, desc.nvram = loader, nvram
    end
end

-- What an immutable file of somebody else's was: a fork from another one would be a wrong guest.
local function identity(path)
    local stat = raise(fs.stat(path))
    return { path = path, size = stat.size, mtime = stat.mtime, ino = stat.ino }
end

local function new_folder(run, name)
    for i = 1, 1000 do
        local folder = ("%s/templates/%s%s"):format(run.dir, name, i > 1 and "-" .. i or "")
        if not fs.exists(folder) then
            raise(fs.mkdir_p(folder, 448)) -- 0700
            return folder
        end
    end
    errors.fail("limit", "template %s: there are a thousand of that name", name)
end

-- The cards that lead to the host, as they are; those on networks are plugged into each fork anew.
local function nat_cards(self)
    local list = {}
    for _, card in ipairs(self.cards) do
        if card.kind == "nat" then
            list[#list + 1] = { "nat", mac = card.mac, restrict = card.restrict, place = card.index + 1 }
        end
    end
    return list
end

-- A fork's RAM is a private mapping: before it can be frozen again it goes, through a second QEMU, into
-- a file of its own. Returns that QEMU's domain.
local function move_ram(self, desc, ram)
    local moved = shallow(self.desc)
    moved.name, moved.uuid = self.name .. ".frozen", nil
    moved.ram, moved.ram_private = ram, false
    moved.console_log = self.files:path("frozen.log")
    moved.qemu_args = require("vm.template.fork").incoming(require("vm.guest.transport").qemu_args(self, ".moved"))
    moved.nics = {}
    for i, card in ipairs(nat_cards(self)) do
        moved.nics[i] = { mac = card.mac, restrict = card.restrict, place = card.place, forwards = {} }
    end
    local domain = self:raise("template", self.connection.raw:define(raise(raw.virt.xml(moved))))
    local ok, err = self.domain:move(domain)
    if not ok then
        domain:undefine()
        self:raise("template", nil, err)
    end
    desc.ram_private = false
    return domain
end

local function freeze_live(self, folder, desc, undo)
    local domain = self.domain
    desc.ram = run_of.template_ram(folder:match("[^/]*$"), self.spec.memory, self.desc.ram, self.desc.ram_private)
    if self.desc.ram_private then
        undo[#undo + 1] = function() fs.unlink(desc.ram) end
        run_of.make_ram(desc.ram, self.spec.memory)
        domain = move_ram(self, desc, desc.ram)
        undo[#undo + 1] = function()
            domain:destroy()
            domain:undefine()
            self.domain:resume()
        end
    end
    self:raise("template", domain:freeze(folder .. "/state"))
    if domain ~= self.domain then
        self:raise("template", domain:destroy())
        domain:undefine()
    else
        raise(fs.rename(self.desc.ram, desc.ram))
        self.files.ram_path = nil
    end
end

-- Without its RAM in a file: an internal snapshot, of which forks load a copy.
local function freeze_snapshot(self)
    self:raise("template", self.domain:suspend())
    local said = self:raise("template", self.domain:hmp("savevm " .. M.SNAPSHOT))
    if said:find("Error", 1, true) then
        self.domain:resume()
        self:fail("unsupported", "template", "QEMU cannot keep its state in a snapshot: %s", (said:gsub("%s+", " ")))
    end
end

-- Moves what the guest had into the template's folder.
local function take_files(self, folder, desc)
    local function take(path, name)
        local to = folder .. "/" .. name
        raise(fs.rename(path, to))
        return to
    end
    local own = self.files.folder .. "/"
    for i, item in ipairs(desc.disks) do
        local copy = shallow(item)
        if not copy.cdrom and copy.path:sub(1, #own) == own then
            copy.path = take(copy.path, ("disk%d.qcow2"):format(i))
        end
        desc.disks[i] = copy
    end
    if desc.initrd and desc.initrd:sub(1, #own) == own then
        desc.initrd = take(desc.initrd, "initrd")
    end
    if desc.nvram then
        raise(fs.copy(desc.nvram, folder .. "/nvram"))
        desc.nvram = folder .. "/nvram"
    end
end

-- What other people's files it stands on.
local function outside_files(self, desc, folder)
    local list = {}
    local function add(path)
        if path and path:sub(1, #folder + 1) ~= folder .. "/" then
            list[#list + 1] = identity(path)
        end
    end
    add(desc.kernel)
    add(desc.initrd)
    add(desc.loader)
    for _, item in ipairs(desc.disks) do
        add(item.path)
    end
    add(self.files.image)
    for _, item in ipairs(self.inherited or {}) do
        list[#list + 1] = item
    end
    return list
end

local function describe(self, name, way, desc, folder)
    local spec = {}
    for key, value in pairs(self.spec) do
        spec[key] = key ~= "arch_info" and value or nil
    end
    spec.nics = nat_cards(self)
    spec.nat = #spec.nics > 0 and 1 or nil
    desc.nics = nil
    return {
        format = M.FORMAT,
        name = name,
        created = os.time(),
        vmatrix = raw.build.version,
        qemu = raise(self.connection.raw:version()).hypervisor,
        way = way,
        spec = spec,
        desc = desc,
        login = self.login,
        boot = { ready = self.boot_files.ready, features = self.boot_files.features },
        outside = outside_files(self, desc, folder),
        parent = self.fork_of and self.fork_of.path,
    }
end

-- A card of a network has an address that no two guests may have: it is not part of the template.
local function leave_networks(self, networks, undo)
    for _, card in ipairs(table.move(self.cards, 1, #self.cards, 1, {})) do
        if card.network and card.plugged and not card.network.closed then
            local was = { address = card.address, mac = card.mac, hostname = card.hostname }
            networks[#networks + 1] = card.network
            card.network:unplug(self)
            require("vm.network.cards").drop(self, card)
            undo[#undo + 1] = function() card.network:plug(self, was) end
        end
    end
end

local function freeze_steps(self, opts, way)
    local run = run_of.open()
    local name = opts.name or self.name
    local folder = new_folder(run, name)
    local undo, networks = { function() fs.remove_tree(folder) end }, {}
    local ok, result = pcall(function()
        local desc = shallow(self.desc)
        desc.disks = table.move(self.desc.disks, 1, #self.desc.disks, 1, {})
        resolve(self, desc)
        leave_networks(self, networks, undo)
        hang_up(self)
        if way == "live" then
            freeze_live(self, folder, desc, undo)
        elseif way == "snapshot" then
            freeze_snapshot(self)
        else
            self:stop()
        end
        -- From here on there is no way back.
        undo = {}
        take_files(self, folder, desc)
        return describe(self, name, way, desc, folder)
    end)
    if not ok then
        for i = #undo, 1, -1 do
            pcall(undo[i])
        end
        error(result, 0)
    end
    local ram, parent = way == "live" and result.desc.ram, self.fork_of
    return template.new {
        name = name,
        info = result,
        folder = folder,
        connection = self.connection,
        parent = parent,
        networks = networks,
        release = function()
            raise(fs.remove_tree(folder))
            if ram then
                fs.unlink(ram)
            end
            if parent then
                parent:let_go()
            end
        end,
    }
end

---Freezes a guest; see guest:template.
---@param self vm.Guest
---@param opts vm.TemplateOptions
---@return vm.Template
function M.freeze(self, opts)
    local can = features.of(self)
    local way = opts.way or can.fork
    if way == "live" and can.fork ~= "live" then
        self:fail("unsupported", "template", "it cannot be forked live: %s", can.why)
    end
    self.stopping = true
    local ok, made = pcall(self.change, self, freeze_steps, self, opts, way)
    if not ok then
        self.stopping = false
        error(errors.is(made) and errors.prefix(made, "") or made, 0)
    end
    self.fork_of = nil -- the template holds on to what the guest was a fork of
    self.consumed = ("the guest was frozen into template %s; fork that"):format(made.name)
    -- Its QEMU has let go of the disks already: nobody has to wait for its end.
    made.consuming = task.spawn_detached("consume " .. self.name, self.close, self)
    if opts.path then
        require("vm.template.store").save(made, opts.path)
    end
    return made
end

return M
