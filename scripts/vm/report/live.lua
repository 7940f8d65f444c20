-- The live view on a terminal: drawn again when something changed, ten times a second at most. The
-- cursor is never hidden and always stands below the view: however the program ends, the terminal is fit
-- for use.
local raw = require "vm.raw"
local grid = require "vm.report.grid"
local task = require "vm.task"
local width = require "vm.terminal.width"

local M = {}

local EVERY <const> = 0.1

local View = {}
View.__index = View

local function speaks_utf8()
    local locale = os.getenv "LC_ALL"
    if not locale or locale == "" then
        locale = os.getenv "LC_CTYPE"
    end
    if not locale or locale == "" then
        locale = os.getenv "LANG"
    end
    return (locale or ""):upper():find "UTF%-?8" ~= nil
end

-- The window's size; a terminal that does not know it is taken to be an old one.
local function window()
    local rows, columns = raw.terminal.size(1)
    if not rows or rows == 0 or columns == 0 then
        return 24, 80
    end
    return rows, columns
end

-- How many rows the lines that were drawn take now: a window that became narrower has wrapped them.
local function rows_taken(self, columns)
    local taken = 0
    for _, columns_of in ipairs(self.drawn) do
        taken = taken + math.max(1, math.ceil(columns_of / columns))
    end
    return taken
end

-- Back to the view's first row. Nothing is erased there: lines are written over, and what is left of old
-- ones goes with each line's end. (Erasing a whole screen makes some terminals keep it in their history.)
local function back(self, columns)
    local up = rows_taken(self, columns)
    self.drawn = {}
    return up > 0 and ("\27[%dA\r"):format(up) or ""
end

local function over(text)
    return (text:gsub("\n", "\27[K\n"))
end

local function draw(self, before)
    local rows, columns = window()
    local now = raw.fs.now_unix()
    if not self.left_at or now - self.left_at >= 1 then
        self.left_at, self.left = now, self.progress:left(now)
    end
    local lines = grid.lines(self.progress, { columns = columns, rows = rows, now = now, left = self.left,
        color = self.color, ascii = self.ascii })
    local out = { back(self, columns), over(before or "") }
    for at, line in ipairs(lines) do
        out[#out + 1] = over(line .. "\n")
        self.drawn[at] = width.of((line:gsub("\27%[[%d;]*m", "")))
    end
    io.stdout:write(table.concat(out), "\27[J")
    io.stdout:flush()
end

local function drive(self)
    while not self.stopped do
        if not self.is_changed then
            self.woken:wait(1) -- the clocks go on
        end
        if self.stopped then
            break
        end
        self.is_changed = false
        if not self.paused then
            local before = self.pending
            self.pending = nil
            draw(self, before)
        end
        self.stop:wait(EVERY)
    end
end

---Starts the view.
---@param progress vm.report.Progress
---@param opts { color?: boolean }
---@return table view
function M.new(progress, opts)
    local self = setmetatable({ progress = progress, color = opts.color, ascii = not speaks_utf8(), drawn = {},
        woken = raw.task.event(), stop = raw.task.event(), is_changed = true }, View)
    self.driver = task.spawn_detached("live view", drive, self)
    return self
end

---Says that there is something new to draw.
function View:changed()
    self.is_changed = true
    self.woken:broadcast()
end

---Has text appear above the view, where it stays; with the next drawing.
---@param text string whole lines
function View:above(text)
    self.pending = (self.pending or "") .. text
    self:changed()
end

-- Takes the view off the screen; what was to appear above it stays.
local function take_off(self)
    local _, columns = window()
    io.stdout:write(back(self, columns), over(self.pending or ""), "\27[J")
    io.stdout:flush()
    self.pending = nil
end

---Leaves the terminal to somebody else: nothing is drawn until `resume`. Does not wait.
function View:pause()
    if not self.paused then
        self.paused = true
        take_off(self)
    end
end

---Goes on, with what was to appear meanwhile.
function View:resume()
    self.paused = false
    self:changed()
end

---Ends the view, which is erased; what was to appear above it stays. Harmless when repeated.
function View:close()
    if self.stopped then
        return
    end
    self.stopped = true
    self.woken:broadcast()
    self.stop:broadcast()
    self.driver:ended()
    take_off(self)
end

return M
