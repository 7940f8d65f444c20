-- Starting and stopping a guest.
local raw = require "vm.raw"
local errors = require "vm.errors"
local options = require "vm.options"
local progress = require "vm.terminal.progress"

local M = { methods = {} }

---@class vm.Guest
local Guest = M.methods

-- Waits until the guest is in a state, at most that many seconds; false when it did not come.
local function wait_state(self, wanted, seconds)
    local deadline = raw.task.now() + seconds
    while self.last_state ~= wanted do
        local left = deadline - raw.task.now()
        if left <= 0 then
            return false
        end
        self.changed:wait(left)
    end
    return true
end

-- QEMU could not be started: says which port or file it was about.
local function start_error(err)
    if err.message:find("hostfwd", 1, true) or err.message:find("Could not set up host forwarding", 1, true) then
        local rule = err.message:match("forwarding rule '([^']*)'") or "a forward"
        err.kind = "exists"
        err.message = ("the port of %s is taken on this host; leave `host` out to get a free one"):format(rule)
    elseif err.message:find("[Ff]ailed to get .*\"write\" lock") then
        err.kind = "exists"
        err.message = "a disk of it is in use by another guest: " .. err.message
    end
    return nil, err
end

---Tells libvirt what the guest is to be when it is started next.
---@param verb string for messages
---@private
function Guest:redefine(verb)
    self.desc.uuid = self.domain:uuid()
    self:raise(verb, self.connection.raw:define(errors.raise(raw.virt.xml(self.desc))))
end

-- A fork that boots: RAM of its own instead of its template's.
local function boot_of_fork(self)
    self.forked = nil
    if self.desc.ram_private then
        self.desc.ram, self.desc.ram_private = self.files:ram(self:what("start"), self.spec.memory), false
        self:redefine("start")
    end
end

local start_spec = {
    wait = { "string", one_of = { "none", "console", "commands" } },
    timeout = "time",
}

---What to wait for, when a guest starts.
---@class vm.StartOptions
---@field wait? "none"|"console"|"commands" until its sign is on the console, or commands can be run (the default)
---@field timeout? number|string 120 s, three times that when emulated

-- Waits until a guest that was just started is of use.
local function await(self, verb, wait, limit)
    if wait == "none" then
        return
    end
    local like = ("%s %s %s"):format(verb, tostring(self.spec.image or self.spec.kernel), self.arch)
    local bar <close> = progress.call(("%s %s"):format(verb, self.name), like)
    if wait == "console" then
        self:wait_console(self:sign(), { timeout = limit, since = "boot" })
    else
        self:wait_ready { timeout = limit }
    end
    bar:done_well()
end

---Starts the guest and waits until it is of use.
---@param opts? vm.StartOptions
---@return vm.Guest self
function Guest:start(opts)
    self:check_open("start")
    opts = options.check(self:what("start"), opts, start_spec)
    local wait = opts.wait or ((self.login or self.agent) and "commands" or "none")
    if wait == "commands" and not self.login and not self.agent then
        self:fail("usage", "start", "wait = \"commands\" needs a login; give option 'ssh' to vm.create")
    elseif wait == "commands" and not self:has_commands() then
        self:fail("usage", "start",
            "the guest has no \"nat\" network card: commands cannot reach it; use wait = \"console\"")
    end
    if self.last_state == "running" then
        self:fail("usage", "start", "the guest is running already")
    end
    require("vm.network.cards").check_start(self)
    require("vm.network.cards").reset(self)
    self.failure, self.stopping = nil, false
    self.ports = nil
    self.console_log:new_boot()
    if self.forked then
        boot_of_fork(self)
    end
    self.life = "starting"
    local ok, err = self:change(self.domain.start, self.domain, {})
    if not ok then
        self.life = "ended"
        self:check_open("start")
        self:raise("start", start_error(err))
    end
    self:check_open("start")
    if self.life ~= "ended" then -- or it is gone already, and an event has said so
        self.last_state = "running"
    end
    raw.log.write("info", self.name, ("started (%s, %s)"):format(self.arch, self.accel))
    local limit = opts.timeout
    if limit == nil then
        limit = self:limit(120)
        if self.emulated and wait ~= "none" then
            raw.log.write("info", self.name, ("the guest is emulated: boot may take %d s instead of 120"):format(limit))
        end
    end
    await(self, "boot", wait, limit)
    return self
end

---Asks the guest to power off, and pulls the plug when it has not after the timeout. On return it is
---off. Harmless when it is off already.
---@param opts? { timeout?: number|string } for the polite way: 30 s, three times that when emulated
---@return string how "polite" or "firm"
function Guest:stop(opts)
    self:check_open("stop")
    opts = options.check(self:what("stop"), opts, { timeout = "time" })
    if self.last_state == "stopped" then
        return "polite"
    end
    self.stopping = true
    local polite = false
    local bar <close> = progress.call("stop " .. self.name) -- luacheck: ignore 211
    if self.last_state == "running" then
        polite = self:ask("poweroff") and wait_state(self, "stopped", opts.timeout or self:limit(30))
    end
    if not polite then
        raw.log.write("info", self.name, "it did not power off when asked: pulling the plug")
        self:kill()
    end
    self:lose_connection()
    return polite and "polite" or "firm"
end

---Pulls the plug. Harmless when it is off already.
function Guest:kill()
    self:check_open("kill")
    self.stopping = true
    if self.last_state == "stopped" and self:state() == "stopped" then
        return
    end
    self:lose_connection()
    local ok, err = self.domain:destroy()
    if not ok and self:state() ~= "stopped" then
        self:raise("kill", ok, err)
    end
    self.last_state = "stopped"
    self:wake()
end

---Asks the guest by its power button, or by a command where the machine has none; false when there
---is no way to ask.
---@param command "poweroff"|"reboot"
---@return boolean
---@private
function Guest:ask(command)
    local features = self.boot_files.features or {}
    if command == "poweroff" and features.power_button ~= false and self.spec.arch_info.acpi then
        return (self.domain:shutdown()) ~= nil
    end
    if (self.conn and self.conn:is_open()) or (self.agent and self.agent:is_open()) then
        local line = self.login and self.login.user ~= "root" and ("(sudo -n %s || %s)"):format(command, command)
            or command
        local ok = pcall(self.exec, self, line .. " >/dev/null 2>&1 &", { timeout = 10 })
        return ok
    end
    if command == "poweroff" then
        return (self.domain:shutdown()) ~= nil
    end
    return false
end

---Restarts the guest: politely where it can be asked, by its reset button otherwise.
---@param opts? vm.StartOptions
---@return vm.Guest self
function Guest:reboot(opts)
    self:check_alive("reboot")
    opts = options.check(self:what("reboot"), opts, start_spec)
    local wait = opts.wait or (self:has_commands() and "commands" or "none")
    self.settled = nil
    self.console_log:new_boot()
    if not self:ask("reboot") then
        self:raise("reboot", self.domain:reset())
    end
    local limit = opts.timeout or self:limit(120)
    self:await_agent_gone(limit / 2)
    self:lose_connection()
    await(self, "reboot", wait, limit)
    return self
end

---Stops its cpus; everything stays as it is until resume.
function Guest:suspend()
    self:check_alive("suspend")
    self:raise("suspend", self.domain:suspend())
    self.last_state = "paused"
end

---Lets its cpus run again.
function Guest:resume()
    self:check_alive("resume")
    self:raise("resume", self.domain:resume())
    self.last_state = "running"
end

return M
