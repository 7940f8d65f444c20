-- Connections to libvirt, and the guests of each: events are taken here and handed to the guests.
local raw = require "vm.raw"
local errors = require "vm.errors"
local options = require "vm.options"
local reaper = require "vm.task.reaper"
local shutdown = require "vm.task.shutdown"
local task = require "vm.task"

local M = {}

---A connection to libvirt.
---@class vm.Connection
---@field uri string
---@field embedded boolean whether it is the driver inside this process
local Connection = {}
Connection.__index = Connection
Connection.__name = "vm.Connection"

local EMBED <const> = "qemu:///embed"

local open = {} -- uri -> connection, or an event while it is being opened

-- Nothing more is heard of the guests, and nothing more can be asked: their waits end. The next
-- vm.connect opens a connection anew.
local function disconnected(self, why)
    if open[self.uri] == self then
        open[self.uri] = nil
    end
    self.gone = ("libvirt's daemon behind %s is gone (%s); when it runs again (systemctl start libvirtd), close " ..
        "this guest and boot it anew"):format(self.uri, why)
    raw.log.write("error", nil, ("%s: libvirt's daemon is gone (%s)"):format(self.uri, why))
    for _, guest in pairs(self.guests) do
        guest:fail_waits("connection", self.gone)
    end
end

-- Hands each of libvirt's events to its guest until the connection is closed.
local function take_events(self)
    while true do
        local event, err = self.raw:next_event()
        if event == nil then
            if err.kind ~= "closed" then
                raw.log.write("error", nil, ("%s: events: %s"):format(self.uri, err.message))
            end
            return
        end
        if event.lost then
            raw.log.write("warn", nil, ("%s: %d events were lost"):format(self.uri, event.lost))
            for _, guest in pairs(self.guests) do
                guest:on_lost_events()
            end
        end
        local guest = self.guests[event.domain]
        if event.event == "disconnected" then
            disconnected(self, event.reason)
        elseif guest then
            guest:on_event(event)
        end
    end
end

local function open_raw(uri)
    if uri ~= EMBED then
        return errors.raise(raw.virt.open(uri, {}))
    end
    local run = require("vm.run").open()
    return errors.raise(raw.virt.open(uri, { root = run.root, cache = run.capabilities }))
end

---Opens a connection to libvirt, or hands out the one that is open already. Without a URI it is the
---embedded QEMU driver inside this process: no daemon and no root needed.
---@param uri? string "qemu:///embed" (default), "qemu:///system", "qemu:///session", "test:///default", or a remote one
---@return vm.Connection
function M.connect(uri)
    uri = uri or EMBED
    if type(uri) ~= "string" or not uri:find("^%a[%w+.-]*:") then
        errors.fail("usage", "vm.connect: a libvirt URI such as 'qemu:///system' expected, got %s", options.show(uri))
    end
    local known = open[uri]
    while known and known.opening do
        local opening = known.opening
        opening:wait()
        opening:notify() -- for the next who waits
        known = open[uri] -- or nil, when it failed: then the first to come here tries again
    end
    if known then
        return known
    end
    local self = setmetatable({ uri = uri, embedded = uri == EMBED, guests = {} }, Connection)
    self.opening = raw.task.event()
    open[uri] = self
    local _ <close> = setmetatable({}, { __close = function()
        if not self.raw then
            open[uri] = nil
        end
        local opening = self.opening
        self.opening = nil
        opening:notify()
    end })
    self.raw = open_raw(uri)
    self.local_daemon = uri:find("^qemu:///") ~= nil and not self.embedded or uri:find("^qemu%+unix:") ~= nil
    self.events = task.spawn_detached("events " .. uri, take_events, self)
    shutdown.add("connection " .. uri, function()
        self:close()
    end)
    return self
end

---The guests of this process, on whatever connection.
---@return vm.Guest[]
function M.guests()
    local list = {}
    for _, connection in pairs(open) do
        for _, guest in pairs(connection.guests) do
            list[#list + 1] = guest
        end
    end
    return list
end

-- Seconds for a daemon that is started anew.
local RETURN <const> = 15

---For a guest whose daemon went away: its domain becomes what the daemon of now knows by its name, or nil.
---@param guest vm.Guest
---@return userdata connection to be kept as long as the domain is used
---@private
function Connection:find_again(guest)
    local deadline = raw.task.now() + RETURN
    local again, err = raw.virt.open(self.uri, {})
    while not again and raw.task.now() < deadline do
        raw.task.sleep(0.2)
        again, err = raw.virt.open(self.uri, {})
    end
    if not again then
        errors.fail("connection", "guest %s: close: libvirt's daemon is gone and did not come back (%s); once it " ..
            "runs, remove the guest by 'virsh -c %s destroy %s' and 'undefine'", guest.name, err.message, self.uri,
            guest.name)
    end
    guest.domain = again:lookup(guest.name)
    return again
end

---Whether the connection can still be used.
---@return boolean
function Connection:is_open()
    return open[self.uri] == self
end

---Creates a guest here, see vm.create.
---@param opts table
---@return vm.Guest
function Connection:create(opts)
    return require("vm.guest.create").create(self, opts)
end

---Creates and starts a guest here, see vm.boot.
---@param opts table
---@return vm.Guest
function Connection:boot(opts)
    return require("vm.guest.create").boot(self, opts)
end

---The names of all domains that libvirt knows here, also those of others.
---@return string[]
function Connection:domains()
    return errors.raise(self.raw:domains())
end

---Versions: `libvirt` and `hypervisor`.
---@return table
function Connection:version()
    return errors.raise(self.raw:version())
end

---Closes the guests of this run and the connection. Harmless when repeated.
function Connection:close()
    if self.closed then
        return
    end
    self.closed = true
    if self:is_open() then
        open[self.uri] = nil
    end
    local guests = {}
    for _, guest in pairs(self.guests) do
        guests[#guests + 1] = guest
    end
    task.parallel(guests, function(guest)
        guest:close()
    end, { keep_going = true, limit = 16 })
    errors.raise(self.raw:close())
    self.events:ended()
end

Connection.__close = reaper.close

return M
