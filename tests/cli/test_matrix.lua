-- `vmatrix test` up to the point where something would run: choosing, listing, explaining, complaining.
local t = require "harness"
local vm = require "vm"
local cli = require "cli.cli"
local store = require "vm.report.store"

local text = [[
local vm = require "vm"
local p = vm.params { arch = "x86_64" }
return vm.matrix {
    axes = { image = { "debian-12", "debian-13" }, cc = { "gcc", "clang" } },
    exclude = {
        { image = "debian-12", cc = "clang" } },
    when = function(cell) return cell.image ~= "debian-13" or cell.cc ~= "clang", "it is known to hang" end,
    guest = { image = "seed", arch = p.arch, memory = "256MiB" },
    inputs = "src",
    tests = {
        build = function() error "it ran" end,
        check = { from = "build", tags = "slow", run = function() error "it ran" end },
    },
}
]]
local folder = cli.folder .. "/project"
assert(vm.raw.fs.mkdir_p(folder .. "/src"))
cli.script("project/matrix.lua", text)
cli.script("project/src/main.c", "int main;")

local function run(...)
    return cli.run({ "test", ... }, { cwd = folder })
end

-- The ids that are listed.
local function list(...)
    local result = run("--list", ...)
    t.equal(result.status, 0, result.stderr)
    local ids = {}
    for line in result.stdout:gmatch "[^\n]+" do
        ids[#ids + 1] = line:match "^%S+:%S+"
    end
    return ids, result
end

t.test("the_matrix_of_the_folder_is_listed_with_counts_and_nothing_is_run", function()
    local ids, result = list()
    t.equal(ids, { "debian-12/gcc:build", "debian-12/gcc:check", "debian-13/gcc:build", "debian-13/gcc:check",
        "debian-13/clang:build", "debian-13/clang:check" })
    t.match(result.stdout, "\ndebian%-13/clang:build +skipped: it is known to hang\n")
    t.match(result.stdout, "\ndebian%-13/gcc:check +@slow  from build\n")
    t.match(result.stdout, "\n\n6 tests in 3 cells, 2 of them skipped; how long they take is not known yet\n$")
    t.check(not vm.raw.fs.exists(folder .. "/.vmatrix"), "listing left something behind")
end)

t.test("filters_and_files_may_stand_in_any_order", function()
    t.equal((list("gcc", "test=build")), { "debian-12/gcc:build", "debian-13/gcc:build" })
    t.equal((list("debian-13/gcc", "matrix.lua", "@slow")), { "debian-13/gcc:build", "debian-13/gcc:check" })
    t.equal((list("--", "./", ":build", "cc=gcc")), { "debian-12/gcc:build", "debian-13/gcc:build" })
end)

t.test("json_has_the_same", function()
    local result = run("--list", "--json", "debian-12")
    local data = assert(vm.raw.json.decode(result.stdout))
    t.equal({ data.count, data.cells, data.skipped, data.unknown }, { 2, 1, 0, 2 })
    t.equal(data.tests[2].id, "debian-12/gcc:check")
    t.equal(data.tests[2].from, "debian-12/gcc:build")
    t.equal(data.tests[2].axes, { { "image", "debian-12" }, { "cc", "gcc" } })
    t.equal(data.tests[2].line, 12)
    t.equal(data.params, { arch = "x86_64" })
end)

t.test("an_id_is_explained_with_the_rule_and_its_line", function()
    local result = run("--explain", "debian-12/clang")
    t.equal(result.status, 0)
    t.match(result.stdout, "^debian%-12/clang: out\n.*matrix%.lua:6: exclude%[1%] leaves it out\n$")
    result = run("--explain", "debian-13/clang:check")
    t.match(result.stdout, "^debian%-13/clang:check: skipped\n")
    t.match(result.stdout, "matrix%.lua:7: when: it is known to hang\n")
    result = run("--explain", "debian-12/gcc:build", "@slow", "image!=debian-13")
    t.match(result.stdout, "^debian%-12/gcc:build: in\n")
    t.match(result.stdout, "filter '@slow': does not match\n")
    t.match(result.stdout, "in: debian%-12/gcc:check is chosen and starts from it\n$")
    result = run("--explain", "debian-13/gcc", "image!=debian-13")
    t.match(result.stdout, "^debian%-13/gcc: 0 of its 2 tests are in\n")
    t.match(result.stdout, "out: the filter 'image!=debian%-13' leaves it out\n")
    result = run("--explain", "debain-12/gcc")
    t.equal(result.status, 2)
    t.match(result.stderr, "there is no cell or test 'debain%-12/gcc'; did you mean 'debian%-12/gcc'")
end)

t.test("choosing_nothing_is_wrong_usage_and_names_the_nearest", function()
    local result = run "debain-12"
    t.equal(result.status, 2)
    t.match(result.stderr, "nothing matches 'debain%-12'; did you mean 'debian%-12'")
    result = run("debian-12", "image=debian-13")
    t.equal(result.status, 2)
    t.match(result.stderr, "no test is chosen")
    result = run("debian-12", "debain-13", "imgae=x")
    t.equal(result.status, 2)
    t.match(result.stderr, "'debain%-13'.*\n.*there is no axis 'imgae'; did you mean 'image'")
end)

t.test("all_mistakes_are_said_before_anything_runs", function()
    cli.script("project/bad.lua", (text:gsub('"build", tags', '"biuld", tgas'):gsub("exclude", "exlude")
        :gsub("src", "source")))
    local result = run "bad.lua"
    t.equal(result.status, 2)
    t.equal(result.stdout, "")
    t.match(result.stderr, "^bad.lua:5: vm.matrix: unknown option 'exlude'; did you mean 'exclude'")
    t.match(result.stderr, "\nbad.lua:9: vm.matrix: inputs: input source: there is no file or folder")
    t.match(result.stderr, "\nbad.lua:12: test 'check': unknown option 'tgas'; did you mean 'tags'")
    t.match(result.stderr, "\nbad.lua:12: test 'check': from: there is no test 'biuld'; did you mean 'build'")
    t.match(result.stderr, "\nvmatrix test: 4 mistakes; nothing was started\n$")
end)

t.test("only_chosen_cells_must_be_such_as_this_host_can_make", function()
    cli.script("project/big.lua", [[
local vm = require "vm"
return vm.matrix {
    axes = { size = { "small", "huge" } },
    guest = function(cell)
        return { image = "seed", memory = cell.size == "huge" and "900TiB" or "256MiB" }
    end,
    tests = { check = function() end },
}]])
    local result = run("big.lua", "--list")
    t.equal(result.status, 2)
    t.match(result.stderr, "^big.lua:4: guest: it needs %d+ MiB of memory, .*it could never run %(huge%)\n")
    t.equal((list("big.lua", "small")), { "small:check" })
end)

t.test("parameters_are_given_with_D_and_unknown_ones_are_mistakes", function()
    t.match(run("--list", "-D", "arch=riscv64", "--json").stdout, '"arch":"riscv64"')
    t.match(run("--list", "-Darch=riscv64", "--json").stdout, '"arch":"riscv64"')
    local result = run("-D", "acrh=riscv64")
    t.equal(result.status, 2)
    t.match(result.stderr, "%-D acrh: there is no parameter of that name; did you mean 'arch'")
    t.match(run("-D", "arch=none", "--list").stderr, "matrix.lua:8: guest: unknown architecture 'none'")
end)

t.test("several_files_may_each_stand_in_a_folder_of_their_own", function()
    assert(vm.raw.fs.mkdir_p(folder .. "/a"))
    assert(vm.raw.fs.mkdir_p(folder .. "/b"))
    for _, name in ipairs { "a", "b" } do
        cli.script(("project/%s/helper.lua"):format(name), ("return %q"):format(name))
        cli.script(("project/%s/disk.img"):format(name), "x")
        cli.script(("project/%s/matrix.lua"):format(name), [[
local vm = require "vm"
return { [require "helper"] = vm.matrix { guest = { image = "disk.img" }, tests = { check = function() end } } }]])
    end
    t.equal((list("a/", "b/matrix.lua")), { "a:check", "b:check" })
    os.remove(folder .. "/b/disk.img")
    t.match(run("a/", "b/").stderr, "^b/matrix.lua:2: guest: unknown image 'disk.img'")
    local result = run("a/", "a/matrix.lua")
    t.match(result.stderr, "the cell 'a' is also one of a/matrix.lua:2; give the matrices names")
end)

t.test("what_is_wrong_on_the_command_line_is_said", function()
    for _, case in ipairs {
        { { "--lits" }, "unknown option '%-%-lits'; did you mean '%-%-list'" },
        { { "--sample" }, "%-%-sample wants a value: %-%-sample N" },
        { { "--sample", "0" }, "%-%-sample: a whole number of at least 1" },
        { { "--shard", "5/4" }, "%-%-shard: I/N with I from 1 to N" },
        { { "--jobs", "some" }, "%-%-jobs: 'auto' or a whole number" },
        { { "--rerun", "faield" }, "%-%-rerun: one of failed, all, missing .*did you mean 'failed'" },
        { { "--timeout", "soon" }, "%-%-timeout: a time" },
        { { "--format", "juint=x" }, "%-%-format: .*did you mean 'junit'" },
        { { "-D", "x" }, "%-D: NAME=VALUE expected" },
        { { "--list=x" }, "'%-%-list' takes no value" },
        { { "--json" }, "%-%-json goes with %-%-list" },
        { { "--sample", "2", "--pairwise" }, "do not go together" },
        { { "--seed", "1", "--seed", "2" }, "'%-%-seed' is there twice" },
        { { "none.lua" }, "there is no file none.lua" },
        { { "./src/" }, "there is no file ./src/matrix.lua" },
    } do
        local result = run(table.unpack(case[1]))
        t.equal(result.status, 2, table.concat(case[1], " "))
        t.match(result.stderr, case[2])
        t.equal(result.stdout, "")
    end
    local result = cli.run({ "test" }, { cwd = cli.folder })
    t.equal(result.status, 2)
    t.match(result.stderr, "there is no file matrix.lua; `vmatrix test FILE.lua` names the matrix file")
end)

t.test("a_script_that_returns_matrices_says_how_to_run_them", function()
    for _, name in ipairs { "matrix.lua", "a/matrix.lua" } do
        local result = cli.run({ name }, { cwd = folder })
        t.equal(result.status, 1)
        t.match(result.stderr, ("%s returned a matrix; run it with `vmatrix test %s`"):format(name, name))
    end
end)

-- The plan as the command would make it, in this process.
local function record(outcomes)
    local load, plans = require "vm.matrix.load", require "vm.matrix.plan"
    local found = require("vm.matrix.problems").new()
    require("vm.matrix.params").set {}
    local script = require "vm.script"
    local all = plans.all(load.files({ folder .. "/matrix.lua" }, found), { problems = found, guests = false })
    t.equal(found:lines(), {})
    for _, matrix in ipairs(all.matrices) do
        matrix.digest = require("vm.matrix.earlier").digest(matrix, found)
        matrix.file = "matrix.lua"
    end
    script.use(nil)
    local one = store.create(folder, { plan = plans.of(all, all.tests, { seed = 1 }) })
    for _, test in ipairs(all.tests) do
        local outcome = outcomes[test.id]
        if outcome then
            one:result(test, { outcome = outcome, duration = 1, attempts = {} })
        end
    end
    one:finish {}
    one:close()
    return one.id
end

t.test("an_earlier_run_chooses_what_failed_what_is_missing_or_all", function()
    t.match(run("--rerun", "failed").stderr, "no run last: there are none in .vmatrix/runs")
    local id = record { ["debian-12/gcc:build"] = "passed", ["debian-12/gcc:check"] = "failed",
        ["debian-13/gcc:build"] = "error" }
    t.equal((list("--rerun", "failed")), { "debian-12/gcc:build", "debian-12/gcc:check", "debian-13/gcc:build",
        "debian-13/gcc:check" })
    t.equal((list("--rerun", "missing", id)), { "debian-13/gcc:build", "debian-13/gcc:check" })
    t.equal(#list("--rerun", "all", "last"), 6)
    t.equal((list("--rerun", "failed", "debian-12")), { "debian-12/gcc:build", "debian-12/gcc:check" })
    t.match(run("--explain", "debian-12/gcc:check", "--rerun", "failed").stdout, ("in: run %s: failed"):format(
        id:gsub("%-", "%%-")))
    t.equal(run("--rerun", "failed", "20200101-000000-abcdef").status, 2)
end)

t.test("when_nothing_is_left_to_do_that_is_no_mistake", function()
    local passed = { ["debian-12/gcc:build"] = "passed", ["debian-12/gcc:check"] = "flaky",
        ["debian-13/gcc:build"] = "passed", ["debian-13/gcc:check"] = "xfail" }
    record(passed)
    for _, words in ipairs { { "--rerun", "failed" }, { "--rerun", "missing" }, { "--changed" },
        { "--shard", "9/9", "debian-12/gcc:build" } } do
        local result = run(table.unpack(words))
        t.equal(result.status, 0, table.concat(words, " ") .. result.stderr)
        t.match(result.stderr, "nothing")
    end
end)

t.test("changed_inputs_files_and_verdicts_call_for_another_run", function()
    local passed = { ["debian-12/gcc:build"] = "passed", ["debian-12/gcc:check"] = "passed",
        ["debian-13/gcc:build"] = "passed" }
    assert(vm.raw.fs.remove_tree(folder .. "/.vmatrix"))
    record(passed)
    local result = run("--list", "--changed")
    t.equal(result.status, 0)
    t.match(result.stdout, "debian%-13/gcc:check") -- lost there
    t.check(not result.stdout:find "debian%-12")
    cli.script("project/src/main.c", "int main; /* changed */")
    t.equal(#list "--changed", 6)
    t.match(run("--explain", "debian-12/gcc:build", "--changed").stdout, "in: .*its inputs are not those of run")
    record(passed)
    t.equal(#list "--changed", 2)
    t.equal(#list("--changed", "-D", "arch=riscv64"), 6)
    cli.script("project/matrix.lua", text .. "-- changed\n")
    t.equal(#list "--changed", 6)
end)

cli.clean()
t.finish()
