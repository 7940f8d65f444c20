-- The files of one guest: its folder, disks, initrd and RAM file. All go with the guest.
local raw = require "vm.raw"
local disk = require "vm.images.disk"
local errors = require "vm.errors"

local M = {}

local fs = raw.fs
local GIB <const> = 1024 * 1024 * 1024
local MIB <const> = 1024 * 1024

---@class vm.Storage
local Storage = {}
Storage.__index = Storage

---Makes the folder of a guest.
---@param run table from vm.run
---@param name string
---@return vm.Storage
function M.new(run, name)
    local self = setmetatable({ folder = ("%s/guests/%s"):format(run.dir, name), name = name }, Storage)
    if fs.exists(self.folder) then
        errors.fail("exists", "guest %s: there is a guest of that name already", name)
    end
    errors.raise(fs.mkdir_p(self.folder, 448)) -- 0700
    return self
end

---The files of a guest that is there already.
---@param folder string
---@param name string
---@param ram string|nil
---@return vm.Storage
function M.at(folder, name, ram)
    return setmetatable({ folder = folder, name = name, ram_path = ram }, Storage)
end

---Makes the file that holds the guest's memory.
---@param what string
---@param size integer bytes
---@return string path
function Storage:ram(what, size)
    local ok, path = pcall(require("vm.run").ram_file, self.name .. ".ram", size)
    if not ok then
        error(errors.prefix(path, what), 0)
    end
    self.ram_path = path
    return path
end

-- A file of the user's: it must be whole, and stand on no other.
local function check_image(what, image)
    local info = disk.info(image, ("%s: image %s"):format(what, image))
    if info.format == "qcow2" then
        if info.backing or info.data_file then
            errors.fail("unsafe", "%s: image %s refers to another file (%s); flatten it with `qemu-img convert`",
                what, image, info.backing or info.data_file)
        end
        disk.check(image, ("%s: image %s"):format(what, image))
    elseif info.format ~= "raw" then
        errors.fail("format", "%s: image %s is %s; convert it with `qemu-img convert -O qcow2`",
            what, image, info.format)
    end
    return { path = image, format = info.format, size = info.size }
end

---Makes the first disk: an overlay on the image, or blank.
---@param what string
---@param image string|table|nil a path, or { path =, format = } of an image of the cache, which was checked there
---@param size integer|nil
---@return table disk as raw.virt.xml takes it
function Storage:root_disk(what, image, size)
    local path = self.folder .. "/disk.qcow2"
    if image then
        if type(image) == "string" then
            image = check_image(what, image)
        elseif size then
            image.size = disk.info(image.path).size
        end
        self.image = image.path
        if size and size < image.size then
            errors.fail("usage", "%s: option 'disk': %d MiB is less than the image's %d MiB",
                what, size // MIB, image.size // MIB)
        end
        disk.overlay(path, image.path, image.format, size)
    else
        disk.blank(path, size or 20 * GIB)
    end
    return { path = path, format = "qcow2", cache = "unsafe", target = "vda" }
end

---Makes or checks one more disk.
---@param what string
---@param item table from vm.guest.spec
---@param number integer
---@return table
function Storage:more_disk(what, item, number)
    if not item.path then
        local path = ("%s/disk%d.qcow2"):format(self.folder, number)
        disk.blank(path, item.size)
        return { path = path, format = "qcow2", cache = "unsafe" }
    end
    local info = disk.info(item.path, ("%s: disk %s"):format(what, item.path))
    if info.backing or info.data_file then
        errors.fail("unsafe", "%s: disk %s refers to another file (%s); flatten it with `qemu-img convert`",
            what, item.path, info.backing or info.data_file)
    elseif info.format ~= "qcow2" and info.format ~= "raw" then
        errors.fail("format", "%s: disk %s is %s, not qcow2 or raw", what, item.path, info.format)
    end
    return { path = item.path, format = info.format, readonly = item.readonly }
end

---Makes a disk of a fork: an overlay on a frozen disk.
---@param name string of the file
---@param backing table of the template's description
---@return table disk as raw.virt.xml takes it
function Storage:fork_disk(name, backing)
    local path = ("%s/%s"):format(self.folder, name)
    disk.overlay(path, backing.path, backing.format)
    return { path = path, format = "qcow2", cache = "unsafe", target = backing.target, serial = backing.serial }
end

---The path of another file of this guest.
---@param name string
---@return string
function Storage:path(name)
    return self.folder .. "/" .. name
end

---Removes everything. Harmless when repeated.
function Storage:remove()
    if self.ram_path then
        fs.unlink(self.ram_path)
        self.ram_path = nil
    end
    errors.raise(fs.remove_tree(self.folder))
end

return M
