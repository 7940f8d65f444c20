-- Guests that are kept of a test: their state in the run's folder, opened and discarded later; and the
-- shell of a guest whose test has just failed.
local raw = require "vm.raw"
local errors = require "vm.errors"
local options = require "vm.options"
local outcome_of = require "vm.test.outcome"
local shell = require "vm.remote.shell"
local task = require "vm.task"
local terminal = require "vm.terminal"

local M = {}

local fs, json = raw.fs, raw.json

-- Freezes one guest into a folder.
local function freeze(guest, folder)
    if guest.failure then
        errors.fail(guest.failure.kind, "guest %s is gone: %s", guest.name, guest.failure.kind)
    elseif not guest.template then
        errors.fail("unsupported", "%s is no guest of ours", tostring(guest.name))
    end
    return guest:template { path = folder }:saved()
end

-- Keeps the guests of an attempt. Returns the folder, and the templates by the roles' order.
local function keep(it)
    local below = ("kept/%s.%d"):format(it.store:name(it.test), it.number)
    local path = errors.raise(fs.realpath(it.store.path)) .. "/" .. below
    errors.raise(fs.mkdir_p(path))
    local note = { format = 1, test = it.test.id, attempt = it.number, guests = {} }
    local templates, guests = {}, it.lease.list
    for i, role in ipairs(it.stand.roles) do
        local name = role.role or "guest"
        templates[i] = freeze(guests[i], path .. "/" .. name)
        it.lease.list = table.move(guests, i + 1, #guests, 1, {}) -- the others are still guests
        note.guests[#note.guests + 1] = name
    end
    errors.raise(fs.write_atomic(path .. "/kept.json", json.encode(note)))
    return below, templates
end

---What keeps guests while a run goes on.
---@param mode "failed"|"always"
---@return fun(runner: vm.test.Runner, it: table, outcome: string): string|nil
function M.keeper(mode)
    return function(runner, it, outcome)
        if mode == "failed" and not outcome_of.again(outcome) then
            return nil
        elseif not it.lease.own then
            it.emit { event = "warning", kind = "kept",
                text = "its guest is not kept: it is not its own (" .. it.lease.how .. ")" }
            return nil
        end
        local ok, below, templates = pcall(keep, it)
        if not ok then
            it.emit { event = "warning", kind = "kept", text = "its guest could not be kept: " .. tostring(below) }
            return nil
        end
        for _, template in ipairs(templates) do
            runner.scope:take(template)
        end
        it.stand:left_by(it.test.id, templates)
        local id, run = shell.quote(it.test.id), shell.quote(runner.store.path)
        it.emit { event = "warning", kind = "kept", text = ("its guest is kept: `vmatrix test --reopen %s %s` opens "
            .. "it, `vmatrix test --discard %s %s` deletes it"):format(id, run, id, run) }
        return below
    end
end

---What opens the guest's shell at a failure. Raises when there is no terminal for it.
---@return fun(runner: vm.test.Runner, it: table, cause: any)
function M.sheller()
    local why = terminal.problem()
    if why then
        errors.fail("usage", "--shell: %s", why)
    end
    local turn = task.semaphore(1)
    return function(runner, it, cause)
        local mine <close> = turn:acquire() -- luacheck: ignore 211
        if runner.shelled then
            return -- of the first failure only
        end
        runner.shelled = true
        local guest = it.lease.list[1]
        it.emit { event = "shell_started" }
        local _ <close> = setmetatable({}, { __close = function() it.emit { event = "shell_ended" } end })
        local told = it.masker:text(tostring(cause)):gsub("[^%g \n\x80-\xff]", "?")
        io.stderr:write(("\n%s failed: %s\n"):format(it.test.id, told))
        if guest.failure then
            io.stderr:write(("there is no shell: guest %s is gone (%s)\n"):format(guest.name, guest.failure.kind))
            return
        end
        io.stderr:write(("the shell of guest %s; its end (exit, or Ctrl-D) lets the run go on\n"):format(guest.name))
        local ok, err = pcall(terminal.attach, guest)
        if not ok then
            io.stderr:write(("the shell has ended: %s\n"):format(tostring(err):gsub("[^%g \n\x80-\xff]", "?")))
        end
    end
end

---What was kept of a test: of its last attempt that was. Raises when there is nothing.
---@param test_id string
---@param run? string as vm.report.folder.find has it; the last one when absent
---@return { folder: string, guests: string[], run: string, attempt: integer }
function M.find(test_id, run)
    local path = require("vm.report.folder").find(run or "last")
    local found, ids, attempt = nil, {}, -1
    for _, file in ipairs(fs.glob(path .. "/kept/*/kept.json")) do
        local ok, note = pcall(json.decode, fs.read(file, 65536) or "")
        if ok and type(note) == "table" and type(note.test) == "string" and type(note.guests) == "table" then
            ids[#ids + 1] = note.test
            if note.test == test_id and (tonumber(note.attempt) or 0) > attempt then
                attempt = note.attempt
                found = { folder = file:match "^(.*)/[^/]*$", guests = note.guests, run = path, attempt = attempt }
            end
        end
    end
    if not found then
        local near = options.nearest(test_id, ids)
        errors.fail("notfound", "nothing is kept of %s in the run %s%s", test_id, path,
            near and ("; did you mean '%s'?"):format(near)
            or #ids > 0 and "; there is " .. table.concat(ids, ", ") or "")
    end
    for i, name in ipairs(found.guests) do
        if type(name) ~= "string" or not name:find "^%a[%w_]*$" then
            errors.fail("format", "%s/kept.json: guest %d has no name", found.folder, i)
        end
    end
    return found
end

local function absolute(path)
    return errors.raise(fs.realpath(path))
end

---Starts copies of the guests that were kept. Waits.
---@param found table from find
---@return vm.Guest[] in the order of found.guests
function M.wake(found)
    local guests = {}
    for i, name in ipairs(found.guests) do
        local template = require("vm.template").open(absolute(("%s/%s"):format(found.folder, name)))
        guests[i] = template:fork()
    end
    return guests
end

---Opens what was kept of a test: a guest in the state that the test left, and its shell. The guest ends
---with the shell; what was kept stays as it is. Waits.
---@param test_id string
---@param run? string as vm.report.folder.find has it; the last one when absent
---@return integer code
function M.reopen(test_id, run)
    local why = terminal.problem()
    if why then
        errors.fail("usage", "--reopen: %s", why)
    end
    local found = M.find(test_id, run)
    local guests = M.wake(found)
    if #guests > 1 then
        for i, name in ipairs(found.guests) do
            io.stderr:write(("%s is guest %s\n"):format(name, guests[i].name))
        end
    end
    io.stderr:write(("the shell of %s as %s left it; with its end the guest is gone, and what is kept stays\n")
        :format(found.guests[1], test_id))
    terminal.attach(guests[1])
    return 0
end

---Deletes what was kept of a test. Waits.
---@param test_id string
---@param run? string
---@return integer code
function M.discard(test_id, run)
    local found = M.find(test_id, run)
    for _, name in ipairs(found.guests) do
        local path = ("%s/%s"):format(found.folder, name)
        if fs.exists(path) then
            require("vm.template").open(absolute(path)):delete()
        end
    end
    errors.raise(fs.remove_tree(found.folder))
    print(("deleted what was kept of %s"):format(test_id))
    return 0
end

return M
