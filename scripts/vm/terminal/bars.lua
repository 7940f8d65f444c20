-- How far several downloads are: a line each on the terminal, drawn over its old self; elsewhere a line of
-- text for what happens.
local raw = require "vm.raw"
local progress = require "vm.terminal.progress"
local task = require "vm.task"
local width = require "vm.terminal.width"

local M = {}

local EVERY <const> = 0.2 -- seconds between two drawings

---@class vm.ImageBars
local Bars = {}
Bars.__index = Bars

local function say(self, format, ...)
    self:erase()
    io.stderr:write(width.plain(format:format(...)), "\n")
end

---Takes the lines away.
function Bars:erase()
    if self.drawn > 0 then
        io.stderr:write(("\27[%dA\r\27[J"):format(self.drawn))
        self.drawn = 0
    end
end

local function draw(self)
    local rows, columns = raw.terminal.size(2)
    columns = rows and columns > 0 and columns or 80
    self:erase()
    for _, key in ipairs(self.order) do
        local state = self.states[key]
        if state.active and self.drawn < 20 then
            state.elapsed = raw.task.now() - state.begun
            io.stderr:write(progress.line(state, columns), "\n")
            self.drawn = self.drawn + 1
        end
    end
    io.stderr:flush()
end

local function drive(self)
    while not self.closed do
        draw(self)
        self.stop:wait(EVERY)
    end
end

---Begins; to be closed.
---@return vm.ImageBars
function M.new()
    local self = setmetatable({ states = {}, order = {}, drawn = 0, closed = false }, Bars)
    if progress.visible() then
        self.stop = raw.task.event()
        self.driver = task.spawn_detached("images.bars", drive, self)
    end
    return self
end

local function rate(state, received)
    local now = raw.task.now()
    if not state.since or received < state.from then
        state.since, state.from = now, received
    elseif now - state.since > 1 then
        state.rate = (received - state.from) / (now - state.since)
    end
end

---What images.get is to call for one image.
---@param key string
---@return fun(state: table)
function Bars:callback(key)
    local state = { what = key, begun = raw.task.now() }
    self.states[key] = state
    self.order[#self.order + 1] = key
    return function(news)
        state.active = true
        if news.what == "downloading" then
            state.done, state.total, state.note = news.received, news.total > 0 and news.total or nil, nil
            rate(state, news.received)
            if not state.said then
                state.said = true
                say(self, "%s: downloading %s", key, news.url)
            end
        elseif news.what == "waiting to try again" then
            say(self, "%s: %s; again in %d s", key, news.problem, news.seconds)
        elseif news.what ~= state.last then
            state.note = news.what
            if news.what == "waiting" then
                say(self, "%s: waiting for another process, which downloads it", key)
            end
        end
        state.last = news.what
    end
end

---An image is there, or failed: its line goes.
---@param key string
function Bars:done(key)
    self.states[key].active = false
end

---Ends it. Harmless when repeated.
function Bars:close()
    if not self.closed then
        self.closed = true
        if self.driver then
            self.stop:broadcast()
        end
        self:erase()
    end
end
Bars.__close = Bars.close

return M
