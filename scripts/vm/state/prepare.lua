-- Finding a state by its key, or having it built: once in this process, whoever asks, and once on this
-- host, by a lock whose holder may die.
local raw = require "vm.raw"
local build = require "vm.state.build"
local errors = require "vm.errors"
local scope = require "vm.task.scope"
local store = require "vm.state.store"

local M = {}

local now = raw.task.now

---A state that this process has open; closed when nobody uses it any more.
---@class vm.StateHold
---@field template vm.Template
---@field users integer
---@field node vm.StateNode
---@field id string of the build
---@field found boolean whether it was there before
---@field kept boolean whether it is in the cache
---@field proven boolean whether a guest of it has answered

local shared = {} -- key -> a hold, or { building = event } while it is found or built

local function hold(entry)
    entry.users = entry.users + 1
    return entry
end

---Gives a state back; the last user closes it.
---@param entry vm.StateHold
function M.release(entry)
    entry.users = entry.users - 1
    if entry.users == 0 then
        if shared[entry.node.key] == entry then
            shared[entry.node.key] = nil
        end
        entry.template:close()
    end
end

local function discard(node, reason)
    raw.log.write("warn", nil, ("the state '%s' (%s) cannot be used and is built anew: %s")
        :format(node.name, node.key:sub(1, 12), (reason:gsub("%s+", " "))))
    store.remove(node.key)
end

-- Kinds of errors that mean that what is kept is of no use, rather than the host.
local useless = { format = true, unsupported = true, notfound = true, exists = true, unsafe = true }

-- The kept state of a node; nil, and why when there is something that cannot be used.
local function open_kept(node)
    local path = store.path(node.key)
    if not raw.fs.exists(path) then
        return nil
    end
    local record = store.read(node.key)
    if not record then
        return nil, "it does not say what it is"
    end
    local ok, template = pcall(require("vm.template").open, path)
    if not ok then
        if errors.is(template) and useless[template.kind] then
            return nil, template.message
        end
        error(template, 0)
    end
    scope.disown(template)
    store.touch(node.key)
    return { template = template, users = 0, node = node, found = true, kept = true, proven = false, id = record.id }
end

local LOOK <const>, QUIET <const>, SAY <const> = 0.25, 1, 10 -- s: between looks, before the first word, between words

-- The lock of a node's builder: waits for whoever has it, and takes over when that one has died.
local function take_lock(chain, node)
    local started, said = now(), nil
    while true do
        store.make_folder() -- somebody may remove the cache meanwhile
        local lock, err = store.lock(node.key)
        if lock then
            return lock
        elseif err.kind ~= "exists" and err.kind ~= "notfound" then
            error(errors.prefix(err, ("state '%s'"):format(node.name)), 0)
        end
        if now() - (said or started) > (said and SAY or QUIET) then
            chain:say(node, "waiting", { seconds = now() - started, by = store.signature(node.key) })
            said = now()
        end
        raw.task.sleep(LOOK)
    end
end

local function find_or_build(chain, node)
    local entry = open_kept(node)
    if entry then
        return entry
    end
    local _ <close> = take_lock(chain, node)
    local reason
    entry, reason = open_kept(node) -- another process may have built it while we waited
    if entry then
        return entry
    elseif reason then
        discard(node, reason)
    end
    local parent = node.parent and M.obtain(chain, node.parent)
    local _ <close> = setmetatable({}, { __close = function()
        if parent then
            M.release(parent)
        end
    end })
    return build.build(chain, node, function(opts)
        return M.fork(chain, parent, opts, function(fresh)
            parent = fresh
        end)
    end)
end

---The state of a node, held by the caller: found, or built from the one before it. Tasks of this process
---that want the same one share it, and whoever comes first builds it.
---@param chain vm.StateChain
---@param node vm.StateNode
---@return vm.StateHold
function M.obtain(chain, node)
    while shared[node.key] do
        local entry = shared[node.key]
        if not entry.building then
            return hold(entry)
        end
        entry.building:wait()
        entry.building:notify() -- for the next who waits
        local err = entry.failure
        if err then
            error(errors.is(err) and errors.new(err.kind, err.message, { guest = err.guest }) or err, 0)
        end
    end
    local pending = { building = raw.task.event() }
    shared[node.key] = pending
    -- If this task is cancelled the next one that waits takes over.
    local _ <close> = setmetatable({}, { __close = function()
        if shared[node.key] == pending then
            shared[node.key] = nil
        end
        pending.building:notify()
    end })
    local ok, entry = pcall(find_or_build, chain, node)
    if not ok then
        pending.failure = entry
        error(entry, 0)
    end
    shared[node.key] = entry
    return hold(entry)
end

---The last state of a chain. When inputs change while they are used its keys are made anew.
---@param chain vm.StateChain
---@return vm.StateHold
function M.last(chain)
    for _ = 1, 3 do
        local ok, entry = pcall(M.obtain, chain, chain:last())
        if ok then
            return entry
        elseif entry ~= build.Stale then
            error(entry, 0)
        end
        raw.log.write("info", nil, "the inputs of a step changed while it ran: its key is made anew")
        chain:plan()
    end
    return errors.fail("system", "vm.prepared: the inputs of a step change all the time: it ran three times, and each "
        .. "time they were others afterwards")
end

-- Discards a state that did not keep its promise, unless another one did so already, and builds it.
local function renew(chain, entry, reason)
    local node = entry.node
    if shared[node.key] == entry then
        shared[node.key] = nil
        local _ <close> = take_lock(chain, node)
        local record = store.read(node.key)
        if not record or record.id == entry.id then
            discard(node, reason)
        end
    end
    return M.obtain(chain, node)
end

-- Kinds of errors of a fork that may come of what it was made from.
local suspicious = { auth = true, connection = true, crashed = true, exit = true, format = true, hostkey = true,
    libvirt = true, notfound = true, panic = true, ssh = true, timeout = true, unsupported = true }

---A guest of a state that the caller holds. When it is the first of one that was found and does not come
---to life, the state is built anew, once; `replace` is given the new one, which the caller then holds
---instead.
---@param chain vm.StateChain
---@param entry vm.StateHold
---@param opts table of template:fork
---@param replace fun(entry: vm.StateHold)
---@return vm.Guest|vm.Guest[]
function M.fork(chain, entry, opts, replace)
    local started = now()
    local ok, guest = pcall(entry.template.fork, entry.template, opts)
    if ok then
        entry.proven = true
        if entry.kept and not opts.count and opts.wait ~= "none" then
            store.add_time(entry.node.key, now() - started)
        end
        return guest
    end
    local gone = entry.kept and not raw.fs.exists(store.path(entry.node.key) .. "/template.json")
    if not errors.is(guest) or not suspicious[guest.kind] or entry.proven and not gone then
        error(guest, 0)
    end
    local fresh = renew(chain, entry, guest.message)
    M.release(entry)
    replace(fresh)
    return fresh.template:fork(opts)
end

return M
