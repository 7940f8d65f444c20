-- Building one state: a guest from the state before it, the step done in it, frozen into the cache.
local raw = require "vm.raw"
local chain_of = require "vm.state.chain"
local create = require "vm.guest.create"
local errors = require "vm.errors"
local evict = require "vm.state.evict"
local scope = require "vm.task.scope"
local store = require "vm.state.store"

local M = {}

local now = raw.task.now

---Raised when the inputs of a step changed while it ran: what it left belongs to no key.
M.Stale = setmetatable({}, { __tostring = function() return "its inputs changed meanwhile" end })

---Boots the guest of a chain.
---@param chain vm.StateChain
---@param fields table options added to the spec
---@return vm.Guest
function M.boot(chain, fields)
    local opts = { timeout = chain.timeout }
    for _, from in ipairs { chain.spec, fields } do
        for name, value in pairs(from) do
            opts[name] = value
        end
    end
    return create.boot(require("vm.guest.connection").connect(), opts)
end

---Does a node's step in a guest; the error names the step, the cell and where it stands.
---@param chain vm.StateChain
---@param node vm.StateNode
---@param guest vm.Guest
function M.perform(chain, node, guest)
    local ok, err = pcall(node.step.perform, node.step, guest, chain.cell)
    if not ok then
        error(errors.prefix(err, chain_of.where(node)), 0)
    end
end

-- Its guests show this name until they are given one of their own.
local function guest_name(chain, node)
    local spec = chain.checked
    local base = node.step and node.name or (spec.image or spec.kernel):match "[^/]*$":gsub("%.%w+$", "")
    return ("%s-%s"):format(base:gsub("[^%w._-]", "-"):gsub("^%W+", ""):sub(1, 24), node.key:sub(1, 8))
end

-- The guest as the state is to be, and the seconds that it takes without any state.
local function make_guest(chain, node, fork)
    local started = now()
    local ok, guest
    if node.parent then
        ok, guest = pcall(fork, { name = guest_name(chain, node) })
        started = now()
    else
        ok, guest = pcall(M.boot, chain, { name = guest_name(chain, node) })
    end
    if not ok then
        error(errors.prefix(guest, chain_of.where(node)), 0)
    elseif node.step then
        M.perform(chain, node, guest)
    end
    return guest, now() - started
end

-- Freezes a finished guest on its way into the cache. What it is stands there first: whatever happens
-- meanwhile, no template is there that does not say what it is.
local function freeze(chain, node, guest, record)
    local ok, template = pcall(function()
        if not pcall(store.write, record) then
            raw.log.write("debug", nil, "no record can be written: the template is not kept either")
        end
        return guest:template { name = guest_name(chain, node), path = store.path(node.key) }
    end)
    if not ok then
        store.remove(node.key)
        error(errors.prefix(template, chain_of.where(node)), 0)
    end
    scope.disown(template)
    return template
end

-- Waits until a template is in the cache. One that cannot be kept serves this process: false.
local function keep(node, template, record)
    local ok, err = pcall(function()
        template:saved()
        if not store.read(node.key) then
            store.write(record)
        end
        store.set_last(record)
    end)
    if not ok then
        if not errors.is(err) then
            error(err, 0)
        end
        -- The template has warned already, if it was that.
        raw.log.write(template.save_failure and "info" or "warn", nil, ("the state '%s' (%s) is not kept: %s"):format(
            node.name, node.key:sub(1, 12), err.message))
        pcall(store.remove, node.key)
    end
    return ok
end

---Builds a state whose lock is held. Nothing half-made stays: the guest ends with this call, and what is
---in the cache gets its name when all of it is there.
---@param chain vm.StateChain
---@param node vm.StateNode
---@param fork fun(opts: table): vm.Guest makes a guest of the state before it
---@return vm.StateHold
function M.build(chain, node, fork)
    local why = chain_of.reasons(node)
    store.sign(node.key, ("'%s'"):format(node.name))
    chain:say(node, "step_started", { guest = chain.guest, cell = node.cell, why = why })
    local started = now()
    local ok, template, record = pcall(function()
        local guest, seconds = make_guest(chain, node, fork)
        local _ <close> = guest
        if not chain:is_fresh(node) then
            error(M.Stale, 0)
        end
        evict.before(chain.checked.memory)
        local record = chain:record(node, seconds, why, store.new_id())
        return freeze(chain, node, guest, record), record
    end)
    if not ok then
        chain:say(node, "step_ended", { how = "built", duration = now() - started, ok = false, error = template })
        error(template, 0)
    end
    local kept = keep(node, template, record)
    chain:say(node, "step_ended", { how = "built", duration = now() - started, ok = true, kept = kept })
    if kept then
        evict.after(node.key)
    end
    return { template = template, users = 0, node = node, found = false, kept = kept, proven = true,
        id = record.id }
end

return M
