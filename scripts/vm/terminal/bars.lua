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
        local bar = self.bars[key]
        if bar.active and self.drawn < 20 then
            io.stderr:write(progress.line(bar:state(), columns), "\n")
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
    local self = setmetatable({ bars = {}, order = {}, drawn = 0, closed = false }, Bars)
    if progress.visible() then
        self.stop = raw.task.event()
        self.driver = task.spawn_detached("images.bars", drive, self)
    end
    return self
end

---What images.get is to call for one image.
---@param key string
---@return fun(state: table)
function Bars:callback(key)
    local bar, said, last = progress.start(key, { visible = false }), false, nil
    self.bars[key] = bar
    self.order[#self.order + 1] = key
    return function(news)
        bar.active = true
        if news.what == "downloading" then
            bar:update(news.received, news.total > 0 and news.total or nil)
            bar:note(nil)
            if not said then
                said = true
                say(self, "%s: downloading %s", key, news.url)
            end
        elseif news.what == "waiting to try again" then
            say(self, "%s: %s; again in %d s", key, news.problem, news.seconds)
        elseif news.what ~= last then
            bar:note(news.what)
            if news.what == "waiting" then
                say(self, "%s: waiting for another process, which downloads it", key)
            end
        end
        last = news.what
    end
end

---An image is there, or failed: its line goes.
---@param key string
function Bars:done(key)
    self.bars[key].active = false
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
