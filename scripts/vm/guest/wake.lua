-- What a fork needs before its first command: it wakes with its template's clock, random pool and
-- names. A task of the host connects and puts that right; commands wait for it.
local raw = require "vm.raw"
local errors = require "vm.errors"
local random_hex = require "vm.random_hex"
local shell = require "vm.remote.shell"
local task = require "vm.task"

local M = {}

-- Seconds that putting right may take, longer when the guest is emulated.
local LIMIT <const> = 60

-- How far behind a clock may be that was set, in seconds, and how often that is tried: the time is that of
-- the host when the command was sent, and a busy host may be slow to run it.
local BEHIND <const>, TRIES <const> = 2, 3

-- date(1) of GNU, busybox and toybox takes "@seconds", that of the BSDs -f. The guest's uptime then and at the
-- end says what the clock is in the end, without a program more.
local function set_clock()
    local now = math.floor(raw.fs.now_unix())
    return ([[date -u -s @%d >/dev/null 2>&1 || date -u -f %%s %d >/dev/null 2>&1 || echo clock
u=; read -r u x 2>/dev/null </proc/uptime]]):format(now, now), now
end

local SAY_CLOCK <const> = 'v=; read -r v x 2>/dev/null </proc/uptime\n'
    .. 'if [ -n "$u$v" ]; then echo "up=$u,$v"; else date +now=%s; fi'

-- What the guest's clock said at the end, when it was set to `set`; nil when that cannot be known.
local function clock_of(said, set)
    local from, to = said:match "up=([%d.]+),([%d.]+)"
    if from then
        return set + (tonumber(to) or 0) - (tonumber(from) or 0)
    end
    return tonumber(said:match "now=(%d+)")
end

-- The commands, for root.
local function script(self, opts)
    local clock, set = set_clock()
    local lines = {
        clock,
        ("{ %s\n} >/dev/null 2>&1 || echo random"):format(
            require("vm.reseed").script(self.arch, errors.raise(raw.fs.random(64)))),
    }
    if opts.hostname then
        local name = shell.quote(opts.hostname)
        lines[#lines + 1] = ("{ hostname %s || hostnamectl set-hostname %s; } >/dev/null 2>&1 || echo hostname")
            :format(name, name)
        lines[#lines + 1] = ("if [ -e /etc/hostname ]; then echo %s >/etc/hostname; fi"):format(name)
    end
    if opts.machine_id then
        local id = random_hex(16)
        lines[#lines + 1] = ("echo %s >/etc/machine-id || echo machine_id"):format(id)
        lines[#lines + 1] = ("if [ -e /var/lib/dbus/machine-id ] && [ ! -L /var/lib/dbus/machine-id ]; then "
            .. "echo %s >/var/lib/dbus/machine-id; fi"):format(id)
    end
    lines[#lines + 1] = SAY_CLOCK
    return table.concat(lines, "\n"), set
end

local what_of = {
    clock = "its clock could not be set",
    random = "its random pool could not be reseeded: it may draw the same random numbers as another fork",
    hostname = "its host name could not be set",
    machine_id = "its machine id could not be set",
}

local function put_right(self, opts)
    local run = { user = self.login and self.login.user ~= "root" and "root" or nil, timeout = self:limit(LIMIT) }
    local commands, set = script(self, opts)
    local result = self:exec(commands, run)
    for word in result.stdout:gmatch("%S+") do
        if what_of[word] then
            self:fail("unsupported", "fork", "%s", what_of[word])
        end
    end
    if not result.ok then
        self:fail("exit", "fork", "it could not be put right (status %s): %s", tostring(result.status),
            (result.stderr:gsub("%c", " "):sub(1, 200)))
    end
    for _ = 2, TRIES do
        local said = clock_of(result.stdout, set)
        if not said or raw.fs.now_unix() - said <= BEHIND then
            return
        end
        commands, set = set_clock()
        result = self:exec(commands .. "\n" .. SAY_CLOCK, run)
    end
end

---Begins to put a fork right in the background.
---@param self vm.Guest
---@param opts { hostname?: string, machine_id?: boolean }
function M.begin(self, opts)
    if not self:has_commands() then
        return -- no command can be run in it anyway
    end
    self.waking = {}
    self.waking.task = task.spawn_detached("wake " .. self.name, function()
        self.waking.locals = raw.task.locals()
        local ok, err = pcall(put_right, self, opts)
        if not ok then
            self.waking.failure = err
        end
    end)
end

---Waits until the fork was put right; raises what kept that from happening.
---@param self vm.Guest
---@param verb string
function M.await(self, verb)
    local waking = self.waking
    if waking.locals == raw.task.locals() then
        return -- the one who does it
    end
    waking.task:ended()
    if waking.failure then
        self:check_alive(verb)
        local err = waking.failure
        error(errors.is(err) and errors.new(err.kind, err.message, { guest = self.name }) or err, 0)
    end
    self.waking = nil
end

return M
