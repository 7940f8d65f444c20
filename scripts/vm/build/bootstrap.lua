-- Makes the disk of an image from packages: mmdebstrap, told what to do by vm.build.hooks. As root it
-- works in a mount namespace of its own; for an ordinary user in a user namespace.
local raw = require "vm.raw"
local errors = require "vm.errors"
local hooks = require "vm.build.hooks"
local host = require "vm.host"
local paths = require "vm.host.paths"
local random_hex = require "vm.random_hex"
local packages = require "vm.seed.packages"

local M = {}

local fs = raw.fs
local raise = errors.raise
local GIB <const> = 1 << 30

-- The size that the disk of an image has; that of a guest can be larger.
M.DISK_SIZE = 4 * GIB

-- Whose programs this machine's processor runs itself.
local NATIVE = { x86_64 = { x86_64 = true, i386 = true }, aarch64 = { aarch64 = true } }

local NEEDS = {
    { "mmdebstrap", "mmdebstrap" }, { "mke2fs", "e2fsprogs" }, { "debugfs", "e2fsprogs" },
    { "qemu-img", "qemu-utils" }, { "dpkg-deb", "dpkg" },
}

local function which(name)
    for _, folder in ipairs { "/usr/sbin", "/sbin" } do
        if fs.exists(folder .. "/" .. name) then
            return folder .. "/" .. name
        end
    end
    return host.which(name)
end

local function has_subuids()
    local user = host.run({ "id", "-un" }, { timeout = 10 }).stdout:gsub("%s+$", "")
    for line in (fs.read("/etc/subuid", 1 << 20) or ""):gmatch "[^\n]+" do
        local name = line:match "^([^:]+):%d+:%d+$"
        if name == user or name == tostring(fs.uid()) then
            return host.which "newuidmap" ~= nil
        end
    end
    return false
end

---How mmdebstrap can work here: "root", or "unshare" for an ordinary user; raises "unsupported" with the
---remedy where it cannot.
---@param recipe vm.BuildRecipe
---@return "root"|"unshare"
function M.check(recipe)
    local what = ("images build %s"):format(recipe.name)
    for _, need in ipairs(NEEDS) do
        if not which(need[1]) then
            errors.fail("unsupported", "%s: the program %s is not here; install the package %s (images are built on "
                .. "Debian and its relatives)", what, need[1], need[2])
        end
    end
    local native = NATIVE[raw.build.arch] or { [raw.build.arch] = true }
    if not native[recipe.arch] then
        if not fs.exists("/proc/sys/fs/binfmt_misc/qemu-" .. recipe.user_mode) then
            errors.fail("unsupported", "%s: programs of %s cannot be run here: /proc/sys/fs/binfmt_misc has no "
                .. "qemu-%s; install the packages qemu-user-static and binfmt-support, and in a container mount "
                .. "binfmt_misc there and call `update-binfmts --enable`", what, recipe.arch, recipe.user_mode)
        elseif not host.which "arch-test" then
            errors.fail("unsupported", "%s: mmdebstrap wants the program arch-test for other architectures; "
                .. "install the package arch-test", what)
        end
    end
    if fs.uid() == 0 then
        return "root"
    elseif not has_subuids() then
        errors.fail("unsupported", "%s: as an ordinary user mmdebstrap needs ids of your own; install the package "
            .. "uidmap, and let root say `usermod --add-subuids 100000-165535 --add-subgids 100000-165535 %s`",
            what, os.getenv "USER" or "YOU")
    end
    return "unshare"
end

---The lines of sources.list: the release, and its updates where the mirror is Debian's own.
---@param recipe vm.BuildRecipe
---@param mirror string
---@param suite? string
---@param keyring? string the file with its keys, where it is not apt's own
---@param bare? boolean without the updates
---@return string
function M.sources(recipe, mirror, suite, keyring, bare)
    suite = suite or recipe.suite
    local deb = "deb " .. (keyring and ("[signed-by=%s] "):format(keyring) or "")
    local lines = { ("%s%s %s main\n"):format(deb, mirror, suite) }
    local base = mirror:match "^(https?://deb%.debian%.org/debian)$"
    if base and not recipe.rolling and not bare then
        lines[2] = ("%s%s %s-updates main\n"):format(deb, base, suite)
        lines[3] = ("%s%s-security %s-security main\n"):format(deb, base, suite)
    end
    return table.concat(lines)
end

-- The newest file of each package is kept.
local function prune_debs(folder)
    local newest = {}
    for _, name in ipairs(fs.list(folder) or {}) do
        local package = name:match "^([^_]+)_"
        local stat = package and name:find "%.deb$" and fs.stat(folder .. "/" .. name)
        if stat then
            local old = newest[package]
            if not old or stat.mtime_ns >= old.mtime then
                newest[package] = { name = name, mtime = stat.mtime_ns }
                name = old and old.name
            end
            if name then
                fs.unlink(folder .. "/" .. name)
            end
        end
    end
end

-- A folder for mmdebstrap to work in. For an ordinary user it is made where the ids of the namespace can
-- reach it, and what these own can only be removed in there again.
local function work_folder(work, mode)
    local path = work .. "/tmp"
    if mode == "unshare" then
        local base = os.getenv "TMPDIR" or "/tmp"
        path = ("%s/vmatrix-build-%d-%s"):format(base, fs.uid(), random_hex(4))
    end
    raise(fs.mkdir_p(path, mode == "unshare" and 511 or 448))
    if mode == "unshare" then
        raise(fs.chmod(path, 1023)) -- 1777
    end
    return path, setmetatable({}, { __close = function()
        if not fs.remove_tree(path) and mode == "unshare" then
            host.run({ "mmdebstrap", "--unshare-helper", "rm", "-rf", path }, { check = false, timeout = 120 })
            fs.remove_tree(path)
        end
    end })
end

-- What mmdebstrap says, in our words: its lines are "I: ..." and hooks are ours.
local function follow(progress)
    local rest = ""
    return function(_, chunk)
        rest = rest .. chunk
        for line in rest:gmatch "([^\n]*)\n" do
            local said = line:match "^I: (%l.*)"
            if said and not said:find "hook" and not said:find "skipping" and not said:find "tempdir"
                and not said:find "success" and not said:find "signed%-by" then
                progress((said:gsub("%.%.%.$", "")))
            end
        end
        rest = rest:match "[^\n]*$":sub(-4096)
    end
end

local function command(recipe, mode, scripts, debs)
    local argv = {
        "mmdebstrap", "--mode=" .. mode, "--variant=minbase", "--format=null",
        "--architectures=" .. recipe.deb_arch, "--include=" .. table.concat(recipe.packages, ","),
        "--skip=download/empty,essential/unlink,cleanup/apt,cleanup/reproducible",
        "--dpkgopt=force-unsafe-io", "--aptopt=Acquire::Languages \"none\"",
        "--setup-hook=" .. scripts.setup,
        "--setup-hook=sync-in " .. debs .. " /var/cache/apt/archives",
        "--customize-hook=" .. scripts.kernel,
        "--customize-hook=sync-out /var/cache/apt/archives " .. debs,
        "--customize-hook=" .. scripts.finish,
    }
    if recipe.kernel_suite ~= recipe.suite then
        argv[#argv + 1] = "--aptopt=APT::Default-Release \"" .. recipe.suite .. "\""
    end
    argv[#argv + 1] = recipe.suite
    argv[#argv + 1] = "/dev/null"
    argv[#argv + 1] = "-"
    return argv
end

-- Where there is memory for it, root unpacks into that: an installation is much waiting for disks otherwise,
-- and what is in a mount namespace of its own is gone with its last process, however that ends.
-- In a user namespace the disk is opened anew through its descriptor, as another user.
local START <const> = [[
truncate -s "$4" "$1"
chmod 666 "$1"
exec 3<>"$1" 4>"$2"
mode=$3
shift 4
if [ "$mode" = root ] && unshare --mount true 2>/dev/null; then
    free=$(awk '/^MemAvailable:/ { print $2 }' /proc/meminfo)
    if [ "${free:-0}" -gt 4194304 ]; then
        exec unshare --mount sh -c 'mount -t tmpfs -o mode=755,size=3g vmatrix "$TMPDIR" 2>/dev/null; exec "$@"' sh "$@"
    fi
    exec unshare --mount "$@"
fi
exec "$@"
]]

local function id_of(recipe)
    local hex = raise(raw.data.sha256(("vmatrix %s %s %s"):format(recipe.suite, recipe.arch,
        table.concat(recipe.packages, " "))))
    return (hex:gsub("^(........)(....).(...).(...)(............).*$", "%1-%2-4%3-8%4-%5"))
end

-- One run of mmdebstrap; `bare`: without the release's updates.
local function attempt(recipe, work, opts, bare)
    local epoch = math.tointeger(tonumber(os.getenv "SOURCE_DATE_EPOCH"))
    local scripts = hooks.scripts(recipe, {
        sources = M.sources(recipe, opts.mirror), uuid = id_of(recipe), epoch = epoch,
    })
    local tmp, closing = work_folder(work, opts.mode)
    local _ <close> = closing
    fs.unlink(opts.disk)
    local argv = { "sh", "-c", START, "sh", opts.disk, opts.out, opts.mode, ("%d"):format(M.DISK_SIZE) }
    local words = command(recipe, opts.mode, scripts, opts.debs)
    table.move(words, 1, #words, #argv + 1, argv)
    local keyring = packages.keyring()
    local sources = M.sources(recipe, opts.mirror, nil, keyring, bare)
    if recipe.kernel_suite ~= recipe.suite then
        sources = sources .. M.sources(recipe, opts.mirror, recipe.kernel_suite, keyring, bare)
    end
    host.run(argv, {
        stdin = sources,
        env = { LC_ALL = "C", TMPDIR = tmp, SOURCE_DATE_EPOCH = ("%d"):format(epoch or recipe.epoch) },
        on_output = follow(opts.progress),
        timeout = 4 * 3600,
    })
end

---Makes a disk in the format raw, and unpacks the kernel's package and busybox. While the updates of a
---release are being synced on the mirror, it is built without them; apt in the guest has them all the same.
---@param recipe vm.BuildRecipe
---@param work string an empty folder of ours
---@param given { mirror?: string, progress: fun(line: string) }
---@return string disk the path
---@return string tree the folder with the kernel's files
function M.run(recipe, work, given)
    local opts = {
        mode = M.check(recipe), mirror = given.mirror or packages.mirror(), progress = given.progress,
        debs = ("%s/debs/%s-%s"):format(paths.cache(), recipe.suite, recipe.deb_arch),
        disk = work .. "/disk.raw", out = work .. "/kernel.tar",
    }
    raise(fs.mkdir_p(opts.debs))
    local ok, err = pcall(attempt, recipe, work, opts)
    if not ok and packages.is_being_synced(err) then
        opts.progress "the mirror is being synced: building without the release's updates"
        ok, err = pcall(attempt, recipe, work, opts, true)
    end
    if not ok then
        M.explain(err, recipe, opts.mirror)
    end
    prune_debs(opts.debs)
    raise(fs.mkdir_p(work .. "/tree"))
    host.run({ "tar", "-C", work .. "/tree", "-xf", opts.out }, { timeout = 600 })
    raise(fs.unlink(opts.out))
    return opts.disk, work .. "/tree"
end

---Raises what went wrong in mmdebstrap, in words.
---@param err any
---@param recipe vm.BuildRecipe
---@param mirror string
function M.explain(err, recipe, mirror)
    if not errors.is(err) or err.kind ~= "exit" then
        error(err, 0)
    end
    local said = err.stderr .. err.stdout
    local missing = said:match "E: Unable to locate package (%S+)"
    if missing then
        errors.fail("notfound", "Debian %s has no package %s for %s", recipe.suite, missing, recipe.deb_arch)
    end
    local lines = {}
    for line in said:gmatch "[^\n]+" do
        if line:find "^E: " and not line:find "mmdebstrap failed" then
            lines[#lines + 1] = line:sub(4)
        end
    end
    local text = table.concat(lines, "; "):gsub("%c", " "):sub(1, 500)
    if said:find("No space left", 1, true) then
        errors.fail("nospace", "the disk is full: %s", text)
    elseif said:find("Could not resolve", 1, true) or said:find("Could not connect", 1, true)
        or said:find("Failed to fetch", 1, true) then
        errors.fail("connection", "packages could not be had from %s (%s); check the network, or name another mirror "
            .. "in VMATRIX_DEBIAN_MIRROR", mirror, text)
    end
    error(errors.new("exit", "mmdebstrap failed: " .. text, err), 0)
end

return M
