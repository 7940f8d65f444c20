-- Ports of the guest that are reachable on the host, by QEMU's user-mode networking.
local options = require "vm.options"
local spec_of = require "vm.guest.spec"

local M = { methods = {} }

---@class vm.Guest
local Guest = M.methods

-- QEMU's table: "  TCP[HOST_FORWARD]  12  127.0.0.1 35423  10.0.2.15 22"
local FORWARD <const> = "(%u+)%[HOST_FORWARD%]%s+%S+%s+(%S+)%s+(%d+)%s+%S+%s+(%d+)"

local function parse(text)
    local ports = {}
    for protocol, address, host, guest in text:gmatch(FORWARD) do
        ports[#ports + 1] = {
            udp = protocol == "UDP",
            address = address,
            host = math.tointeger(host),
            guest = math.tointeger(guest),
        }
    end
    return ports
end

---The forwards that QEMU has now.
---@return table[]
function Guest:forwards()
    if not self.ports then
        self.ports = parse(self:raise("port", self.domain:hmp("info usernet")))
    end
    return self.ports
end

---The port on the host that leads to a port of the guest.
---@param guest_port integer
---@param opts? { udp?: boolean }
---@return integer
function Guest:port(guest_port, opts)
    self:check_alive("port")
    opts = options.check(self:what("port"), opts, { udp = { "boolean", default = false } })
    for _, port in ipairs(self:forwards()) do
        if port.guest == guest_port and port.udp == opts.udp then
            return port.host
        end
    end
    self:fail("notfound", "port", "no forward leads to port %s of the guest; name it in option 'forward' or call "
        .. "guest:forward(%s)", tostring(guest_port), tostring(guest_port))
end

---Forwards one more port of the running guest. It stays until the guest stops.
---@param forward integer|table 80, or { guest = 80, host = 8080, address = "127.0.0.1", udp = false }
---@return integer port the host's
function Guest:forward(forward)
    self:check_alive("forward")
    local item = spec_of.forward(self:what("forward"), forward)
    if not self.spec.nat then
        self:fail("usage", "forward", "the guest has no \"nat\" network card")
    end
    local before = {}
    for _, port in ipairs(self:forwards()) do
        before[port.host] = true
    end
    local rule = ("%s:%s:%d-:%d"):format(item.udp and "udp" or "tcp", item.address, item.host, item.guest)
    local answer = self:raise("forward", self.domain:hmp(("hostfwd_add vxnet%d %s"):format(self.spec.nat - 1, rule)))
    if answer:find("%S") then
        local taken = answer:find("Could not set up host forwarding", 1, true)
        self:fail(taken and "exists" or "libvirt", "forward", "%s", taken
            and ("port %d of %s is taken on this host; leave `host` out to get a free one")
                :format(item.host, item.address)
            or answer:gsub("%s+", " "))
    end
    self.ports = nil
    for _, port in ipairs(self:forwards()) do
        if port.guest == item.guest and port.udp == item.udp and not before[port.host] then
            return port.host
        end
    end
    self:fail("libvirt", "forward", "QEMU does not list the new forward to port %d", item.guest)
end

return M
