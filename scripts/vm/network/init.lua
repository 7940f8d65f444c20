-- Private networks between guests: a switch in this process, and who is on it with which addresses.
-- The guests' side is in cards.lua.
local raw = require "vm.raw"
local errors = require "vm.errors"
local options = require "vm.options"
local reaper = require "vm.task.reaper"
local scope = require "vm.task.scope"
local subnet_of = require "vm.network.subnet"

local M = {}

---A private network: guests on it see each other, and nothing else.
---@class vm.Network
---@field name string
---@field subnet string "10.9.0.0/24"
---@field closed boolean
local Network = {}
Network.__index = Network
Network.__name = "vm.Network"

local open = {} -- number -> network

---@class vm.NetworkOptions
---@field name? string for messages and logs
---@field subnet? string "10.9.0.0/24"; the first of 10.9.N.0/24 that is free unless told otherwise
---@field names? boolean false: the guests' /etc/hosts are left alone

local network_spec = {
    name = "string",
    subnet = "string",
    names = { "boolean", default = true },
}

local function free_subnet()
    for n = 0, 255 do
        local subnet = subnet_of.parse("vm.network", ("10.9.%d.0/24"):format(n))
        local taken = false
        for _, other in pairs(open) do
            taken = taken or subnet_of.overlap(subnet, other.range)
        end
        if not taken then
            return subnet
        end
    end
    errors.fail("limit", "vm.network: all of 10.9.0.0/16 is in use; close some, or give option 'subnet'")
end

local count = 0

---Makes a network. It belongs to the running task.
---@param opts? vm.NetworkOptions
---@return vm.Network
function M.network(opts)
    opts = options.check("vm.network", opts, network_spec)
    if opts.name and not opts.name:find("^[%w._-]+$") then
        errors.fail("usage", "vm.network: option 'name': letters, digits, '.', '_' and '-' expected, got %s",
            options.show(opts.name))
    end
    local range = opts.subnet and subnet_of.parse("vm.network: option 'subnet'", opts.subnet) or free_subnet()
    local run = require("vm.run").open()
    count = count + 1
    local self = setmetatable({
        name = opts.name or ("network-%d"):format(count),
        subnet = range.text,
        range = range,
        names = opts.names,
        number = count,
        folder = ("%s/n%d"):format(run.root, count),
        cards = {}, -- those that have an address here, plugged or not, in the order they came
        sockets = 0,
        closed = false,
    }, Network)
    errors.raise(raw.fs.mkdir_p(self.folder, 448)) -- 0700: who may enter it may join
    self.switch = errors.raise(raw.net.switch(string.unpack("i8", errors.raise(raw.fs.random(8)))))
    open[count] = self
    scope.own(self)
    return self
end

---Whether a value is a network.
---@param value any
---@return boolean
function M.is(value)
    return getmetatable(value) == Network
end

function Network:__tostring()
    return ("network %s (%s%s)"):format(self.name, self.subnet, self.closed and ", closed" or "")
end

---Raises an error about this network.
---@param kind string
---@param verb string
---@param format string
---@param ... any
---@private
function Network:fail(kind, verb, format, ...)
    errors.fail(kind, "network %s: %s: %s", self.name, verb, format:format(...))
end

---Raises when the network was closed.
---@param verb string
---@private
function Network:check_open(verb)
    if self.closed then
        self:fail("closed", verb, "the network is closed")
    end
end

local function random_mac()
    local a, b, c = errors.raise(raw.fs.random(3)):byte(1, 3)
    return ("52:54:00:%02x:%02x:%02x"):format(a, b, c) -- 52:54:00 is QEMU's
end

-- The card here whose field has that value.
local function card_with(self, field, value)
    for _, card in ipairs(self.cards) do
        if card[field] == value then
            return card
        end
    end
end

-- Raises when a card here has that already.
local function check_free(self, verb, field, noun, value)
    local holder = card_with(self, field, value)
    if holder then
        self:fail("exists", verb, "%s is the %s of guest %s already; leave `%s` out to get a free one", value, noun,
            holder.guest.name, field)
    end
end

local function take_address(self, verb, wanted)
    if wanted then
        local label = ("network %s: %s: option 'address'"):format(self.name, verb)
        local text = subnet_of.text(subnet_of.address(label, self.range, wanted))
        check_free(self, verb, "address", "address", text)
        return text
    end
    -- From the second on: the first address is where people expect a way out.
    local first = math.min(self.range.first + 1, self.range.last)
    for value = first, self.range.last do
        local text = subnet_of.text(value)
        if not card_with(self, "address", text) then
            return text
        end
    end
    self:fail("limit", verb, "no address of %s is free", self.subnet)
end

local function take_mac(self, verb, wanted)
    if wanted then
        local mac = wanted:lower()
        check_free(self, verb, "mac", "MAC address", mac)
        return mac
    end
    local mac
    repeat
        mac = random_mac()
    until not card_with(self, "mac", mac)
    return mac
end

---Gives a guest's card a place on the switch, an address and a MAC address.
---@param guest vm.Guest
---@param verb string for messages
---@param wanted { address?: string, mac?: string, hostname?: string }
---@return table card
---@private
function Network:admit(guest, verb, wanted)
    self:check_open(verb)
    local card = {
        kind = "net", network = self, guest = guest,
        hostname = wanted.hostname or guest.name,
        address = take_address(self, verb, wanted.address),
        mac = take_mac(self, verb, wanted.mac),
        prefix = self.range.prefix,
    }
    local namesake = card_with(self, "hostname", card.hostname)
    if namesake and namesake.guest ~= guest then
        self:fail("exists", verb, "guest %s is called %s there already; give another `hostname`", namesake.guest.name,
            card.hostname)
    end
    self.sockets = self.sockets + 1
    card.socket = ("%s/%d"):format(self.folder, self.sockets)
    card.port = errors.raise(self.switch:add(card.socket))
    self.cards[#self.cards + 1] = card
    return card
end

---Takes a card's place back. Harmless when repeated.
---@param card table
---@private
function Network:dismiss(card)
    for i, each in ipairs(self.cards) do
        if each == card then
            table.remove(self.cards, i)
            if not self.closed then
                self.switch:remove(card.port)
            end
            return
        end
    end
end

---The card that a guest has here: the one that is plugged, or one that it was made with.
---@param guest vm.Guest
---@return table|nil
---@private
function Network:card_of(guest)
    local found
    for _, card in ipairs(self.cards) do
        if card.guest == guest and (not found or card.plugged) then
            found = card
        end
    end
    return found
end

---@class vm.NetworkMember
---@field guest vm.Guest
---@field hostname string
---@field address string
---@field mac string
---@field plugged boolean
---@field connected boolean whether its QEMU is connected
---@field sent { frames: integer, bytes: integer, lost: integer, dropped: integer } by the guest
---@field received { frames: integer, bytes: integer, lost: integer, dropped: integer } by the guest

---Who is on the network, in the order they came.
---@return vm.NetworkMember[]
function Network:members()
    self:check_open("members")
    local members = {}
    for i, card in ipairs(self.cards) do
        local stats = self.switch:stats(card.port)
        members[i] = {
            guest = card.guest, hostname = card.hostname, address = card.address, mac = card.mac,
            plugged = card.plugged, connected = stats.connected, sent = stats.from, received = stats.to,
        }
    end
    return members
end

---The address that a guest has here.
---@param guest vm.Guest|string the guest, or its name here
---@return string
function Network:address(guest)
    local card
    if type(guest) == "string" then
        card = card_with(self, "hostname", guest)
    else
        card = self:card_of(guest)
    end
    if not card then
        self:fail("notfound", "address", "%s is not on it",
            type(guest) == "table" and tostring(guest) or options.show(guest))
    end
    return card.address
end

---Plugs a new card of this network into a running guest, and waits until the guest has its address.
---@param guest vm.Guest
---@param opts? { address?: string, mac?: string, hostname?: string, timeout?: number|string }
---@return string address
function Network:plug(guest, opts)
    self:check_open("plug")
    return require("vm.network.plug").plug(self, guest, opts)
end

---Unplugs the guest's card of this network, and waits until it is gone.
---@param guest vm.Guest
---@param opts? { timeout?: number|string }
function Network:unplug(guest, opts)
    require("vm.network.plug").unplug(self, guest, opts)
end

---Writes every frame to a file that tcpdump and Wireshark read, from now on; without a path no more.
---@param path? string replaced when it exists
function Network:capture(path)
    self:check_open("capture")
    if path ~= nil and type(path) ~= "string" then
        self:fail("usage", "capture", "a path expected, got %s", options.show(path))
    end
    local full = path and require("vm.script").path(path)
    local ok, err = self.switch:capture(full)
    errors.raise(ok, err and errors.prefix(err, ("network %s"):format(self.name)))
end

---Ends the network: guests that are still on it keep a card without a carrier, and a line in the log
---names them. Harmless when repeated.
function Network:close()
    if self.closed then
        return
    end
    self.closed = true
    open[self.number] = nil
    scope.disown(self)
    local left = {}
    for _, card in ipairs(self.cards) do
        if not card.guest.closed and card.plugged then
            left[#left + 1] = card.guest.name
        end
    end
    self.switch:close()
    raw.fs.remove_tree(self.folder)
    if #left > 0 then
        raw.log.write("warn", nil, ("network %s: closed while %s still had a card on it"):format(self.name,
            table.concat(left, ", ")))
    end
    require("vm.network.link").lose_carrier(self)
end

Network.__close = reaper.close

return M
