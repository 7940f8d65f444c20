-- IPv4 subnets and addresses: numbers behind the texts. Nothing here waits or makes anything.
local errors = require "vm.errors"
local options = require "vm.options"

local M = {}

-- User-mode networking's own, in every guest with a "nat" card.
local NAT <const> = { base = 0x0a000200, prefix = 24, text = "10.0.2.0/24" }

local function number(text)
    local a, b, c, d = text:match("^(%d+)%.(%d+)%.(%d+)%.(%d+)$")
    local value = 0
    for _, part in ipairs { a, b, c, d } do
        if #part > 3 or tonumber(part) > 255 then
            return nil
        end
        value = value << 8 | tonumber(part)
    end
    return a and value
end

---The text of an address.
---@param value integer
---@return string
function M.text(value)
    return ("%d.%d.%d.%d"):format(value >> 24 & 255, value >> 16 & 255, value >> 8 & 255, value & 255)
end

---@class vm.Subnet
---@field text string "10.9.0.0/24"
---@field base integer
---@field prefix integer
---@field first integer the lowest address a card can have
---@field last integer the highest

local function mask(prefix)
    return 0xffffffff << (32 - prefix) & 0xffffffff
end

---Whether two subnets have an address in common.
---@param a vm.Subnet
---@param b vm.Subnet
---@return boolean
function M.overlap(a, b)
    local common = mask(math.min(a.prefix, b.prefix))
    return a.base & common == b.base & common
end

---Reads "10.9.0.0/24"; raises for anything that cannot be a network between guests.
---@param what string for messages
---@param text string
---@return vm.Subnet
function M.parse(what, text)
    local address, prefix = text:match("^([%d.]+)/(%d%d?)$")
    local base = address and number(address)
    prefix = math.tointeger(tonumber(prefix))
    if not base then
        errors.fail("usage", "%s: a subnet such as '10.9.0.0/24' expected, got %s", what, options.show(text))
    elseif prefix < 8 or prefix > 30 then
        errors.fail("usage", "%s: a prefix from /8 to /30 expected, got /%d", what, prefix)
    elseif base & ~mask(prefix) & 0xffffffff ~= 0 then
        errors.fail("usage", "%s: %s is an address inside a subnet; the subnet is %s/%d", what, text,
            M.text(base & mask(prefix)), prefix)
    end
    local subnet = { text = ("%s/%d"):format(M.text(base), prefix), base = base, prefix = prefix,
        first = base + 1, last = base + (1 << (32 - prefix)) - 2 }
    if M.overlap(subnet, NAT) then
        errors.fail("usage", "%s: %s overlaps %s, which the \"nat\" card of every guest uses", what, subnet.text,
            NAT.text)
    elseif base >> 24 == 127 or base >> 24 == 0 or base >> 28 >= 14 then
        errors.fail("usage", "%s: %s is reserved; use one of 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16", what,
            subnet.text)
    end
    return subnet
end

---Reads an address that a card on the subnet can have; raises for any other.
---@param what string for messages
---@param subnet vm.Subnet
---@param text string
---@return integer
function M.address(what, subnet, text)
    local value = number(text)
    if not value then
        errors.fail("usage", "%s: an address such as %s expected, got %s", what, M.text(subnet.first),
            options.show(text))
    elseif value < subnet.first or value > subnet.last then
        errors.fail("usage", "%s: %s is not among the addresses of %s, %s to %s", what, text, subnet.text,
            M.text(subnet.first), M.text(subnet.last))
    end
    return value
end

return M
