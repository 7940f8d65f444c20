-- A random pool of one's own: what a guest runs after it was copied while it ran (a fork, a revert).
-- Such copies draw the same numbers until their kernels reseed. Since Linux 5.18 writing to
-- /dev/urandom does not bring that about, and a virtual machine's generation id reaches only kernels
-- with ACPI; two ioctls do it everywhere: RNDADDENTROPY for fresh bytes, RNDRESEEDCRNG to use them.
-- Generators of running programs (OpenSSL's in a daemon, say) are their own affair.
local errors = require "vm.errors"
local options = require "vm.options"
local random_hex = require "vm.random_hex"

local M = {}

-- Where the guest has the program, when it was put in: the seed guest.
M.PROGRAM = "/sbin/vmatrix-reseed"

-- By architecture: ELF's class (1: 32 bits, 2: 64), byte order, machine and flags. The names that
-- kernels use are known as well.
local ELF = {
    x86_64 = { 2, "<", 62, 0 },
    i386 = { 1, "<", 3, 0 },
    aarch64 = { 2, "<", 183, 0 },
    armhf = { 1, "<", 40, 0x05000000 }, -- EABI version 5
    riscv64 = { 2, "<", 243, 0 },
    ppc64le = { 2, "<", 21, 2 }, -- the entry is an address, not a descriptor
    s390x = { 2, ">", 22, 0 },
}
local ALIASES = { i686 = "i386", armv7l = "armhf", arm64 = "aarch64", amd64 = "x86_64" }

local ADDRESS <const> = 0x400000
local PAGE <const> = 0x10000 -- the largest there is

---The static program for an architecture, a few hundred bytes: takes bytes on its standard input and
---reseeds the pool with them; its standard output must be /dev/urandom.
---@param arch string
---@return string elf
function M.program(arch)
    arch = ALIASES[arch] or arch
    local elf = ELF[arch]
    if not elf then
        local names = {}
        for name in pairs(ELF) do
            names[#names + 1] = name
        end
        table.sort(names)
        options.unknown("vm.reseed", "architecture", arch, names)
    end
    local code = require("vm.reseed.code")[arch]:gsub("%x%x", function(hex)
        return string.char(tonumber(hex, 16))
    end)
    local class, order, machine, flags = table.unpack(elf)
    local wide = class == 2
    local head, segment = wide and 64 or 52, wide and 56 or 32
    local start = head + segment
    local size = start + #code
    local ident = "\127ELF" .. string.char(class, order == "<" and 1 or 2, 1)
    local word = wide and "I8" or "I4"
    -- Type 2 is a program at a fixed address; one segment, readable and executable (5).
    local elf_head = string.pack(order .. "c16I2I2I4" .. word:rep(3) .. "I4I2I2I2I2I2I2", ident, 2, machine, 1,
        ADDRESS + start, head, 0, flags, head, segment, 1, 0, 0, 0)
    local load
    if wide then
        load = string.pack(order .. "I4I4I8I8I8I8I8I8", 1, 5, 0, ADDRESS, ADDRESS, size, size, PAGE)
    else
        load = string.pack(order .. "I4I4I4I4I4I4I4I4", 1, 0, ADDRESS, ADDRESS, size, size, 5, PAGE)
    end
    return elf_head .. load .. code
end

-- Bytes as a word for printf, in single quotes. It is part of a command line, so it is kept short. Another
-- word may follow, which begins with a digit.
local function octal(bytes)
    local out = {}
    for at = 1, #bytes do
        local c = bytes:sub(at, at)
        if c:find "[%w/.,:+=_]" then
            out[at] = c
        else
            local digit_follows = at == #bytes or bytes:find("^[0-7]", at + 1)
            out[at] = (digit_follows and "\\%03o" or "\\%o"):format(c:byte())
        end
    end
    return "'" .. table.concat(out) .. "'"
end

-- The numbers of the two ioctls: where directions are numbered otherwise, they differ.
local function ioctls(arch)
    if arch == "ppc64le" then
        return "0x80085203", "0x20005207"
    end
    return "0x40085203", "0x5207"
end

-- Each reads the bytes and ends with 0 if the pool was reseeded; the first one that can is believed. Work
-- counts: all of it is new to a guest that was copied, and an emulated one translates it first. So the own
-- program comes before perl, its file holds the bytes, too, and is removed beside what comes next.
local SNIPPET <const> = [=[
b=@BYTES@
r=1; e=
if [ -x @PROGRAM@ ]; then e=$(printf "$b" | @PROGRAM@ 2>&1 >/dev/urandom) && r=0; fi
[ $r = 0 ] || for d in /dev/shm /run /tmp /var/tmp /root; do
  t=$d/.vmatrix-@NAME@
  { (umask 077; set -C; printf @ELF@"$b" >"$t") && chmod 700 "$t" && "$t" <"$t" >/dev/urandom && r=0; } 2>/dev/null
  { [ ! -e "$t" ] || rm -f "$t"; } >/dev/null 2>&1 </dev/null &
  [ $r != 0 ] || break
done
[ $r = 0 ] || {
e=$(printf "$b" | perl -e '
  open F, ">", "/dev/urandom" or exit 1; binmode STDIN; read STDIN, $b, 512 or exit 1;
  ioctl F, @ADD@, pack "iia*", 8 * length $b, length $b, $b or die "RNDADDENTROPY: $!\n";
  ioctl F, @RESEED@, 0 or die "RNDRESEEDCRNG: $!\n"' 2>&1) ||
e=$(printf "$b" | python3 -c '
import fcntl, struct, sys
b = sys.stdin.buffer.read(512)
f = open("/dev/urandom", "wb", 0)
fcntl.ioctl(f, @ADD@, struct.pack("ii", 8 * len(b), len(b)) + b)
fcntl.ioctl(f, @RESEED@)' 2>&1) ||
{ echo "the random pool could not be reseeded (needs root and Linux 4.17): $e" >&2; false; }
}]=]

---A piece of POSIX shell that, run as root, puts fresh bytes into the kernel's random pool and makes
---the kernel use them at once, by what the guest has: the seed's own program, perl, python3, or a
---program that the piece itself writes to a temporary file. Fails, and says so, when none of it works.
---@param arch string the guest's
---@param bytes string 16 to 512 fresh random bytes, another for each guest
---@return string
function M.script(arch, bytes)
    if type(bytes) ~= "string" or #bytes < 16 or #bytes > 512 then
        errors.fail("usage", "vm.reseed: 16 to 512 bytes expected, got %s",
            type(bytes) == "string" and #bytes or options.show(bytes))
    end
    local add, reseed = ioctls(arch)
    local values = {
        BYTES = octal(bytes),
        PROGRAM = M.PROGRAM,
        ADD = add,
        RESEED = reseed,
        ELF = octal(M.program(arch)),
        NAME = random_hex(8),
    }
    return (SNIPPET:gsub("@(%u+)@", values))
end

return M
