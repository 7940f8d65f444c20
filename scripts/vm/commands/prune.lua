-- `vmatrix prune`: clears away what killed runs have left behind, and what the caches have too much of.
local raw = require "vm.raw"
local command = require "vm.cli.command"
local evict = require "vm.state.evict"
local progress = require "vm.terminal.progress"
local prune = require "vm.run.prune"
local width = require "vm.terminal.width"

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
    local more, left = evict.run { max = opts.max_size or evict.limit(), older = opts.older, dry_run = opts.dry_run }
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

local function handler(opts)
    local runs, images, kept, failed = {}, {}, {}, false
    if not (opts.states or opts.max_size or opts.older) then
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
    return failed and command.FAILED or command.OK
end

return command.define {
    name = "prune",
    help = "remove what killed runs have left, and what exceeds a cache",
    options = {
        { name = "--states", help = "only the prepared states" },
        { name = "--max-size", value = "SIZE", type = "size", zero = true,
            help = "only states: leave at most so much of them: 10GiB; 0 removes all" },
        { name = "--older", value = "TIME", type = "time",
            help = "only states: remove those that were not used for so long: 30d" },
        { name = "--dry-run", help = "only say what would be removed" },
        { name = "--json", help = "say it as JSON" },
    },
    text = [[
Kills the processes and removes the folders of this user's runs whose owner is dead. A run that is
alive is never touched, and kept guests are not: `vmatrix delete` is for those. A run normally clears
up after itself, also when it is killed; this is for what remains when its guardian was killed as well.
Removes what interrupted builds of images have left, and seed guests of an older vmatrix after a month.
Then brings the prepared states within their limit (VMATRIX_STATES_SIZE, 20 GiB): those that were not
used for the longest time go first. One that is in use stays, and so does one that others stand on for
as long as they are there.]],
    handler = handler,
}
