-- The catalogue: what distributions publish, by name and architecture. Data from the binary
-- (scripts/images), then the user's and the project's own files over it.
local raw = require "vm.raw"
local errors = require "vm.errors"
local options = require "vm.options"
local check = require "vm.images.check"
local paths = require "vm.host.paths"
local script = require "vm.script"

local M = {}

local fs = raw.fs

---The files of the catalogue in the binary: scripts/images/NAME.lua.
M.files = {
    "almalinux", "alpine", "amazon", "arch", "centos", "debian", "fedora", "freebsd", "opensuse", "oracle",
    "rocky", "ubuntu",
}

---What is known of an image of a distribution for one architecture.
---@class vm.ImageEntry
---@field name string "debian-12"
---@field arch string
---@field aliases string[]
---@field distro string
---@field title string the distribution's name as it writes it
---@field version string
---@field format string "qcow2" or "raw", once decompressed
---@field compression? string "xz", "zst", "gz" or "bz2"
---@field size? integer bytes of the download, where known
---@field firmware string "bios" (the machine's own), "uefi" or "kernel"
---@field user? string who may log in by default
---@field reach string how commands reach it: "cloud-init", "agent" or "ssh"
---@field eol? string the day its updates end
---@field packages? string its package manager
---@field keyring? string the file with the keys that its checksums are signed with
---@field locations vm.ImageLocation[]
---@field verified string "booted", "digest" or "unverified"
---@field read { where: string, when: string } where this was read, and when
---@field build? table how it is built from packages, where it can be
---@field from? string the file of the user's or the project's that says so

---Where an image is to be had.
---@class vm.ImageLocation
---@field url string
---@field dated? boolean it names one build for ever, with its digest
---@field latest? boolean it names another build tomorrow
---@field sha256? string
---@field sha512? string
---@field checksums? string the file that the digest is in
---@field signature? string the signature of that file, where it is another file

local function entry_of(file, release, arch, item, from)
    local locations = {}
    for i, location in ipairs(item) do
        locations[i] = location
    end
    local function pick(name)
        local value = item[name]
        if value == nil then value = release[name] end
        if value == nil then value = file[name] end
        return value
    end
    return {
        name = release.name, arch = arch, aliases = release.aliases or {}, distro = file.distro,
        title = file.title or file.distro, version = release.version or "", format = pick "format",
        compression = pick "compression", size = pick "size", firmware = pick "firmware" or "bios",
        user = pick "user", reach = pick "reach" or "cloud-init", eol = release.eol, packages = pick "packages",
        keyring = pick "keyring", locations = locations, verified = pick "verified" or "unverified",
        read = pick "read", build = pick "build", from = from,
    }
end

local function add_file(into, file, from)
    for _, release in ipairs(file.releases) do
        local known = into.by_name[release.name]
        if not known then
            known = { name = release.name, arches = {}, order = {} }
            into.by_name[release.name] = known
            into.names[#into.names + 1] = release.name
        end
        for _, alias in ipairs(release.aliases or {}) do
            into.aliases[alias] = release.name
        end
        for arch, item in pairs(release.arches) do
            known.arches[arch] = entry_of(file, release, arch, item, from)
        end
    end
end

-- The folders of catalogue files beside the binary's own, the strongest last.
local function folders()
    local config, project = paths.config(), script.path ".vmatrix/images"
    return config and { config .. "/images", project } or { project }
end

-- A catalogue file is data: it sees no function.
local function read_file(path)
    local what = "catalogue file " .. path
    local text = errors.raise(fs.read(path, 1 << 20))
    local chunk, why = load(text, "@" .. path, "t", {})
    if not chunk then
        errors.fail("format", "%s: %s", what, why)
    end
    local ok, file = pcall(chunk)
    if not ok then
        errors.fail("format", "%s is data and calls nothing: %s", what, tostring(file))
    end
    local problem = check.file(file)
    if problem then
        errors.fail("format", "%s: %s", what, problem)
    end
    return file
end

local built_in, loaded -- loaded: { key =, data = } of the last folders that were read

local function load_built_in()
    if not built_in then
        built_in = {}
        for i, name in ipairs(M.files) do
            built_in[i] = require("images." .. name)
        end
    end
    return built_in
end

---The whole catalogue: by_name[name].arches[arch], names in order, aliases.
---@return table
function M.all()
    local found = {}
    for _, folder in ipairs(folders()) do
        for _, path in ipairs(fs.glob(folder .. "/*.lua") or {}) do
            local stat = fs.stat(path)
            found[#found + 1] = path
            found[path] = stat and ("%d:%d"):format(stat.mtime_ns, stat.size) or ""
        end
    end
    local parts = {}
    for i, path in ipairs(found) do
        parts[i] = path .. "\0" .. found[path]
    end
    local key = table.concat(parts, "\0")
    if loaded and loaded.key == key then
        return loaded.data
    end
    local data = { by_name = {}, names = {}, aliases = {} }
    for _, file in ipairs(load_built_in()) do
        add_file(data, file)
    end
    for _, path in ipairs(found) do
        add_file(data, read_file(path), path)
    end
    loaded = { key = key, data = data }
    return data
end

-- An architecture as images are named by: "amd64" is x86_64.
local function spell(arch)
    for _, known in ipairs(raw.virt.arches()) do
        if known.alias == arch then
            return known.name
        end
    end
    return arch
end

---Takes "debian-12@aarch64" apart. Names no image that there need be.
---@param name string
---@param arch? string
---@return string name without architecture, and in the catalogue's spelling
---@return string arch
function M.split(name, arch)
    local short, given = name:match "^(.-)@([%w_]+)$"
    if given and arch and arch ~= given then
        errors.fail("usage", "image %s: the architecture is %s here and %s there", name, given, arch)
    end
    short = short or name
    return M.all().aliases[short] or short, spell(given or arch or raw.build.arch)
end

---The entry of an image, or nil.
---@param name string in the catalogue's spelling
---@param arch string
---@return vm.ImageEntry|nil
function M.entry(name, arch)
    local known = M.all().by_name[name]
    return known and known.arches[arch]
end

---Raises "notfound" for an image that is not in the catalogue, naming what is nearest.
---@param name string
---@param arch string
---@param more? string[] further names that there are
function M.missing(name, arch, more)
    local all = M.all()
    local known = all.by_name[name]
    if known then
        local arches = {}
        for each in pairs(known.arches) do
            arches[#arches + 1] = each
        end
        table.sort(arches)
        errors.fail("notfound", "image %s: the catalogue has it for %s, not for %s", name,
            table.concat(arches, ", "), arch)
    end
    local names = table.move(all.names, 1, #all.names, 1, {})
    for alias in pairs(all.aliases) do
        names[#names + 1] = alias
    end
    table.move(more or {}, 1, #(more or {}), #names + 1, names)
    local near = options.nearest(name, names)
    errors.fail("notfound", "image %s: there is none of that name; %s", name,
        near and ("did you mean '%s'?"):format(near) or "`vmatrix images list` shows what there is")
end

return M
