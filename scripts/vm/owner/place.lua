-- Where kept guests are: one home for each user, which outlives processes and restarts of the host.
local raw = require "vm.raw"
local errors = require "vm.errors"
local paths = require "vm.host.paths"

local M = {}

local fs = raw.fs

-- libvirt's sockets need the rest of the 107 bytes of a socket's path.
local ROOT_MAX <const> = 55

---Where the kept guests of a user are.
---@class vm.owner.Place
---@field home string disks, keys, consoles, and the description of each guest
---@field root string short folder for libvirt's embedded driver
---@field ram string|nil folder of a RAM file system
---@field socket string where the owner listens

-- What tells the homes of a user apart where their folders have no names of their own.
local function digest(home)
    return raw.data.sha256(home):sub(1, 8)
end

---The place for a home; nothing is made.
---@param home? string this user's unless told otherwise
---@return vm.owner.Place
function M.of(home)
    home = home or paths.kept()
    local root = home .. "/root"
    if #root > ROOT_MAX then
        root = ("/var/tmp/vmatrix-%d-kept/%s"):format(fs.uid(), digest(home))
    end
    local ram = paths.ram()
    return { home = home, root = root, ram = ram and ("%s/kept-%s"):format(ram, digest(home)),
        socket = root .. "/owner" }
end

-- A folder of ours, or an error that names it.
local function private(path)
    local ok, err = paths.private(path)
    if not ok then
        error(errors.prefix(err, "kept guests"), 0)
    end
end

---Makes the folders that are not there yet.
---@param place vm.owner.Place
function M.make(place)
    private(place.home)
    private(place.home .. "/guests")
    if place.root:sub(1, #place.home) ~= place.home then
        private(place.root:match "^(.*)/")
    end
    private(place.root)
    if place.ram then
        if not (paths.private(place.ram:match "^(.*)/") and paths.private(place.ram)) then
            place.ram = nil -- full, or not ours: RAM goes to the disk then
        end
    end
end

---The folder of a guest.
---@param place vm.owner.Place
---@param name string
---@return string
function M.folder(place, name)
    return ("%s/guests/%s"):format(place.home, name)
end

---Whether there have ever been kept guests.
---@param place vm.owner.Place
---@return boolean
function M.exists(place)
    return fs.exists(place.home .. "/guests")
end

return M
