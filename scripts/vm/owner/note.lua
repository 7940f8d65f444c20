-- The description file of a kept guest: all that another process needs to use it, and the owner to take it
-- over. It is written by the owner alone, aside and renamed.
local raw = require "vm.raw"
local errors = require "vm.errors"
local place_of = require "vm.owner.place"

local M = {}

local fs = raw.fs

---The version of the format; a higher one is refused.
M.FORMAT = 1

local MAX <const> = 1024 * 1024

---What is known of a kept guest.
---@class vm.KeptNote
---@field format integer
---@field version string of the vmatrix that wrote it
---@field name string
---@field image string|nil as the user called it
---@field arch string
---@field accel string
---@field emulated boolean
---@field created integer unix time
---@field booted integer|nil unix time
---@field boot_seconds number|nil how long its last boot took
---@field ready boolean|nil whether somebody has seen its present boot come to its end
---@field state string "running", "paused" or "stopped" when it was written
---@field pid integer|nil QEMU's, when it was written
---@field boot_offset integer where the present boot begins on its console
---@field ports { guest: integer, host: integer, udp: boolean, address: string }[]
---@field login table|nil how one logs in
---@field boot table what it boots from
---@field spec table from vm.guest.spec
---@field desc table what raw.virt.xml takes
---@field agent string|nil the agent's socket
---@field package_manager string|nil "apt", "dnf", ...
---@field took table<string, number>|nil seconds that changes took the last time, by verb
---@field token string|nil by which the process that made it knows it again
---@field failure table|nil what ended it: kind, reason

---The path of a guest's description.
---@param place vm.owner.Place
---@param name string
---@return string
function M.path(place, name)
    return place_of.folder(place, name) .. "/guest.json"
end

---Reads a description; nil when there is none, or none that can be read.
---@param place vm.owner.Place
---@param name string
---@return vm.KeptNote|nil
---@return string|nil why
function M.read(place, name)
    local path = M.path(place, name)
    local text, err = fs.read(path, MAX)
    if not text then
        return nil, err and err.message
    end
    local note
    note, err = raw.json.decode(text)
    if type(note) ~= "table" or note.name ~= name or type(note.spec) ~= "table" then
        return nil, ("%s is damaged%s"):format(path, err and ": " .. err.message or "")
    elseif type(note.format) ~= "number" or note.format > M.FORMAT then
        return nil, ("%s was written by a newer vmatrix (%s)"):format(path, tostring(note.version))
    end
    return note
end

---Writes a description; raises when that cannot be done.
---@param place vm.owner.Place
---@param note vm.KeptNote
function M.write(place, note)
    note.format, note.version = M.FORMAT, _G._VMATRIX
    local text = errors.raise(raw.json.encode(note))
    local ok, err = fs.write_atomic(M.path(place, note.name), text, 384) -- 0600
    if not ok then
        error(errors.prefix(err, ("guest %s: its description"):format(note.name)), 0)
    end
end

---The names of all kept guests, sorted.
---@param place vm.owner.Place
---@return string[]
function M.names(place)
    local list = {}
    for _, path in ipairs(fs.glob(place.home .. "/guests/*/guest.json")) do
        list[#list + 1] = path:match "([^/]+)/guest%.json$"
    end
    return list
end

-- Whether a process names the guest's folder on its command line, as its QEMU does.
local function names_folder(pid, folder)
    local line = fs.read(("/proc/%d/cmdline"):format(pid), MAX)
    if line then
        return line:find(folder .. "/", 1, true) ~= nil
    elseif fs.exists "/proc/self" then
        return false
    end
    for _, process in ipairs(raw.run.processes { folder } or {}) do
        if process.pid == pid then
            return true
        end
    end
    return false
end

---The pid of a guest's QEMU, if it runs. libvirt's file knows it best: the description may be older.
---@param place vm.owner.Place
---@param name string
---@return integer|nil
function M.pid(place, name)
    local text = fs.read(("%s/run/qemu/%s.pid"):format(place.root, name), 64)
    local pid = text and math.tointeger(tonumber(text:match "^%s*(%d+)"))
    return pid and names_folder(pid, place_of.folder(place, name)) and pid or nil
end

---How a guest is now: "running", "paused" or "stopped". Asks no other process.
---@param place vm.owner.Place
---@param note vm.KeptNote
---@return string
---@return integer|nil pid
function M.state(place, note)
    local pid = M.pid(place, note.name)
    if not pid then
        return "stopped"
    end
    return note.state == "paused" and note.pid == pid and "paused" or "running", pid
end

---The port of this host that leads to one of the guest; nil when there is none.
---@param note vm.KeptNote
---@param guest_port integer
---@param udp? boolean
---@return integer|nil
function M.port(note, guest_port, udp)
    for _, port in ipairs(note.ports or {}) do
        if port.guest == guest_port and port.udp == (udp or false) then
            return port.host
        end
    end
end

-- Plain data as it is; what a process has only for itself is left out.
local function plain(value, seen)
    if type(value) ~= "table" then
        return type(value) ~= "function" and type(value) ~= "userdata" and value or nil
    elseif getmetatable(value) or seen[value] then
        return nil
    end
    seen[value] = true
    local copy = {}
    for key, inner in pairs(value) do
        copy[key] = plain(inner, seen)
    end
    seen[value] = nil
    return copy
end

---A guest's options as JSON can hold them: cards are { "nat", mac = ... } where users write them.
---@param spec table from vm.guest.spec
---@return table
function M.pack_spec(spec)
    local copy = plain(spec, {})
    copy.arch_info = nil
    for i, nic in ipairs(copy.nics) do
        nic.kind, nic[1] = spec.nics[i][1], nil
    end
    return copy
end

---The options that pack_spec has packed.
---@param packed table
---@return table spec
function M.unpack_spec(packed)
    local spec = plain(packed, {})
    spec.arch_info = require("vm.arch").find("kept guest", spec.arch)
    for _, nic in ipairs(spec.nics) do
        nic[1], nic.kind = nic.kind, nil
    end
    return spec
end

---A copy of plain data without what only a process has: functions, objects, handles.
---@param value any
---@return any
function M.plain(value)
    return plain(value, {})
end

return M
