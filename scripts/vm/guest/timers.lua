-- Timers of a guest that goes on in another QEMU. That has read when the timer of an emulated riscv64 hart is to
-- end (its register stimecmp), but (7.2) does not set it: the kernel waits for its clock's next tick for ever.
-- Writing to the register sets the timer, and QEMU's stub for gdb can. Its protocol: gdb's manual, "GDB Remote
-- Serial Protocol"; the registers: RISC-V's privileged architecture, and its extension Sstc.
local raw = require "vm.raw"
local errors = require "vm.errors"
local random_hex = require "vm.random_hex"

local M = {}

local SSTATUS <const>, STIMECMP <const> = 0x100, 0x14d
local LIMIT <const> = 20 -- seconds for an answer

local function sum_of(text)
    local sum = 0
    for i = 1, #text do
        sum = (sum + text:byte(i)) & 255
    end
    return ("%02x"):format(sum)
end

-- Asks the stub something; returns its answer. That the guest has stopped, since somebody asks, is none.
local function ask(stub, text)
    errors.raise(stub.channel:queue(("$%s#%s"):format(text, sum_of(text))))
    while true do
        local answer, rest = stub.said:match "^[^$]*%$([^#]*)#%x%x(.*)$"
        if answer then
            stub.said = rest
            errors.raise(stub.channel:queue "+")
            if not answer:find "^T%x%x" then
                return answer
            end
        else
            local more, err = stub.channel:read(LIMIT)
            if not more then
                errors.fail("libvirt", "QEMU's stub for gdb did not answer%s", err and ": " .. err.message or "")
            end
            stub.said = stub.said .. more
        end
    end
end

-- The stub's number of a register: they are numbered from one on that its list has.
local function number_of(stub, register)
    local list, at = "", 0
    repeat
        local part = ask(stub, ("qXfer:features:read:riscv-csr.xml:%x,800"):format(at))
        list, at = list .. part:sub(2), at + #part - 1
    until part:sub(1, 1) ~= "m"
    local sstatus = list:match '"sstatus"[^>]-regnum="(%d+)"'
        or errors.fail("libvirt", "QEMU's stub for gdb knows no registers of a hart: %s", list:sub(1, 100))
    return ("%x"):format(sstatus - SSTATUS + register)
end

local function set_again(stub)
    local number = number_of(stub, STIMECMP)
    for hart in ask(stub, "qfThreadInfo"):sub(2):gmatch "[^,]+" do
        ask(stub, "Hg" .. hart)
        local value = ask(stub, "p" .. number)
        local done = #value == 16 and ask(stub, ("P%s=%s"):format(number, value))
        if done ~= "OK" then
            errors.fail("libvirt", "QEMU's stub for gdb answers %q and %q", value, tostring(done))
        end
    end
    ask(stub, "D") -- the guest goes on
end

---Has the timers of a guest set that another QEMU has taken over; most need nothing. The guest runs, and stops for
---a moment. Waits.
---@param guest vm.Guest
---@param verb string for messages
function M.set_again(guest, verb)
    if guest.arch ~= "riscv64" or not guest.emulated then
        return
    end
    local path = ("%s/gdb-%s"):format(require("vm.run").open().root, random_hex(4))
    guest:raise(verb, guest.domain:hmp(("gdbserver unix:%s,server=on,wait=off"):format(path)))
    local stub = { channel = errors.raise(raw.channel.open(path)), said = "" }
    local ok, err = pcall(set_again, stub)
    stub.channel:close()
    guest:raise(verb, guest.domain:hmp "gdbserver none")
    raw.fs.unlink(path)
    if not ok then
        error(errors.prefix(err, guest:what(verb) .. ": its timers could not be set again; a template "
            .. "{ way = \"boot\" } needs no timers"), 0)
    end
end

return M
