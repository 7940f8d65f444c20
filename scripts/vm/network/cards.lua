-- A guest's network cards: what it is made with, and where each has its place. Inside the guest they
-- are set up by neighbours.lua; plug.lua adds and removes them while it runs; link.lua is their cables.
local raw = require "vm.raw"
local errors = require "vm.errors"
local subnet_of = require "vm.network.subnet"

local M = {}

local CARDS_MAX <const> = 8

local function random_mac()
    local a, b, c = errors.raise(raw.fs.random(3)):byte(1, 3)
    return ("52:54:00:%02x:%02x:%02x"):format(a, b, c) -- 52:54:00 is QEMU's
end

---Gives the guest the cards of its description: addresses, MAC addresses, places on switches.
---@param guest vm.Guest
function M.allocate(guest)
    guest.cards = {}
    for i, nic in ipairs(guest.spec.nics) do
        local card
        if nic.net then
            for _, other in ipairs(guest.cards) do
                if other.network == nic.net then
                    nic.net:fail("usage", "nics", "guest %s has two cards on it", guest.name)
                elseif other.network and subnet_of.overlap(other.network.range, nic.net.range) then
                    nic.net:fail("usage", "nics", "its subnet %s and that of network %s, %s, have addresses in common, "
                        .. "and guest %s is on both", nic.net.subnet, other.network.name, other.network.subnet,
                        guest.name)
                end
            end
            card = nic.net:admit(guest, "nics", nic)
            card.slot = M.free_slot(guest)
            card.made_slot = card.slot
        else
            card = { kind = "nat", mac = nic.mac or random_mac(), restrict = nic.restrict, guest = guest }
        end
        card.index, card.made, card.plugged, card.state = (nic.place or i) - 1, true, true, "up"
        guest.cards[i] = card
    end
end

---The cards as raw.virt.xml takes them.
---@param guest vm.Guest
---@return table[] nics
function M.describe(guest)
    local nics = {}
    for i, card in ipairs(guest.cards) do
        nics[i] = { mac = card.mac, restrict = card.restrict, socket = card.socket, place = card.index + 1,
            forwards = {} }
    end
    local nat = guest.spec.nat and nics[guest.spec.nat]
    if nat then
        if guest.login then
            nat.forwards[1] = { host_addr = "127.0.0.1", host_port = 0, guest_port = guest.login.port }
        end
        for _, forward in ipairs(guest.spec.forward) do
            nat.forwards[#nat.forwards + 1] = { host_addr = forward.address, host_port = forward.host,
                guest_port = forward.guest, udp = forward.udp }
        end
    end
    return nics
end

---What the seed's kernel command line says of the cards, "" when its defaults fit: see vm.seed.init_script.
---@param guest vm.Guest
---@return string
function M.append(guest)
    local order = {}
    for _, card in ipairs(guest.cards) do
        order[#order + 1] = card
    end
    if guest.spec.arch_info.root_ports then
        -- A kernel looks at the root bus first, and behind the root ports later.
        table.sort(order, function(a, b)
            if (a.kind == "nat") ~= (b.kind == "nat") then
                return a.kind == "nat"
            end
            return a.index < b.index
        end)
    end
    local words, nat = {}, false
    for i, card in ipairs(order) do
        if card.kind == "net" then
            words[#words + 1] = (" vmatrix.eth%d=%s/%d"):format(i - 1, card.address, card.prefix)
        elseif not nat and i > 1 then
            words[#words + 1] = (" vmatrix.eth%d=10.0.2.15/24"):format(i - 1)
        end
        nat = nat or card.kind == "nat"
    end
    return table.concat(words)
end

---Raises when a network of the guest was closed: QEMU could not connect.
---@param guest vm.Guest
function M.check_start(guest)
    for _, card in ipairs(guest.cards) do
        if card.network and card.network.closed then
            guest:fail("closed", "start", "its network %s is closed", card.network.name)
        end
    end
end

---QEMU starts anew: it has the cards that the guest was made with, and all links up.
---@param guest vm.Guest
function M.reset(guest)
    local kept = {}
    for _, card in ipairs(guest.cards) do
        if card.made then
            kept[#kept + 1] = card
            card.plugged, card.state, card.slot = true, "up", card.made_slot
        else
            card.network:dismiss(card)
        end
    end
    guest.cards = kept
    guest.settled, guest.names_known = nil, nil
end

---The guest has this card no more, and its place is given back.
---@param guest vm.Guest
---@param card table
function M.drop(guest, card)
    card.network:dismiss(card)
    for i, each in ipairs(guest.cards) do
        if each == card then
            table.remove(guest.cards, i)
            return
        end
    end
end

---The guest is no more: its places are given back.
---@param guest vm.Guest
function M.release(guest)
    for _, card in ipairs(guest.cards or {}) do
        if card.network then
            card.network:dismiss(card)
        end
    end
end

-- The cards of a state, to be compared: QEMU loads a state only with the cards it was kept with.
local function signature(guest, made)
    local parts = {}
    for _, card in ipairs(guest.cards) do
        if made and card.made then
            parts[#parts + 1] = ("%d@%s"):format(card.index, card.made_slot)
        elseif not made and card.plugged then
            parts[#parts + 1] = ("%d@%s"):format(card.index, card.slot)
        end
    end
    table.sort(parts)
    return table.concat(parts, " ")
end

---A snapshot was made: notes which cards were plugged in.
---@param guest vm.Guest
---@param name string the snapshot's
function M.note_snapshot(guest, name)
    guest.snapshot_cards = guest.snapshot_cards or {}
    guest.snapshot_cards[name] = guest.last_state ~= "stopped" and signature(guest) or nil
end

---Raises when the guest has other cards than at a snapshot.
---@param guest vm.Guest
---@param name string the snapshot's
function M.check_revert(guest, name)
    local was = guest.snapshot_cards and guest.snapshot_cards[name]
    local stays = guest.last_state ~= "stopped" and not guest.failure
    if was and was ~= signature(guest, not stays) then
        guest:fail("unsupported", "revert", "network cards were plugged or unplugged since snapshot %s; have the "
            .. "same ones plugged in as then, and revert again", name)
    end
end

---A slot that no plugged card is in, or nil.
---@param guest vm.Guest
---@return integer|nil
function M.free_slot(guest)
    local used = {}
    for _, card in ipairs(guest.cards) do
        if card.slot and card.plugged ~= false then
            used[card.slot] = true
        end
    end
    for slot = 0, (guest.spec.arch_info.root_ports and guest.spec.card_slots or CARDS_MAX) - 1 do
        if not used[slot] then
            return slot
        end
    end
end

---A number that no card of the guest has.
---@param guest vm.Guest
---@return integer
function M.free_index(guest)
    local used = {}
    for _, card in ipairs(guest.cards) do
        used[card.index] = true
    end
    for index = 0, 2 * CARDS_MAX - 1 do
        if not used[index] then
            return index
        end
    end
end

return M
