-- Finding guests by name: those of this process and the kept ones.
local raw = require "vm.raw"
local errors = require "vm.errors"
local kept = require "vm.owner.kept"
local note_of = require "vm.owner.note"
local options = require "vm.options"
local place_of = require "vm.owner.place"

local M = {}

---What vm.list says of each guest.
---@class vm.GuestEntry
---@field name string
---@field state string "running", "paused" or "stopped"
---@field image string|nil
---@field arch string
---@field accel string
---@field cpus integer
---@field memory integer bytes
---@field address string|nil where its SSH server is reached from here: "127.0.0.1:40123"
---@field ports { guest: integer, host: integer, udp: boolean, address: string }[]
---@field pid integer|nil QEMU's process
---@field created integer|nil unix time
---@field booted integer|nil unix time
---@field kept boolean whether it lives on when the process ends that made it

local function entry_of_note(place, note)
    local state, pid = note_of.state(place, note)
    local port = state ~= "stopped" and note.login and note_of.port(note, note.login.port) or nil
    return {
        name = note.name, state = state, image = note.image, arch = note.arch, accel = note.accel,
        cpus = note.spec.cpus, memory = note.spec.memory, address = port and ("127.0.0.1:%d"):format(port) or nil,
        ports = raw.json.list(state ~= "stopped" and note.ports or {}), pid = pid, created = note.created,
        booted = state ~= "stopped" and note.booted or nil, kept = true,
    }
end

---What is known of a kept guest. Asks no other process.
---@param guest vm.KeptGuest
---@return vm.GuestEntry
function M.entry(guest)
    return entry_of_note(guest.place, guest.note)
end

---What is known of the kept guests, sorted by name. Asks no other process.
---@param place? vm.owner.Place
---@return vm.GuestEntry[]
---@return string[] damaged what is wrong with descriptions that cannot be read
function M.kept(place)
    place = place or place_of.of()
    local list, damaged = {}, {}
    for _, name in ipairs(note_of.names(place)) do
        local note, why = note_of.read(place, name)
        if note then
            list[#list + 1] = entry_of_note(place, note)
        elseif raw.fs.exists(note_of.path(place, name)) then -- and was not deleted just now
            damaged[#damaged + 1] = why
        end
    end
    return list, damaged
end

local function own_guests()
    local connection = package.loaded["vm.guest.connection"] -- without it there are none
    return connection and connection.guests() or {}
end

---The guests that there are: those that this process has made, and the kept ones of this user.
---@return vm.GuestEntry[]
function M.list()
    local list = {}
    for _, guest in ipairs(own_guests()) do
        if not guest.closed then
            local running = guest.last_state ~= "stopped"
            local known = running and guest.ports or {}
            local port = guest.login and note_of.port({ ports = known }, guest.login.port)
            list[#list + 1] = {
                name = guest.name, state = guest.last_state, image = guest.spec.image, arch = guest.arch,
                accel = guest.accel, cpus = guest.spec.cpus, memory = guest.spec.memory, ports = known,
                address = port and ("127.0.0.1:%d"):format(port) or nil, pid = guest.pid, kept = false,
            }
        end
    end
    local kept_ones = M.kept()
    table.move(kept_ones, 1, #kept_ones, #list + 1, list)
    table.sort(list, function(a, b) return a.name < b.name end)
    return list
end

-- The one name that is meant by a name or the beginning of one; nil and why. `images` could have been meant, too.
local function match(name, names, images)
    local found = {}
    for _, each in ipairs(names) do
        if each == name then
            return each
        elseif each:sub(1, #name) == name then
            found[#found + 1] = each
        end
    end
    if #found == 1 then
        return found[1]
    elseif #found > 1 then
        return nil, ("%s is the beginning of several guests: %s"):format(options.show(name), table.concat(found, ", "))
    end
    local known = images and table.move(images, 1, #images, #names + 1, table.move(names, 1, #names, 1, {})) or names
    local near = options.nearest(name, known)
    return nil, ("there is no guest %s%s%s"):format(images and "and no image " or "", options.show(name),
        near and ("; did you mean '%s'?"):format(near)
        or images and "; `vmatrix list` shows the guests, `vmatrix images list` the images"
        or #names > 0 and "; `vmatrix list` shows those there are" or "; `vmatrix boot` makes one")
end

---The guest of this name, or the one whose name begins so: of this process, or kept. A kept one belongs to the
---running task, which lets go of it at its end.
---@param name string
---@return vm.Guest|vm.KeptGuest|nil
---@return string|nil why there is none
function M.get(name)
    if type(name) ~= "string" or name == "" then
        errors.fail("usage", "vm.get: a name expected, got %s", options.show(name))
    end
    local place = place_of.of()
    local own, names = {}, note_of.names(place)
    for _, guest in ipairs(own_guests()) do
        if not guest.closed then
            own[guest.name] = guest
            names[#names + 1] = guest.name
        end
    end
    local found, why = match(name, names)
    if not found then
        return nil, why
    elseif own[found] then
        return own[found]
    end
    return kept.open(place, found)
end

---Raises that no guest is meant, which commands end with a status of its own for.
---@param why string
function M.fail(why)
    local err = errors.new("notfound", why)
    err.no_guest = true
    error(err, 0)
end

---The kept guest that a command line names; raises when there is none.
---@param name string a name, or the beginning of one
---@return vm.KeptGuest
function M.need(name)
    local place = place_of.of()
    local found, why = match(name, note_of.names(place))
    local guest
    if found then
        guest, why = kept.open(place, found)
    end
    return guest or M.fail(why)
end

---The kept guests that a command line names, each once; raises before anything is done when one of them is not
---there.
---@param names string[]
---@return vm.KeptGuest[]
function M.need_all(names)
    local guests, seen = {}, {}
    for _, name in ipairs(names) do
        local guest = M.need(name)
        if not seen[guest.name] then
            seen[guest.name] = true
            guests[#guests + 1] = guest
        end
    end
    return guests
end

---The name of the kept guest that is meant, or nil and why there is none.
---@param name string
---@param images? string[] names of images, where one could have been meant as well
---@return string|nil
---@return string|nil why
function M.match(name, images)
    return match(name, note_of.names(place_of.of()), images)
end

return M
