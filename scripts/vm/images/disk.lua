-- Disk images: made, checked and described by qemu-img.
local raw = require "vm.raw"
local errors = require "vm.errors"
local host = require "vm.host"

local M = {}

local function qemu_img(what, argv, ok)
    local path = host.which("qemu-img")
    if not path then
        errors.fail("notfound", "%s: qemu-img is not installed; `vmatrix doctor` names the package", what)
    end
    table.insert(argv, 1, path)
    local good, result = pcall(host.run, argv, { timeout = 600, ok = ok or { 0 } })
    if not good then
        local text = tostring(result.stderr or result):gsub("^qemu%-img: ", ""):gsub("%s+$", "")
        local kind = text:find("No space left", 1, true) and "nospace"
            or text:find("No such file", 1, true) and "notfound"
            or text:find("Permission denied", 1, true) and "denied" or "format"
        errors.fail(kind, "%s: %s", what, text:gsub("[%c]", " "))
    end
    return result
end

---@class vm.DiskInfo
---@field format string "qcow2", "raw", ...
---@field size integer bytes as the guest sees them
---@field used integer bytes on the host
---@field backing string|nil the backing file
---@field data_file string|nil an external data file

---What qemu-img knows of an image file; raises when it is missing or not readable as one.
---@param path string
---@param what? string for messages
---@return vm.DiskInfo
function M.info(path, what)
    what = what or ("disk image %s"):format(path)
    if not raw.fs.exists(path) then
        errors.fail("notfound", "%s: there is no such file", what)
    end
    local text = qemu_img(what, { "info", "--force-share", "--output=json", "--", path }).stdout
    local info = errors.raise(raw.json.decode(text))
    local specific = info["format-specific"] and info["format-specific"].data or {}
    return {
        format = info.format,
        size = info["virtual-size"],
        used = info["actual-size"],
        backing = info["full-backing-filename"] or info["backing-filename"],
        data_file = specific["data-file"],
    }
end

---The files that an image stands on, nearest first.
---@param path string
---@return { path: string, format: string }[]
function M.chain(path)
    local what = ("disk image %s"):format(path)
    local text = qemu_img(what, { "info", "--force-share", "--backing-chain", "--output=json", "--", path }).stdout
    local list = {}
    for i, info in ipairs(errors.raise(raw.json.decode(text))) do
        list[i - 1] = { path = info.filename, format = info.format }
    end
    list[0] = nil
    return list
end

---Makes an image stand on another file than before, and takes over what lay between the two.
---@param path string
---@param backing string|nil nil: on nothing
---@param format string|nil the backing file's
function M.rebase(path, backing, format)
    local argv = { "rebase", "-q", "-f", "qcow2", "-b", backing or "" }
    if backing then
        table.move({ "-F", format }, 1, 2, #argv + 1, argv)
    end
    argv[#argv + 1] = path
    qemu_img(("disk %s"):format(path), argv)
end

---Makes a blank qcow2 disk.
---@param path string
---@param size integer bytes
function M.blank(path, size)
    qemu_img(("disk %s"):format(path), { "create", "-q", "-f", "qcow2", path, ("%d"):format(size) })
end

---Makes a qcow2 overlay: what the guest writes goes there, the backing file is only read.
---@param path string
---@param backing string
---@param format string the backing file's
---@param size? integer bytes; the backing file's unless told otherwise
function M.overlay(path, backing, format, size)
    local argv = { "create", "-q", "-f", "qcow2", "-F", format, "-b", backing, path }
    if size then
        argv[#argv + 1] = ("%d"):format(size)
    end
    qemu_img(("disk %s"):format(path), argv)
end

---Raises when a qcow2 image is damaged.
---@param path string
---@param what string for messages
function M.check(path, what)
    local result = qemu_img(what, { "check", "-q", "--force-share", "-f", "qcow2", "--", path }, { 0, 2, 3, 63 })
    if result.status == 2 then
        errors.fail("format", "%s: the image is corrupt: %s; `qemu-img check -r all` may repair a copy of it",
            what, (result.stderr .. result.stdout):gsub("%s+", " "):sub(1, 300))
    end
end

return M
