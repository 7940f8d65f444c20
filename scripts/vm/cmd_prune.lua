-- `vmatrix prune`: clears away what killed runs have left behind.
local raw = require "vm.raw"
local command = require "vm.command"
local prune = require "vm.prune"

local M = {}

local USAGE = [[
usage: vmatrix prune [--dry-run] [--json]

Kills the processes and removes the folders of this user's runs whose owner is dead. A run that is
alive is never touched. A run normally clears up after itself, also when it is killed; this is for
what remains when its guardian process was killed as well.

  --dry-run   only say what would be removed
  --json      say it as JSON
]]

local function report(done)
    for _, run in ipairs(done) do
        for _, process in ipairs(run.processes) do
            print(("run %s: process %d (%s) %s"):format(run.id, process.pid, process.name,
                run.done and "killed" or "would be killed"))
        end
        for _, path in ipairs(run.paths) do
            print(("run %s: %s %s"):format(run.id, path, run.done and "removed" or "would be removed"))
        end
        if run.error then
            io.stderr:write(("vmatrix prune: run %s: %s\n"):format(run.id, run.error))
        end
    end
    if #done == 0 then
        print("nothing to remove")
    end
end

-- What is known of a dead run, before anything is done to it.
local function describe(run)
    local entry = { id = run.id, paths = {}, processes = prune.processes(run) or {}, done = false }
    for _, path in ipairs(run.paths) do
        if raw.fs.exists(path) then
            entry.paths[#entry.paths + 1] = path
        end
    end
    return entry
end

---Runs `vmatrix prune ARGS`; returns the exit code.
---@param args string[]
---@return integer
function M.main(args)
    local flags, code = command.flags("prune", USAGE, args, { "--dry-run", "--json" })
    if not flags then
        return code
    end
    local done, failed = {}, false
    for _, run in ipairs(prune.dead()) do
        local entry = describe(run)
        if flags["dry-run"] then
            done[#done + 1] = entry
        else
            local result, err = prune.clear(run)
            entry.done = result ~= nil
            entry.error = err and tostring(err)
            failed = failed or err ~= nil
            if result or err then -- neither: another process is at it
                done[#done + 1] = entry
            end
        end
    end
    if flags.json then
        print(raw.json.encode { count = #done, runs = #done > 0 and done or nil })
    else
        report(done)
    end
    return failed and 1 or 0
end

return M
