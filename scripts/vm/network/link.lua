-- The cables of a guest's network cards: up or down, and what they do to what goes through.
local errors = require "vm.errors"
local network = require "vm.network"
local options = require "vm.options"
local qmp = require "vm.network.qmp"

local M = { methods = {} }

---@class vm.Guest
local Guest = M.methods

local function set_link(guest, verb, card)
    qmp.must(guest, verb, "set_link", { name = ("vxnic%d"):format(card.index), up = card.state == "up" })
end

---After a revert the devices have the links of the snapshot: they get the present ones.
---@param guest vm.Guest
function M.restore(guest)
    for _, card in ipairs(guest.cards) do
        if card.plugged and card.touched then
            set_link(guest, "revert", card)
        end
    end
end

---A network ended: its cards lose their carrier.
---@param net vm.Network
function M.lose_carrier(net)
    for _, card in ipairs(net.cards) do
        local guest = card.guest
        if card.plugged and not guest.closed and (guest.last_state == "running" or guest.last_state == "paused") then
            card.state, card.touched = "down", true
            pcall(set_link, guest, "link", card)
        end
    end
end

---What a link does to frames; what is not given is perfect.
---@class vm.LinkOptions
---@field state? "up"|"down"
---@field delay? number|string each frame's, such as "50ms"
---@field jitter? number|string the delay is this much longer or shorter, at random; the order is kept
---@field loss? number the share of frames that is lost, 0 to 1
---@field rate? string|integer bytes a second, such as "1MiB"; what would wait longer than 250 ms is dropped
---@field direction? "both"|"send"|"receive" seen from the guest; "both" unless told otherwise

local link_spec = {
    state = { "string", one_of = { "up", "down" } },
    delay = "time",
    jitter = "time",
    loss = { "number", min = 0, max = 1 },
    rate = "size",
    direction = { "string", default = "both", one_of = { "both", "send", "receive" } },
}

local directions = {
    both = { "send", "receive" },
    send = { "send" },
    receive = { "receive" },
}
local ways = { send = "from", receive = "to" } -- as the switch has it

local function find_card(guest, which)
    if network.is(which) then
        local card = which:card_of(guest)
        if not card or not card.plugged then
            guest:fail("notfound", "link", "the guest has no card on network %s", which.name)
        end
        return card
    elseif math.type(which) ~= "integer" then
        guest:fail("usage", "link", "a network, or the number of a card (1 is the first), expected, got %s",
            options.show(which))
    elseif not guest.cards[which] then
        guest:fail("notfound", "link", "the guest has %d network cards, none is number %d", #guest.cards, which)
    end
    return guest.cards[which]
end

---@class vm.Link
---@field kind "nat"|"net"
---@field state "up"|"down"
---@field mac string
---@field address? string on a network
---@field connected? boolean on a network: whether QEMU is connected to it
---@field send? vm.LinkOptions on a network: what happens to what the guest sends
---@field receive? vm.LinkOptions and to what it receives
---@field sent? { frames: integer, bytes: integer, lost: integer, dropped: integer }
---@field received? { frames: integer, bytes: integer, lost: integer, dropped: integer }

local function copy(shape)
    local out = {}
    for name, value in pairs(shape or {}) do
        out[name] = value
    end
    return out
end

local function describe(card)
    local link = { kind = card.kind, state = card.state, mac = card.mac, address = card.address }
    if card.network and not card.network.closed then
        local stats = card.network.switch:stats(card.port)
        link.connected, link.sent, link.received = stats.connected, stats.from, stats.to
        link.send, link.receive = copy(card.send), copy(card.receive)
    end
    return link
end

local function shape(guest, card, set)
    local given = { delay = set.delay, jitter = set.jitter, loss = set.loss, rate = set.rate }
    if card.kind == "nat" then
        if next(given) then
            guest:fail("unsupported", "link", "a \"nat\" card can only be up or down: delay, jitter, loss and rate are "
                .. "for networks of vm.network")
        end
        return
    end
    card.network:check_open("link")
    for _, direction in ipairs(directions[set.direction]) do
        card[direction] = copy(given)
        card.network.switch:shape(card.port, ways[direction], given)
    end
end

---Pulls a network card's cable, puts it in again, or makes it a bad one; tells how it is. A table says
---all that it does from now on: `{}` is a perfect cable.
---@param which vm.Network|integer the network, or the number of the card: 1 is the first of `nics`
---@param setting? "up"|"down"|vm.LinkOptions
---@return vm.Link
function Guest:link(which, setting)
    self:check_open("link")
    local card = find_card(self, which)
    local set = {}
    if type(setting) == "string" then
        set = options.check(self:what("link"), { state = setting }, link_spec)
    elseif setting ~= nil then
        set = options.check(self:what("link"), setting, link_spec)
        shape(self, card, set)
    end
    if set.state then
        self:check_alive("link")
        if set.state == "up" and card.network and card.network.closed then
            errors.fail("closed", "%s: network %s is closed", self:what "link", card.network.name)
        end
        card.state, card.touched = set.state, true
        set_link(self, "link", card)
    end
    return describe(card)
end

return M
