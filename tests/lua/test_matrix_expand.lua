-- vm.matrix: from axes to cells and tests, without a guest.
local t = require "harness"
local matrices = require "lua.matrices"
local vm = require "vm"
local plan = require "vm.matrix.plan"
local view = require "vm.matrix.view"

local expand, ids = matrices.expand, matrices.ids

local function nothing() end

t.test("every_combination_is_a_cell_and_the_last_axis_turns_fastest", function()
    local all = expand { axes = { image = { "a", "b" }, arch = { "x", "y" } }, tests = { check = nothing } }
    t.equal(ids(all.cells), { "a/x", "a/y", "b/x", "b/y" })
    t.equal(ids(all.tests), { "a/x:check", "a/y:check", "b/x:check", "b/y:check" })
    t.equal(all.cells[2].axes, { { "image", "a" }, { "arch", "y" } })
    t.equal(all.cells[2].values, { image = "a", arch = "y" })
end)

t.test("axes_and_tests_keep_the_order_of_the_file", function()
    local m = vm.matrix {
        axes = { zeta = { "z" }, arch = { "y" }, alpha = { "a" } },
        tests = { second = nothing, first = nothing, ["third one"] = nothing },
    }
    require("vm.matrix.source").place_all { m }
    local all = plan.all({ m }, { guests = false })
    t.equal(ids(all.tests), { "z/y/a:second", "z/y/a:first", "z/y/a:third-one" })
end)

t.test("axes_whose_order_is_not_written_down_are_image_arch_and_the_alphabet", function()
    local axes = {}
    for _, name in ipairs { "zeta", "image", "alpha", "arch" } do
        axes[name] = { name:sub(1, 2) }
    end
    t.equal(ids(expand({ axes = axes, tests = { check = nothing } }).cells), { "im/ar/al/ze" })
end)

t.test("a_list_of_axes_and_a_list_of_tests_say_the_order_themselves", function()
    local all = expand {
        axes = { { cc = { "gcc" } }, { arch = { "x" } } },
        tests = { { name = "b", run = nothing }, { name = "a", run = nothing } },
    }
    t.equal(ids(all.tests), { "gcc/x:b", "gcc/x:a" })
end)

t.test("values_may_be_tables_numbers_and_booleans_and_read_well_in_ids", function()
    local compiler = { name = "gcc 12", package = "gcc-12" }
    local all = expand {
        axes = { { cc = { compiler } }, { cpus = { 1, 2.0 } }, { lto = { true, false } },
            { image = { "img/d12.qcow2" } } },
        tests = { check = nothing },
    }
    t.equal(ids(all.cells), { "gcc-12/cpus=1/lto/d12.qcow2", "gcc-12/cpus=1/no-lto/d12.qcow2",
        "gcc-12/cpus=2/lto/d12.qcow2", "gcc-12/cpus=2/no-lto/d12.qcow2" })
    t.check(all.cells[1].values.cc == compiler)
    t.equal(all.cells[2].axes,
        { { "cc", "gcc 12" }, { "cpus", "1" }, { "lto", "false" }, { "image", "img/d12.qcow2" } })
end)

t.test("a_matrix_without_axes_is_one_cell_named_after_it_or_its_file", function()
    local all = plan.all({ vm.matrix { tests = { check = nothing } } }, { guests = false })
    t.equal(ids(all.tests), { "test_matrix_expand:check" })
    t.equal(ids(expand({ name = "smoke", tests = { check = nothing } }).tests), { "smoke:check" })
end)

t.test("a_named_matrix_begins_its_ids_with_its_name", function()
    local all = expand({ name = "m1", axes = { arch = { "x" } }, tests = { check = nothing } },
        { name = "m2", axes = { arch = { "x" } }, tests = { check = nothing } })
    t.equal(ids(all.tests), { "m1/x:check", "m2/x:check" })
end)

t.test("exclude_takes_values_globs_and_lists", function()
    local all = expand {
        axes = { image = { "debian-12", "debian-13", "fedora-42" }, arch = { "x", "y", "z" } },
        exclude = { { image = "debian-*", arch = { "y", "z" } }, { image = "fedora-42", arch = "x" } },
        tests = { check = nothing },
    }
    t.equal(ids(all.cells), { "debian-12/x", "debian-13/x", "fedora-42/y", "fedora-42/z" })
end)

t.test("include_adds_fields_to_the_cells_that_match_and_cells_that_are_not_there", function()
    local all = expand {
        axes = { image = { "a", "b" }, arch = { "x", "y" } },
        exclude = { { image = "b", arch = "y" } },
        include = {
            { arch = "y", slow = true },
            { image = "c", arch = "x", note = "new" },
            { image = "b", arch = "y" },
            { image = "a", arch = "x", note = "old" },
        },
        tests = { check = nothing },
    }
    t.equal(ids(all.cells), { "a/x", "a/y", "b/x", "c/x", "b/y" })
    t.equal(all.cells[2].values, { image = "a", arch = "y", slow = true })
    t.equal(all.cells[4].values, { image = "c", arch = "x", note = "new" })
    t.equal(all.cells[5].values, { image = "b", arch = "y" })
    t.equal(all.cells[1].values.note, "old")
    t.equal(#all.matrices[1].axes[1].values + #all.matrices[1].axes[2].values, 5)
end)

t.test("when_skips_cells_and_tests_with_its_reason", function()
    local all = expand {
        axes = { arch = { "x", "y", "z" } },
        when = function(cell)
            if cell.arch == "y" then
                return "no y today"
            end
        end,
        tests = {
            { name = "a", run = nothing, when = function(cell) return cell.arch ~= "z", "never on z" end },
            { name = "b", run = nothing, when = function(cell) return cell.arch ~= "z" end },
        },
    }
    local reasons = {}
    for _, test in ipairs(all.tests) do
        reasons[test.id] = test.skip
    end
    t.equal(reasons, { ["y:a"] = "no y today", ["y:b"] = "no y today", ["z:a"] = "never on z",
        ["z:b"] = "`when` said no" })
    t.match(plan.of(all, all.tests).skipped[1].rule, "test_matrix_expand.lua:%d+: when$")
end)

t.test("a_test_that_starts_from_a_skipped_one_is_skipped_and_says_so", function()
    local all = expand { tests = {
        { name = "c", from = "b", run = nothing },
        { name = "b", from = "a", run = nothing },
        { name = "a", run = nothing, when = function() return false, "off" end },
    } }
    t.equal(all.tests[2].skip, "it starts from a, which is skipped: off")
    t.equal(all.tests[1].skip, all.tests[2].skip)
end)

t.test("variants_are_tests_of_their_own_and_start_from_those_of_the_same_variant", function()
    local all = expand { name = "m", tests = {
        { name = "build", variants = { "small", { name = "large", size = 9 } }, run = nothing },
        { name = "check", variants = { "small", "large" }, from = "build", run = nothing },
        { name = "pack", from = "build@large", run = nothing },
    } }
    t.equal(ids(all.tests), { "m:build@small", "m:build@large", "m:check@small", "m:check@large", "m:pack" })
    t.equal(all.tests[3].from, "m:build@small")
    t.equal(all.tests[4].from, "m:build@large")
    t.equal(all.tests[5].from, "m:build@large")
    t.equal(all.tests[2].values.variant.size, 9)
    t.equal(all.tests[2].variant, "large")
end)

t.test("whether_a_test_is_expected_to_fail_is_decided_for_each_cell", function()
    local all = expand { axes = { arch = { "x", "y" } }, tests = {
        { name = "a", run = nothing, expect_fail = true },
        { name = "b", run = nothing, expect_fail = "known" },
        { name = "c", run = nothing, expect_fail = function(cell) return cell.arch == "y", "on y" end },
        { name = "d", run = nothing, expect_fail = function(cell) return cell.arch == "x" and "on x" or nil end },
    } }
    local reasons = {}
    for _, test in ipairs(all.tests) do
        reasons[test.id] = test.expect_fail
    end
    t.equal(reasons, { ["x:a"] = "expected to fail", ["y:a"] = "expected to fail", ["x:b"] = "known",
        ["y:b"] = "known", ["y:c"] = "on y", ["x:d"] = "on x" })
end)

t.test("tests_have_what_the_matrix_says_for_all", function()
    local all = expand {
        timeout = "2m", retries = 1, tags = "nightly", env = { A = "1", B = 2 }, artifacts = "/var/log/*.log",
        tests = {
            { name = "a", run = nothing },
            { name = "b", run = nothing, timeout = 5, retries = 0, tags = { "slow", "nightly" }, env = { B = "3" },
                artifacts = { { path = "/w/core", when = "failed" } } },
        },
    }
    local a, b = all.tests[1].def, all.tests[2].def
    t.equal({ a.timeout, a.retries, a.tags, a.env }, { 120, 1, { "nightly" }, { A = "1", B = "2" } })
    t.equal({ b.timeout, b.retries, b.tags, b.env }, { 5, 0, { "nightly", "slow" }, { A = "1", B = "3" } })
    t.equal(b.artifacts, { "/var/log/*.log", { path = "/w/core", when = "failed" } })
    t.equal(expand({ tests = { a = nothing } }).tests[1].def.timeout, 600)
    t.equal(expand({ cell_timeout = 60, tests = { a = nothing } }).tests[1].def.timeout, 60)
end)

t.test("a_cells_view_is_read_only_and_knows_its_names", function()
    local all = expand {
        axes = { arch = { "x", "y" } }, include = { { arch = "y", note = "n" } }, tests = { check = nothing },
    }
    local x = view.of(all.cells[1])
    t.equal({ x.arch, x.note, x.id }, { "x", nil, "x" })
    t.raises(function() return x.acrh end, "usage", "unknown field 'acrh'; did you mean 'arch'")
    t.raises(function() x.arch = "z" end, "usage", "cannot be changed")
    t.raises(function() x.new = 1 end, "usage", "cannot be changed")
    local seen = {}
    for name, value in pairs(view.of(all.cells[2], "v")) do
        seen[name] = value
    end
    t.equal(seen, { arch = "y", note = "n", id = "y", variant = "v" })
end)

t.test("the_definition_is_not_changed", function()
    local def = { axes = { arch = { "x" } }, include = { { arch = "y" } }, timeout = "1m", tests = { check = nothing } }
    expand(def)
    t.equal(def, { axes = { arch = { "x" } }, include = { { arch = "y" } }, timeout = "1m",
        tests = { check = nothing } })
end)

t.test("a_hundred_thousand_cells_expand_in_a_second_and_200_mb", function()
    local function values(prefix, n)
        local list = {}
        for i = 1, n do
            list[i] = prefix .. i
        end
        return list
    end
    local m = vm.matrix {
        axes = { { image = values("image-", 50) }, { arch = values("arch-", 20) }, { cc = values("cc-", 10) },
            { n = values("n", 10) } },
        exclude = { { image = "image-1", arch = "arch-1" } },
        include = { { image = "image-1", arch = "arch-1", cc = "cc-1", n = "n1" }, { cc = "cc-2", old = true } },
        tests = { check = nothing },
    }
    collectgarbage()
    local before, started = collectgarbage "count", os.clock()
    local all = plan.all({ m }, { guests = false })
    local time, memory = os.clock() - started, (collectgarbage "count" - before) / 1024
    t.equal(#all.tests, 100000 - 100 + 1)
    print(("      %.2f s of cpu, %.0f MiB"):format(time, memory))
    t.check(memory < 200, ("%.0f MiB"):format(memory))
    -- Sanitizers and a busy machine are no measure; the bench is.
    t.check(time < 20, ("%.1f s"):format(time))
end)

t.finish()
