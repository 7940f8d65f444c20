-- The owner of this user's kept guests: the one process that has their libvirt root open. It does what it is
-- asked over a socket, and goes when nobody has asked for a while; the guests go on without it.
local raw = require "vm.raw"
local adopt = require "vm.owner.adopt"
local client = require "vm.owner.client"
local connection = require "vm.guest.connection"
local errors = require "vm.errors"
local note_of = require "vm.owner.note"
local options = require "vm.options"
local place_of = require "vm.owner.place"
local run = require "vm.run"
local task = require "vm.task"
local tidy = require "vm.owner.tidy"
local verbs = require "vm.owner.verbs"

local M = {}

local fs = raw.fs

-- Seconds without a question after which it goes, and between two looks whether it should.
local IDLE <const>, LOOK <const> = 30, 1

local function idle_limit()
    local given = os.getenv "VMATRIX_OWNER_IDLE"
    return given and options.time("VMATRIX_OWNER_IDLE", tonumber(given) or given) or IDLE
end

-- The key pair of all kept guests, made once.
local function key_of(place)
    local path = place.home .. "/id_ed25519"
    local public = fs.exists(path) and fs.read(path .. ".pub", 4096)
    if not public then
        local pair = errors.raise(raw.data.ed25519("vmatrix kept"))
        public = pair.public
        errors.raise(fs.write_atomic(path, pair.private, 384)) -- 0600
        errors.raise(fs.write_atomic(path .. ".pub", public:gsub("%s+$", "") .. "\n", 420)) -- 0644
    end
    return { path = path, public = (public:gsub("%s+$", "")) }
end

-- This process's run is the home of the kept guests: what makes guests works as anywhere else.
local function be_the_run(place)
    local cache = require("vm.host.paths").cache()
    errors.raise(fs.mkdir_p(cache, 448)) -- 0700
    return run.adopt { id = "kept", root = place.root, dir = place.home, ram = place.ram, cache = cache,
        capabilities = cache .. "/qemu", key = key_of(place), kept = true }
end

local function find(owner, name)
    local guest = owner.connection.guests[name]
    if not guest or guest.closed then
        local err = errors.new("notfound", ("there is no kept guest %s"):format(options.show(name)))
        err.no_guest = true
        error(err, 0)
    end
    return guest
end

-- Runs one verb, and stops with whoever asked.
local function answer(owner, channel, question)
    local verb = verbs.verbs[question.verb]
    if not verb then
        errors.fail("usage", "the owner of the kept guests does not know '%s'", tostring(question.verb))
    end
    local args = type(question.args) == "table" and question.args or {}
    local work = task.spawn(function()
        local guest = not verbs.alone[question.verb] and find(owner, args.guest) or nil
        return verb(owner, args, guest)
    end)
    local watcher <close> = task.closing(task.spawn(function() -- luacheck: ignore 211
        while channel:read() do end
        work:cancel()
    end))
    return work:join()
end

local fields = { "kind", "code", "message", "guest", "console", "signal", "no_guest" }

local function describe(err)
    if not errors.is(err) then
        return { kind = "script", message = tostring(err) }
    end
    local out = {}
    for _, name in ipairs(fields) do
        out[name] = err[name]
    end
    return out
end

local function serve(owner, channel)
    local _ <close> = setmetatable({}, { __close = function()
        if channel then
            channel:close()
        end
        owner.clients = owner.clients - 1
        owner.last = raw.task.now()
    end })
    local function say(value)
        channel:queue(errors.raise(raw.json.encode(value)) .. "\n")
    end
    say { vmatrix = _G._VMATRIX, protocol = client.PROTOCOL, pid = fs.pid() }
    local read = client.lines(channel)
    local line = read(30)
    local question = line and raw.json.decode(line)
    if type(question) ~= "table" then
        return
    elseif question.verb == "retire" then
        owner.retired = true
        owner.retiring[#owner.retiring + 1] = channel -- its end is the answer
        channel = nil
        return
    end
    raw.log.write("debug", nil, ("asked: %s"):format(line))
    local ok, result = pcall(answer, owner, channel, question)
    if ok then
        say { result = result }
    else
        local told, text = pcall(say, { error = describe(result) })
        raw.log.write("info", nil, ("%s: %s"):format(tostring(question.verb), told and tostring(result) or text))
    end
    while read(10) do end -- until the other side has what was said, and is gone
end

local function take_over(owner)
    for _, name in ipairs(note_of.names(owner.place)) do
        local note, why = note_of.read(owner.place, name)
        local ok, err = true, why
        if note then
            ok, err = pcall(adopt.adopt, owner.place, owner.connection, note)
        end
        if not ok or not note then
            raw.log.write("error", name, "cannot be taken over: " .. tostring(err))
        end
    end
end

local function accept(owner, listener, limit)
    while not owner.retired do
        local channel, err = listener:accept(LOOK)
        if channel then
            owner.clients = owner.clients + 1
            owner.last = raw.task.now()
            task.spawn(function()
                local ok, why = pcall(serve, owner, channel)
                if not ok then
                    raw.log.write("warn", nil, "a client: " .. tostring(why))
                end
            end)
        elseif err.kind ~= "timeout" then
            error(err, 0)
        elseif not fs.exists(owner.place.home .. "/guests") then
            raw.log.write("info", nil, "the home of the kept guests is gone")
            return
        elseif owner.clients == 0 and raw.task.now() - owner.last > limit then
            return
        end
    end
end

-- Lets go of everything, so that the next owner can take it over; who asked for that hears it last.
local function let_go(owner, lock)
    for _, child in ipairs(raw.task.children()) do
        child:cancel()
        child:ended()
    end
    local guests = {}
    for _, guest in pairs(owner.connection.guests) do
        guests[#guests + 1] = guest
    end
    for _, guest in ipairs(guests) do
        adopt.let_go(guest)
    end
    local ok, err = pcall(owner.connection.close, owner.connection)
    if not ok then
        raw.log.write("warn", nil, "while ending: " .. tostring(err))
    end
    if owner.place.ram then
        fs.rmdir(owner.place.ram) -- where there are no guests; the next owner makes it
    end
    lock:close()
    for _, channel in ipairs(owner.retiring) do
        channel:close()
    end
end

---Runs `vmatrix --own HOME`; returns the exit code.
---@param home string
---@return integer
function M.main(home)
    local place = place_of.of(home)
    place_of.make(place)
    local lock, err = fs.lock(place.home .. "/owner.lock", true)
    if not lock then
        return err.kind == "busy" and 0 or error(err, 0) -- there is one
    end
    fs.unlink(place.socket)
    local listener <close> = errors.raise(raw.channel.listen(place.socket))
    local limit = idle_limit()
    be_the_run(place)
    local owner = { place = place, connection = connection.connect(), clients = 0, last = raw.task.now(),
        retiring = {} }
    local _ <close> = setmetatable({}, { __close = function() let_go(owner, lock) end })
    take_over(owner)
    tidy.run(owner)
    raw.log.write("info", nil, ("owner of %d kept guests, process %d"):format(#note_of.names(place), fs.pid()))
    accept(owner, listener, limit)
    listener:close()
    while owner.clients > 0 do -- what was asked before is done
        raw.task.sleep(0.05)
    end
    return 0
end

return M
