-- What is seen of a run while it goes on, and its end: a live view on a terminal, plain lines elsewhere,
-- then the summary and the reports that were asked for.
local raw = require "vm.raw"
local errors = require "vm.errors"
local escape = require "vm.report.escape"
local follow = require "vm.report.follow"
local github = require "vm.report.github"
local live = require "vm.report.live"
local model_of = require "vm.report.model"
local progress = require "vm.report.progress"
local reports = require "vm.report.reports"
local store = require "vm.report.store"
local summary = require "vm.report.summary"
local verdict = require "vm.report.verdict"
local words = require "vm.report.words"

local M = {}

local fs = raw.fs

---@class vm.report.Watch
local Watch = {}
Watch.__index = Watch

---Makes the view of one run. It is closed when the run is over: then it tells how that came out.
---@param opts { verbose?: integer, quiet?: boolean, format?: { name: string, path?: string }[], tty?: boolean }
---@return vm.report.Watch
function M.new(opts)
    local tty = opts.tty
    if tty == nil then
        tty = fs.is_tty(1) and os.getenv "TERM" ~= "dumb"
    end
    local self = setmetatable({ verbose = opts.verbose or 0, quiet = opts.quiet == true, formats = opts.format or {},
        tty = tty, color = tty and reports.color(1) }, Watch)
    self.paint = summary.painter(self.color)
    return self
end

local function write_out(self, text)
    if github.here() then
        text = github.defuse(text)
    end
    if self.view then
        self.view:above(text)
    elseif self.held then
        self.held = self.held .. text
    else
        io.stdout:write(text)
        io.stdout:flush()
    end
end

-- The line of a test that has its verdict.
local function verdict_line(self, event)
    local why = ""
    local err = event.error
    if not verdict.is_good(event.final) then
        local text = type(err) == "table" and err.message or event.reason or ""
        why = escape.line(escape.head(words.first_line(tostring(text)), 300))
        why = why ~= "" and ": " .. why or ""
    end
    local time = words.duration(event.duration)
    return ("%s %s%s%s\n"):format(self.paint(event.final, ("%-6s"):format(event.final)), escape.line(event.test),
        time ~= "" and (" (%s)"):format(time) or "", why)
end

local function told(self, event)
    if event.event == "test_ended" and event.final then
        local bad = not verdict.is_good(event.final) and event.final ~= "skipped" or event.final == "flaky"
        return bad or not self.quiet and not self.view
    end
    return false
end

-- While a shell has the terminal, nothing else is said; it is said afterwards.
local function shell(self, is_on)
    local held = self.held
    self.held = is_on and (held or "") or nil
    if self.view and is_on then
        self.view:pause()
    elseif self.view then
        self.view:resume()
    elseif held and not is_on then
        write_out(self, held)
    end
end

local function hear(self, event)
    self.progress:event(event)
    if event.event == "shell_started" or event.event == "shell_ended" then
        shell(self, event.event == "shell_started")
    end
    if self.follow then
        self.follow:event(event)
    end
    if told(self, event) then
        write_out(self, verdict_line(self, event))
    elseif event.event == "warning" and not self.quiet then
        write_out(self, ("%s %s%s\n"):format(self.paint("flaky", "warning"),
            event.test and escape.line(event.test) .. ": " or event.cell and escape.line(event.cell) .. ": " or "",
            escape.line(escape.head(event.text, 1000))))
    elseif event.event == "interrupted" then
        write_out(self, "interrupted: what is running is ended\n")
    end
    if self.view then
        self.view:changed()
    end
end

---Watches a run from now on.
---@param run vm.report.Run
---@param plan table
function Watch:attach(run, plan)
    self.run = run
    self.progress = progress.new(plan, run.results, fs.now_unix())
    if self.tty and not self.quiet then
        self.view = live.new(self.progress, { color = self.color })
    elseif not self.quiet then
        write_out(self, ("run %s: %s in %s%s\n"):format(run.id, words.plural(#plan.tests, "test"),
            words.plural(#plan.cells, "cell"), run.info.seed and ("; --seed %s"):format(run.info.seed) or ""))
    end
    if self.verbose > 0 then
        run.followed = true
        self.follow = follow.new(run, function(text) write_out(self, text) end)
    end
    run:listen(function(event) hear(self, event) end)
end

-- Every report is tried, also when another could not be made; returns the first error.
local function write_reports(self, model)
    local first
    local function try(fn, ...)
        local ok, result = pcall(fn, ...)
        if not ok then
            first = first or result
        end
        return ok and result or nil
    end
    for _, one in ipairs(self.formats) do
        local path = try(reports.write, model, one.name, one.path or self.run.path .. "/")
        if path and not self.quiet then
            io.stdout:write(("%s: %s\n"):format(one.name, escape.line(path)))
        end
    end
    try(reports.for_github, model)
    return first
end

---Ends the live view and tells how the run came out; writes the reports. Raises when one of them cannot
---be written.
---@param err? any the error that ends the block, which is told instead of another
function Watch:close(err)
    if self.follow then
        self.follow:close()
    end
    if self.held then
        shell(self, false) -- whoever had the terminal is gone
    end
    if self.view then
        self.view:close()
        self.view = nil
    end
    if not self.run or self.over then
        return
    end
    self.over = true
    local model = model_of.load(store.open(self.run.path))
    local text = summary.render(model, { color = self.color })
    io.stdout:write("\n", github.here() and github.defuse(text) or text)
    local failed = write_reports(self, model)
    io.stdout:flush()
    if failed and err == nil then
        error(errors.is(failed) and errors.prefix(failed, "report") or failed, 0)
    end
end

Watch.__close = function(self, err)
    self:close(err)
end

return M
