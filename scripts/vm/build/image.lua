-- Images of Debian that are built on this machine, from packages: made aside, and taken into the cache
-- when they are whole.
local raw = require "vm.raw"
local bootstrap = require "vm.build.bootstrap"
local errors = require "vm.errors"
local host = require "vm.host"
local paths = require "vm.host.paths"
local initrd = require "vm.build.initrd"
local options = require "vm.options"
local recipe_of = require "vm.build.recipe"

local M = {}

local fs = raw.fs
local raise = errors.raise

-- Removes a folder when the block that has it ends, however it ends.
local function scratch(path)
    raise(fs.remove_tree(path))
    raise(fs.mkdir_p(path, 448)) -- 0700
    return setmetatable({}, { __close = function()
        fs.remove_tree(path)
    end })
end

local function convert(from, to)
    host.run({ "qemu-img", "convert", "-q", "-f", "raw", "-O", "qcow2", "-c", "-o", "compression_type=zstd", from, to },
        { timeout = 3600 })
end

local function build(recipe, work, opts)
    local disk, tree = bootstrap.run(recipe, work, opts)
    opts.progress "writing the image"
    convert(disk, work .. "/disk.qcow2")
    raise(fs.unlink(disk))
    raise(fs.write_atomic(work .. "/kernel", require("vm.seed").read_kernel(tree, recipe.arch)))
    initrd.write(work .. "/initrd", tree)
    local image = {
        name = recipe.name, arch = recipe.arch,
        path = work .. "/disk.qcow2", format = "qcow2", kernel = work .. "/kernel", initrd = work .. "/initrd",
        append = recipe.append, user = "root", reach = "ssh", firmware = "kernel", packages = "apt",
        distro = "debian", version = recipe.version, built = true,
        build = { suite = recipe.suite, init = recipe.init, with = recipe.with, ready = "vmatrix: ready",
            power_button = recipe.power_button },
    }
    require("vm.images").register(image)
    return require("vm.images").get(recipe.name, recipe.arch)
end

---Builds an image, and takes it into the cache, in place of the one that had its name. Two processes that
---build for the same release and architecture do so one after the other.
---@param name string "debian-13", "trixie"
---@param arch? string the host's unless told otherwise
---@param opts? { with?: string[], init?: "systemd"|"none", as?: string, mirror?: string, progress?: fun(line: string) }
---@return table image what images.get returns
function M.build(name, arch, opts)
    opts = options.check("images build", opts, { with = "table", init = "string", as = "string", mirror = "string",
        progress = "function" })
    local recipe = recipe_of.find(name, arch or raw.build.arch, { with = opts.with, init = opts.init, as = opts.as })
    bootstrap.check(recipe)
    local progress = opts.progress or function() end
    local folder = paths.cache() .. "/build"
    local key = ("%s-%s"):format(recipe.suite, recipe.arch)
    raise(fs.mkdir_p(folder))
    local _ <close> = raise(fs.lock(("%s/%s.lock"):format(folder, key)))
    local work = ("%s/%s"):format(folder, key)
    local _ <close> = scratch(work)
    local ok, result = pcall(build, recipe, work, { mirror = opts.mirror, progress = progress })
    if not ok then
        error(errors.prefix(result, ("images build %s@%s"):format(recipe.name, recipe.arch)), 0)
    end
    return result
end

return M
