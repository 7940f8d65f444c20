-- timeout: 300
-- The owner of kept guests: it comes when needed and goes when idle; killed at any moment it loses nothing,
-- and nothing of deleted guests stays. The guests have nothing to boot: it is their processes that matter.
local vm = require "vm"
local t = require "harness"
local host = require "vm.host"
local cli = require "cli.cli"

local fs = vm.raw.fs
local KILL <const> = 9

if not host.which "qemu-system-x86_64" or not host.which "qemu-img" then
    t.test("kept_guests_have_an_owner", function() t.skip "QEMU for x86_64 is not installed" end)
    cli.clean()
    t.finish()
end

-- The capability cache is the user's own, which most often is warm.
local CACHE <const> = "XDG_CACHE_HOME=" .. require("vm.host.paths").cache():match "^(.*)/"
local OPTS <const> = { env = { CACHE, "VMATRIX_OWNER_IDLE=60" } }
local home = cli.folder .. "/state/vmatrix/kept"

local function run(...)
    return cli.run({ ... }, OPTS)
end

local function ok(...)
    local result = run(...)
    t.equal(result.status, 0, table.concat({ ... }, " ") .. ": " .. result.stderr)
    return result
end

-- A kept guest with nothing to boot, running unless `create` says otherwise.
local function make(name, create)
    ok("-e", ([[vm.%s { name = "%s", keep = true, arch = "x86_64", memory = "64MiB", disk = "1GiB"%s }]])
        :format(create or "boot", name, create and "" or ", wait = 'none'"))
end

local function processes()
    return vm.raw.run.processes { home }
end

-- The pids of what names the home on its command line and is called so.
local function pids(name)
    local list = {}
    for _, process in ipairs(processes()) do
        if process.name:find(name, 1, true) == 1 then
            list[#list + 1] = process.pid
        end
    end
    return list
end

local function owner()
    return pids "vmatrix"[1]
end

local function kill_owner()
    local pid = t.check(owner(), "there is no owner")
    os.execute(("kill -9 %d"):format(pid))
    cli.wait_for("the owner's end", function() return owner() ~= pid end)
end

local function state(name)
    for _, entry in ipairs(assert(vm.raw.json.decode(ok("list", "--json").stdout))) do
        if entry.name == name then
            return entry.state, entry.pid
        end
    end
end

t.test("a_guest_and_its_owner_live_on_after_the_process_that_made_it", function()
    make "a"
    local said, pid = state "a"
    t.equal(said, "running")
    t.equal(pids "qemu", { pid })
    t.check(owner(), "no owner")
end)

t.test("an_owner_that_is_killed_loses_no_guest_and_listing_needs_none", function()
    local _, pid = state "a"
    kill_owner()
    t.equal({ state "a" }, { "running", pid })
    t.equal(owner(), nil)
end)

t.test("the_next_question_starts_an_owner_that_takes_the_guests_over", function()
    local info = assert(vm.raw.json.decode(ok("info", "a", "--json").stdout))
    t.equal(info.state, "running")
    t.equal(info.memory, 64 * 2 ^ 20 // 1)
    t.check(owner(), "no owner")
end)

t.test("a_command_that_waits_for_a_killed_owner_says_so", function()
    local waiting <close> = cli.start({ "stop", "a" }, OPTS) -- nothing there hears its power button
    vm.sleep(0.7)
    kill_owner()
    t.equal(waiting:finish(), 1)
    t.match(waiting.text[2], "owner of the kept guests ended while it was asked for 'stop'; guests go on")
    t.equal((state "a"), "running")
end)

t.test("a_client_that_is_killed_takes_its_question_back", function()
    local waiting <close> = cli.start({ "stop", "a" }, OPTS)
    vm.sleep(0.7)
    waiting:kill(KILL)
    waiting:finish()
    ok("snapshot", "a", "s") -- has its turn at once
    t.equal((state "a"), "running")
end)

t.test("a_stop_that_waits_in_one_terminal_is_ended_by_a_kill_from_another", function()
    local waiting <close> = cli.start({ "stop", "a" }, OPTS)
    vm.sleep(0.7)
    local begun = vm.now()
    ok("kill", "a")
    t.equal(waiting:finish(10), 0)
    t.check(vm.now() - begun < 10)
    t.equal((state "a"), "stopped")
end)

t.test("a_stopped_guest_holds_no_memory_and_starts_again_with_the_next_owner", function()
    cli.wait_for("its RAM to go", function() return #fs.glob(cli.folder .. "/vmatrix-*/kept-*/*.ram") == 0 end)
    kill_owner()
    ok("start", "--no-wait", "a")
    t.equal((state "a"), "running")
    t.match(ok("snapshot", "a", "--list").stdout, "^s +%d")
end)

t.test("a_guest_that_dies_while_there_is_no_owner_is_stopped", function()
    local _, pid = state "a"
    kill_owner()
    os.execute(("kill -9 %d"):format(pid))
    cli.wait_for("its end", function() return (state "a") == "stopped" end)
    ok("start", "--no-wait", "a")
    t.equal((state "a"), "running")
end)

t.test("a_killed_qemu_is_seen_while_there_is_an_owner", function()
    local _, pid = state "a"
    os.execute(("kill -9 %d"):format(pid))
    cli.wait_for("its end to be noted", function()
        return (fs.read(home .. "/guests/a/guest.json", 2 ^ 20 // 1) or ""):find("QEMU exited: signal 9", 1, true)
    end)
    local result = run("exec", "a", "--", "true")
    t.equal(result.status, 125)
    t.match(result.stderr, "QEMU exited: signal 9; `vmatrix start a` starts it anew")
end)

t.test("several_processes_ask_at_once", function()
    local clients = {}
    for i = 1, 3 do
        clients[i] = cli.start({ "-e", ([[vm.create { name = "c%d", keep = true, arch = "x86_64", memory = "64MiB",
            disk = "1GiB" }]]):format(i) }, OPTS)
    end
    for _, client in ipairs(clients) do
        local mine <close> = client
        t.equal(mine:finish(), 0, mine.text[2])
    end
    t.equal(ok("list", "--names").stdout, "a\nc1\nc2\nc3\n")
    t.equal(#pids "vmatrix", 1)
end)

t.test("one_that_is_interrupted_while_it_makes_a_guest_leaves_none", function()
    for _, pause in ipairs { 0.05, 0.15, 0.3, 0.6 } do
        local client <close> = cli.start({ "-e", [[vm.boot { name = "half", keep = true, arch = "x86_64",
            memory = "64MiB", disk = "1GiB", wait = "console" }]] }, OPTS)
        vm.sleep(pause)
        client:kill(2)
        client:finish(20)
        cli.wait_for("it to be undone", function() return not fs.exists(home .. "/guests/half") end)
        t.equal((state "half"), nil)
    end
end)

t.test("a_name_can_be_had_once", function()
    local result = run("-e", [[vm.create { name = "c1", keep = true, arch = "x86_64" }]])
    t.equal(result.status, 1)
    t.match(result.stderr, "a kept guest c1 already; `vmatrix shell c1` uses it, `vmatrix delete c1` deletes it")
end)

t.test("an_owner_of_another_version_makes_way", function()
    kill_owner()
    local fake <close> = cli.start({ "-e", [[
        local raw, place = vm.raw, require "vm.owner.place".of()
        local lock <close> = assert(raw.fs.lock(place.home .. "/owner.lock", true))
        raw.fs.unlink(place.socket)
        local listener <close> = assert(raw.channel.listen(place.socket))
        print "up"
        io.stdout:flush()
        local channel <close> = assert(listener:accept(30))
        channel:queue '{"vmatrix":"0.0.1","protocol":0,"pid":1}\n'
        print("asked", (channel:read(30)))
    ]] }, OPTS)
    fake:expect(1, "up")
    ok("start", "--no-wait", "c1")
    t.equal(fake:finish(), 0)
    t.match(fake.text[1], "retire")
    t.equal((state "c1"), "running")
end)

t.test("what_a_killed_owner_left_half_made_goes_and_prune_says_so", function()
    kill_owner()
    assert(fs.mkdir_p(home .. "/guests/ghost"))
    assert(fs.write_atomic(home .. "/guests/ghost/disk.qcow2", "x"))
    t.match(ok("prune", "--dry-run").stdout, "half%-made kept guest ghost: would be removed")
    t.match(ok("prune").stdout, "half%-made kept guest ghost: removed")
    t.check(not fs.exists(home .. "/guests/ghost"))
    t.equal(ok("list", "--names").stdout, "a\nc1\nc2\nc3\n")
end)

t.test("prune_leaves_kept_guests_alone_and_doctor_lists_them", function()
    t.equal(ok("prune").stdout, "nothing to remove\n")
    t.equal((state "c1"), "running")
    t.match(run("doctor").stdout, "kept guests +4, 1 of them running: a, c1, c2, c3")
end)

t.test("a_damaged_description_is_named", function()
    assert(fs.mkdir_p(home .. "/guests/bad"))
    assert(fs.write_atomic(home .. "/guests/bad/guest.json", "{"))
    local result = run "list"
    t.equal(result.status, 1)
    t.match(result.stderr, "guests/bad/guest.json is damaged")
    t.match(result.stdout, "\nc1 ")
    assert(fs.remove_tree(home .. "/guests/bad"))
end)

t.test("delete_wants_whole_names_and_leaves_nothing", function()
    t.equal(run("delete", "c").status, 3)
    t.match(run("delete", "c").stderr, "beginning of several guests: c1, c2, c3")
    ok("delete", "a", "c2", "c3")
    local result = run("delete", "c")
    t.equal(result.status, 2)
    t.match(result.stderr, "delete wants whole names")
    ok("delete", "c1")
    t.equal(fs.list(home .. "/guests"), {})
    t.equal(fs.glob(cli.folder .. "/vmatrix-*/kept-*/*"), {})
    t.equal(fs.glob(home .. "/root/etc/qemu/*.xml"), {})
    t.equal(pids "qemu", {})
end)

t.test("an_idle_owner_goes_and_leaves_its_guests", function()
    kill_owner()
    cli.run({ "-e", [[vm.boot { name = "z", keep = true, arch = "x86_64", memory = "64MiB", disk = "1GiB",
        wait = "none" }]] }, { env = { CACHE, "VMATRIX_OWNER_IDLE=1" } })
    cli.wait_for("the owner to go", function() return not owner() end)
    t.equal((state "z"), "running")
    ok("delete", "z")
    t.equal(pids "qemu", {})
end)

t.test("an_owner_whose_home_is_gone_ends", function()
    make("y", "create")
    t.check(owner(), "no owner")
    assert(fs.remove_tree(home))
    cli.wait_for("the owner to go", function() return not owner() end)
end)

cli.clean()
t.finish()
