-- Inside the guests on a network: each gets its addresses, and knows the others by name.
local raw = require "vm.raw"
local shell = require "vm.remote.shell"
local task = require "vm.task"

local M = {}

-- Finds each card by its MAC address, waits for it, and gives it its address.
local CARD <const> = [[
card() {
    i=0
    while :; do
        for path in /sys/class/net/*; do
            have=
            read -r have 2>/dev/null <"$path/address"
            [ "$have" != "$1" ] || break 2
        done
        i=$((i + 1))
        if [ $i -gt $3 ]; then
            echo "no card $1 was found" >&2
            exit 9
        fi
        [ -e /sys/bus/virtio/drivers/virtio_net ] || $as modprobe virtio_net
        sleep 0.02
    done
    path=${path##*/}
    $as ip link set "$path" up && { $as ip address add "$2" dev "$path" 2>/dev/null ||
        ip address show dev "$path" | grep -q "inet $2 " ||
        $as ip address add "$2" dev "$path"; } || exit 8
}
]]

-- Shell alone: every program that an emulated guest starts costs some ten milliseconds.
local HOSTS <const> = [[
kept=
while IFS= read -r line; do
    case $line in
    *'# vmatrix') ;;
    *) kept="$kept$line
" ;;
    esac
done </etc/hosts
if [ "$as" ]; then
    printf %%s%%s "$kept" %s | $as tee /etc/hosts >/dev/null
else
    printf %%s%%s "$kept" %s >/etc/hosts
fi
]]

-- The others on the guest's networks, as lines of /etc/hosts.
-- nil when it is not to know any.
local function names_for(guest)
    local lines
    for _, card in ipairs(guest.cards) do
        if card.network and card.network.names and not card.network.closed then
            lines = lines or {}
            for _, other in ipairs(card.network.cards) do
                if other.guest ~= guest and other.plugged then
                    lines[#lines + 1] = ("%s %s # vmatrix\n"):format(other.address, other.hostname)
                end
            end
        end
    end
    return lines and table.concat(lines)
end

---Runs in the guest what makes it as it should be: the cards' addresses, and the names.
---@param guest vm.Guest
---@param verb string for messages
---@param cards table[] those that may not have their address yet
---@param limit number seconds
---@param first? string a script that runs before
function M.configure(guest, verb, cards, limit, first)
    guest.names_lock = guest.names_lock or task.semaphore(1)
    local _ <close> = guest.names_lock:acquire()
    local names = names_for(guest)
    local parts = { require("vm.network.slot").as(guest), first or "", #cards > 0 and CARD or nil }
    for _, card in ipairs(cards) do
        parts[#parts + 1] = ("card %s %s/%d %d"):format(card.mac, card.address, card.prefix, math.ceil(limit / 0.03))
    end
    if names and names ~= guest.names_known then
        local quoted = shell.quote(names)
        parts[#parts + 1] = HOSTS:format(quoted, quoted)
    elseif #cards == 0 then
        return
    end
    local result = guest:exec(table.concat(parts, "\n"), { timeout = limit + 5 })
    if not result.ok then
        guest:fail(result.status == 9 and "timeout" or "exit", verb, "the guest does not have its address: %s",
            result.stderr ~= "" and result.stderr:gsub("%s+$", "") or ("status %s"):format(result.status))
    end
    guest.names_known = names
end

---Lets the other guests on these networks know of a new one.
---@param guest vm.Guest
function M.tell_others(guest)
    local others, seen = {}, { [guest] = true }
    for _, card in ipairs(guest.cards) do
        for _, other in ipairs(card.network and card.network.cards or {}) do
            local peer = other.guest
            if not seen[peer] and peer.settled and not peer.closed and not peer.failure
                and peer.last_state == "running" and (names_for(peer) or "") ~= (peer.names_known or "") then
                others[#others + 1] = peer
            end
            seen[peer] = true
        end
    end
    task.parallel(others, function(peer)
        local ok, err = pcall(M.configure, peer, "network", {}, 10)
        if not ok then
            raw.log.write("warn", peer.name, "it was not told the names on its network: " .. tostring(err))
        end
    end)
end

---Sets up the guest's cards, and lets the other guests know its names meanwhile.
---@param guest vm.Guest
---@param verb string for messages
---@param cards table[] those that may not have their address yet
---@param limit number seconds
---@param first? string a script that runs before
function M.set_up(guest, verb, cards, limit, first)
    guest.settled = true -- from now on others tell it of themselves
    local telling = task.spawn(M.tell_others, guest)
    M.configure(guest, verb, cards, limit, first)
    telling:join()
end

local function on_networks(guest)
    local list = {}
    for _, card in ipairs(guest.cards) do
        if card.network and card.plugged and not card.network.closed then
            list[#list + 1] = card
        end
    end
    return list
end

---Commands can be run now: the guest gets its addresses and the names, and the others its name.
---@param guest vm.Guest
---@param limit number seconds
function M.settle(guest, limit)
    local cards = on_networks(guest)
    if #cards == 0 then
        return
    end
    guest.names_known = nil -- an earlier boot's
    M.set_up(guest, "network", cards, math.max(1, limit))
end

return M
