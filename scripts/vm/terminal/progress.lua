-- How far something is: one line on the terminal, from its second second on, with rate and time left. It
-- goes to stderr and only to a terminal; what is printed on stdout is never disturbed by it.
local raw = require "vm.raw"
local task = require "vm.task"
local width = require "vm.terminal.width"

local M = {}

local AFTER <const>, EVERY <const> = 1, 0.1 -- seconds: before anything is shown, between two drawings
local WINDOW <const> = 5 -- seconds that the rate is taken of
local BAR_MIN <const>, BAR_MAX <const> = 10, 30 -- columns

---Something that takes a while.
---@class vm.Progress
---@field what string
local Progress = {}
Progress.__index = Progress
Progress.__name = "vm.Progress"

---Bytes as people read them: "12.3 MiB".
---@param bytes number
---@return string
function M.bytes(bytes)
    local units = { "B", "KiB", "MiB", "GiB", "TiB" }
    local at = 1
    while bytes >= 1024 and at < #units do
        bytes, at = bytes / 1024, at + 1
    end
    return (at == 1 and "%.0f %s" or "%.1f %s"):format(bytes, units[at])
end

---Seconds as a clock shows them: "0:07", "1:02:03".
---@param seconds number
---@return string
function M.clock(seconds)
    local whole = math.max(0, math.floor(seconds + 0.5))
    if whole >= 3600 then
        return ("%d:%02d:%02d"):format(whole // 3600, whole // 60 % 60, whole % 60)
    end
    return ("%d:%02d"):format(whole // 60, whole % 60)
end

local function bar(part, columns)
    local full = math.floor(columns * math.min(1, math.max(0, part)))
    return "[" .. ("#"):rep(full) .. ("-"):rep(columns - full) .. "]"
end

---How far something is.
---@class vm.ProgressState
---@field what string
---@field elapsed number seconds
---@field done number|nil bytes
---@field total number|nil
---@field rate number|nil bytes a second
---@field expect number|nil seconds that it took before
---@field note string|nil what it is about right now

---The line of a state, at most so many columns.
---@param state vm.ProgressState
---@param columns integer
---@return string
function M.line(state, columns)
    local part, words = nil, {}
    if state.done then
        part = state.total and state.total > 0 and state.done / state.total or nil
        if not part then
            words[#words + 1] = M.bytes(state.done)
        end
        words[#words + 1] = state.rate and M.bytes(state.rate) .. "/s" or nil
        if part and state.rate and state.rate > 0 then
            words[#words + 1] = M.clock((state.total - state.done) / state.rate) .. " left"
        elseif not part then
            words[#words + 1] = M.clock(state.elapsed)
        end
    elseif state.expect and state.expect > 0 then
        part = math.min(0.99, state.elapsed / state.expect)
        words[1] = M.clock(state.elapsed)
        words[2] = state.elapsed < state.expect
            and ("about %s left"):format(M.clock(state.expect - state.elapsed)) or "longer than last time"
    else
        words[1] = M.clock(state.elapsed)
    end
    if part then
        table.insert(words, 1, ("%3d %%"):format(math.floor(part * 100)))
    end
    local text = width.plain(state.what)
    local tail = table.concat(words, "  ")
    if state.note and state.note ~= "" then
        tail = tail .. "  " .. width.plain(state.note)
    end
    local room = columns - width.of(text) - width.of(tail) - 7 -- two gaps, two brackets, the last column
    if part and room >= BAR_MIN then
        text = text .. "  " .. bar(part, math.min(room, BAR_MAX))
    end
    return width.clip(text .. "  " .. tail, columns - 1)
end

local function columns_of()
    local rows, columns = raw.terminal.size(2)
    return rows and columns > 0 and columns or 80
end

---Whether anybody sees a line that is drawn over and over.
---@return boolean
function M.visible()
    return raw.fs.is_tty(2) and os.getenv "TERM" ~= "dumb"
end

-- The newest is the one that is shown; none while somebody types a line, and none on a line that was begun.
local shown, held, half_line, drawing = {}, false, false, false
-- Whether calls of the library show how far they are; how long they took, by what was said of them.
local in_calls, took = false, {}

local function rate_of(self, now)
    local samples = self.samples
    while #samples > 2 and now - samples[1][1] > WINDOW do
        table.remove(samples, 1)
    end
    local first, last = samples[1], samples[#samples]
    if first and last[1] - first[1] >= 0.2 then
        return math.max(0, last[2] - first[2]) / math.max(now - first[1], 0.001)
    end
end

---What is to be shown now.
---@return table state as M.line takes it
---@private
function Progress:state()
    local now = raw.task.now()
    return { what = self.what, done = self.done, total = self.total, rate = self.done and rate_of(self, now),
        elapsed = now - self.begun, expect = self.expect, note = self.said }
end

local function draw(self, text, behind)
    drawing = true -- whoever takes the line away before others write does not do so before us
    self.out:write("\r" .. text .. "\27[K" .. (behind or ""))
    self.out:flush()
    drawing = false
end

local function erase(self)
    if self.drawn and not drawing then
        self.drawn = false
        draw(self, "")
    end
end

local function drive(self)
    self.stop:wait(AFTER)
    while not self.closed do
        if shown[#shown] == self and not held and not half_line then
            self.drawn = true
            draw(self, M.line(self:state(), columns_of()), "\r") -- a log line begins at the left
        end
        self.stop:wait(EVERY)
    end
end

---Begins to show how far something is. To be closed: `local bar <close> = progress.start "copy src"`.
---@param what string "copy src"
---@param opts? { total?: number, expect?: number, visible?: boolean } bytes; the seconds that it took before
---@return vm.Progress
function M.start(what, opts)
    opts = opts or {}
    local self = setmetatable({ what = what, total = opts.total, expect = opts.expect, begun = raw.task.now(),
        samples = {}, out = io.stderr, closed = false }, Progress)
    if opts.visible or (opts.visible == nil and M.visible()) then
        if shown[#shown] then
            erase(shown[#shown])
        end
        shown[#shown + 1] = self
        self.stop = raw.task.event()
        self.driver = task.spawn_detached("progress", drive, self)
    end
    return self
end

---So many bytes are done. Cheap: nothing is drawn here.
---@param done number
---@param total? number
function Progress:update(done, total)
    self.done, self.total = done, total or self.total
    local last = self.samples[#self.samples]
    local now = raw.task.now()
    if not last or now - last[1] >= EVERY then
        self.samples[#self.samples + 1] = { now, done }
    else
        last[2] = done
    end
end

---The same as a function, as copies and downloads take it.
---@return fun(done: number, total: number|nil)
function Progress:callback()
    return function(done, total)
        self:update(done, total)
    end
end

---News of getting an image, as vm.images.get tells them.
---@param state { what: string, received?: integer, total?: integer }
function Progress:follow(state)
    if state.what == "downloading" then
        self:update(state.received or 0, state.total and state.total > 0 and state.total or nil)
    end
    self:note(state.what)
end

---What it is about right now, shown behind the rest; it may come from a guest.
---@param text string|nil
function Progress:note(text)
    self.said = text
end

---From now on calls of the library that take a while show how far they are, should somebody see it: for
---scripts and at the prompt, whose output is told to M.wrote.
---@return boolean whether somebody sees it
function M.show_calls()
    in_calls = M.visible()
    return in_calls
end

---Begins to show how far a call of the library is. To be closed; what took a while before says how long
---that was.
---@param what string "boot dev"
---@param like? string by which its time is remembered
---@return vm.Progress
function M.call(what, like)
    local self = M.start(what, { visible = in_calls, expect = like and took[like] })
    self.like = like
    return self
end

---It ended well: the next of its kind is expected to take as long.
function Progress:done_well()
    if self.like then
        took[self.like] = raw.task.now() - self.begun
    end
end

---Draws none for a while: somebody types a line.
---@param yes boolean
function M.hold(yes)
    held = yes
    if yes then
        M.hide()
    end
end

---Takes the line away while something else is printed; the next drawing brings it back.
function M.hide()
    for _, each in ipairs(shown) do
        erase(each)
    end
end

---Something is about to be written to the terminal; a line that it begins is not drawn over.
---@param ends_line boolean
---@return boolean whether what follows is at the beginning of a line, as it is behind our own
function M.wrote(ends_line)
    if not drawing then
        M.hide()
        half_line = not ends_line
    end
    return not half_line
end

---Ends it; the line is erased. Harmless when repeated.
function Progress:close()
    if self.closed then
        return
    end
    self.closed = true
    if self.driver then
        for i, each in ipairs(shown) do
            if each == self then
                table.remove(shown, i)
                break
            end
        end
        self.stop:broadcast()
        erase(self)
    end
end

Progress.__close = Progress.close

return M
