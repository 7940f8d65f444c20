-- What can be built from packages: releases, architectures, and what goes into an image. Pure.
local errors = require "vm.errors"
local options = require "vm.options"

local M = {}

---The releases, oldest first. `epoch` is the time of files that an installation makes, unless packages
---have newer ones.
M.releases = {
    { name = "debian-11", aliases = { "bullseye" }, suite = "bullseye", version = "11", epoch = 1628899200 },
    { name = "debian-12", aliases = { "bookworm" }, suite = "bookworm", version = "12", epoch = 1686355200 },
    { name = "debian-13", aliases = { "trixie" }, suite = "trixie", version = "13", epoch = 1754697600 },
    { name = "debian-14", aliases = { "forky" }, suite = "forky", version = "14", epoch = 1754697600, rolling = true },
    { name = "debian-sid", aliases = { "sid" }, suite = "sid", version = "", epoch = 1754697600, rolling = true },
}

-- What the kernel is told. cryptomgr.notests saves self-tests that nobody relies on here; cards keep the
-- names that the first file system has set them up under.
local APPEND <const> = " panic=0 cryptomgr.notests net.ifnames=0"

---Debian's names of an architecture and of its kernel, and its console. `kernel_suite`: the release
---that the kernel is taken from where the image's own has none any more.
M.arches = {
    x86_64 = { deb = "amd64", kernel = "linux-image-cloud-amd64", console = "console=ttyS0 no_timer_check",
        user_mode = "x86_64", power_button = true },
    i386 = { deb = "i386", kernel = "linux-image-686", console = "console=ttyS0 no_timer_check",
        user_mode = "i386", power_button = true, last_kernel = "bookworm" },
    aarch64 = { deb = "arm64", kernel = "linux-image-cloud-arm64", console = "console=ttyAMA0",
        user_mode = "aarch64" },
    armhf = { deb = "armhf", kernel = "linux-image-armmp", console = "console=ttyAMA0", user_mode = "arm" },
    ppc64le = { deb = "ppc64el", kernel = "linux-image-powerpc64le", console = "console=hvc0",
        user_mode = "ppc64le" },
    riscv64 = { deb = "riscv64", kernel = "linux-image-riscv64", console = "console=ttyS0", since = 13,
        user_mode = "riscv64" },
    s390x = { deb = "s390x", kernel = "linux-image-s390x", console = "console=ttysclp0", user_mode = "s390x" },
}

local COMMON = { "e2fsprogs", "iproute2", "kmod", "netbase", "openssh-server", "qemu-guest-agent", "sudo" }
local SYSTEMD = { "dbus", "systemd-sysv", "udev" }

---An image that can be built.
---@class vm.BuildRecipe
---@field name string "debian-13", or "debian-13-none" with another first process, or with "+gcc+make"
---@field release string "debian-13"
---@field arch string
---@field deb_arch string
---@field suite string
---@field kernel_suite string
---@field kernel string the package that depends on the kernel's
---@field version string
---@field init "systemd"|"none"
---@field with string[] further packages, sorted
---@field packages string[] all that is asked for, sorted
---@field append string kernel command line
---@field power_button boolean
---@field user_mode string QEMU's name of the architecture, for running its programs here
---@field epoch integer
---@field rolling boolean

---The names of all releases and their aliases.
---@return string[]
function M.names()
    local names = {}
    for _, release in ipairs(M.releases) do
        names[#names + 1] = release.name
        table.move(release.aliases, 1, #release.aliases, #names + 1, names)
    end
    return names
end

local function find_release(name)
    for _, release in ipairs(M.releases) do
        if release.name == name or release.aliases[1] == name then
            return release
        end
    end
end

---Whether a name is one of an image that can be built.
---@param name string
---@return boolean
function M.known(name)
    return find_release(name) ~= nil
end

local function check_packages(what, list)
    local seen, out = {}, {}
    for _, name in ipairs(list or {}) do
        if type(name) ~= "string" or not name:find "^%l[%l%d+.-]*$" and not name:find "^%d[%l%d+.-]*$" then
            errors.fail("usage", "%s: the name of a package expected, got %s", what, options.show(name))
        elseif not seen[name] then
            seen[name] = true
            out[#out + 1] = name
        end
    end
    table.sort(out)
    return out
end

---What an image is built of; raises for what cannot be.
---@param name string "debian-13", "trixie"
---@param arch string
---@param opts? { with?: string[], init?: "systemd"|"none", as?: string } as: the name that the image gets
---@return vm.BuildRecipe
function M.find(name, arch, opts)
    local what = "images build " .. tostring(name)
    opts = options.check(what, opts, { with = "table", as = "string",
        init = { "string", default = "systemd", one_of = { "systemd", "none" } } })
    local release = find_release(name)
    if not release then
        options.unknown("images build", "release", name, M.names())
    end
    arch = require("vm.arch").find(what, arch).name
    local known = M.arches[arch]
    if known.since and tonumber(release.version) and tonumber(release.version) < known.since then
        errors.fail("unsupported", "%s: Debian has %s from release %d on", what, arch, known.since)
    end
    local with = check_packages(what .. ": option 'with'", opts.with)
    local packages = table.move(COMMON, 1, #COMMON, 1, {})
    if opts.init == "systemd" then
        table.move(SYSTEMD, 1, #SYSTEMD, #packages + 1, packages)
    end
    table.move(with, 1, #with, #packages + 1, packages)
    local old = { bullseye = true, bookworm = true }
    return {
        name = opts.as or release.name .. (opts.init == "none" and "-none" or ""),
        release = release.name,
        arch = arch,
        deb_arch = known.deb,
        suite = release.suite,
        kernel_suite = known.last_kernel and not old[release.suite] and known.last_kernel or release.suite,
        kernel = known.kernel,
        version = release.version,
        init = opts.init,
        with = with,
        packages = check_packages(what, packages),
        append = known.console .. APPEND,
        -- systemd-logind of Debian 13 does not listen to the button in so small a system: `poweroff` is run instead.
        power_button = opts.init == "systemd" and (tonumber(release.version) or 99) < 13
            and known.power_button or false,
        user_mode = known.user_mode,
        epoch = release.epoch,
        rolling = release.rolling or false,
    }
end

return M
