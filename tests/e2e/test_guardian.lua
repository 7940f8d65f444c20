-- timeout: 300
-- A runtime with real guests that is killed, and its guardian with it: nothing of QEMU stays behind.
local vm = require "vm"
local t = require "harness"
local host = require "vm.host"
local cli = require "cli.cli"
local standin = require "cli.standin"

local is_gone = standin.is_gone
local KILL <const>, STOP <const>, INT <const> = 9, 19, 2

if not host.which "qemu-system-x86_64" or not host.which "qemu-img" then
    t.test("guests_of_a_killed_runtime", function() t.skip "QEMU for x86_64 is not installed" end)
    cli.clean()
    t.finish()
end

-- Two guests with nothing to boot: it is their processes and files that matter here. The capability
-- cache is the user's own, which most often is warm.
local OPTS <const> = { env = { "XDG_CACHE_HOME=" .. require("vm.host.paths").cache():match "^(.*)/" } }

local START <const> = [[
    local r = require "vm.run".open()
    print("run", r.id, r.root, r.dir, r.ram or r.dir)
    io.stdout:flush()
    local one <close> = vm.create { arch = "x86_64", memory = "64MiB", disk = "1GiB" }
    local two <close> = vm.create { arch = "x86_64", memory = "64MiB", disk = "1GiB" }
    vm.parallel({ one, two }, function(guest) guest:start { wait = "none" } end)
    print "up"
    io.stdout:flush()
    vm.sleep(1000)
]]

local function start_run(until_text)
    local process = cli.start({ "-e", START }, OPTS)
    local id, root, dir, ram = process:expect(1, "run\t(%x+)\t(%S+)\t(%S+)\t(%S+)\n", 120)
    if until_text then
        process:expect(1, until_text, 120)
    end
    return process, { id = id, root = root, dir = dir, ram = ram }
end

t.test("guests_of_a_killed_runtime_are_gone_within_seconds", function()
    local process <close>, r = start_run "\nup\n"
    t.equal(#standin.processes(r), 2)
    process:kill(KILL)
    cli.wait_for("the guests to be gone", function() return is_gone(r) end, 15)
end)

t.test("a_runtime_killed_while_it_starts_guests_leaves_none", function()
    for _, delay in ipairs { 0, 0.1, 0.2, 0.4, 0.6, 0.8, 1.2 } do
        local process <close>, r = start_run()
        vm.sleep(delay)
        process:kill(KILL)
        process:finish()
        cli.wait_for(("the guests to be gone (killed after %g s)"):format(delay), function() return is_gone(r) end, 15)
    end
end)

t.test("an_interrupted_run_leaves_no_guest", function()
    local process <close>, r = start_run "\nup\n"
    process:kill(INT)
    t.equal(process:finish(), 130)
    t.check(is_gone(r), "something is left")
    t.check(not process.text[2]:find("ended %d+ processes"), "the guests were not closed in order: " .. process.text[2])
end)

t.test("prune_clears_up_guests_whose_guardian_was_killed_too", function()
    local process <close>, r = start_run "\nup\n"
    process:kill(STOP)
    os.execute(("kill -%d %d"):format(KILL, t.check(cli.guardian(r.id), "no guardian")))
    process:kill(KILL)
    process:finish()
    t.equal(#standin.processes(r), 2)
    local result = cli.run({ "prune" }, OPTS)
    t.equal(result.status, 0, result.stderr)
    t.equal(select(2, result.stdout:gsub("%(qemu%-[^)]*%) killed", "")), 2, result.stdout)
    t.check(is_gone(r), "something is left")
end)

cli.clean()
t.finish()
