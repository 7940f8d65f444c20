-- The Debian packages of the seed guest: found, downloaded and unpacked by apt and dpkg with a
-- configuration of our own, as any user, leaving the host's alone.
local raw = require "vm.raw"
local errors = require "vm.errors"
local host = require "vm.host"
local paths = require "vm.host.paths"

local fs = raw.fs
local raise = errors.raise

local M = {}

local SUITE = "trixie"
local ALIAS = "stable" -- as long as it is that one
local FALLBACK = "http://deb.debian.org/debian"
local PROGRAMS = { "apt-get", "apt-cache", "apt-config", "dpkg-deb", "gpgv" }
local KEYRINGS = {
    "/usr/share/keyrings/debian-archive-keyring.gpg",
    "/usr/share/keyrings/debian-archive-keyring.pgp",
    "/usr/share/keyrings/debian-archive-trixie-stable.gpg",
    "/etc/apt/trusted.gpg.d/debian-archive-trixie-stable.asc",
}

---The file with the keys of Debian's archive.
---@return string
function M.keyring()
    for _, path in ipairs(KEYRINGS) do
        if fs.exists(path) then
            return path
        end
    end
    return errors.fail("notfound", "Debian's archive keys are not on this machine; install the package " ..
        "debian-archive-keyring")
end

local function check_host()
    for _, name in ipairs(PROGRAMS) do
        if not host.which(name) then
            errors.fail("unsupported", "building a seed guest needs the program %s, which this machine lacks; " ..
                "build it on a Debian or Ubuntu machine and copy the folder %s/images", name, paths.cache())
        end
    end
    return M.keyring()
end

---The mirror of Debian to use: what VMATRIX_DEBIAN_MIRROR says, or the one that this machine uses
---already, if it is one of Debian's.
---@return string
function M.mirror()
    local chosen = os.getenv("VMATRIX_DEBIAN_MIRROR")
    if chosen and chosen ~= "" then
        return chosen
    end
    local result = host.run({ "apt-get", "indextargets", "--format", "$(REPO_URI)" }, { check = false, timeout = 30 })
    for line in result.stdout:gmatch("[^\n]+") do
        if line:find("^%a[%w+]*:/") and line:find("/debian/?$") then
            return (line:gsub("/$", ""))
        end
    end
    return FALLBACK
end

-- Proxies and the like; the rest of the host's configuration is not for us.
local function host_settings()
    local result = host.run({ "apt-config", "dump", "Acquire::http", "Acquire::https", "Acquire::Retries" },
        { check = false, timeout = 30 })
    return result.stdout
end

-- `kernel_suite`: an older release, which has the kernel where the suite has none. What both have is the suite's.
local function write_config(work, deb_arch, keyring, mirror, suite, kernel_suite)
    local lines = {
        "Dir::Etc::main \"/dev/null\";",
        "Dir::Etc::parts \"/dev/null\";",
        "Dir::Etc::sourceparts \"/dev/null\";",
        "Dir::Etc::preferences \"/dev/null\";",
        "Dir::Etc::preferencesparts \"/dev/null\";",
        ("Dir::Etc::sourcelist \"%s/sources.list\";"):format(work),
        ("Dir::State \"%s/state\";"):format(work),
        ("Dir::State::status \"%s/status\";"):format(work),
        ("Dir::Cache \"%s/cache\";"):format(work),
        ("APT::Architecture \"%s\";"):format(deb_arch),
        ("APT::Architectures { \"%s\"; };"):format(deb_arch),
        "APT::Sandbox::User \"\";",
        "APT::Color \"false\";",
        "Acquire::Languages \"none\";",
        host_settings(),
    }
    if kernel_suite then
        lines[#lines + 1] = ("APT::Default-Release \"%s\";"):format(suite)
    end
    for _, folder in ipairs { "/state/lists/partial", "/cache/archives/partial", "/debs" } do
        raise(fs.mkdir_p(work .. folder))
    end
    raise(fs.write_atomic(work .. "/status", ""))
    local sources = {}
    for i, name in ipairs { suite, kernel_suite } do
        sources[i] = ("deb [arch=%s signed-by=%s] %s %s main\n"):format(deb_arch, keyring, mirror, name)
    end
    raise(fs.write_atomic(work .. "/sources.list", table.concat(sources)))
    raise(fs.write_atomic(work .. "/apt.conf", table.concat(lines, "\n") .. "\n"))
end

local function apt(work, argv, cwd)
    local env = { APT_CONFIG = work .. "/apt.conf", LC_ALL = "C" }
    return host.run(argv, { env = env, cwd = cwd, timeout = 1800 }).stdout
end

-- Whether the lists that were read are those of the suite, whatever name they were read under.
local function is_suite(work)
    for _, path in ipairs(raise(fs.glob(work .. "/state/lists/*Release"))) do
        if raise(fs.read(path)):find("\nCodename: " .. SUITE .. "\n", 1, true) then
            return true
        end
    end
    return false
end

-- linux-image-cloud-amd64 depends on the package that has the kernel's version in its name.
local function kernel_package(work, meta)
    local text = apt(work, { "apt-cache", "depends", meta })
    local name = text:match("Depends: (linux%-image%-%d[^%s]*)")
    if not name then
        errors.fail("notfound", "%s of Debian %s names no kernel package", meta, SUITE)
    end
    return name
end

local function unpack_all(work, tree, progress)
    local packages = {}
    for _, name in ipairs(raise(fs.list(work .. "/debs"))) do
        local path = work .. "/debs/" .. name
        local package, version = name:match("^([^_]+)_([^_]+)_")
        if package then
            progress("unpacking " .. package)
            host.run({ "dpkg-deb", "-x", path, tree }, { timeout = 600 })
            version = version:gsub("%%(%x%x)", function(hex)
                return string.char(tonumber(hex, 16))
            end)
            packages[#packages + 1] = { name = package, version = version, sha256 = raise(fs.sha256(path)) }
            raise(fs.unlink(path))
        end
    end
    if fs.exists(tree .. "/lib/modules") then -- where kernels of older releases have them
        raise(fs.rename(tree .. "/lib/modules", tree .. "/usr/lib/modules"))
    end
    return packages
end

---Whether this is what apt says of a mirror that is being synced: its release file is newer than its
---lists, or its lists than its packages, for hours.
---@param err any
---@return boolean
function M.is_being_synced(err)
    local said = errors.is(err) and err.stderr or ""
    for _, sign in ipairs { "unexpected size", "Hash Sum mismatch", "404  Not Found" } do
        if said:find(sign, 1, true) then
            return true
        end
    end
    return false
end

local function download(work, spec, suite, mirror, progress)
    write_config(work, spec.deb_arch, check_host(), mirror, suite, spec.kernel_suite)
    progress(("reading the package lists of Debian %s for %s from %s"):format(suite, spec.deb_arch, mirror))
    apt(work, { "apt-get", "update", "-q", "--error-on=any" })
    if not is_suite(work) then
        errors.fail("notfound", "Debian %s is not %s", suite, SUITE)
    end
    local argv = { "apt-get", "download", "-q", kernel_package(work, spec.kernel) }
    progress("downloading " .. argv[4])
    apt(work, table.move(spec.packages, 1, #spec.packages, #argv + 1, argv), work .. "/debs")
end

---Downloads the packages of an architecture and unpacks them below `work`, an empty folder. apt
---checks the archive's signature and every package's digest. From a mirror that is being synced they are
---taken under the suite's alias, where the same release may be there as a whole, if an older one.
---@param work string
---@param spec { deb_arch: string, kernel: string, kernel_suite?: string, packages: string[] }
---@param progress fun(line: string)
---@return string tree the folder with their files
---@return { name: string, version: string, sha256: string }[] packages
function M.fetch(work, spec, progress)
    local mirror = M.mirror()
    local ok, err = pcall(download, work, spec, SUITE, mirror, progress)
    if not ok and M.is_being_synced(err) then
        progress(("the mirror is being synced: what it has of %s does not fit together; trying %s")
            :format(SUITE, ALIAS))
        for _, folder in ipairs { "/state", "/cache", "/debs" } do
            raise(fs.remove_tree(work .. folder))
        end
        ok = pcall(download, work, spec, ALIAS, mirror, progress)
    end
    if not ok then
        if errors.is(err) and err.kind ~= "exit" then
            error(err, 0)
        end
        errors.fail("connection", "the packages could not be had from %s (%s); check the network, or name " ..
            "another mirror in VMATRIX_DEBIAN_MIRROR", mirror, tostring(err))
    end
    raise(fs.mkdir_p(work .. "/tree"))
    return work .. "/tree", unpack_all(work, work .. "/tree", progress)
end

return M
