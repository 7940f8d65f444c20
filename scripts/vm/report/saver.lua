-- Keeps files on the disk as new as what they are made from: synced, whole, and the loop goes on
-- meanwhile. Several changes to one file while it is written are one write.
local raw = require "vm.raw"
local task = require "vm.task"

local M = {}

local fs = raw.fs

-- Each write waits for a sync; so many do it at once.
local WRITERS <const> = 4

local Saver = {}
Saver.__index = Saver

---Makes one. make(key) returns the path and the text of now, or raises.
---@param make fun(key: string): string, string
function M.new(make)
    return setmetatable({
        make = make,
        queue = {}, queued = {}, busy = {},
        wanted = {}, saved = {}, failed = {}, -- by key: changes that there were, are on the disk, are not
        writers = 0,
        progress = raw.task.event(),
    }, Saver)
end

local function enqueue(self, key)
    if not self.queued[key] and not self.busy[key] then
        self.queued[key] = true
        self.queue[#self.queue + 1] = key
    end
end

local function write_one(self, key, write)
    local upto = self.wanted[key]
    self.queued[key], self.busy[key] = nil, true
    local ok, path, text = pcall(self.make, key)
    local err = not ok and path or nil
    if ok then
        ok, err = write(path, text)
    end
    self.busy[key] = nil
    if ok then
        self.saved[key] = upto
    else
        self.failed[key] = { upto = upto, err = err }
    end
    if self.wanted[key] > upto then
        enqueue(self, key)
    end
    self.progress:broadcast()
end

local function work(self)
    while #self.queue > 0 do
        write_one(self, table.remove(self.queue, 1), fs.save)
    end
    self.writers = self.writers - 1
    self.progress:broadcast()
end

---Writes what the key stands for and waits until it is on the disk; raises when it cannot be.
---A caller that is cancelled meanwhile stops nothing. Where nothing can wait it is written at once.
---@param key string
function Saver:save(key)
    local mine = (self.wanted[key] or 0) + 1
    self.wanted[key] = mine
    if not raw.task.can_wait() and not self.busy[key] then
        write_one(self, key, fs.write_atomic)
    else
        enqueue(self, key)
        if self.writers < WRITERS then
            self.writers = self.writers + 1
            task.spawn_detached("results", work, self)
        end
    end
    while (self.saved[key] or 0) < mine do
        local failed = self.failed[key]
        if failed and failed.upto >= mine then
            error(failed.err, 0)
        end
        self.progress:wait()
    end
end

---Waits until nothing is being written.
function Saver:drain()
    while self.writers > 0 do
        self.progress:wait()
    end
end

return M
