-- One attempt of a test: a guest, setup, the test itself, teardown, and what is kept of it.
local raw = require "vm.raw"
local errors = require "vm.errors"
local evidence = require "vm.test.evidence"
local face = require "vm.test.face"
local options = require "vm.options"
local outcome_of = require "vm.test.outcome"
local task = require "vm.task"
local transcript = require "vm.test.transcript"
local Guest = require "vm.guest"

local M = {}

local now = raw.task.now

-- Bytes of output in a result; seconds that a teardown may take; when the warning comes.
local TAIL <const>, TEARDOWN <const>, WARN <const> = 4096, 60, 0.8
-- Seconds within which it may turn out that a guest is gone whose connection was lost.
local FATE <const> = 3

-- The limit of this attempt and whose it is, longer for an emulated guest; the log says by how much. What
-- is left to the cell and to the run may be less.
local function limit_of(self)
    local limit, whose = self.test.def.timeout, "its"
    local scale = self.stand.emulated and Guest.EMULATION_FACTOR or 1
    if scale > 1 then
        self.transcript:note("#", ("the guest is emulated: the time limit is %g s instead of %g"):format(limit * scale,
            limit))
    end
    self.scale = scale
    limit = limit * scale
    local left, of = self.time_left(scale)
    if left and left < limit then
        limit, whose = math.max(left, 0.001), of
    end
    return limit, whose
end

-- What the test has printed so far, for a warning.
local function so_far(self)
    local text, command = self.transcript:last_output()
    return text and ("; the last output (%s):\n%s"):format(options.show(command), text) or "; nothing was printed yet"
end

local function warn_later(self, limit)
    task.sleep(limit * WARN)
    local text = ("%d %% of the time limit of %g s are over%s"):format(WARN * 100 // 1, limit, so_far(self))
    self.transcript:note("#", text)
    self.emit { event = "warning", kind = "timeout", text = text }
end

-- Runs fn(guest, t) in a task of its own that ends when the time is over. Returns what it raised.
local function run_limited(self, limit, what, fn)
    local body = task.spawn(fn, self.lease.given, self.t)
    body:limit(limit, errors.new("timeout", what, { limit = limit }))
    local ok, err = pcall(body.join, body)
    return not ok and err or nil
end

-- Setup and the test. Returns the error that ended it, and leaves in self.phase where that was.
local function run_test(self)
    local limit, whose = limit_of(self)
    local warner
    if limit >= 1 then
        warner = task.spawn(warn_later, self, limit)
    end
    local late = ("%s: not done within %s time limit of %g s"):format(self.test.id, whose, limit)
    local err = run_limited(self, limit, late, function(guest, t)
        if self.matrix.setup then
            self.phase = "setup"
            self.matrix.setup(guest, t)
        end
        self.phase = "run"
        self.test.def.run(guest, t)
    end)
    if warner then
        warner:cancel()
    end
    if err == face.SKIP then
        err = nil
    end
    return err
end

-- A connection that was lost may be what one sees of a guest that is gone: news of that may come later.
local function behind(self, err)
    if not errors.is(err, "connection") then
        return err
    end
    local deadline = now() + FATE
    repeat
        for _, guest in ipairs(self.lease.list) do
            local failure = guest.failure
            if failure and (failure.kind == "panic" or failure.kind == "crashed") then
                return errors.new(failure.kind, ("guest %s: %s"):format(guest.name, failure.reason))
            end
        end
        task.sleep(0.1)
    until now() > deadline
    return err
end

-- A guest that is gone without the test's having been told: a dead kernel is no pass.
local function unseen(self)
    for _, guest in ipairs(self.lease.list) do
        local failure = guest.failure
        if failure and (failure.kind == "panic" or failure.kind == "crashed")
                and not self.transcript:was_told(guest, failure.kind) then
            return errors.new(failure.kind, ("guest %s: %s"):format(guest.name, failure.reason))
        end
    end
end

local function teardown(self)
    local fn = self.matrix.teardown
    for _, guest in ipairs(self.lease.list) do
        if guest.failure then
            return nil -- nothing can be done on it
        end
    end
    local limit = TEARDOWN * self.scale
    return fn and run_limited(self, limit, ("%s: teardown: not done within %g s"):format(self.test.id, limit), fn)
end

local function patterns_of(self)
    local list = {}
    for _, path in ipairs(self.test.def.artifacts or {}) do
        list[#list + 1] = type(path) == "table" and path or { path = path }
    end
    return table.move(self.state.collect, 1, #self.state.collect, #list + 1, list)
end

-- What is kept: files, and of one that failed console and state.
local function keep_evidence(self, bad)
    local folder, below
    local kept = {
        lease = self.lease,
        masker = self.masker,
        emit = self.emit,
        patterns = {},
        kinds = {},
        dir = function()
            if not folder then
                folder, below = self.store:artifact_dir(self.test, self.number)
            end
            return folder
        end,
        has_dir = function() return folder ~= nil end,
        below = function() return below end,
        console_file = function(name)
            return self.store:console_file(("%s.%d%s"):format(self.store:name(self.test), self.number,
                name and "." .. name or ""))
        end,
    }
    for _, item in ipairs(patterns_of(self)) do
        if bad or item.when ~= "failed" then
            kept.patterns[#kept.patterns + 1] = item
        end
    end
    for _, guest in ipairs(self.lease.list) do
        guest.watch, guest.default_env = nil, nil
    end
    local console = bad and evidence.guests(kept) or nil
    local artifacts = evidence.collect(kept)
    for _, item in ipairs(artifacts) do
        self.emit { event = "artifact", path = item.path, size = item.size, kind = item.kind }
    end
    return artifacts, console
end

local function lease_guests(self)
    self.phase = "guest"
    self.lease = self.stand:lease(self.test, { test = self.test.id, attempt = self.number, slot = self.slot,
        fresh = self.number > 1 })
    local env = self.test.def.env or {}
    self.t, self.state = face.new({ cell = self.test.values, name = self.test.name, id = self.test.id, env = env,
        attempt = self.number, guests = self.lease.by_name },
        { emit = self.emit, transcript = self.transcript, masker = self.masker })
    for name, guest in pairs(self.lease.by_name) do
        guest.watch = self.transcript:watch(#self.lease.list > 1 and name or nil, guest)
        guest.default_env = next(env) and env or nil
    end
    self.state.expected = self.test.expect_fail
end

-- The attempt's part of the test's result.
local function result_of(self, outcome, reason, err, more)
    local tail = self.transcript:tail(TAIL)
    local _, below = self.store:log_file(self.test, self.number)
    local result = {
        outcome = outcome,
        reason = reason and self.masker:text(reason),
        started = self.started,
        duration = now() - self.begun, -- without the making of its guest, which events tell of
        how = self.lease and self.lease.how,
        slot = self.slot,
        error = err ~= nil and self.masker:value(outcome_of.describe(err)) or nil,
        tail = tail ~= "" and tail or nil,
        log = self.transcript.written > 0 and below or nil,
    }
    for name, value in pairs(more or {}) do
        result[name] = value
    end
    return result
end

---Runs one attempt. Waits; only a cancellation is raised, and then `self.interrupted(result)` was called.
---@param self table test, number, slot, stand, store, masker, emit(event), matrix, time_left(scale),
---  interrupted(result); and perhaps keep, shell and leave
---@return table result of the attempt
---@return table|nil state of t
function M.run(self)
    self.begun, self.started = now(), raw.fs.now_unix()
    self.transcript = transcript.new { path = (self.store:log_file(self.test, self.number)), masker = self.masker,
        emit = self.emit, watched = self.store.followed }
    local done = false
    local _ <close> = setmetatable({}, { __close = function()
        if not done then
            self.interrupted(result_of(self, "interrupted", "the run was interrupted"))
        end
        self.transcript:close()
    end })
    local ok, err = pcall(lease_guests, self)
    local lease <close> = self.lease
    self.begun, self.started = now(), raw.fs.now_unix()
    self.emit { event = "test_started", slot = self.slot, how = lease and lease.how }
    if not ok then
        local outcome, reason = outcome_of.attempt { err = err, phase = "guest", failures = {} }
        self.transcript:note("!", tostring(err))
        done = true
        return result_of(self, outcome, reason, err)
    end
    err = run_test(self)
    local phase = self.phase
    err = behind(self, err)
    if err == nil then
        err = unseen(self)
    end
    local torn = teardown(self)
    if torn ~= nil and err == nil then
        err, phase = torn, "teardown"
    end
    local state = self.state
    local outcome, reason, cause = outcome_of.attempt { err = err, phase = phase, failures = state.failures,
        skip = state.skip, expected = state.expected }
    if cause ~= nil and state.checks.failed == 0 then
        self.transcript:note("!", errors.is(cause) and cause.message or tostring(cause))
    end
    local bad = outcome_of.again(outcome)
    local result
    local more = { commands = bad and self.transcript:commands() or nil }
    if bad and self.shell then
        self.shell(self, cause)
    end
    more.artifacts, more.console = keep_evidence(self, bad)
    more.kept = self.keep and self.keep(self, outcome) or nil
    result = result_of(self, outcome, reason, cause, more)
    if outcome == "passed" and self.leave then
        self.leave(lease)
    end
    done = true
    return result, state
end

return M
