-- `vmatrix states` and `vmatrix prune` over a cache of states. The templates in it are stand-ins.
local vm = require "vm"
local t = require "harness"
local cli = require "cli.cli"

local fs, json = vm.raw.fs, vm.raw.json

local folder = cli.folder .. "/cache/vmatrix/states"

local function make(letter, fields)
    local key = letter:rep(40)
    local path = ("%s/%s"):format(folder, key)
    assert(fs.mkdir_p(path))
    assert(fs.write_atomic(path .. "/template.json", "{}"))
    assert(fs.write_atomic(path .. "/ram", ("x"):rep(100 * 1024)))
    local record = { format = 1, key = key, id = letter, name = letter, guest = "seed x86_64, 256 MiB, 2 cpus",
        cell = "", line = "1", parts = { { "run()", "sha256:00" }, { "axis cc", '"gcc"' } },
        why = { "axis cc: was \"a\", is \"b\"" }, steps = { "boot", letter }, created = 1, seconds = 1.5, cold = 7.5 }
    for name, value in pairs(fields or {}) do
        record[name] = value
    end
    assert(fs.write_atomic(path .. ".json", json.encode(record)))
    return path
end

t.test("an_empty_cache_is_listed_as_such", function()
    local result = cli.run { "states", "list" }
    t.equal(result.status, 0, result.stderr)
    t.match(result.stdout, "^0 states, 0 B of at most ")
    t.equal(json.decode(cli.run({ "states", "list", "--json" }).stdout).count, 0)
end)

t.test("the_list_names_states_cells_and_sizes", function()
    make("a", { name = "boot", steps = { "boot" } })
    make("b", { name = "tool\27chain", cell = "cc=gcc", parent = ("a"):rep(40) })
    local result = cli.run { "states", "list" }
    t.match(result.stdout, "KEY +STATE +GUEST +CELL +SIZE +LAST USED\n")
    t.match(result.stdout, "bbbbbbbbbbbb +tool%?chain +seed x86_64, 256 MiB, 2 cpus +cc=gcc +[%d.]+ KiB +just now\n")
    t.match(cli.run({ "states", "list", "--why" }).stdout, "tool%?chain\n +axis cc: was \"a\", is \"b\"\n")
    local data = json.decode(cli.run({ "states", "list", "--json" }).stdout)
    t.equal(data.count, 2)
    t.check(data.limit > 0 and data.bytes > 200 * 1024)
end)

t.test("one_state_is_shown_with_the_parts_of_its_key", function()
    local result = cli.run { "states", "show", "bb" }
    t.equal(result.status, 0, result.stderr)
    t.match(result.stdout, "\nsteps     boot, b\n")
    t.match(result.stdout, "built in  1.5 s, 7.5 s from nothing")
    t.match(result.stdout, "\n    axis cc: \"gcc\"\n")
    local data = json.decode(cli.run({ "states", "show", "bb", "--json" }).stdout)
    t.equal(data.parent, ("a"):rep(40))
    t.equal(data.parts[2], { "axis cc", '"gcc"' })
end)

t.test("the_tree_has_states_below_what_they_were_made_from", function()
    t.match(cli.run({ "states", "tree" }).stdout,
        "^seed x86_64, 256 MiB, 2 cpus\n  aaaaaaaaaaaa  boot  [%d.]+ KiB\n"
        .. "    bbbbbbbbbbbb  tool%?chain %(cc=gcc%)  [%d.]+ KiB\n$")
    local data = json.decode(cli.run({ "states", "tree", "--json" }).stdout)
    t.equal({ #data, data[1].key, #data[1].children, data[1].children[1].name },
        { 1, ("a"):rep(40), 1, "tool\27chain" })
end)

t.test("verify_finds_what_is_no_template_and_ends_with_1", function()
    local result = cli.run { "states", "verify", "aa" }
    t.equal(result.status, 1)
    t.match(result.stdout, "^NO  aaaaaaaaaaaa  boot: ")
end)

t.test("keys_that_mean_none_or_several_and_other_misuse_are_said", function()
    local function says(status, pattern, ...)
        local result = cli.run { "states", ... }
        t.equal(result.status, status)
        t.match(result.stderr, pattern)
    end
    make("a2", {})
    says(1, "no state has a key that begins with ff", "show", "ff")
    says(2, "several keys begin with a", "show", "a")
    says(2, "KEY is missing", "show")
    says(2, "unknown command 'lst'; did you mean 'list'", "lst")
    says(2, "unknown option '%-%-jso'; did you mean '%-%-json'", "list", "--jso")
    says(2, "a command is missing")
    t.equal(cli.run({ "states", "--help" }).status, 0)
end)

t.test("prune_removes_what_exceeds_the_size_and_says_so", function()
    assert(fs.remove_tree(folder))
    make("a", { parent = ("b"):rep(40) })
    make("b")
    make("c")
    vm.raw.tree.set(("%s/%s.json"):format(folder, ("a"):rep(40)), 384, os.time() - 100)
    assert(fs.mkdir_p(("%s/%s.new-1"):format(folder, ("d"):rep(40))))
    local result = cli.run { "prune", "--states", "--max-size", "1MiB", "--dry-run" }
    t.match(result.stdout,
        "^state dddddddddddd %(%?%): would be removed: its building was interrupted, [%d.]+ K?i?B\n$")
    t.equal(cli.run({ "prune", "--states", "--max-size=1MiB" }).status, 0)
    t.equal(cli.run({ "prune" }, { env = { "VMATRIX_STATES_SIZE=10GiB" } }).stdout, "nothing to remove\n")
    result = cli.run { "prune", "--older", "50s" }
    t.match(result.stdout, "^state aaaaaaaaaaaa %(a%): removed: not used for 0 days, [%d.]+ KiB\n$")
    local data = json.decode(cli.run({ "prune", "--states", "--max-size", "0", "--json" }).stdout)
    t.equal(#data.states, 2)
    t.equal(data.left, 0)
    t.equal(cli.run({ "prune" }).stdout, "nothing to remove\n")
end)

t.test("prune_removes_rests_of_image_builds_and_old_seeds_unless_one_is_being_built", function()
    local images = cli.folder .. "/cache/vmatrix/images"
    local old, new = images .. "/seed-s390x-000000000000", images .. "/seed-s390x-111111111111"
    for _, made in ipairs { old, new, images .. "/seed-s390x-222222222222.new", images .. "/../apt/s390x" } do
        assert(fs.mkdir_p(made))
        assert(fs.write_atomic(made .. "/manifest.lua", "return {}"))
    end
    vm.raw.tree.set(old .. "/manifest.lua", 420, os.time() - 40 * 86400)
    local lock = assert(fs.lock(images .. "/seed-s390x.lock"))
    t.equal(cli.run({ "prune" }).stdout, "nothing to remove\n")
    lock:close()
    local dry = cli.run({ "prune", "--dry-run" }).stdout
    t.match(dry, "/seed%-s390x%-000000000000 would be removed: an older seed guest\n")
    t.match(dry, "/seed%-s390x%-222222222222.new would be removed: its building was interrupted\n")
    t.equal(#json.decode(cli.run({ "prune", "--json" }).stdout).images, 3)
    t.check(fs.exists(new) and not fs.exists(old))
    t.equal(cli.run({ "prune" }).stdout, "nothing to remove\n")
end)

t.test("misuse_of_prune_is_said", function()
    for _, case in ipairs { { "--max-size", "10" }, { "--older", "x" }, { "--max-size" }, { "--stats" },
        { "--json=1" } } do
        local result = cli.run(table.move(case, 1, #case, 2, { "prune" }))
        t.equal(result.status, 2, case[1])
        t.match(result.stderr, "^vmatrix prune: ")
    end
end)

cli.clean()
t.finish()
