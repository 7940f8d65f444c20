-- guest:install: the command lines of each manager, and names across distributions. No guest here: Debian's
-- is tried in tests/e2e/test_images.lua; of the others only the words are known to be right.
local t = require "harness"
local install = require "vm.guest.install"

t.test("names_are_translated_and_each_is_asked_for_once", function()
    t.equal(install.translate("apt", { "gcc", "make", "pkg-config", "openssl-dev", "gcc" }),
        { "gcc", "make", "pkg-config", "libssl-dev" })
    t.equal(install.translate("dnf", { "g++", "zlib1g-dev", "libssl-dev" }),
        { "gcc-c++", "zlib-devel", "openssl-devel" })
    t.equal(install.translate("yum", { "libc6-dev" }), { "glibc-devel" })
    t.equal(install.translate("pacman", { "gcc", "g++", "python3" }), { "gcc", "python" })
    t.equal(install.translate("apk", { "build-essential", "libc-dev" }), { "build-base", "musl-dev" })
    t.equal(install.translate("pkg", { "make", "tar", "python3" }), { "gmake", "python3" })
    t.equal(install.translate("zypper", { "some-own-name" }), { "some-own-name" })
end)

t.test("each_manager_asks_nothing_and_waits_for_its_lock", function()
    local function line(manager)
        return (install.command(manager, { "gcc", "g++" }, 90))
    end
    t.match(line "apt", "^DEBIAN_FRONTEND=noninteractive apt%-get .*Lock::Timeout=90 .* install %-y .* gcc g%+%+$")
    t.match(line "dnf", "^dnf install %-y .*gcc")
    t.match(line "zypper", "^ZYPP_LOCK_TIMEOUT=90 zypper %-%-non%-interactive .* install")
    t.match(line "pacman", "^pacman %-Sy %-%-noconfirm")
    t.match(line "apk", "^apk add .*%-%-wait 90 gcc")
    t.match(line "pkg", "ASSUME_ALWAYS_YES=yes .*pkg install %-y")
    for manager, known in pairs(install.managers) do
        t.check(known.waits or known.busy, manager .. " would fail when another one runs")
        local _, lists = install.command(manager, { "gcc" }, 90)
        t.check(not (lists or ""):find "%%", manager)
    end
end)

t.finish()
