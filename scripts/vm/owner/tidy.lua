-- What an owner that was killed has left half done: guests that have no description are no guests yet, or
-- none any more.
local raw = require "vm.raw"
local note_of = require "vm.owner.note"
local place_of = require "vm.owner.place"

local M = {}

local fs = raw.fs

local function end_domain(connection, name)
    local domain = connection.raw:lookup(name)
    if domain then
        domain:destroy()
        domain:undefine()
    end
end

---The names of what is left of guests that are no guests. Asks no other process.
---@param place vm.owner.Place
---@return string[]
function M.look(place)
    local list = {}
    for _, name in ipairs(fs.list(place.home .. "/guests") or {}) do
        if not fs.exists(note_of.path(place, name)) then
            list[#list + 1] = name
        end
    end
    return list
end

-- Whether something is made or ended right now: this owner's own doing.
local function at_work(owner, name)
    return owner.connection.guests[name] ~= nil
end

---Clears away what is left. Returns the names.
---@param owner table place, connection
---@return string[] names
function M.run(owner)
    local place, removed = owner.place, {}
    for _, name in ipairs(M.look(place)) do
        if not at_work(owner, name) then
            end_domain(owner.connection, name)
            local done, err = raw.run.sweep { place_of.folder(place, name) }
            if not done then
                raw.log.write("warn", name, "cannot be cleared away: " .. tostring(err))
            end
            removed[#removed + 1] = name
        end
    end
    for _, name in ipairs(owner.connection:domains()) do
        if not at_work(owner, name) and not fs.exists(note_of.path(place, name)) then
            end_domain(owner.connection, name)
        end
    end
    for _, file in ipairs(place.ram and fs.list(place.ram) or {}) do
        local name = file:match "^(.*)%.ram$"
        if name and not at_work(owner, name) and not fs.exists(note_of.path(place, name)) then
            fs.unlink(place.ram .. "/" .. file)
        end
    end
    return removed
end

---For `vmatrix prune`: has the owner clear away what one that was killed has left. Starts none when there is
---nothing.
---@param dry_run? boolean only say what there is
---@return { name: string, done: boolean }[]
function M.prune(dry_run)
    local client = require "vm.owner.client"
    local place = place_of.of()
    local left = M.look(place)
    if #left == 0 or (dry_run and client.running(place)) then -- one that runs may be making them right now
        return {}
    end
    if not dry_run then
        client.call("tidy", nil, { place = place })
    end
    local list = {}
    for _, name in ipairs(left) do
        local gone = not fs.exists(place_of.folder(place, name))
        if dry_run or gone then
            list[#list + 1] = { name = name, done = gone }
        end
    end
    return list
end

return M
