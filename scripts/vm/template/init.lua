-- Templates: a running guest frozen once, and forked many times. What is kept: its RAM in the file that
-- it was in, the state of its devices, its disks, and what it boots from. Nothing of that is written
-- any more: forks map the RAM privately and write to overlays of the disks.
local raw = require "vm.raw"
local errors = require "vm.errors"
local options = require "vm.options"
local progress = require "vm.terminal.progress"
local reaper = require "vm.task.reaper"
local scope = require "vm.task.scope"

local M = { methods = {} }

---A frozen guest: what guest:template and vm.template return.
---@class vm.Template
---@field name string
---@field arch string
---@field way string how forks are made: "live", "snapshot" or "boot"
---@field path string|nil the folder that keeps it, if it is kept
---@field info table what is known of it, as its template.json has it
local Template = {}
Template.__index = Template
Template.__name = "vm.Template"
M.Template = Template

function Template:__tostring()
    return ("template %s (%s, %s)"):format(self.name, self.arch, self.closed and "closed" or self.way)
end

---What messages begin with.
---@param verb string
---@return string
---@private
function Template:what(verb)
    return ("template %s: %s"):format(self.name, verb)
end

---Makes the object of a template whose files are there.
---@param fields table name, info, connection, folder, and release: what removes its files
---@return vm.Template
function M.new(fields)
    local self = setmetatable(fields, Template)
    self.arch, self.way = self.info.spec.arch, self.info.way
    self.forks, self.count = 0, 0
    self.networks = self.networks or {}
    self.closed = false
    scope.own(self)
    return self
end

---Raises when the template was closed.
---@param verb string
---@private
function Template:check_open(verb)
    if self.closed then
        errors.fail("closed", "%s: the template is closed", self:what(verb))
    end
end

---Counts one more fork, which keeps the files until it lets go.
---@private
function Template:hold()
    self:check_open("fork")
    self.forks = self.forks + 1
end

-- The files go when nobody needs them: a run's own with the last fork, those of a kept one never.
local function release(self)
    if self.closed and self.forks == 0 and self.release then
        local fn = self.release
        self.release = nil
        fn(self)
    end
end

---A fork is gone.
---@private
function Template:let_go()
    self.forks = self.forks - 1
    release(self)
end

---How to make a fork.
---@class vm.ForkOptions
---@field name? string of the new guest; made from the template's when absent
---@field count? integer makes that many at once and returns a list
---@field hostname? string|true what the guest calls itself; true: its name here
---@field machine_id? boolean gives it a machine id of its own
---@field forward? table ports to reach, as in vm.create; the template's on free ports when absent
---@field networks? table on which it gets a card of its own, as in `nics`; those of the frozen guest when absent
---@field wait? "none"|"commands" commands: until its clock and random pool are right (the default)
---@field timeout? number|string 60 s, three times that when emulated

---Makes live guests of the template, each as it was frozen: memory shared until written to, disks as
---overlays, ports and console of their own. Clock and random pool are put right before the first
---command.
---@param opts? vm.ForkOptions
---@return vm.Guest|vm.Guest[] with `count` a list
function Template:fork(opts)
    self:check_open("fork")
    return require("vm.template.fork").fork(self, opts)
end

---Lets go of it: one that is not kept is removed, with its last fork if some are alive. Harmless when
---repeated.
function Template:close()
    if not self.closed then
        self.closed = true
        scope.disown(self)
        for _, name in ipairs { "consuming", "saving" } do
            if self[name] then
                self[name]:ended()
            end
        end
        release(self)
    end
end

Template.__close = reaper.close

---Removes it for good. Raises kind "busy" while forks of it are alive, here or in another process.
function Template:delete()
    self:check_open("delete")
    if self.forks > 0 then
        errors.fail("busy", "%s: %d of its forks are alive; close them first", self:what("delete"), self.forks)
    end
    if self.saving then
        self.saving:ended()
    end
    if self.path then
        require("vm.template.store").remove(self)
    end
    self:close()
end

---Waits until a template with `path` is on disk; raises what kept it from that. Forks can be made
---before.
---@return vm.Template self
function Template:saved()
    if self.saving then
        self.saving:ended()
    end
    if self.save_failure then
        error(self.save_failure, 0)
    end
    return self
end

-- Disks name what they stand on by these paths, so they are whole.
local function full(path)
    path = require("vm.script").path(path)
    return path:sub(1, 1) == "/" and path or errors.raise(raw.fs.cwd()) .. "/" .. path
end

---Opens a template that guest:template{ path = ... } has kept, in this process or another.
---@param path string the folder
---@return vm.Template
function M.open(path)
    if type(path) ~= "string" or path == "" then
        errors.fail("usage", "vm.template: the path of a folder expected, got %s", options.show(path))
    end
    return require("vm.template.store").open(full(path))
end

---@class vm.Guest
local Guest = M.methods

---How to freeze a guest.
---@class vm.TemplateOptions
---@field name? string the guest's when absent
---@field path? string a folder, not there yet, that keeps the template after this run
---@field way? "live"|"snapshot"|"boot" how forks are to be made; the best that can be when absent

local template_spec = {
    name = "string",
    path = "string",
    way = { "string", one_of = { "live", "snapshot", "boot" } },
}

---Freezes the guest and makes a template of it. The guest is consumed: it is gone afterwards, and
---using it raises.
---@param opts? vm.TemplateOptions
---@return vm.Template
function Guest:template(opts)
    self:check_alive("template")
    opts = options.check(self:what("template"), opts, template_spec)
    if opts.path then
        opts.path = full(opts.path)
        if raw.fs.exists(opts.path) then
            self:fail("exists", "template", "there is %s already; delete it or keep the template elsewhere", opts.path)
        end
    end
    if self.waking then
        require("vm.guest.wake").await(self, "template")
    end
    local bar <close> = progress.call("freeze " .. self.name) -- luacheck: ignore 211
    return require("vm.template.freeze").freeze(self, opts)
end

return M
