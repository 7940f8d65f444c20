-- guest:install: packages by the distribution's own manager, under names that are the same everywhere as
-- far as a small table goes.
local raw = require "vm.raw"
local errors = require "vm.errors"
local options = require "vm.options"

local M = { methods = {} }

---@class vm.Guest
local Guest = M.methods

-- How each manager is called. `lists`: brings its lists up to date. `busy`: what it says when another one
-- has its lock and it does not wait by itself.
M.managers = {
    apt = {
        lists = "apt-get -o DPkg::Lock::Timeout=%d -o Acquire::Retries=3 update -q",
        install = "DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=%d -o Acquire::Retries=3 "
            .. "-o Dpkg::Options::=--force-confold install -y -q --no-install-recommends",
        busy = { "Could not get lock", "Unable to acquire the dpkg frontend lock", "Unable to lock directory" },
    },
    dnf = { install = "dnf install -y -q --setopt=install_weak_deps=False", waits = true },
    yum = { install = "yum install -y -q", busy = { "Another app is currently holding the yum lock" } },
    zypper = {
        install = "ZYPP_LOCK_TIMEOUT=%d zypper --non-interactive --quiet install --no-recommends",
        lists = "ZYPP_LOCK_TIMEOUT=%d zypper --non-interactive --quiet refresh", waits = true,
    },
    pacman = { install = "pacman -Sy --noconfirm --needed --noprogressbar", busy = { "unable to lock database" } },
    apk = { install = "apk add --no-progress --update-cache --wait %d", waits = true },
    pkg = {
        install = "env ASSUME_ALWAYS_YES=yes IGNORE_OSVERSION=yes pkg install -y -q",
        busy = { "Cannot get an advisory lock", "Cannot get an exclusive lock" },
    },
}

-- The order in which they are looked for, where nothing says which it is.
local ORDER <const> = { "apt", "dnf", "yum", "zypper", "pacman", "apk", "pkg" }
local PROGRAMS = { apt = "apt-get" }

---Names that differ: Debian's first, then what the others call it. false: there it is part of another.
M.names = {
    ["autoconf"] = {},
    ["build-essential"] = { dnf = "@development-tools", zypper = "patterns-devel-base-devel_basis",
        pacman = "base-devel", apk = "build-base", pkg = "gmake" },
    ["bison"] = {},
    ["clang"] = { pkg = "llvm" },
    ["cmake"] = {},
    ["curl"] = {},
    ["g++"] = { dnf = "gcc-c++", zypper = "gcc-c++", pacman = "gcc", pkg = "gcc" },
    ["gcc"] = {},
    ["gdb"] = {},
    ["git"] = {},
    ["libc-dev"] = { apt = "libc6-dev", dnf = "glibc-devel", zypper = "glibc-devel", pacman = "glibc",
        apk = "musl-dev", pkg = false },
    ["libssl-dev"] = { dnf = "openssl-devel", zypper = "libopenssl-devel", pacman = "openssl", apk = "openssl-dev",
        pkg = "openssl" },
    ["make"] = { pkg = "gmake" },
    ["meson"] = {},
    ["ninja"] = { apt = "ninja-build", dnf = "ninja-build" },
    ["perl"] = { pkg = "perl5" },
    ["pkg-config"] = { dnf = "pkgconf-pkg-config", pacman = "pkgconf", apk = "pkgconf", pkg = "pkgconf" },
    ["python3"] = { pacman = "python" },
    ["python3-pip"] = { pacman = "python-pip", apk = "py3-pip", pkg = "py311-pip" },
    ["rust"] = { apt = "rustc" },
    ["sqlite"] = { apt = "sqlite3", zypper = "sqlite3", pkg = "sqlite3" },
    ["strace"] = { pkg = false },
    ["tar"] = { pkg = false },
    ["valgrind"] = {},
    ["xz"] = { apt = "xz-utils", pkg = false },
    ["zlib-dev"] = { apt = "zlib1g-dev", dnf = "zlib-devel", zypper = "zlib-devel", pacman = "zlib", pkg = false },
}
-- Other spellings of the same.
local ALIASES = { ["openssl-dev"] = "libssl-dev", ["zlib1g-dev"] = "zlib-dev", ["pkgconf"] = "pkg-config",
    ["ninja-build"] = "ninja", ["libc6-dev"] = "libc-dev", ["sqlite3"] = "sqlite", ["xz-utils"] = "xz" }

---What a manager calls these packages, each once.
---@param manager string
---@param packages string[]
---@return string[]
function M.translate(manager, packages)
    local out, seen = {}, {}
    local family = manager == "yum" and "dnf" or manager
    for _, name in ipairs(packages) do
        local short = ALIASES[name] or name
        local known = M.names[short]
        local there = name
        if known and known[family] ~= nil then
            there = known[family]
        elseif known then
            there = short
        end
        if there and not seen[there] then
            seen[there] = true
            out[#out + 1] = there
        end
    end
    return out
end

local function fill(text, seconds)
    return (text:gsub("%%d", ("%d"):format(seconds)))
end

---The command line that installs, for the guest's shell; `$as` makes one root.
---@param manager string
---@param packages string[] under that manager's names
---@param seconds integer how long to wait for its lock
---@return string install
---@return string|nil lists brings the lists up to date
function M.command(manager, packages, seconds)
    local known = M.managers[manager]
    local quoted = {}
    for i, name in ipairs(packages) do
        quoted[i] = require("vm.remote.shell").quote(name)
    end
    return fill(known.install, seconds) .. " " .. table.concat(quoted, " "),
        known.lists and fill(known.lists, seconds)
end

---The guest's package manager: "apt", "dnf", "yum", "zypper", "pacman", "apk" or "pkg".
---@return string
function Guest:packages_by()
    if not self.manager_found then
        local probes = {}
        for i, name in ipairs(ORDER) do
            probes[i] = ("if command -v %s >/dev/null 2>&1; then echo %s; exit 0; fi\n"):format(PROGRAMS[name] or name,
                name)
        end
        self.manager_found = self:output(table.concat(probes)):match "%l+"
    end
    return self.manager_found or self:fail("unsupported", "install",
        "the guest has no package manager that is known: %s", table.concat(ORDER, ", "))
end

local function says(result, signs)
    local said = result.stdout .. result.stderr
    for _, sign in ipairs(signs) do
        if said:find(sign, 1, true) then
            return true
        end
    end
    return false
end

-- What it says when its lists are missing or old.
local STALE = { "Unable to locate package", "has no installation candidate", "404  Not Found",
    "not found in package names", "Unable to fetch some archives" }

local function last_lines(result)
    local lines = {}
    for line in (result.stderr .. "\n" .. result.stdout):gmatch "[^\r\n]+" do
        if line:find "^E:" or line:find "[Ee]rror" then
            lines[#lines + 1] = line:gsub("%c", " "):sub(1, 200)
        end
    end
    return #lines > 0 and table.concat(lines, "; ", 1, math.min(#lines, 3)) or ("status %s"):format(result.status)
end

---Installs packages, by the guest's own manager, as root. It waits for the lock of another one that runs,
---and brings the lists of packages up to date when they are missing or old. Names that distributions do
---not agree on may be Debian's: see the manual. Raises kind "exit" when it fails.
---@param ... string|vm.InstallOptions names; last, options
function Guest:install(...)
    local packages, opts = { ... }, nil
    if type(packages[#packages]) == "table" then
        opts = table.remove(packages)
    end
    opts = options.check(self:what("install"), opts, { timeout = "time" })
    for i, name in ipairs(packages) do
        if type(name) ~= "string" or not name:find "^[%w@][%w@_+.:/=~-]*$" then
            self:fail("usage", "install", "argument %d: the name of a package expected, got %s", i, options.show(name))
        end
    end
    local manager = self:packages_by()
    local known = M.managers[manager]
    local names = M.translate(manager, packages)
    if #names == 0 then
        return
    end
    local deadline = raw.task.now() + (opts.timeout or self:limit(600))
    local function left()
        return math.max(1, deadline - raw.task.now())
    end
    local install, lists = M.command(manager, names, math.floor(left()))
    local user = self.login and self.login.user ~= "root" and "root" or nil
    local function call(line)
        while true do
            local result = self:exec(line, { timeout = left(), user = user })
            if result.ok or not known.busy or not says(result, known.busy) or left() <= 3 then
                return result
            end
            self.changed:wait(2)
            self:check_alive("install")
        end
    end
    local function refresh()
        local result = lists and call(lists)
        if result and not result.ok then
            self:fail("exit", "install", "the lists of packages could not be had by %s: %s", manager,
                last_lines(result))
        end
    end
    if manager == "apt" and not self:exec("ls /var/lib/apt/lists/*Packages* >/dev/null 2>&1").ok then
        refresh()
        lists = nil
    end
    local result = call(install)
    if not result.ok and lists and says(result, STALE) then
        refresh()
        result = call(install)
    end
    if not result.ok then
        local err = errors.new("exit", ("%s: %s: %s"):format(self:what("install"), manager, last_lines(result)), result)
        err.guest = self.name
        error(err, 0)
    end
end

---How long guest:install may take.
---@class vm.InstallOptions
---@field timeout? number|string 600 s, three times that when emulated

return M
