-- The live view as lines: the cells with their states, what is running, and where the run stands; as
-- much of it as the window holds. Pure: a state in, lines out.
local escape = require "vm.report.escape"
local summary = require "vm.report.summary"
local width = require "vm.terminal.width"
local words = require "vm.report.words"

local M = {}

-- State by sign, not only by color; the second is for terminals that know ASCII only.
local signs <const> = { passed = { "✓", "+" }, xfail = { "✓", "+" }, failed = { "✗", "X" }, xpass = { "✗", "X" },
    flaky = { "~", "~" }, skipped = { "-", "-" }, error = { "!", "!" }, lost = { "?", "?" },
    interrupted = { "=", "=" }, running = { "▶", ">" }, waiting = { "·", "." } }

local function state_of(cell)
    if cell.running > 0 then
        return "running"
    elseif cell.done == cell.total and cell.total > 0 then
        return cell.worst
    end
    return "waiting"
end

local Painter = {}
Painter.__index = Painter

function Painter:sign(state)
    return signs[state][self.ascii and 2 or 1]
end

-- A cell that has failed already is told so while the rest of it runs.
function Painter:color_of(cell, state)
    local worst = cell.worst
    if (state == "running" or state == "waiting") and worst and worst ~= "passed" and worst ~= "skipped" then
        return worst
    end
    return state == "running" and "bold" or state == "waiting" and "dim" or state
end

local function clock(seconds)
    local whole = math.max(0, math.floor(seconds))
    if whole < 3600 then
        return ("%d:%02d"):format(whole // 60, whole % 60)
    end
    return ("%d:%02d:%02d"):format(whole // 3600, whole % 3600 // 60, whole % 60)
end

-- Each cell in words, in columns; nil when that does not fit.
local function in_words(self, cells, rows)
    local longest = 0
    if #cells > rows * math.max(1, (self.columns + 2) // 13) then
        return nil -- not even if all ids had one letter
    end
    for _, cell in ipairs(cells) do
        longest = math.max(longest, width.of(self:text(cell.id)))
    end
    local column = longest + 12
    local columns = math.max(1, (self.columns + 2) // column)
    if math.ceil(#cells / columns) > rows or column > self.columns + 2 then
        return nil
    end
    local lines, parts = {}, {}
    for at, cell in ipairs(cells) do
        local state = state_of(cell)
        local time = cell.spent >= 59.5 and clock(cell.spent) or cell.spent > 0 and words.duration(cell.spent) or ""
        local text = width.pad(("%s %s"):format(self:sign(state), self:text(cell.id)), longest + 2)
        parts[#parts + 1] = self.paint(self:color_of(cell, state), text) .. " " .. width.pad(time, 7)
        if at % columns == 0 or at == #cells then
            lines[#lines + 1] = (table.concat(parts, "  "):gsub("%s+$", ""))
            parts = {}
        end
    end
    return lines
end

-- A sign a cell; nil when that does not fit. Neighbours of one color are painted together.
local function in_signs(self, cells, rows)
    if math.ceil(#cells / self.columns) > rows then
        return nil
    end
    local lines = {}
    for from = 1, #cells, self.columns do
        local parts, run, color = {}, {}, nil
        for at = from, math.min(from + self.columns - 1, #cells) do
            local state = state_of(cells[at])
            local own = self:color_of(cells[at], state)
            if own ~= color and #run > 0 then
                parts[#parts + 1] = self.paint(color, table.concat(run))
                run = {}
            end
            color = own
            run[#run + 1] = self:sign(state)
        end
        parts[#parts + 1] = self.paint(color, table.concat(run))
        lines[#lines + 1] = table.concat(parts)
    end
    return lines
end

local ORDER <const> = { "running", "failed", "xpass", "error", "lost", "interrupted", "flaky", "passed", "xfail",
    "skipped", "waiting" }

-- How many cells are in which state, for each value of the first axis.
local function in_numbers(self, cells, rows)
    local names, counts = {}, {}
    for _, cell in ipairs(cells) do
        local name = cell.axes[1] and tostring(cell.axes[1][2]) or "cells"
        if not counts[name] then
            counts[name] = {}
            names[#names + 1] = name
        end
        local state = state_of(cell)
        counts[name][state] = (counts[name][state] or 0) + 1
    end
    local lines, longest = {}, 0
    local shown = #names <= rows and #names or math.max(0, rows - 1)
    for at = 1, shown do
        longest = math.max(longest, width.of(self:text(names[at])))
    end
    longest = math.min(longest, self.columns // 2)
    for at = 1, shown do
        local parts = { width.pad(width.clip(self:text(names[at]), longest), longest) }
        local used = longest
        for _, state in ipairs(ORDER) do
            local count = counts[names[at]][state]
            local text = count and ("%s %d"):format(self:sign(state), count)
            if text and used + 2 + width.of(text) <= self.columns then
                used = used + 2 + width.of(text)
                parts[#parts + 1] = self.paint(state == "running" and "bold" or state == "waiting" and "dim" or state,
                    text)
            end
        end
        lines[#lines + 1] = table.concat(parts, "  ")
    end
    if shown < #names and rows > 0 then
        lines[#lines + 1] = width.clip(("and %d more of %d cells"):format(#names - shown, #cells), self.columns)
    end
    return lines
end

-- What is running: slot, test, time, and the last line of its output.
local function running_lines(self, progress, rows, now)
    local lines = {}
    for at, one in ipairs(progress.running) do
        if at > rows - (#progress.running > rows and 1 or 0) then
            break
        end
        local head = ("%s %s %s"):format(self:sign "running", self:text(one.id), clock(now - one.started))
        if one.attempt and one.attempt > 1 then
            head = ("%s, attempt %d"):format(head, one.attempt)
            if one.ran then
                head = ("%s, %d of %d failed"):format(head, one.failed or 0, one.ran)
            end
        end
        head = width.clip(head, self.columns)
        local room = self.columns - width.of(head) - 2
        local line = one.line and room > 8 and width.clip(self:text(one.line:match "^[^\n]*"), room) or ""
        lines[#lines + 1] = self.paint("bold", head) .. (line ~= "" and "  " .. self.paint("dim", line) or "")
    end
    if #progress.running > #lines and rows > 0 then
        lines[#lines + 1] = width.clip(("%s and %d more"):format(self:sign "running", #progress.running - #lines),
            self.columns)
    end
    return lines
end

local function status_line(self, progress, now, left)
    local facts = { ("%d of %s"):format(progress.done, words.plural(progress.total, "test")) }
    if progress.done > 0 then
        facts[#facts + 1] = words.counts(progress.counts)
    end
    facts[#facts + 1] = clock(now - progress.started)
    if left and progress.done < progress.total then
        facts[#facts + 1] = ("about %s left"):format(words.duration(math.max(1, left)))
    end
    return self.paint("bold", width.clip(table.concat(facts, "; "), self.columns))
end

---The view of now.
---@param progress vm.report.Progress
---@param opts { columns: integer, rows: integer, now: number, left?: number, color?: boolean, ascii?: boolean }
---@return string[] lines none is wider than the window, and there are fewer than it has rows
function M.lines(progress, opts)
    -- The last column stays free: some terminals wrap as soon as it is written to.
    local self = setmetatable({ columns = math.max(1, opts.columns - 1), ascii = opts.ascii,
        paint = summary.painter(opts.color == true) }, Painter)
    local rows = math.max(1, opts.rows - 1)
    local lines = { status_line(self, progress, opts.now, opts.left) }
    local for_running = math.min(#progress.running, math.max(1, (rows - 1) // 3))
    if rows < 3 then
        return lines
    end
    local below = running_lines(self, progress, for_running, opts.now)
    local room = rows - 1 - #below
    local cells = progress.cells
    local above = in_words(self, cells, room) or in_signs(self, cells, room) or in_numbers(self, cells, room)
    table.move(below, 1, #below, #above + 1, above)
    above[#above + 1] = lines[1]
    return above
end

---Text of a guest or an id on one line, in what the terminal knows.
---@private
function Painter:text(text)
    text = escape.line(text)
    if self.ascii then
        text = text:gsub("[\xC2-\xF4][\x80-\xBF]*", "?")
    end
    return text
end

return M
