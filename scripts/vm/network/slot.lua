-- The slot of a card, seen from inside the guest: what its kernel does not do by itself, or does too
-- slowly, when a card is plugged in or unplugged.
--
-- x86 has ACPI for it, s390x its channels: there nothing is to be done. Elsewhere the slot is a PCI
-- Express root port. A kernel with a driver for those (pciehp) waits five seconds after its button
-- was pressed, unless root writes 0 to the slot's `power`; then the card is gone at once, and the
-- driver sleeps for another second. Without that driver, as in our seed (see M.append) and on riscv64,
-- the slot's power is switched by its register, and the bus is looked at again.
local M = {}

local FIRST <const> = 101 -- the slots' numbers: runtime/virt/card.c
local PORTS <const> = "0000:00:1b." -- where the root ports are on the root bus, too

-- Slot control (PCI Express Base Specification, 7.5.3.10) is 0x18 bytes behind the capability, which
-- QEMU's pcie-root-port has at 0x54: dd counts in its two bytes. Off: power controller off, indicator
-- off. On: both on.
local CONTROL <const> = (0x54 + 0x18) // 2

local OFF <const> = [[
slot=/sys/bus/pci/slots/%d/power port=/sys/bus/pci/devices/%s
if [ -e $slot ]; then
    (echo 0 | $as tee $slot >/dev/null) </dev/null >/dev/null 2>&1 &
elif [ -e $port ]; then
    for card in $port/*/remove; do
        [ ! -e "$card" ] || echo 1 | $as tee "$card" >/dev/null
    done
    printf '\000\007' | $as dd of=$port/config bs=2 seek=%d conv=notrunc 2>/dev/null
fi
]]

local ON <const> = [[
slot=/sys/bus/pci/slots/%d/power port=/sys/bus/pci/devices/%s
if [ ! -e $slot ] && [ -e $port ]; then
    printf '\300\001' | $as dd of=$port/config bs=2 seek=%d conv=notrunc 2>/dev/null
    echo 1 | $as tee $port/rescan >/dev/null
fi
]]

---Whether the guest has to be asked by a command.
---@param guest vm.Guest
---@return boolean
function M.by_hand(guest)
    return guest.spec.arch_info.root_ports and not guest.spec.arch_info.acpi
end

local function script(text, guest, card)
    return M.by_hand(guest) and text:format(FIRST + card.slot, PORTS .. card.slot, CONTROL) or nil
end

---The shell script that takes a card out of its slot, or nil. It wants $as, what makes one root.
---@param guest vm.Guest
---@param card table
---@return string|nil
function M.off(guest, card)
    return script(OFF, guest, card)
end

---The shell script that makes the kernel see a card that is in its slot, or nil.
---@param guest vm.Guest
---@param card table
---@return string|nil
function M.on(guest, card)
    return script(ON, guest, card)
end

---What makes one root: the value of $as.
---@param guest vm.Guest
---@return string
function M.as(guest)
    return (not guest.login or guest.login.user == "root") and "as=" or "as='sudo -n'"
end

---What a seed's kernel is told: no driver for the slots.
---@param guest vm.Guest
---@return string
function M.append(guest)
    return M.by_hand(guest) and guest.spec.card_slots > 0 and " pcie_ports=compat" or ""
end

return M
