-- Network cards that are plugged into a running guest, and unplugged.
local raw = require "vm.raw"
local cards = require "vm.network.cards"
local neighbours = require "vm.network.neighbours"
local options = require "vm.options"
local qmp = require "vm.network.qmp"
local slots = require "vm.network.slot"

local M = {}

local function device(guest, card)
    local args = { id = ("vxnic%d"):format(card.index), netdev = ("vxnet%d"):format(card.index), mac = card.mac }
    if guest.spec.arch_info.pci_bus then
        args.driver, args.bus, args.romfile = "virtio-net-pci", ("vxport%d"):format(card.slot), ""
    else
        args.driver, args.devno = "virtio-net-ccw", ("fe.0.01%02x"):format(card.index)
    end
    return args
end

-- Whether commands can be run in it.
local function can_exec(guest)
    return guest.login ~= nil and guest.spec.nat ~= nil
end

local plug_spec = { address = "string", mac = "string", hostname = "string", timeout = "time" }

local function check_plug(network, guest, verb)
    if type(guest) ~= "table" or not guest.spec or not guest.cards then
        network:fail("usage", verb, "a guest expected, got %s", options.show(guest))
    end
    guest:check_alive(verb)
    if guest.last_state ~= "running" then
        guest:fail("usage", verb, "the guest is %s: only a running one can take or give up a card", guest.last_state)
    elseif guest.spec.arch_info.pci_bus and not guest.spec.arch_info.root_ports then
        guest:fail("unsupported", verb, "a running guest of %s does not notice new cards; name the network in `nics` "
            .. "when it is made", guest.arch)
    end
end

local function take_slot(guest)
    local slot = cards.free_slot(guest)
    if slot then
        return slot
    end
    guest:fail("limit", "plug", guest.spec.card_slots == 0
        and "the guest was made without a slot for a card; give vm.create option card_slots = 1"
        or "all %d slots for cards are taken; give vm.create a higher option 'card_slots'", guest.spec.card_slots)
end

-- The card that is to be plugged: the one it was made with, if that was unplugged, or a new one.
local function card_to_plug(network, guest, opts)
    local card = network:card_of(guest)
    if card and not (opts.address or opts.mac or opts.hostname) then
        return card
    end
    card = network:admit(guest, "plug", opts)
    card.index = cards.free_index(guest)
    guest.cards[#guest.cards + 1] = card
    return card
end

local function forget(guest, card)
    card.plugged = false
    if card.made then
        return
    end
    cards.drop(guest, card)
end

---See Network:plug.
---@param network vm.Network
---@param guest vm.Guest
---@param opts? table
---@return string address
function M.plug(network, guest, opts)
    check_plug(network, guest, "plug")
    opts = options.check(guest:what("plug"), opts, plug_spec)
    local limit = opts.timeout or guest:limit(10)
    local present = network:card_of(guest)
    if present and present.plugged then
        guest:fail("exists", "plug", "the guest is on network %s already", network.name)
    end
    local slot = take_slot(guest)
    local card = card_to_plug(network, guest, opts)
    card.slot, card.plugged, card.state = slot, true, "up"
    local netdev = ("vxnet%d"):format(card.index)
    local plugged, err = pcall(function()
        guest:change(function()
            qmp.must(guest, "plug", "netdev_add", { type = "stream", id = netdev, server = false,
                addr = { type = "unix", path = card.socket } })
            local done, problem = qmp.call(guest, "plug", "device_add", device(guest, card))
            if not done then
                qmp.call(guest, "plug", "netdev_del", { id = netdev })
                guest:fail("libvirt", "plug", "QEMU refused the card: %s", tostring(problem.desc))
            end
        end)
    end)
    if not plugged then
        forget(guest, card)
        error(err, 0)
    end
    if can_exec(guest) then
        neighbours.set_up(guest, "plug", { card }, limit, slots.on(guest, card))
    end
    return card.address
end

local function is_there(guest, card)
    local id = ("vxnic%d"):format(card.index)
    for _, item in ipairs(qmp.must(guest, "unplug", "qom-list", { path = "/machine/peripheral" })) do
        if item.name == id then
            return true
        end
    end
    return false
end

---See Network:unplug.
---@param network vm.Network
---@param guest vm.Guest
---@param opts? table
function M.unplug(network, guest, opts)
    check_plug(network, guest, "unplug")
    opts = options.check(guest:what("unplug"), opts, { timeout = "time" })
    local card = network:card_of(guest)
    if not card or not card.plugged then
        guest:fail("notfound", "unplug", "the guest has no card on network %s", network.name)
    end
    local limit = opts.timeout or guest:limit(20)
    local deadline = raw.task.now() + limit
    local off = can_exec(guest) and slots.off(guest, card)
    if off then
        pcall(guest.exec, guest, slots.as(guest) .. "\n" .. off, { timeout = limit })
    end
    guest:change(function()
        local pause = 0.005
        local asked, problem = qmp.call(guest, "unplug", "device_del", { id = ("vxnic%d"):format(card.index) })
        if not asked and problem.class ~= "DeviceNotFound" then
            guest:fail("libvirt", "unplug", "QEMU refused to take the card out: %s", tostring(problem.desc))
        end
        while is_there(guest, card) do
            if raw.task.now() >= deadline then
                guest:fail("timeout", "unplug", "the guest did not give the card up within %g s", limit)
            end
            raw.task.sleep(pause)
            pause = math.min(pause * 1.5, 0.1)
        end
        qmp.must(guest, "unplug", "netdev_del", { id = ("vxnet%d"):format(card.index) })
        forget(guest, card)
    end)
end

return M
