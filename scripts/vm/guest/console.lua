-- A guest's serial console: the log that QEMU writes, followed as it grows.
local raw = require "vm.raw"
local errors = require "vm.errors"
local panic = require "vm.guest.panic"
local task = require "vm.task"

local M = {}

---@class vm.Console
local Console = {}
Console.__index = Console

local KEEP <const> = 1024 * 1024 -- bytes kept in memory; the file has all
local CHUNK <const> = 65536

---Follows a console log, which is made if it does not exist.
---@param path string
---@param on_panic fun(line: string) called once a boot
---@return vm.Console
function M.follow(path, on_panic)
    local file = assert(io.open(path, "ab"))
    file:close()
    local self = setmetatable({
        path = path,
        text = "", -- the last part of what came
        start = 0, -- offset in the file of text's first byte
        waited = 0, -- offset at which the last wait that found something ended
        boot = 0, -- offset at which the present boot began
        calm = 0, -- offset up to which a panic is an old one
        grown = raw.task.event(),
        stamps = false, -- whether Linux has said something with a stamp
        panicked = false, -- or the line in which the kernel of the present boot gave up
        on_panic = on_panic,
    }, Console)
    self.watch = errors.raise(raw.fs.watch(path))
    self.file = assert(io.open(path, "rb"))
    self.task = task.spawn_detached("console", self.run, self)
    return self
end

---Follows a guest's console: a panic ends all waits on the guest, unless its options say otherwise.
---@param guest vm.Guest|vm.KeptGuest
---@param path string
---@param start? integer offset before which everything is old: a panic there is none any more
---@param boot? integer offset at which the present boot began
---@return vm.Console
function M.of(guest, path, start, boot)
    local self = M.follow(path, function(line)
        if guest.spec.panic ~= "ignore" then
            guest:fail_waits("panic", "the guest's kernel panicked: " .. line)
        end
    end)
    self.start, self.boot = start or 0, boot or 0
    self.waited, self.calm = self.start, self.start
    return self
end

---How many bytes have been read.
---@return integer
function Console:size()
    return self.start + #self.text
end

---Reads what is new; true if there was something.
---@return boolean
function Console:read_more()
    if not self.file then
        return false
    end
    self.file:seek("set", self:size())
    local chunk = self.file:read(CHUNK)
    if not chunk or chunk == "" then
        return false
    end
    local from = math.max(1, #self.text - 200, self.calm - self.start + 1)
    self.text = self.text .. chunk
    if not self.panicked then
        self.stamps = self.stamps or panic.stamps(self.text, from)
        local line = panic.line(self.text, from, self.stamps)
        if line then
            self.panicked = M.last_lines(line, 1)
            self.on_panic(self.panicked)
        end
    end
    if #self.text > KEEP then
        local drop = #self.text - KEEP // 2
        self.text = self.text:sub(drop + 1)
        self.start = self.start + drop
    end
    return true
end

---The body of the task that follows the log.
function Console:run()
    while self.file do
        local any = false
        while self:read_more() do
            any = true
        end
        if any then
            self.grown:broadcast()
        end
        self.watch:wait()
    end
end

---A new boot begins here: waits with since = "boot" start here, and a panic counts anew.
function Console:new_boot()
    while self:read_more() do end
    self.boot = self:size()
    self.waited = math.max(self.waited, self.boot)
    self:forget_panic()
    self.stamps = false
end

---The guest is as if it had not panicked: only what comes from now on counts.
function Console:forget_panic()
    while self:read_more() do end
    self.calm = self:size()
    self.panicked = false
end

---Everything the console has said, from the file; at most the last 16 MiB.
---@return string
function Console:all()
    local limit = 16 * 1024 * 1024
    local file = io.open(self.path, "rb")
    if not file then
        return self.text
    end
    local size = file:seek("end")
    file:seek("set", math.max(0, size - limit))
    local text = file:read("a")
    file:close()
    return text
end

---The last lines, without control characters, for messages. After a panic the line that says so is among
---them, however long the trace behind it is.
---@param count integer
---@return string
function Console:tail(count)
    while self:read_more() do end
    local text = self.text:sub(-8192)
    local tail = M.last_lines(text, count)
    if self.panicked and not tail:find(self.panicked, 1, true) then
        local rest = M.last_lines(text, count - 1)
        tail = self.panicked .. (rest ~= "" and "\n" .. rest or "")
    end
    return tail
end

---The last lines of a text that are not empty, with control characters and escape sequences taken out.
---@param text string
---@param count integer
---@return string
function M.last_lines(text, count)
    local lines = {}
    text = text:gsub("\27%[[%d;?]*%a", ""):gsub("[^%g \t\n\r\x80-\xff]", "?")
    -- Some terminals take U+0080 to U+009F for escape sequences, too.
    text = utf8.len(text) and text:gsub("\xc2[\x80-\x9f]", "?") or text:gsub("[\x80-\xff]", "?")
    for line in text:gmatch("[^\r\n]+") do
        if line:find("%S") then
            lines[#lines + 1] = line:sub(1, 200)
        end
    end
    return table.concat(lines, "\n", math.max(1, #lines - count + 1))
end

---Looks for a text.
---@param text string
---@param pattern boolean text is a Lua pattern
---@param from integer offset in the log
---@return string|nil found
function Console:find(text, pattern, from)
    local first, last = self.text:find(text, math.max(1, from - self.start + 1), not pattern)
    if first then
        self.waited = self.start + last
        return self.text:sub(first, last)
    end
end

---Where a wait begins: where the last one ended, or with the present boot. Waits of several tasks each have
---their own place, so that none finds less for what another has found.
---@param since "boot"|nil
---@return integer from offset in the log
function Console:place(since)
    if since ~= "boot" then
        return self.waited
    end
    if self.boot < self.start then -- long ago: take it from the file
        self.file:seek("set", self.boot)
        self.text = self.file:read(self:size() - self.boot) or ""
        self.start = self.boot
    end
    return self.boot
end

---Ends the following; the file stays.
function Console:close()
    if not self.file then
        return
    end
    self.file:close()
    self.file = nil
    self.watch:close()
    self.task:ended()
    self.grown:broadcast()
end

return M
