-- The output of running tests as it comes, each line with the test's id before it: from their logs.
local raw = require "vm.raw"
local escape = require "vm.report.escape"
local task = require "vm.task"

local M = {}

-- Seconds between two looks; bytes of one test that are read at a look, and of a line without an end.
local EVERY <const>, CHUNK <const>, LINE <const> = 0.2, 256 * 1024, 4096

local Follow = {}
Follow.__index = Follow

local function say_lines(self, one, text, is_end)
    text = one.rest .. text
    local out, at = {}, 1
    while true do
        local stop = text:find("\n", at, true)
        if not stop then
            break
        end
        -- Of a line that was written over, as a progress bar is, the last state.
        local line = text:sub(at, stop - 1):match "([^\r]*)\r*$"
        out[#out + 1] = one.prefix .. escape.line(escape.head(line, LINE)) .. "\n"
        at = stop + 1
    end
    one.rest = text:sub(at)
    if #one.rest > LINE or is_end and one.rest ~= "" then
        out[#out + 1] = one.prefix .. escape.line(escape.head(one.rest, LINE)) .. "\n"
        one.rest = ""
    end
    if #out > 0 then
        self.write(table.concat(out))
    end
end

-- Reads what is new. Of a log that grows faster than it can be shown, the middle is left out.
local function look(self, one, is_end)
    one.file = one.file or io.open(one.path, "rb")
    if not one.file then
        return
    end
    local size = one.file:seek "end"
    if size - one.at > CHUNK then
        say_lines(self, one, "", true)
        self.write(("%s[%d bytes are left out here; they are in %s]\n"):format(one.prefix, size - one.at - CHUNK,
            escape.line(one.path)))
        one.at = size - CHUNK
    end
    one.file:seek("set", one.at)
    local text = one.file:read(CHUNK) or ""
    one.at = one.at + #text
    say_lines(self, one, text, is_end)
    if is_end then
        one.file:close()
    end
end

local function drive(self)
    while not self.stopped do
        self.stop:wait(EVERY)
        for _, one in pairs(self.tests) do
            look(self, one, false)
        end
    end
end

---Starts to follow the tests of a run.
---@param run vm.report.Run
---@param write fun(text: string) takes whole lines
---@return table
function M.new(run, write)
    local self = setmetatable({ run = run, write = write, tests = {}, stop = raw.task.event() }, Follow)
    self.driver = task.spawn_detached("output of tests", drive, self)
    return self
end

---Takes an event: tests start and end.
---@param event table
function Follow:event(event)
    local key = event.test and ("%s %d"):format(event.test, event.attempt or 1)
    if event.event == "test_started" then
        self.tests[key] = { path = (self.run:log_file(event.test, event.attempt)), at = 0, rest = "",
            prefix = escape.line(event.test) .. " | " }
    elseif event.event == "test_ended" and self.tests[key] then
        look(self, self.tests[key], true)
        self.tests[key] = nil
    end
end

---Ends it; what has come until now is said. Harmless when repeated.
function Follow:close()
    if self.stopped then
        return
    end
    self.stopped = true
    self.stop:broadcast()
    self.driver:ended()
    for _, one in pairs(self.tests) do
        look(self, one, true)
    end
    self.tests = {}
end

return M
