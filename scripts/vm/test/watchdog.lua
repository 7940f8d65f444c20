-- What keeps a run from going on for ever: its time limit, and a host that has no room.
local raw = require "vm.raw"
local verdicts = require "vm.test.verdicts"

local M = {}

local now = raw.task.now

-- How long nothing may run because the host has no room, in seconds; how long guests that are being made
-- are waited for after the run's time is over.
local PATIENCE <const>, GRACE <const> = 900, 5

local function waiting_tests(self)
    local rest = {}
    for _, unit in ipairs(self.scheduler:waiting()) do
        rest[#rest + 1] = unit.test
    end
    return rest
end

---Ends the run when its time is over: what waits is not run, and tests that run end by their own limits,
---which were shortened.
---@param self vm.test.Runner
function M.deadline(self)
    if not self.deadline or now() < self.deadline then
        return
    end
    local reason = ("the run's time limit of %g s is over"):format(self.opts.timeout)
    verdicts.drop(self, waiting_tests(self), "error", "not run: " .. reason)
    if now() > self.deadline + GRACE and not self.stop_reason then
        self.stop_reason, self.stop_outcome = reason, "error"
        for _, running in pairs(self.live) do
            running:cancel()
        end
    end
end

---Nothing runs, and what is next does not fit: said, and given up after a while.
---@param self vm.test.Runner
---@param stuck boolean
function M.room(self, stuck)
    if not stuck then
        self.stuck_since = nil
        return
    end
    self.stuck_since = self.stuck_since or now()
    local lack = self.capacity.lack or "room"
    local since = now() - self.stuck_since
    if since > PATIENCE then
        verdicts.drop(self, waiting_tests(self), "error",
            ("not run: for %d s too little %s was free on this host"):format(PATIENCE, lack))
    elseif since > 2 and self.told_stuck ~= lack then
        self.told_stuck = lack
        self.store:event { event = "warning", kind = "waiting", text = ("nothing can be started: too little %s is free "
            .. "on this host; other runs may hold it"):format(lack) }
    end
end

return M
