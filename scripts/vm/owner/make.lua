-- Making kept guests: checked here, where paths and images are what the caller means; made by the owner.
local raw = require "vm.raw"
local client = require "vm.owner.client"
local errors = require "vm.errors"
local kept = require "vm.owner.kept"
local note_of = require "vm.owner.note"
local options = require "vm.options"
local place_of = require "vm.owner.place"
local progress = require "vm.terminal.progress"
local shallow = require "vm.shallow"
local spec_of = require "vm.guest.spec"
local task = require "vm.task"
local random_hex = require "vm.random_hex"

local M = {}

-- The first free name like "seed-1"; a name that the user chose is taken as it is.
local function free_name(place, base)
    local stem = base:gsub("%-%d+$", "")
    local number = 1
    while raw.fs.exists(place_of.folder(place, ("%s-%d"):format(stem, number))) do
        number = number + 1
    end
    return ("%s-%d"):format(stem, number)
end

---Has what an image needs made or fetched, where somebody sees how far that is.
---@param spec table from vm.guest.spec
function M.prepare_image(spec)
    if spec.named then
        local bar <close> = progress.start("image " .. spec.image)
        require("vm.images").get(spec.image, spec.arch, { progress = function(state)
            bar:follow(state)
        end })
        return
    elseif spec.image ~= "seed" then
        return
    end
    local seed = require "vm.seed"
    if not seed.image(spec.arch, spec.agent) then
        local bar <close> = progress.start("build the seed guest for " .. spec.arch)
        seed.build(spec.arch, { agent = spec.agent, progress = function(line) bar:note(line) end })
    end
end

local function check(what, opts)
    local spec = spec_of.check(what, opts)
    for i, nic in ipairs(spec.nics) do
        if nic.net then
            errors.fail("unsupported", "%s: nics[%d]: a kept guest cannot be on a network of vm.network, which ends "
                .. "with the process that made it", what, i)
        end
    end
    if spec.transport == "agent" then
        errors.fail("unsupported", "%s: option 'transport': commands reach a kept guest by SSH alone: one process "
            .. "at a time could use the agent's channel", what)
    end
    spec.transport = "ssh"
    return spec
end

-- Asks the owner for it. Whoever is interrupted just then has no guest, be it that it was made already.
local function ask(place, spec, start)
    local token = random_hex(8)
    local made = false
    local undo <close> = setmetatable({}, { __close = function() -- luacheck: ignore 211
        local note = not made and note_of.read(place, spec.name)
        if note and note.token == token then
            pcall(client.call, "delete", { guest = spec.name }, { place = place })
        end
    end })
    client.call("create", { spec = note_of.pack_spec(spec), start = start, token = token }, { place = place })
    made = true
end

local function make(what, opts, start)
    local spec = check(what, opts)
    local place = place_of.of()
    M.prepare_image(spec)
    for try = 1, 10 do
        if not opts.name then
            spec.name = free_name(place, spec.name)
        elseif raw.fs.exists(place_of.folder(place, spec.name)) then
            errors.fail("exists", "%s: there is a kept guest %s already; `vmatrix shell %s` uses it, "
                .. "`vmatrix delete %s` deletes it", what, spec.name, spec.name, spec.name)
        end
        local ok, err = pcall(ask, place, spec, start)
        if ok then
            return assert(kept.open(place, spec.name))
        elseif opts.name or not errors.is(err, "exists") or try == 10 then
            error(err, 0)
        end
    end
end

---Creates a kept guest that is not started yet.
---@param what string the verb, for messages
---@param opts vm.CreateOptions
---@return vm.KeptGuest
function M.create(what, opts)
    return make(what, opts, false)
end

-- How long such a guest took last time.
local function expected(guest)
    local longest
    for _, name in ipairs(note_of.names(guest.place)) do
        local note = note_of.read(guest.place, name)
        if note and note.boot_seconds and note.image == guest.note.image and note.arch == guest.arch then
            longest = math.max(longest or 0, note.boot_seconds)
        end
    end
    return longest
end

---Shows how far the boot of a guest is while fn waits for it: the time, and what its console says.
---@param guest vm.KeptGuest
---@param what string "boot"
---@param fn fun()
function M.watch(guest, what, fn)
    local bar <close> = progress.start(("%s %s"):format(what, guest.name), { expect = expected(guest) })
    local watcher <close> = bar.driver and task.closing(task.spawn(function() -- luacheck: ignore 211
        while not guest.closed do
            bar:note(guest.console_log:tail(1):sub(1, 60))
            guest.console_log.grown:wait()
        end
    end)) or nil
    fn()
end

---Waits for a guest that was started, and shows how that goes.
---@param guest vm.KeptGuest
---@param opts { wait?: string, timeout?: number }
---@param verb? string "boot"
function M.await(guest, opts, verb)
    if opts.wait ~= "none" then
        M.watch(guest, verb or "boot", function() guest:await_start(opts) end)
    end
end

---Creates a kept guest and starts it; waits as vm.boot does. One that does not come up is deleted again.
---@param what string the verb, for messages
---@param opts vm.CreateOptions and `wait`, `timeout` of guest:start
---@return vm.KeptGuest
function M.boot(what, opts)
    local create = shallow(opts)
    local start = options.check(what, { wait = opts.wait, timeout = opts.timeout },
        { wait = { "string", one_of = { "none", "console", "commands" } }, timeout = "time" })
    create.wait, create.timeout = nil, nil
    local guest = make(what, create, true)
    local up = false
    local _ <close> = setmetatable({}, { __close = function()
        if not up and not guest.closed then
            guest:delete()
        end
    end })
    M.await(guest, start)
    up = true
    return guest
end

return M
