-- `vmatrix prune`: clears away what killed runs have left behind, and what the caches have too much of.
local raw = require "vm.raw"
local errors = require "vm.errors"
local evict = require "vm.state.evict"
local options = require "vm.options"
local progress = require "vm.terminal.progress"
local prune = require "vm.run.prune"
local width = require "vm.terminal.width"

local M = {}

local USAGE = [[
usage: vmatrix prune [--dry-run] [--json]
       vmatrix prune --states [--max-size SIZE] [--older TIME] [--dry-run] [--json]

Kills the processes and removes the folders of this user's runs whose owner is dead. A run that is
alive is never touched, and kept guests are not: `vmatrix delete` is for those. A run normally clears
up after itself, also when it is killed; this is for what remains when its guardian was killed as well.
Removes what interrupted builds of images
have left, and seed guests of an older vmatrix after a month. Then brings the prepared states within
their limit (VMATRIX_STATES_SIZE, 20 GiB): those that were not used for the longest time go first.
One that is in use stays, and so does one that others stand on for as long as they are there.

  --states          only the prepared states
  --max-size SIZE   leave at most so much of them: 10GiB; 0 removes all
  --older TIME      remove those that were not used for so long: 30d
  --dry-run         only say what would be removed
  --json            say it as JSON
]]

local function report_runs(done)
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
end

local function report_states(removed)
    for _, item in ipairs(removed) do
        print(("state %s (%s): %s: %s, %s"):format(item.key:sub(1, 12), width.plain(item.name),
            item.done and "removed" or "would be removed", item.reason, progress.bytes(item.bytes)))
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

local function prune_runs(dry_run)
    local done, failed = {}, false
    for _, run in ipairs(prune.dead()) do
        local entry = describe(run)
        if dry_run then
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
    return done, failed
end

local function prune_states(opts)
    local removed = evict.leftovers(opts.dry_run)
    local more, left = evict.run { max = opts.max or evict.limit(), older = opts.older, dry_run = opts.dry_run }
    return table.move(more, 1, #more, #removed + 1, removed), left
end

local function report_kept(removed)
    for _, item in ipairs(removed) do
        print(("half-made kept guest %s: %s"):format(item.name, item.done and "removed" or "would be removed"))
    end
end

local function report_images(removed)
    for _, item in ipairs(removed) do
        print(("%s %s: %s"):format(item.path, item.done and "removed" or "would be removed", item.reason))
    end
end

local known = { "--dry-run", "--json", "--states", "--max-size", "--older" }

local function parse(args)
    local opts, at = {}, 1
    local function value(word, given)
        at = given and at or at + 1
        given = given or args[at]
        if not given then
            errors.fail("usage", "%s wants a value", word)
        end
        return given
    end
    while args[at] do
        local word, given = args[at]:match "^(%-%-[%w-]+)=(.*)$"
        word = word or args[at]
        if word == "--max-size" then
            opts.states, opts.max = true, value(word, given)
            opts.max = tonumber(opts.max) == 0 and 0 or options.size(word, opts.max)
        elseif word == "--older" then
            opts.states, opts.older = true, options.time(word, value(word, given))
        elseif not given and (word == "--dry-run" or word == "--json" or word == "--states") then
            opts[word:sub(3):gsub("-", "_")] = true
        else
            local near = options.nearest(word, known)
            errors.fail("usage", "unknown argument '%s'%s", args[at],
                near and ("; did you mean '%s'?"):format(near) or "")
        end
        at = at + 1
    end
    return opts
end

---Runs `vmatrix prune ARGS`; returns the exit code.
---@param args string[]
---@return integer
function M.main(args)
    for _, word in ipairs(args) do
        if word == "-h" or word == "--help" then
            io.stdout:write(USAGE)
            return 0
        end
    end
    local ok, opts = pcall(parse, args)
    if not ok then
        io.stderr:write(("vmatrix prune: %s\n"):format(tostring(opts)), USAGE)
        return 2
    end
    local runs, images, kept, failed = {}, {}, {}, false
    if not opts.states then
        runs, failed = prune_runs(opts.dry_run)
        kept = require("vm.owner.tidy").prune(opts.dry_run)
        images = require("vm.images.prune").run(opts.dry_run)
    end
    local states, left = prune_states(opts)
    if opts.json then
        print(raw.json.encode { count = #runs, runs = raw.json.list(runs),
            images = raw.json.list(images), kept = raw.json.list(kept),
            states = raw.json.list(states), left = left })
    else
        report_runs(runs)
        report_kept(kept)
        report_images(images)
        report_states(states)
        if #runs + #kept + #images + #states == 0 then
            print "nothing to remove"
        end
    end
    return failed and 1 or 0
end

return M
