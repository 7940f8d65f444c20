-- timeout: 1500
-- Prepared states with real guests: found again, shared, taken over, checked, rebuilt.
local vm = require "vm"
local t = require "harness"
local cli = require "cli.cli"
local paths = require "vm.host.paths"

local fs, json = vm.raw.fs, vm.raw.json
local KILL <const>, INT <const> = 9, 2

-- A cache of this file's own, with the images and QEMU's capabilities of the real one.
local cache = cli.folder .. "/cache/vmatrix"
local states = cache .. "/states"
require("vm.seed").build(vm.raw.build.arch)
assert(fs.mkdir_p(cache, 448))
assert(fs.mkdir_p(paths.cache() .. "/qemu"))
assert(fs.symlink(paths.cache() .. "/images", cache .. "/images"))
assert(fs.symlink(paths.cache() .. "/qemu", cache .. "/qemu"))

-- What every script begins with. HOLD is no part of a key: it is how a test reaches into a step.
local HEAD <const> = [[
local vm = require "vm"
local spec = { image = "seed", memory = "256MiB" }
local steps = {
    vm.step { name = "one", env = { WORD = "first" }, run = function(g)
        g:run "echo $WORD > /one"
    end },
    vm.step { name = "two", uses = { "cc" }, run = function(g, cell)
        g:run { "sh", "-c", "echo $0 > /two", cell.cc }
        if os.getenv "HOLD" then
            print "holding" io.stdout:flush()
            vm.sleep(1000)
        end
    end },
}
local function prepared(cc, more)
    return vm.prepared(spec, more or steps, { cell = { cc = cc or "gcc" }, progress = function(e)
        if e.event == "step_ended" then print(("ended %s %s"):format(e.name, e.ok)) end
        if e.event == "waiting" then print("waiting for " .. e.by) end
        io.stdout:flush()
    end })
end
]]

local USE <const> = [[
local state <close> = prepared(arg[1])
local g <close> = state:fork { name = "g", timeout = tonumber(arg[2]) }
print(state.how, state.key, (g:output "cat /one /two"):gsub("\n", " "))
]]

local count = 0

local function script(body)
    count = count + 1
    return cli.script(("s%d.lua"):format(count), HEAD .. body)
end

local use = script(USE)

-- Runs a script to its end; returns its output and what it said on stderr.
local function run(path, ...)
    local result = cli.run({ path, ... }, { timeout = 400 })
    t.equal(result.status, 0, result.stderr)
    return result.stdout, result.stderr
end

local function ended(text)
    local names = {}
    for name in text:gmatch "ended (%w+) true\n" do
        names[#names + 1] = name
    end
    return table.concat(names, " ")
end

-- Name and cell of a state -> what is said of the one that was used last.
local function list()
    local by_name = {}
    for _, item in ipairs(json.decode(cli.run({ "states", "list", "--json" }).stdout).states or {}) do
        local name = item.name .. (item.cell ~= "" and " " .. item.cell or "")
        by_name[name] = by_name[name] or item
    end
    return by_name
end

local function keys()
    local found = {}
    for _, item in ipairs(json.decode(cli.run({ "states", "list", "--json" }).stdout).states or {}) do
        found[#found + 1] = item.key
    end
    table.sort(found)
    return found
end

local function nothing_half_made()
    for _, name in ipairs(fs.list(states)) do
        t.check(not name:find "%.new" and not name:find "%.old", name .. " was left")
    end
end

local gcc_key

t.test("states_are_built_once_and_found_by_the_next_process", function()
    local first = run(use)
    t.equal(ended(first), "boot one two")
    t.match(first, "built\t%x+\tfirst gcc")
    gcc_key = first:match "built\t(%x+)"
    local second = run(use)
    t.equal(ended(second), "")
    t.match(second, "found\t%x+\tfirst gcc")
    nothing_half_made()
end)

t.test("cells_share_the_steps_that_they_have_in_common", function()
    local text = run(use, "clang")
    t.equal(ended(text), "two")
    t.match(text, "built\t%x+\tfirst clang")
    local found = list()
    t.equal(found["two cc=clang"].parent, found.one.key)
    t.equal(found["two cc=gcc"].parent, found.one.key)
end)

t.test("what_has_changed_is_said_and_only_what_follows_is_built_anew", function()
    local path = cli.script("changed.lua", (HEAD .. USE):gsub("echo %$0 >", "echo new-$0 >"))
    local text = run(path)
    t.equal(ended(text), "two")
    t.match(text, "first new%-gcc")
    local key = text:match "built\t(%x+)"
    t.match(cli.run({ "states", "show", key }).stdout, "\nbuilt because\n    run%(%): changed\nparts of")
end)

t.test("two_tasks_that_want_the_same_state_have_it_built_once", function()
    local text = run(script [[
        local more = { steps[1], vm.step { name = "tasks", run = function(g) g:run "true" end } }
        vm.parallel({ 1, 2, 3 }, function()
            local state <close> = prepared("gcc", more)
            local g <close> = state:fork()
            print(state.how, g:output "cat /one")
        end)
        local state <close> = prepared("gcc", more)
        print("again", state.how)
    ]])
    t.equal(ended(text), "tasks")
    t.equal(select(2, text:gsub("built\tfirst\n", "")), 3)
    t.match(text, "again\tfound\n")
end)

t.test("two_processes_that_want_the_same_state_have_it_built_once", function()
    local path = script [[
        local more = { steps[1], vm.step { name = "both", run = function(g) g:run "sleep 3" end } }
        local state <close> = prepared("gcc", more)
        local g <close> = state:fork()
        print(state.how, g:output "cat /one")
    ]]
    local texts = vm.parallel({ 1, 2 }, function() return (run(path)) end)
    t.equal(ended(texts[1] .. texts[2]), "both")
    t.check((texts[1] .. texts[2]):find "found\tfirst")
end)

t.test("who_waits_takes_over_from_a_builder_that_was_killed", function()
    local builder <close> = cli.start({ use, "killed" }, { env = { "HOLD=1" } })
    builder:expect(1, "holding\n", 200)
    local waiter <close> = cli.start { use, "killed" }
    waiter:expect(1, "waiting for process %d+: 'two'\n", 60)
    builder:kill(KILL)
    waiter:expect(1, "built\t%x+\tfirst killed", 200)
    t.equal(waiter:finish(100), 0)
    nothing_half_made()
end)

t.test("the_boot_of_a_state_has_the_time_that_is_asked_for", function()
    local path = script [[vm.prepared({ image = "seed", memory = "288MiB" }, {}, { timeout = 0.3 })]]
    local result = cli.run({ path }, { timeout = 200 })
    t.equal(result.status, 1)
    t.match(result.stderr, "wait_console \"vmatrix: ready\": not within 0%.3 s")
end)

t.test("an_error_in_a_step_says_where_and_leaves_nothing", function()
    local before = keys()
    local path = script [[
        local more = { steps[1], vm.step { name = "broken", uses = { "cc" }, run = function(g)
            g:run "echo oh no >&2; exit 3"
        end } }
        prepared("gcc", more)
    ]]
    local result = cli.run({ path }, { timeout = 200 })
    t.equal(result.status, 1)
    t.match(result.stderr, "step 'broken' %(cc=gcc, [^ ]*s%d+%.lua:%d+%): .*ended with status 3.*oh no")
    t.match(result.stdout, "ended broken false\n")
    t.equal(keys(), before)
    nothing_half_made()
end)

t.test("a_builder_that_is_interrupted_leaves_nothing", function()
    local before = keys()
    local builder <close> = cli.start({ use, "interrupted" }, { env = { "HOLD=1" } })
    builder:expect(1, "holding\n", 200)
    builder:kill(INT)
    t.equal(builder:finish(60), 130)
    t.equal(keys(), before)
    nothing_half_made()
end)

-- Damages the state of cell gcc by `fn(folder)`, and expects it to be built anew with one line saying so.
local function is_rebuilt(pattern, fn, limit)
    fn(states .. "/" .. gcc_key)
    local text, said = run(use, "gcc", limit)
    t.equal(ended(text), "two")
    t.match(text, "built\t" .. gcc_key .. "\tfirst gcc")
    local _, lines = said:gsub("the state 'two' %(%x+%) cannot be used and is built anew: ", "")
    t.equal(lines, 1, said)
    t.match(said, pattern)
    nothing_half_made()
end

local function truncate(path)
    assert(fs.chmod(path, 384))
    local size = fs.stat(path).size
    assert(os.execute(("truncate -s %d '%s'"):format(size // 2, path)))
end

t.test("a_truncated_ram_file_is_noticed", function()
    is_rebuilt("ram has %d+ bytes instead of %d+", function(path) truncate(path .. "/ram") end)
end)

t.test("a_truncated_device_state_is_noticed", function()
    is_rebuilt("state has %d+ bytes", function(path) truncate(path .. "/state") end)
end)

t.test("a_damaged_device_state_is_noticed", function()
    is_rebuilt("state is damaged", function(path)
        assert(fs.chmod(path .. "/state", 384))
        local file = assert(io.open(path .. "/state", "r+b"))
        file:seek("set", 1000)
        file:write "damage"
        file:close()
    end)
end)

t.test("a_state_of_another_qemu_is_built_anew", function()
    is_rebuilt("it was made by QEMU", function(path)
        local text = assert(fs.read(path .. "/template.json"))
        local changed = text:gsub('"qemu": ?"[^"]*"', '"qemu":"1.2.3"'):gsub('"qemu": ?%d+', '"qemu":1002003')
        t.check(changed ~= text, "there is no version in the description")
        assert(fs.write_atomic(path .. "/template.json", changed))
        assert(fs.write_atomic(path .. "/template.sha256", vm.raw.data.sha256(changed) .. "\n"))
    end)
end)

t.test("a_description_that_was_touched_or_is_missing_is_no_description", function()
    is_rebuilt("description is damaged", function(path)
        local text = assert(fs.read(path .. "/template.json"))
        assert(fs.write_atomic(path .. "/template.json", text .. " "))
    end)
    is_rebuilt("does not say what it is", function(path) assert(fs.unlink(path .. ".json")) end)
end)

t.test("a_state_whose_guests_do_not_answer_is_built_anew", function()
    is_rebuilt("the state 'two'", function(path)
        local size = fs.stat(path .. "/ram").size
        assert(fs.chmod(path .. "/ram", 384))
        assert(os.execute(("truncate -s 0 '%s/ram' && truncate -s %d '%s/ram'"):format(path, size, path)))
    end, "25")
end)

t.test("a_state_that_lost_the_one_it_stands_on_is_built_anew", function()
    local found = list()
    assert(fs.remove_tree(found.one.path))
    local text = run(use)
    t.equal(ended(text), "one two")
    t.match(text, "built\t%x+\tfirst gcc")
end)

t.test("live_forks_go_on_when_the_cache_is_removed_and_the_next_use_builds_it", function()
    local process <close> = cli.start { script [[
        local state <close> = prepared()
        local g <close> = state:fork { name = "g" }
        print "up" io.stdout:flush()
        io.read "l"
        print("lives", g:output "cat /one && date >/new && sync && cat /new | wc -l")
        local again <close> = prepared()
        local h <close> = again:fork { name = "h" }
        print("again", again.how, (h:output "cat /one /two"):gsub("\n", " "))
        print("still", g:output "cat /one")
    ]] }
    process:expect(1, "up\n", 100)
    assert(fs.remove_tree(states))
    process.raw:queue "\n"
    process:expect(1, "lives\tfirst\n1\n", 100)
    process:expect(1, "again\tbuilt\tfirst gcc", 400)
    process:expect(1, "still\tfirst\n", 100)
    t.equal(process:finish(100), 0)
    t.match(run(use), "found\t%x+\tfirst gcc")
end)

t.test("states_in_use_are_not_pruned_and_others_are", function()
    local process <close> = cli.start { script [[
        local state <close> = prepared("gcc", { steps[1] })
        local g <close> = state:fork { name = "g" }
        state:close()
        print "up" io.stdout:flush()
        io.read "l"
        print("lives", g:output "cat /one")
    ]] }
    process:expect(1, "up\n", 100)
    t.equal(cli.run({ "prune", "--states", "--max-size", "0" }).status, 0)
    local found = list()
    t.check(found.one and found.boot, "a state in use was removed")
    t.equal(found["two cc=gcc"], nil)
    process.raw:queue "\n"
    process:expect(1, "lives\tfirst\n", 100)
    t.equal(process:finish(100), 0)
    t.equal(ended(run(use)), "two")
end)

t.test("forks_that_were_measured_to_be_slower_than_a_boot_give_way_to_it", function()
    local key = run(use):match "\t(%x+)\t"
    local times = ("%s/%s.times"):format(states, key)
    assert(fs.write_atomic(times, "1000 1000 1\n"))
    local text = run(use)
    t.equal(ended(text), "")
    t.match(text, "cold\t" .. key .. "\tfirst gcc")
    assert(fs.unlink(times))
    t.match(run(use), "found\t" .. key)
end)

t.test("when_a_task_that_builds_is_cancelled_one_that_waits_takes_over", function()
    local flag = cli.script("flag", "")
    local text = run(script(([[
        local more = { steps[1], vm.step { name = "cancelled", run = function(g)
            g:run "true"
            if os.remove(%q) then
                print "holding"
                vm.sleep(1000)
            end
        end } }
        local first = vm.spawn(function() prepared("gcc", more) end)
        local second = vm.spawn(function()
            vm.sleep(0.5)
            return prepared("gcc", more)
        end)
        while vm.raw.fs.exists(%q) do
            vm.sleep(0.1)
        end
        vm.sleep(1)
        first:cancel()
        print("first", pcall(first.join, first))
        local state <close> = second:join()
        local g <close> = state:fork()
        print("second", state.how, g:output "cat /one")
    ]]):format(flag, flag)))
    t.match(text, "holding\n.*first\tfalse\t[^\n]*cancel.*second\tbuilt\tfirst\n")
end)

t.test("guests_of_a_state_are_plugged_into_the_networks_that_were_asked_for", function()
    local text = run(script [[
        local function on(lan, address)
            local nics = { "nat", { net = lan, address = address } }
            return vm.prepared({ image = "seed", memory = "256MiB", nics = nics },
                { steps[1] })
        end
        for i = 1, 2 do
            local lan <close> = vm.network { subnet = ("10.9.2%d.0/24"):format(i) }
            local one <close> = on(lan, ("10.9.2%d.2"):format(i))
            local two <close> = on(lan)
            local a <close> = one:fork { name = "a" }
            local b <close> = two:fork { name = "b" }
            print(i, one.how, two.how, one.key == two.key, b:exec("ping -c 1 -W 10 10.9.2" .. i .. ".2").ok)
            a:run "true"
        end
    ]])
    t.match(text, "1\tbuilt\t%l+\ttrue\ttrue\n.*2\tfound\tfound\ttrue\ttrue\n")
end)

t.test("every_kept_state_passes_verify", function()
    local result = cli.run({ "states", "verify" }, { timeout = 100 })
    t.equal(result.status, 0, result.stdout .. result.stderr)
    t.match(result.stdout, "^ok  %x+  %w+\n")
    local boot = list().boot
    t.equal(cli.run({ "states", "verify", "--fork", boot.key:sub(1, 12) }, { timeout = 200 }).stdout,
        ("ok  %s  boot\n"):format(boot.key:sub(1, 12)))
end)

t.test("inputs_that_change_while_a_step_runs_make_its_key_anew", function()
    local input = cli.script("input", "1\n")
    local path = script(([[
        local more = { steps[1], vm.step { name = "stale", inputs = { %q }, run = function(g)
            g:copy_in(%q, "/input")
            local file = io.open(%q, "r+")
            if file:read "l" == "1" then
                file:seek "set"
                file:write "2"
            end
            file:close()
        end } }
        local state <close> = prepared("gcc", more)
        local g <close> = state:fork()
        print("holds", g:output "cat /input")
    ]]):format(input, input, input))
    local text = run(path)
    t.match(text, "ended stale false\nended stale true\nholds\t2\n")
end)

t.test("a_state_that_cannot_be_kept_serves_its_process", function()
    local mount = "mount -t tmpfs -o size=8m tmpfs " .. states
    local argv = cli.argv { use }
    local probe = vm.raw.fs.uid() == 0 and "unshare -m" or "unshare -rm"
    if not os.execute(("%s sh -c '%s' 2>/dev/null"):format(probe, mount)) then
        t.skip "this user may not mount a small file system"
    end
    local words = {}
    for i, word in ipairs(argv) do
        words[i] = require("vm.remote.shell").quote(word)
    end
    local inner = require("vm.remote.shell").quote(mount .. " && exec " .. table.concat(words, " "))
    local result = require("vm.host").run({ "sh", "-c", ("exec %s sh -c %s"):format(probe, inner) },
        { check = false, timeout = 400 })
    t.equal(result.status, 0, result.stderr)
    t.match(result.stdout, "built\t%x+\tfirst gcc")
    t.match(result.stderr, "template seed%-%x+: cannot be kept as [^\n]*No space left")
end)

cli.clean()
t.finish()
