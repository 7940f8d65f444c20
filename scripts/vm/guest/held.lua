-- What guests hold of this host: each run notes its own share in a file that the other runs read, so
-- that all of them together do not take more than there is.
local raw = require "vm.raw"
local paths = require "vm.host.paths"

local M = {}

local fs = raw.fs

local MIB <const> = 1024 * 1024

---An amount of the host.
---@class vm.Held
---@field memory number bytes that may come to be used
---@field touched number bytes of them that are used already
---@field cpus number
---@field disk number bytes that may come to be written

---What a guest takes of the host: its memory with QEMU's own, its cpus, its disk's growth. A virtual
---cpu that is emulated weighs as much as two that are not, which are seldom all busy.
---@param spec table from vm.guest.spec
---@return { memory: number, cpus: number, disk: number }
function M.cost(spec)
    local emulated = spec.emulated
    return {
        memory = spec.memory + (emulated and 192 or 64) * MIB,
        cpus = emulated and math.max(1, spec.cpus * 0.5) or math.max(0.5, spec.cpus * 0.25),
        disk = 256 * MIB,
    }
end

-- Bytes of memory that a QEMU uses for itself alone; nil where that cannot be known.
local function used_by(pid)
    local status = pid and fs.read(("/proc/%d/status"):format(pid), 8192)
    if status then
        local anon = tonumber(status:match "RssAnon:%s*(%d+)") or 0
        local shared = tonumber(status:match "RssShmem:%s*(%d+)") or 0
        return (anon + shared) * 1024
    end
end

---What the guests of this process hold.
---@return vm.Held
function M.own()
    local sum = { memory = 0, touched = 0, cpus = 0, disk = 0 }
    for _, guest in ipairs(require("vm.guest.connection").guests()) do
        if not guest.closed and guest.spec then
            local cost = M.cost(guest.spec)
            sum.memory, sum.cpus, sum.disk = sum.memory + cost.memory, sum.cpus + cost.cpus, sum.disk + cost.disk
            sum.touched = sum.touched + math.min(cost.memory, used_by(guest.pid) or 0)
        end
    end
    return sum
end

local reserved

-- The note's lines: a name and a whole number each.
local function encode(held)
    return ("memory %d\ntouched %d\ncpus %d\ndisk %d\n"):format(held.memory // 1, held.touched // 1,
        held.cpus * 1000 // 1, held.disk // 1)
end

local function decode(text)
    local function number(name)
        return tonumber(text:match("%f[%w]" .. name .. " (%d+)\n")) or 0
    end
    return { memory = number "memory", touched = number "touched", cpus = number "cpus" / 1000, disk = number "disk" }
end

---Writes the note of this process: what its guests hold, or what has been set aside for guests that are
---about to be made, whichever is more. Does nothing before a guest was made.
function M.note()
    local run = require "vm.run"
    if not run.is_open() then
        return
    end
    local own = M.own()
    for name, amount in pairs(reserved or {}) do
        own[name] = own[name] and math.max(own[name], amount)
    end
    local root = run.open().root
    -- A note that cannot be written costs others their foresight, not us our guests.
    fs.write_atomic(root .. "/held", encode(own), 384) -- 0600
end

---Sets amounts aside for guests that are about to be made; nil for nothing.
---@param amounts { memory: number, cpus: number, disk: number }|nil
function M.reserve(amounts)
    reserved = amounts
    M.note()
end

---What each of the other runs of this user holds, the living ones.
---@return vm.Held[] each with `root`, the run's folder
function M.runs()
    local list = {}
    local run = require "vm.run"
    local own = run.is_open() and run.open().root
    local seen = {}
    for _, place in ipairs(paths.runs()) do
        for _, path in ipairs(not seen[place] and fs.glob(place .. "/*/held") or {}) do
            local root = path:match "^(.*)/held$"
            local record = root .. ".run"
            if root ~= own and fs.exists(record) then
                local lock = fs.lock(record, true)
                local text = not lock and fs.read(path, 4096)
                if lock then
                    lock:close() -- nobody holds it: the run is dead
                elseif text then
                    local held = decode(text)
                    held.root = root
                    list[#list + 1] = held
                end
            end
        end
        seen[place] = true
    end
    return list
end

---What they hold together.
---@return vm.Held
---@return integer runs
function M.others()
    local sum = { memory = 0, touched = 0, cpus = 0, disk = 0 }
    local list = M.runs()
    for _, held in ipairs(list) do
        for name, amount in pairs(sum) do
            sum[name] = amount + held[name]
        end
    end
    return sum, #list
end

---The lock under which a run looks at what others hold and sets aside its own share.
---@return table lock to be closed; waits
function M.lock()
    local errors = require "vm.errors"
    local run = require("vm.run").open()
    return errors.raise(fs.lock(run.root:match "^(.*)/" .. "/admission.lock"))
end

return M
