-- Images in the cache: a folder each, named by the digest of what it was made from, with the files and
-- image.json, which says what they are. It gets its name when all of it is on the disk.
local raw = require "vm.raw"
local digests = require "vm.images.digest"
local errors = require "vm.errors"
local options = require "vm.options"
local paths = require "vm.host.paths"
local shallow = require "vm.shallow"

local M = {}

local fs = raw.fs
local raise = errors.raise
local FORMAT <const> = 1
local READ_ONLY <const> = 292 -- 0444

---An image in the cache.
---@class vm.CachedImage
---@field digest string of what it was made from: the download, or the built files
---@field folder string
---@field files { role: string, name: string, size: integer, digest: string }[] role: disk, kernel or initrd
---@field format string of the disk
---@field name? string
---@field arch? string
---@field url? string where it came from
---@field fetched integer seconds since 1970
---@field built? boolean
---@field append? string
---@field user? string

---Where images are.
---@return string
function M.root()
    return paths.cache() .. "/images"
end

---The folder of the image with a digest.
---@param digest string
---@return string
function M.folder(digest)
    local algorithm, hex = digests.parse("image", digest)
    return ("%s/%s-%s"):format(M.root(), algorithm, hex:sub(1, 40))
end

local function read_json(path)
    local text = fs.read(path, 1 << 20)
    local value = text and raw.json.decode(text)
    return type(value) == "table" and value or nil
end

local function stamp(path)
    local stat = fs.stat(path)
    return stat and stat.type == "file" and ("%d:%d:%d"):format(stat.ino, stat.size, stat.mtime_ns) or nil
end

-- Whether the files are the ones that were checked when they came here: by their inodes, sizes and times.
local function untouched(record)
    for _, file in ipairs(record.files) do
        if not file.stamp or stamp(record.folder .. "/" .. file.name) ~= file.stamp then
            return false
        end
    end
    return true
end

---Whether every file still has the digest that was noted. Waits: it reads all of them.
---@param record vm.CachedImage
---@return boolean ok
---@return string|nil problem
function M.verify(record)
    for _, file in ipairs(record.files) do
        local path = record.folder .. "/" .. file.name
        if not fs.exists(path) then
            return false, file.name .. " is missing"
        end
        local algorithm = digests.parse("image", file.digest)
        if digests.of_file(path, algorithm) ~= file.digest then
            return false, file.name .. " is damaged: its digest is another one"
        end
    end
    return true
end

local function write_record(folder, record)
    for _, file in ipairs(record.files) do
        file.stamp = stamp(folder .. "/" .. file.name)
    end
    local out = shallow(record)
    out.folder = nil
    raise(fs.save(folder .. "/image.json", raise(raw.json.encode(out))))
end

---The image with a digest as its record says, whether or not its files are as they were; or nil.
---@param digest string
---@return vm.CachedImage|nil
function M.record(digest)
    local folder = M.folder(digest)
    local record = read_json(folder .. "/image.json")
    if not record or record.format_version ~= FORMAT or record.digest ~= digest
        or type(record.files) ~= "table" or not record.files[1] then
        return nil
    end
    record.folder = folder
    return record
end

-- Reads an image that seems to have changed, under its lock: another process may put a good one in its place.
local function look_again(digest, locked)
    local lock <close> = not locked and M.lock(digest) or nil -- luacheck: ignore 211
    local record = M.record(digest)
    if not record or untouched(record) then
        return record
    end
    local ok, problem = M.verify(record)
    if not ok then
        raw.log.write("warn", nil, ("image %s: %s; it is removed from the cache"):format(digest, problem))
        raise(fs.remove_tree(record.folder))
        return nil
    end
    write_record(record.folder, record)
    return record
end

local in_use = {} -- folder -> lock, for the life of the process: prune leaves it alone

---The image with a digest, ready to be used, or nil. Its files are read only if they seem to have changed
---since they were checked; one that is damaged is removed.
---@param digest string
---@param locked? boolean whether the caller has its lock
---@return vm.CachedImage|nil
function M.open(digest, locked)
    local record = M.record(digest)
    if record and not untouched(record) then
        record = look_again(digest, locked)
    end
    if not record then
        return nil
    end
    if not in_use[record.folder] then
        in_use[record.folder] = fs.lock(record.folder .. "/in-use", true, true)
        fs.write_atomic(record.folder .. "/used", "") -- its time says when it was used last
    end
    return record
end

---The path of one of an image's files, or nil.
---@param record vm.CachedImage
---@param role string
---@return string|nil
function M.path(record, role)
    for _, file in ipairs(record.files) do
        if file.role == role then
            return record.folder .. "/" .. file.name
        end
    end
end

---An empty folder in which an image is put together: commit gives it its name. What is in it from an
---earlier attempt stays when `keep` is given.
---@param digest string
---@param keep? boolean
---@return string
function M.staging(digest, keep)
    local path = M.folder(digest) .. ".new"
    if not keep then
        raise(fs.remove_tree(path))
    end
    raise(fs.mkdir_p(path, 448)) -- 0700
    return path
end

---Waits for the lock of an image: whoever has it may make it.
---@param digest string
---@param waiting? fun() called when another has it
---@return userdata lock
function M.lock(digest, waiting)
    local path = M.folder(digest) .. ".lock"
    raise(fs.mkdir_p(M.root()))
    local lock, err = fs.lock(path, true)
    if not lock and errors.is(err, "exists") then
        if waiting then
            waiting()
        end
        lock, err = fs.lock(path)
    end
    return raise(lock, err)
end

---Gives a staging folder its name; what was there before goes.
---@param record table as vm.CachedImage, without folder
---@return vm.CachedImage
function M.commit(record)
    local folder = M.folder(record.digest)
    local staging = folder .. ".new"
    record.format_version = FORMAT
    for _, file in ipairs(record.files) do
        local path = staging .. "/" .. file.name
        raise(fs.chmod(path, READ_ONLY))
        raise(fs.sync(path))
        file.size = raise(fs.stat(path)).size
    end
    write_record(staging, record)
    if fs.exists(folder) then
        raise(fs.remove_tree(folder))
    end
    raise(fs.rename(staging, folder))
    fs.sync(M.root())
    record.folder = folder
    return record
end

local function name_path(name, arch)
    return ("%s/names/%s@%s.json"):format(M.root(), name, arch)
end

---Notes that a name means this image from now on.
---@param name string
---@param arch string
---@param note table { digest =, ... }
function M.set_name(name, arch, note)
    raise(fs.mkdir_p(M.root() .. "/names"))
    raise(fs.write_atomic(name_path(name, arch), raise(raw.json.encode(note))))
end

---What a name was made to mean by register, or nil.
---@param name string
---@param arch string
---@return table|nil note { name =, arch =, digest =, ... }
function M.named(name, arch)
    local note = not name:find "/" and read_json(name_path(name, arch))
    return note and type(note.digest) == "string" and note or nil
end

---All that register has named.
---@return table[] notes
function M.names()
    local list = {}
    for _, path in ipairs(fs.glob(M.root() .. "/names/*.json") or {}) do
        local note = read_json(path)
        if note and type(note.digest) == "string" then
            list[#list + 1] = note
        end
    end
    return list
end

---All images in the cache, the seeds not among them.
---@return vm.CachedImage[]
function M.list()
    local list = {}
    for _, path in ipairs(fs.glob(M.root() .. "/sha*-*/image.json") or {}) do
        local record = read_json(path)
        local digest = record and tostring(record.digest) or ""
        if digest:find "^sha%d+:%x+$" and record.format_version == FORMAT
            and M.folder(digest) .. "/image.json" == path then
            record.folder = M.folder(digest)
            list[#list + 1] = record
        end
    end
    return list
end

---Forgets a name and gives the files of an image back, unless a process uses them; then "busy".
---@param record vm.CachedImage
function M.remove(record)
    local lock <close> = M.lock(record.digest) -- luacheck: ignore 211
    if in_use[record.folder] then
        in_use[record.folder]:close()
        in_use[record.folder] = nil
    end
    local alone, err = fs.lock(record.folder .. "/in-use", true)
    if not alone and errors.is(err, "exists") then
        errors.fail("busy", "image %s is in use", record.name or record.digest)
    end
    for _, note in ipairs(M.names()) do
        if note.digest == record.digest then
            fs.unlink(name_path(note.name, note.arch))
        end
    end
    local doomed = record.folder .. ".new"
    raise(fs.remove_tree(doomed))
    raise(fs.rename(record.folder, doomed))
    if alone then
        alone:close()
    end
    raise(fs.remove_tree(doomed))
    fs.unlink(M.folder(record.digest) .. ".lock")
end

---@class vm.RegisterOptions
---@field name string
---@field arch string
---@field path string the disk
---@field format string "qcow2" or "raw"
---@field kernel? string path
---@field initrd? string path
---@field append? string
---@field user? string
---@field reach? string
---@field packages? string
---@field distro? string
---@field version? string
---@field firmware? string
---@field built? boolean false: it came from elsewhere
---@field digest? string of what it was made from, if that is not the files

local register_spec = {
    name = { "string", required = true }, arch = { "string", required = true },
    path = { "string", required = true }, format = { "string", required = true, one_of = { "qcow2", "raw" } },
    kernel = "string", initrd = "string", append = "string", user = "string", reach = "string",
    packages = "string", distro = "string", version = "string", firmware = "string", url = "string",
    digest = "string", built = { "boolean", default = true }, progress = "function", build = "table",
}

local function move(from, to)
    if not fs.rename(from, to) then -- another file system
        raise(fs.copy(from, to))
        raise(fs.unlink(from))
    end
end

-- What identifies the files: the disk's digest, or, when there are more, one over those of all.
local function identity(files)
    if #files == 1 then
        return files[1].digest
    end
    local lines = {}
    for i, file in ipairs(files) do
        lines[i] = ("%s %s\n"):format(file.role, file.digest)
    end
    return "sha256:" .. raise(raw.data.sha256(table.concat(lines)))
end

---Puts a built or added image into the cache, atomically; from then on it is what its name means. The files
---are moved there.
---@param opts vm.RegisterOptions
---@return vm.CachedImage
function M.register(opts)
    opts = options.check("images.register", opts, register_spec)
    local what = ("image %s"):format(opts.name)
    if not opts.name:find "^%w[%w._-]*$" or not opts.arch:find "^[%w_]+$" then
        errors.fail("usage", "%s: a name has letters, digits, '.', '_' and '-'", what)
    end
    require("vm.images.qcow2").check_file(opts.path, opts.format, what)
    local files, sources = {}, {}
    for _, role in ipairs { "disk", "kernel", "initrd" } do
        local path = opts[role == "disk" and "path" or role]
        if path then
            files[#files + 1] = {
                role = role, name = role == "disk" and "disk." .. opts.format or role,
                digest = digests.of_file(path, "sha256"),
            }
            sources[#sources + 1] = path
        end
    end
    local digest = opts.digest or identity(files)
    local lock <close> = M.lock(digest) -- luacheck: ignore 211
    local record = M.record(digest)
    if not record or not M.verify(record) then
        local staging = M.staging(digest)
        for i, file in ipairs(files) do
            move(sources[i], staging .. "/" .. file.name)
        end
        record = M.commit {
            digest = digest, files = files, format = opts.format, name = opts.name, arch = opts.arch,
            url = opts.url, fetched = os.time(), built = opts.built,
        }
    end
    M.set_name(opts.name, opts.arch, {
        name = opts.name, arch = opts.arch, digest = digest, append = opts.append, user = opts.user,
        reach = opts.reach, packages = opts.packages, distro = opts.distro, version = opts.version,
        firmware = opts.firmware or opts.kernel and "kernel" or nil, built = opts.built, build = opts.build,
        format = opts.format,
    })
    return record
end

return M
