-- What the commands of an attempt said: into its log, to the live view, and the last of them kept for
-- the report of a failure. It is told by vm.remote.exec, which looks for `watch` in a machine.
local raw = require "vm.raw"
local shell = require "vm.remote.shell"

local M = {}

local now = raw.task.now

-- Bytes: of a log, of what is kept of one command, of one chunk's part that is looked at for a last
-- line. Commands that are kept for a guest. Seconds between two output events.
local LOG_MAX <const>, KEEP <const>, LINE <const> = 64 * 1024 * 1024, 4096, 1024
local RING <const>, EVERY <const> = 8, 0.5

---@class vm.test.Transcript
---@field masker vm.test.Masker
local Transcript = {}
Transcript.__index = Transcript

---Makes the transcript of an attempt.
---@param opts { path?: string, masker: vm.test.Masker, emit: fun(event: table), watched?: boolean }
---@return vm.test.Transcript
function M.new(opts)
    return setmetatable({
        path = opts.path, -- the file is made when something is written
        masker = opts.masker,
        emit = opts.emit,
        watched = opts.watched,
        begun = now(),
        written = 0,
        ring = {}, -- commands, the oldest first
        failures = {}, -- kinds of errors that commands raised, by guest
        told = -math.huge,
    }, Transcript)
end

local function write(self, text)
    if not self.path or self.full or text == "" then
        return
    end
    if not self.file then
        local why
        self.file, why = io.open(self.path, "ab")
        if not self.file then
            self.path = nil
            self.emit { event = "warning", kind = "log", text = "the test's log cannot be written: " .. tostring(why) }
            return
        end
        self.file:setvbuf(self.watched and "no" or "full", 65536) -- whoever follows the log reads it now
    end
    if self.written + #text > LOG_MAX then
        text = text:sub(1, LOG_MAX - self.written) ..
            ("\n[the log is full: the rest is left out after %d MiB]\n"):format(LOG_MAX // 2 ^ 20)
        self.full = true
    end
    self.written = self.written + #text
    if not self.file:write(text) then
        self.full = true
    end
    self.line_open = text:sub(-1) ~= "\n"
end

---A line of our own in the log; the text is masked here.
---@param mark string a character that says what it is
---@param text string
function Transcript:note(mark, text)
    text = self.masker:text(text)
    write(self, ("%s[%8.3f] %s %s\n"):format(self.line_open and "\n" or "", now() - self.begun, mark, text))
end

-- A command that runs.
local Seen = {}
Seen.__index = Seen

local function last_line(text)
    local tail = text:sub(-LINE)
    return tail:match "([^\r\n]*[^%s][^\r\n]*)[\r\n]*%s*$"
end

local function tell(self, stream, line)
    if line and now() - self.told >= EVERY then
        self.told = now()
        self.emit { event = "output", stream = stream, text = line }
    end
end

local function show(self, stream, text)
    if text == "" then
        return
    end
    local owner = self.of
    write(owner, text)
    self.text = (self.text .. text)
    if #self.text > 2 * KEEP then
        self.dropped = self.dropped + #self.text - KEEP
        self.text = self.text:sub(-KEEP)
    end
    tell(owner, stream, last_line(text))
end

---Output has come.
---@param stream "stdout"|"stderr"
---@param chunk string
function Seen:output(stream, chunk)
    local masked = self.streams[stream]
    if not masked then
        masked = self.of.masker:stream()
        self.streams[stream] = masked
    end
    show(self, stream, masked:push(chunk))
end

local function finish(self, how)
    for stream, masked in pairs(self.streams) do
        show(self, stream, masked:flush())
    end
    self.streams = {}
    self.how, self.duration = how, now() - self.begun
    self.of:note("=", ("%s (%.3f s)"):format(how, self.duration))
end

---It has ended.
---@param result vm.Result
function Seen:ended(result)
    if not self.how then
        finish(self, result.signal and "signal " .. result.signal or "status " .. tostring(result.status))
    end
end

-- It did not end well, or nobody waits for it any more.
function Seen:__close(err)
    if self.how then
        return
    end
    local kind = type(err) == "table" and rawget(err, "kind")
    finish(self, kind and ("%s: %s"):format(kind, err.message) or "given up")
    if kind and self.machine then
        self.of.failures[self.machine] = kind
    end
end

---What vm.remote.exec tells: put it into a machine's field `watch`.
---@param label string|nil the guest's name, where there are several
---@param machine table
---@return table watch
function Transcript:watch(label, machine)
    local watch = {}
    function watch.begin(_, verb, command)
        local text = self.masker:text(shell.show(command))
        if #self.ring >= RING then
            table.remove(self.ring, 1)
        end
        local seen = setmetatable({ of = self, machine = machine, guest = label, verb = verb, command = text, text = "",
            dropped = 0, begun = now(), streams = {} }, Seen)
        self.ring[#self.ring + 1] = seen
        self:note(label and label .. " $" or "$", (verb == "spawn" and "(spawn) " or "") .. text)
        return seen
    end
    return watch
end

---The end of what the commands printed.
---@param bytes integer
---@return string
function Transcript:tail(bytes)
    local parts, size = {}, 0
    for i = #self.ring, 1, -1 do
        local seen = self.ring[i]
        if seen.text ~= "" then
            table.insert(parts, 1, seen.text)
            size = size + #seen.text
            if size >= bytes then
                break
            end
        end
    end
    return table.concat(parts):sub(-bytes)
end

---What the last command that said something said at its end, and which it was.
---@return string|nil text
---@return string|nil command
function Transcript:last_output()
    for i = #self.ring, 1, -1 do
        local seen = self.ring[i]
        local text = seen.text:gsub("%s+$", "")
        if text ~= "" then
            local lines = {}
            for line in text:sub(-2048):gmatch "[^\n]+" do
                lines[#lines + 1] = "  " .. line:sub(1, 200):gsub("%c", "?")
            end
            return table.concat(lines, "\n", math.max(1, #lines - 9)), seen.command
        end
    end
end

---The last commands, for a report: plain tables.
---@return table[]
function Transcript:commands()
    local list = {}
    for i, seen in ipairs(self.ring) do
        list[i] = { guest = seen.guest, command = seen.command:sub(1, 1000), how = seen.how or "running",
            duration = seen.duration or now() - seen.begun, output = seen.text:sub(-1024) }
    end
    return list
end

---Whether a command of the test was told that its machine failed in this way.
---@param machine table
---@param kind string
---@return boolean
function Transcript:was_told(machine, kind)
    return self.failures[machine] == kind
end

---Ends the log. Harmless when repeated.
function Transcript:close()
    if self.file and self.full then
        self.file:write "\n[the last commands]\n"
        for _, seen in ipairs(self.ring) do
            self.file:write(("$ %s\n%s\n= %s\n"):format(seen.command, seen.text, seen.how or "running"))
        end
    end
    if self.file then
        self.file:close()
        self.file, self.path = nil, nil
    end
end

return M
