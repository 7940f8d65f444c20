-- timeout: 300
-- Guests through a libvirtd: qemu:///system, with a daemon of the test's own in namespaces of its own.
local t = require "harness"
local vm = require "vm"
local host = require "vm.host"

local here = os.getenv "VMATRIX_SOURCE" .. "/tests/e2e/"

t.test("the_same_guest_lives_and_dies_on_qemu_system", function()
    if vm.raw.fs.uid() ~= 0 then
        t.skip("namespaces for a libvirtd need root")
    end
    if not host.which "libvirtd" or not host.which "unshare" then
        t.skip("libvirtd or unshare is not installed")
    end
    local result = host.run({ here .. "system.sh", os.getenv "VMATRIX", here .. "system_guest.lua" },
        { timeout = 250, check = false })
    if result.stderr:find("unshare failed", 1, true) then
        t.skip("namespaces cannot be made here")
    end
    t.equal(result.status, 0, result.stderr)
    t.match(result.stdout, "all seen")
end)

t.finish()
