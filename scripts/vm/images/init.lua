-- Images by name: what the catalogue has, what was built or added here, and getting one, verified, from the
-- cache or from where it is published.
local errors = require "vm.errors"
local options = require "vm.options"
local catalogue = require "vm.images.catalogue"
local digests = require "vm.images.digest"
local lock = require "vm.images.lock"
local shallow = require "vm.shallow"
local store = require "vm.images.store"

local M = {}

---Puts a built or added image into the cache; from then on it is what its name means.
M.register = store.register

-- An image that only register knows, as an entry.
local function entry_of_note(note)
    return {
        name = note.name, arch = note.arch, aliases = {}, distro = note.distro or note.name, title = note.distro,
        version = note.version or "", format = note.format, firmware = note.firmware or "bios", user = note.user,
        reach = note.reach or "ssh", packages = note.packages, locations = {},
        verified = "digest", read = { where = note.built and "built here" or "added here", when = "" },
    }
end

-- The catalogue's entry with what register said over it.
local function merge(entry, note)
    local merged = shallow(entry)
    for _, name in ipairs { "user", "reach", "packages", "firmware", "format" } do
        if note[name] ~= nil then
            merged[name] = note[name]
        end
    end
    return merged
end

---What is known of an image; raises "notfound" for a name that is neither in the catalogue nor registered,
---naming the nearest.
---@param name string "debian-12", an alias, or "debian-12@aarch64"
---@param arch? string this machine's unless told otherwise
---@return vm.ImageEntry
function M.find(name, arch)
    local short
    short, arch = catalogue.split(name, arch)
    local entry, note = catalogue.entry(short, arch), store.named(short, arch)
    if entry and note then
        return merge(entry, note)
    elseif entry or note then
        return entry or entry_of_note(note)
    end
    local more = {}
    for i, each in ipairs(store.names()) do
        more[i] = each.name
    end
    return catalogue.missing(short, arch, more)
end

---An image that is ready to be used.
---@class vm.GotImage
---@field path string the disk, read-only: guests stand on it, and nobody writes to it
---@field format string "qcow2" or "raw"
---@field digest string of what it was made from
---@field entry vm.ImageEntry
---@field kernel? string path
---@field initrd? string path
---@field append? string
---@field built boolean it was built or added here, not downloaded
---@field build? table how it was built

local function answer(record, entry, note)
    return {
        path = store.path(record, "disk"), format = record.format, digest = record.digest, entry = entry,
        kernel = store.path(record, "kernel"), initrd = store.path(record, "initrd"),
        append = note and note.append, built = note ~= nil, build = note and note.build,
    }
end

-- The digest a name means, and where that is to be had: by the lock, then by the catalogue.
local function meaning(key, entry, pinned)
    local locations, digest = {}, pinned and pinned.digest
    for _, location in ipairs(entry.locations) do
        local own = digests.of_location(location)
        if own and (not digest or own == digest) then
            digest = digest or own
            locations[#locations + 1] = location
        end
    end
    if pinned and pinned.url and not locations[1] then
        local algorithm, hex = digests.parse(key, digest)
        locations[1] = { url = pinned.url, dated = true, [algorithm] = hex }
    end
    return digest, locations
end

local function without_digest(key, entry)
    if not entry.locations[1] then
        errors.fail("notfound", "image %s: it cannot be downloaded%s", key,
            entry.build and ("; `vmatrix images build %s --arch %s` builds it"):format(entry.name, entry.arch) or "")
    end
    errors.fail("unsafe", "image %s: it has only a location whose content changes, and no digest; "
        .. "`vmatrix images lock --latest %s` looks at what is there now and pins it in vmatrix.lock", key, key)
end

---@class vm.GetOptions
---@field progress? fun(state: table) what is being done: { what =, received =, total =, ... }
---@field lock? string the path of a vmatrix.lock
---@field locked? boolean refuse what is not in the lock
---@field digest? string the one to use, "sha256:..." or "sha512:..."
---@field offline? boolean download nothing
---@field retries? integer
---@field rate? integer|string bytes a second at most
---@field ca? string a file of certificates to believe
---@field proxy? string

local get_spec = {
    progress = "function", lock = "string", locked = "boolean", digest = "string", retries = "integer",
    rate = "size", ca = "string", proxy = "string", offline = "boolean",
}

---An image, from the cache or downloaded. What is used has the digest that is given, in the lock, or in the
---catalogue; one that was built or registered here comes first. Waits.
---@param name string
---@param arch? string
---@param opts? vm.GetOptions
---@return vm.GotImage
function M.get(name, arch, opts)
    opts = options.check("images.get", opts, get_spec)
    local entry = M.find(name, arch)
    local key = ("%s@%s"):format(entry.name, entry.arch)
    local pinned = opts.digest and { digest = opts.digest } or lock.pinned(key, opts)
    local note = store.named(entry.name, entry.arch)
    if note and (not pinned or pinned.digest == note.digest) then
        local record = store.open(note.digest)
        if record then
            return answer(record, entry, note)
        end
    end
    local digest, locations = meaning(key, entry, pinned)
    if not digest then
        without_digest(key, entry)
    end
    local record = store.open(digest)
    if not record then
        if opts.offline or not locations[1] then
            errors.fail("notfound", "image %s: %s is not in the cache%s", key, digest:sub(1, 20),
                opts.offline and ", and nothing is downloaded now" or ", and it is not known where it is to be had")
        end
        record = require("vm.images.pull").image(entry, digest, locations, opts)
    end
    return answer(record, entry)
end

return M
