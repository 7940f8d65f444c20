-- The prompt: lines of Lua that are typed, each run as a task. What they make and start belongs to the
-- session, until it ends.
local raw = require "vm.raw"
local chunks = require "vm.repl.chunk"
local errors = require "vm.errors"
local history = require "vm.repl.history"
local progress = require "vm.terminal.progress"
local scope = require "vm.task.scope"
local script = require "vm.script"
local show = require "vm.repl.show"

local M = {}

-- How long the clean-up of a line that was interrupted may take before that is said, in seconds.
local PATIENCE <const> = 1

---@class vm.repl.Session
local Session = {}
Session.__index = Session

-- The body of a line's task. Guests and the like belong to the session, and so does what it has started
-- when it ends well.
local function body(self, chunk)
    raw.task.locals().scope = self.scope
    script.use "./stdin"
    local results = table.pack(chunk())
    for _, child in ipairs(raw.task.children()) do
        child:detach()
        self.background[#self.background + 1] = child
    end
    results.handed_on = {}
    return results
end

---Runs a piece of Lua as a task of its own.
---@param chunk function
---@return boolean ok
---@return any results a packed table, or the error
function Session:run(chunk)
    local task = raw.task.spawn("line", false, body, self, chunk)
    self.current, self.interrupted = task, nil
    self.editor:guard(task)
    local done <close> = setmetatable({}, { __close = function() -- luacheck: ignore 211
        self.current = nil
        self.editor:guard()
    end })
    return pcall(function()
        return table.pack(task:join())
    end)
end

-- A Ctrl-C while a line is run: it has been cancelled, and nothing else.
local function follow_interrupts(self)
    while true do
        self.editor:interrupts()
        local task = self.current
        if task and self.interrupted == task then
            io.stderr:write "\nstill cleaning up what was interrupted\n"
        elseif task then
            self.interrupted = task
            raw.task.spawn("patience", true, function()
                raw.task.sleep(PATIENCE)
                if self.current == task then
                    io.stderr:write "\ninterrupted; cleaning up\n"
                end
            end)
        end
    end
end

local function follow_completions(self)
    while true do
        local before, after = self.editor:completions()
        local ok, drop, insert, listing = pcall(function()
            return require("vm.repl.complete").answer(before, after)
        end)
        if not ok then
            raw.log.write("debug", nil, "completion: " .. tostring(drop))
            drop, insert, listing = 0, "", nil
        end
        self.editor:complete(drop, insert, listing)
    end
end

---Reads one line.
---@param prompt string
---@return string|nil line
---@return string|nil why "end" or "interrupted" without one
---@private
function Session:line(prompt)
    progress.hold(true) -- of what tasks in the background do
    local _ <close> = setmetatable({}, { __close = function() progress.hold(false) end })
    return self.editor:read(prompt)
end

---Reads lines until they are a whole piece of Lua.
---@return string|nil text
---@return function|string|nil chunk what it compiles to; nil when it is wrong; "end" or "interrupted" without a text
---@return string|nil how see vm.repl.chunk
function Session:read()
    local text
    while true do
        local line, why = self:line(text and "..> " or "vm> ")
        if not line then
            return nil, why, text
        end
        text = text and text .. "\n" .. line or line
        local chunk, how = chunks.compile(text)
        if how ~= "unfinished" then
            return text, chunk, how
        end
    end
end

---Runs what was typed, and prints its values or its error.
---@param text string
---@param chunk function|nil
---@param how string see vm.repl.chunk; "words" for what is no Lua
---@return boolean ok
function Session:evaluate(text, chunk, how)
    if not chunk then
        print("error: " .. show.text(how))
        return false
    end
    local ok, results = self:run(chunk)
    if how ~= "words" and not text:find "^%s*edit%f[%W]" then
        self.last = text
    end
    if not ok then
        if errors.is(results, "cancelled") and results.message == "interrupted" then
            print "\ninterrupted" -- the terminal has shown ^C
        else
            print(show.error(results))
        end
        return false
    end
    if how == "expression" then
        local width = show.width()
        for i = 1, results.n do
            print(show.value(results[i], width))
        end
        if results.n > 0 then
            _G._ = results[1]
        end
    elseif text:find "^%s*local%s" then
        print "note: a local is gone when its line ends; without 'local' it stays"
    end
    if how ~= "words" then
        self.lines[#self.lines + 1] = { text = text, valued = how == "expression" and results.n > 0 }
    end
    return true
end

-- The guests that would end with the session.
local function losses()
    local connection = package.loaded["vm.guest.connection"]
    local names = {}
    for _, guest in ipairs(connection and connection.guests() or {}) do
        if not guest.closed and not guest.consumed and not guest.kept and not guest.spec.keep then
            names[#names + 1] = guest.name
        end
    end
    table.sort(names)
    return names
end

---Whether the session may end. Another Ctrl-D means yes, and Ctrl-C no.
---@return boolean
function Session:may_leave()
    local names = losses()
    if #names == 0 then
        return true
    end
    local answer, why = self:line(("%s end%s with this prompt (%s); leave? [y/N] "):format(
        #names == 1 and "one guest" or #names .. " guests", #names == 1 and "s" or "", table.concat(names, ", ")))
    if why then
        io.stdout:write "\n"
    end
    return why == "end" or (answer or ""):find "^%s*[yY]" ~= nil
end

-- What newcomers type without brackets: `list`, `help`, `help copy`. Returns a call of it.
local function plain_words(self, text)
    local word, topic = text:match "^%s*(%a+)%s*(.-)%s*$"
    local verb = word and self.verbs[word]
    if not verb or rawget(_G, word) ~= verb then
        return nil
    elseif topic == "" and (word == "help" or word == "list") then
        return verb
    elseif word == "help" and topic:find "^[%a_][%w_.: ]*$" then
        return function() verb(topic) end
    end
end

local function is_leaving(text)
    local word = text:match "^%s*(%a+)%s*%(?%s*%)?%s*$"
    return word == "exit" and not _G.exit or word == "quit" and not _G.quit
end

---Reads, runs and prints until the prompt is left.
function Session:loop()
    while true do
        local text, chunk, how = self:read()
        if not text then
            if chunk == "end" then
                io.stdout:write "\n"
                if self:may_leave() then
                    return
                end
            else
                print "^C"
            end
        elseif text:find "%S" then
            if self.history:add(text) then
                self.editor:remember(text)
            end
            if is_leaving(text) then
                if self:may_leave() then
                    return
                end
            else
                local call = plain_words(self, text)
                if call then
                    chunk, how = call, "words"
                end
                self:evaluate(text, chunk, how)
            end
        end
    end
end

-- Ends what the session's lines have started and is still running.
local function end_background(self)
    for _, task in ipairs(self.background) do
        task:cancel()
    end
    for _, task in ipairs(self.background) do
        task:ended()
    end
end

---Opens the prompt on this program's terminal and stays until it is left. Waits.
---@param opts? { globals?: table, before?: fun(), greeting?: string } globals for the lines; what is run first
---@return integer code
function M.run(opts)
    opts = opts or {}
    local editor = errors.raise(require("vm.raw.line").open())
    local closing <close> = setmetatable({}, { __close = function() editor:close() end }) -- luacheck: ignore 211
    local self = setmetatable({ editor = editor, scope = scope.current(), background = {}, lines = {},
        history = history.open() }, Session)
    local output <close> = require("vm.repl.output").watch(function(ends_line) -- luacheck: ignore 211
        editor:hide(progress.wrote(ends_line))
    end)
    progress.show_calls()
    local _ <close> = setmetatable({}, { __close = function() end_background(self) end })
    self.background[1] = raw.task.spawn("interrupts", true, follow_interrupts, self)
    self.background[2] = raw.task.spawn("completions", true, follow_completions, self)
    for _, entry in ipairs(self.history.entries) do
        editor:remember(entry)
    end
    self.verbs = require("vm.repl.verbs").install(self)
    for name, value in pairs(opts.globals or {}) do
        _G[name] = value
    end
    print(opts.greeting or ("vmatrix %s; help() says what there is, Tab completes, Ctrl-D leaves"):format(_G._VMATRIX))
    if opts.before then
        local ok, results = self:run(opts.before)
        if not ok then
            print(show.error(results))
        end
    end
    self:loop()
    return 0
end

return M
