-- A chain of states as it was asked for: the booted guest and what each step leaves, each with its key.
local raw = require "vm.raw"
local key_of = require "vm.state.key"
local store = require "vm.state.store"

local M = {}

---One state of a chain.
---@class vm.StateNode
---@field key string
---@field parts vm.KeyPart[] the first stands for the state before it
---@field name string of its step; "boot" for the booted guest
---@field steps string[] the names from the boot on
---@field step vm.Step|nil nil for the booted guest
---@field parent vm.StateNode|nil
---@field cell string the axes it depends on, in words
---@field line string the same for all versions of it

---@class vm.StateChain
---@field spec table the options of vm.create, without a name
---@field checked table the same, checked
---@field steps vm.Step[]
---@field cell table|nil values by axis
---@field guest string what the guest is, in words
---@field nodes vm.StateNode[] the booted guest first
---@field progress? fun(event: table)
local Chain = {}
Chain.__index = Chain

local function describe_guest(spec)
    local image = spec.image or spec.kernel or "?"
    return ("%s %s, %d MiB, %d cpu%s"):format(image:match "[^/]*$", spec.arch, spec.memory >> 20, spec.cpus,
        spec.cpus == 1 and "" or "s")
end

local function describe_cell(step, cell, before)
    local words = before ~= "" and { before } or {}
    for _, name in ipairs(step.uses) do
        local word = ("%s=%s"):format(name, type(cell[name]) == "table" and "{...}" or tostring(cell[name]))
        if not (" " .. before .. " "):find(" " .. word .. " ", 1, true) then
            words[#words + 1] = word
        end
    end
    return table.concat(words, " ")
end

local function new_node(parent, name, parts, cell, base)
    local node = { name = name, parent = parent, cell = cell, steps = {} }
    local steps = parent and parent.steps or {}
    table.move(steps, 1, #steps, 1, node.steps)
    node.steps[#node.steps + 1] = name
    node.parts = table.move(parts, 1, #parts, 2, { { "the state before it", parent and parent.key or "" } })
    node.key = key_of.key(node.parts)
    node.line = key_of.key { { "guest", base }, { "cell", cell }, { "steps", table.concat(node.steps, "\0") } }
    return node
end

---Computes the keys, from what the script, its files and the host are now.
function Chain:plan()
    local spec = self.checked
    local base = table.concat({ spec.arch, spec.accel, spec.image or spec.kernel or "" }, " ")
    local node = new_node(nil, "boot", key_of.base("vm.prepared", spec), "", base)
    self.nodes = { node }
    for _, step in ipairs(self.steps) do
        node = new_node(node, step.name, step:parts(self.cell), describe_cell(step, self.cell or {}, node.cell), base)
        node.step = step
        self.nodes[#self.nodes + 1] = node
    end
end

---Whether the inputs of a node's step are still those that its key was made of.
---@param node vm.StateNode
---@return boolean
function Chain:is_fresh(node)
    return node.step == nil or new_node(node.parent, node.name, node.step:parts(self.cell), "", "").key == node.key
end

---Makes a chain and computes its keys.
---@param fields table spec, checked, steps, cell, progress, timeout of the boot
---@return vm.StateChain
function M.new(fields)
    local self = setmetatable(fields, Chain)
    self.guest = describe_guest(self.checked)
    self:plan()
    return self
end

---The last node.
---@return vm.StateNode
function Chain:last()
    return self.nodes[#self.nodes]
end

---Tells whoever listens what happens, or the log.
---@param node vm.StateNode
---@param event string
---@param fields table
function Chain:say(node, event, fields)
    fields.event, fields.key, fields.name = event, node.key, node.name
    if self.progress then
        self.progress(fields)
    elseif event == "step_started" then
        raw.log.write("info", nil, ("preparing '%s'%s (%s): %s"):format(node.name,
            node.cell ~= "" and " for " .. node.cell or "", node.key:sub(1, 12), fields.why[1] or ""))
    elseif event == "waiting" then
        raw.log.write("info", nil, ("waiting for '%s' (%s), held by %s"):format(node.name, node.key:sub(1, 12),
            fields.by))
    end
end

---What messages call a node: the step, the cell, and where it stands.
---@param node vm.StateNode
---@return string
function M.where(node)
    local info = node.step and node.step.run and debug.getinfo(node.step.run, "S")
    local words = {}
    if node.cell ~= "" then
        words[#words + 1] = node.cell
    end
    if info then
        words[#words + 1] = ("%s:%d"):format(info.short_src, info.linedefined)
    end
    return ("%s '%s'%s"):format(node.step and "step" or "state", node.name,
        #words > 0 and (" (%s)"):format(table.concat(words, ", ")) or "")
end

---Why a state has to be built: what changed since its last version.
---@param node vm.StateNode
---@return string[]
function M.reasons(node)
    local last = store.last(node.line)
    if not last then
        return { "there was none before" }
    elseif last.key == node.key then
        return { "what was kept of it is gone" }
    end
    return key_of.changes(last.parts, node.parts)
end

---What is written down of a state that was built.
---@param node vm.StateNode
---@param seconds number
---@param why string[]
---@param id string
---@return vm.StateRecord
function Chain:record(node, seconds, why, id)
    local before = node.parent and store.read(node.parent.key)
    return { key = node.key, id = id, name = node.name, guest = self.guest, cell = node.cell, line = node.line,
        parent = node.parent and node.parent.key, why = why, created = os.time(), seconds = seconds,
        cold = seconds + (before and before.cold or 0), steps = node.steps, parts = node.parts }
end

return M
