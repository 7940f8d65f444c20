-- Waiting for a guest: its console, its readiness for commands, ports, files, conditions.
local raw = require "vm.raw"
local errors = require "vm.errors"
local options = require "vm.options"
local task = require "vm.task"

local M = { methods = {} }

---@class vm.Guest
local Guest = M.methods

-- What a login prompt looks like, for guests that have no sign of their own.
local LOGIN <const> = "login: "

---What the console says when the guest is ready.
---@return string
---@private
function Guest:sign()
    return self.boot_files.ready or LOGIN
end

-- Raises kind "timeout" with what was seen last and the console's last lines.
local function timed_out(self, verb, seconds, seen)
    local tail = self.console_log:tail(8)
    error(errors.new("timeout", ("%s: not within %g s%s%s"):format(self:what(verb), seconds,
        seen and "; last seen: " .. seen or "",
        tail ~= "" and "; the console's last lines:\n" .. tail or "; the console said nothing"),
        { guest = self.name, console = tail, seen = seen }), 0)
end

local console_spec = {
    timeout = "time",
    pattern = { "boolean", default = false },
    since = { "string", one_of = { "boot" } },
}

---How to look at the console.
---@class vm.ConsoleOptions
---@field timeout? number|string 120 s, three times that when emulated
---@field pattern? boolean the text is a Lua pattern
---@field since? "boot" look from the start of this boot on again

---Waits for a text on the serial console, from where the last such wait ended.
---@param text string plain text, or a Lua pattern with `pattern`
---@param opts? vm.ConsoleOptions
---@return string found
function Guest:wait_console(text, opts)
    opts = options.check(self:what("wait_console"), opts, console_spec)
    if type(text) ~= "string" or text == "" then
        self:fail("usage", "wait_console", "a text expected, got %s", options.show(text))
    end
    self:check_open("wait_console")
    local limit = opts.timeout or self:limit(120)
    local deadline = raw.task.now() + limit
    local log = self.console_log
    local from = log:place(opts.since)
    while true do
        while log:read_more() do end
        local found = log:find(text, opts.pattern, from)
        if found then
            return found
        end
        self:check_alive("wait_console")
        local left = deadline - raw.task.now()
        if left <= 0 then
            timed_out(self, ("wait_console %s"):format(options.show(text)), limit)
        end
        log.grown:wait(left)
    end
end

-- Waits until one can log in, by its sign on the console and then by doing so.
local function wait_ssh(self, conn, limit, deadline)
    -- Probing can itself break a guest that is booting: its console is asked first. A guest that has
    -- no sign of its own may be silent, so half of the time is left for the login.
    local has_sign = self.boot_files.ready ~= nil
    if not conn:is_open() and not self.forked then -- a fork is past its sign
        local patience = has_sign and limit or limit / 2
        local ok, err = pcall(self.wait_console, self, self:sign(), { timeout = patience, since = "boot" })
        if not ok and (has_sign or err.kind ~= "timeout") then
            error(err, 0)
        end
    end
    local seen, pause = nil, 0.5
    while true do
        self:check_alive("wait_ready")
        local left = deadline - raw.task.now()
        if left <= 0 then
            timed_out(self, "wait_ready", limit, seen)
        end
        local ok, err = pcall(conn.open, conn, { timeout = left })
        if ok then
            return
        end
        self:check_alive("wait_ready")
        if not errors.is(err) or (err.kind ~= "connection" and err.kind ~= "timeout") then
            error(errors.prefix(err, self:what("wait_ready")), 0)
        end
        seen = err.message
        self.changed:wait(math.min(pause, math.max(0, deadline - raw.task.now())))
        pause = math.min(pause * 2, 5)
    end
end

-- Waits until the guest agent answers.
local function wait_agent(self, limit, deadline)
    while true do
        local left = deadline - raw.task.now()
        if left <= 0 then
            timed_out(self, "wait_ready", limit, self:agent_trouble())
        end
        local ok, why, never = self:agent_ready(left)
        self:check_alive("wait_ready")
        if ok then
            return
        elseif never then
            self:fail("unsupported", "wait_ready", "%s", why)
        end
        self.changed:wait(math.min(0.2, math.max(0, deadline - raw.task.now())))
    end
end

-- Either of them; the login goes on in the background when the agent was first.
local function wait_either(self, limit, deadline)
    local settled, ready, failures = raw.task.event(), false, {}
    local function attempt(fn, ...)
        local ok, err = pcall(fn, ...)
        ready = ready or ok
        failures[#failures + 1] = not ok and err or nil
        settled:notify()
    end
    self:open_ssh_beside(function(conn)
        attempt(wait_ssh, self, conn, limit, deadline)
    end)
    local _ <close> = task.closing(task.spawn(attempt, wait_agent, self, limit, deadline))
    while not ready do
        settled:wait()
        self:check_alive("wait_ready")
        if #failures == 2 then
            error(failures[1], 0)
        end
    end
end

---Waits until commands can be run: until the guest agent answers, where there is one, or for its sign
---on the console and then one login.
---@param opts? { timeout?: number|string } 120 s, three times that when emulated
---@return vm.Guest self
function Guest:wait_ready(opts)
    opts = options.check(self:what("wait_ready"), opts, { timeout = "time" })
    self:check_alive("wait_ready")
    local limit = opts.timeout or self:limit(120)
    local deadline = raw.task.now() + limit
    local by = self:ways()
    if by == "agent" then
        wait_agent(self, limit, deadline)
    elseif by == "either" then
        wait_either(self, limit, deadline)
    else
        wait_ssh(self, self:transport("wait_ready", "ssh"), limit, deadline)
    end
    if self.seed_iso then
        require("vm.cloud").finish(self, deadline)
    end
    require("vm.network.neighbours").settle(self, deadline - raw.task.now())
    return self
end

-- Asks again and again until probe returns true (or a second value says what was seen).
local function poll(self, verb, opts, probe)
    opts = options.check(self:what(verb), opts, { timeout = "time", interval = { "time", default = 0.5 } })
    self:check_alive(verb)
    local limit = opts.timeout or self:limit(60)
    local deadline = raw.task.now() + limit
    local seen
    while true do
        local left = deadline - raw.task.now()
        if left <= 0 then
            timed_out(self, verb, limit, seen)
        end
        local ok, yes, what = pcall(probe, left)
        if ok and yes then
            return yes
        elseif not ok and not errors.is(yes, "timeout") then
            error(yes, 0)
        end
        seen = ok and what or seen
        self:check_alive(verb)
        self.changed:wait(math.min(opts.interval, math.max(0, deadline - raw.task.now())))
    end
end

local function one_line(result)
    local text = (result.stderr ~= "" and result.stderr or result.stdout):gsub("%s+$", "")
    local last = text:match("[^\n]*$"):gsub("%c", "?"):sub(1, 200)
    return ("status %s%s"):format(result.status or "none", last ~= "" and ", " .. last or "")
end

---Waits until something listens on a TCP port, seen from inside the guest: a forwarded port accepts
---before anything listens.
---@param port integer
---@param opts? { timeout?: number|string, interval?: number|string } 60 s (three times that when emulated), every 0.5 s
function Guest:wait_port(port, opts)
    if math.type(port) ~= "integer" or port < 1 or port > 65535 then
        self:fail("usage", "wait_port", "a port from 1 to 65535 expected, got %s", options.show(port))
    end
    -- Linux lists sockets in /proc/net/tcp: local address in hexadecimal, state 0A is LISTEN
    -- (proc(5)). Elsewhere netstat knows.
    local command = ("cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | grep -qi ':%04X [0-9A-F]*:0000 0A' || "
        .. "netstat -an 2>/dev/null | grep -qE '[.:]%d .*LISTEN'"):format(port, port)
    poll(self, ("wait_port %d"):format(port), opts, function(left)
        local result = self:exec(command, { timeout = left })
        return result.ok, "nothing listens there"
    end)
end

---Waits until a file exists in the guest.
---@param path string
---@param opts? { timeout?: number|string, interval?: number|string }
function Guest:wait_file(path, opts)
    if type(path) ~= "string" or path == "" then
        self:fail("usage", "wait_file", "a path expected, got %s", options.show(path))
    end
    poll(self, ("wait_file %s"):format(path), opts, function(left)
        return self:exec({ "test", "-e", path }, { timeout = left }).ok, "no such file"
    end)
end

---Waits until a command succeeds.
---@param command string|string[]
---@param opts? { timeout?: number|string, interval?: number|string }
---@return table result the successful one
function Guest:wait_until(command, opts)
    return poll(self, "wait_until", opts, function(left)
        local result = self:exec(command, { timeout = left })
        return result.ok and result, one_line(result)
    end)
end

return M
