-- Choosing among the tests of a matrix: filters, samples, pairs, shares.
local t = require "harness"
local matrices = require "lua.matrices"
local select_tests = require "vm.matrix.select"
local subset = require "vm.matrix.subset"

local expand, ids = matrices.expand, matrices.ids

local function nothing() end

local function values(prefix, n)
    local list = {}
    for i = 1, n do
        list[i] = prefix .. i
    end
    return list
end

local all = expand {
    axes = { { image = { "debian-12", "debian-13", "fedora-42" } }, { arch = { "x86_64", "riscv64" } },
        { cc = { "gcc", { name = "clang 19" } } }, { cpus = { 1, 4 } } },
    exclude = { { image = "fedora-42", arch = "riscv64" } },
    tests = {
        { name = "build", run = nothing },
        { name = "check", run = nothing, from = "build", tags = { "slow" }, variants = { "small", "large" } },
        { name = "lint", run = nothing, tags = "quick" },
    },
}

-- How many tests these words choose, those pulled in left out; and the ids.
local function chosen(...)
    local selection = select_tests.choose(all, { words = { ... } })
    local out = {}
    for _, test in ipairs(selection.tests) do
        if not selection.pulled[test] then
            out[#out + 1] = test.id
        end
    end
    return #out, out
end

t.test("a_pattern_of_a_cell_goes_from_its_beginning_and_a_test_comes_after_a_colon", function()
    t.equal(#all.tests, 20 * 4)
    t.equal(chosen "debian-12/x86_64", 16)
    t.equal(chosen "debian-12/x86_64/", 16)
    t.equal(chosen "debian-12/*/gcc", 16)
    t.equal(chosen "debian-1?/*/gcc", 32)
    t.equal(chosen "**/cpus=4", 40)
    t.equal(chosen "*/*/gcc", 40)
    t.equal(#select(2, select_tests.filters(all, { "*/gcc" })), 1)
    t.equal(chosen ":lint", 20)
    t.equal(chosen ":check", 40)
    t.equal(chosen ":check@small", 20)
    t.equal(chosen ":check@*", 40)
    local count, list = chosen "debian-12/x86_64/gcc/cpus=1:lint"
    t.equal(list, { "debian-12/x86_64/gcc/cpus=1:lint" })
    t.equal(count, 1)
end)

t.test("a_plain_word_is_any_part_of_an_id", function()
    t.equal(chosen "gcc", 40)
    t.equal(chosen "debian-*", 64)
    t.equal(chosen "clang-19", 40)
    t.equal(chosen "clang 19", 40)
    t.equal(chosen "lint", 20)
    t.equal(chosen "check@large", 20)
end)

t.test("axes_are_filtered_by_name_and_alternatives_are_joined", function()
    t.equal(chosen "arch=x86_64", 48)
    t.equal(chosen "arch!=x86_64", 32)
    t.equal(chosen("arch=x86_64", "arch=riscv64"), 80)
    t.equal(chosen "image=debian-12,fedora-*", 48)
    t.equal(chosen("image=debian-*", "image!=debian-13"), 32)
    t.equal(chosen("gcc", "arch=riscv64", "cpus=4", "test=lint"), 2)
    t.equal(chosen "cc=clang-19", 40)
    t.equal(chosen("variant=small", "cpus!=1"), 10)
end)

t.test("tags_choose_tests_and_leave_them_out", function()
    t.equal(chosen "@slow", 40)
    t.equal(chosen "!@slow", 40)
    t.equal(chosen "tag!=slow,quick", 20)
    t.equal(chosen("@slow", "@quick"), 60)
    t.equal(chosen("tag=slow", "tag!=slow"), 0)
end)

t.test("what_a_chosen_test_starts_from_comes_along", function()
    local selection = select_tests.choose(all, { words = { "debian-12/x86_64/gcc/cpus=1:check@small" } })
    t.equal(ids(selection.tests), { "debian-12/x86_64/gcc/cpus=1:build", "debian-12/x86_64/gcc/cpus=1:check@small" })
    t.equal(selection.pulled[selection.tests[1]], selection.tests[2])
    t.equal(selection.matched, 1)
end)

t.test("a_word_that_matches_nothing_is_a_mistake_and_the_nearest_is_named", function()
    local _, complaints = select_tests.filters(all, { "debain-12", "arch=x86-64", "arhc=x", "@slwo", "debian-12/x86_46",
        ":chekc", "lint", "arch=", "!lint", "colour=red" })
    for i, pattern in ipairs {
        "^nothing matches 'debain%-12'; did you mean 'debian%-12'%?$",
        "^nothing matches 'arch=x86%-64'; did you mean 'x86_64'%?$",
        "^filter 'arhc=x': there is no axis 'arhc'; did you mean 'arch'%?$",
        "^nothing matches '@slwo'; did you mean 'slow'%?$",
        "^nothing matches 'debian%-12/x86_46'; did you mean",
        "^nothing matches ':chekc'",
        "^filter 'arch=': a value is missing",
        "^'!lint' is no filter; what is to be left out is said as AXIS!=VALUE",
        "^filter 'colour=red': there is no axis 'colour'; known are arch, cc, cpus, image",
    } do
        t.match(complaints[i], pattern)
    end
    t.equal(#complaints, 9)
end)

-- The pairs of axis values that cells have.
local function pairs_of(cells)
    local set, count = {}, 0
    for _, cell in ipairs(cells) do
        for i = 1, #cell.axes do
            for j = i + 1, #cell.axes do
                local key = table.concat(cell.axes[i], "=") .. "&" .. table.concat(cell.axes[j], "=")
                count = count + (set[key] and 0 or 1)
                set[key] = true
            end
        end
    end
    return set, count
end

local function pairwise(cells)
    local set, out = subset.pairwise(cells), {}
    for _, cell in ipairs(cells) do
        if set[cell] then
            out[#out + 1] = cell
        end
    end
    return out
end

-- No set can be smaller than the product of the two longest axes; the smallest that are known are 9, 16, 6,
-- 90, 35 and 30.
t.test("pairwise_covers_every_pair_with_few_cells", function()
    for _, case in ipairs { { { 3, 3, 3, 3 }, 9 }, { { 4, 4, 4, 4, 4 }, 20 }, { { 2, 2, 2, 2, 2, 2, 2, 2, 2, 2 }, 8 },
        { { 10, 9, 2, 2 }, 90 }, { { 7, 1, 5 }, 35 }, { { 6, 5, 4, 3, 2 }, 30 } } do
        local axes = {}
        for i, n in ipairs(case[1]) do
            axes[i] = { ["a" .. i] = values("v", n) }
        end
        local cells = expand({ axes = axes, tests = { check = nothing } }).cells
        local few = pairwise(cells)
        local _, wanted = pairs_of(cells)
        local _, got = pairs_of(few)
        t.equal(got, wanted)
        print(("      %s: %d cells of %d"):format(table.concat(case[1], "x"), #few, #cells))
        t.check(#few <= case[2], ("%d cells, %d are enough"):format(#few, case[2]))
    end
end)

t.test("pairwise_asks_only_for_pairs_that_exclude_and_filters_have_left", function()
    local selection = select_tests.choose(all, { words = { "lint", "arch=x86_64,riscv64" }, pairwise = true })
    local few, cells = {}, {}
    for i, test in ipairs(selection.tests) do
        few[i] = test.cell
    end
    for i, cell in ipairs(all.cells) do
        cells[i] = cell
    end
    local _, wanted = pairs_of(cells)
    local _, got = pairs_of(few)
    t.equal(got, wanted)
    t.check(#few <= 8, #few)
    local once = pairwise(expand({ axes = { { a = values("v", 5) } }, tests = { check = nothing } }).cells)
    t.equal(#once, 5)
    t.equal(#pairwise(expand({ tests = { check = nothing } }).cells), 1)
end)

t.test("cells_that_are_skipped_cover_no_pair", function()
    local some = expand {
        axes = { { a = { "1", "2" } }, { b = { "x", "y" } } },
        when = function(cell) return cell.a ~= "1" or cell.b ~= "x" end,
        tests = { check = nothing },
    }
    t.equal(ids(select_tests.choose(some, { pairwise = true }).tests), { "1/y:check", "2/x:check", "2/y:check" })
end)

t.test("a_sample_has_so_many_cells_and_its_seed_decides_which", function()
    local function sample(count, seed)
        return ids(select_tests.choose(all, { words = { "lint" }, sample = count, seed = seed }).tests)
    end
    t.equal(#sample(5, 1), 5)
    t.equal(sample(5, 1), sample(5, 1))
    t.check(table.concat(sample(5, 1)) ~= table.concat(sample(5, 2)), "two seeds, one sample")
    t.equal(#sample(500, 1), 20)
    local larger = table.concat(sample(8, 1), " ")
    for _, id in ipairs(sample(5, 1)) do
        t.check(larger:find(id, 1, true), "a larger sample lost " .. id)
    end
end)

local function shards(from, count)
    local of, sizes = {}, {}
    for index = 1, count do
        local selection = select_tests.choose(from, { shard = { index = index, count = count } })
        sizes[index] = 0
        for _, test in ipairs(selection.tests) do
            t.equal(of[test.id], nil, test.id .. " is in two shares")
            of[test.id] = index
            sizes[index] = sizes[index] + 1
        end
    end
    return of, sizes
end

t.test("shares_are_of_the_same_size_and_have_everything_once", function()
    local of, sizes = shards(all, 3)
    for _, test in ipairs(all.tests) do
        t.check(of[test.id], test.id .. " is in no share")
        t.equal(of[test.id], of[test.cell.id .. ":build"])
    end
    table.sort(sizes)
    t.check(sizes[3] - sizes[1] <= 4, table.concat(sizes, " "))
end)

t.test("a_cell_that_is_added_moves_few_others_to_another_share", function()
    local function matrix(n)
        return expand { axes = { { a = values("v", n) } }, tests = { { name = "x", run = nothing } } }
    end
    local before, after = shards(matrix(400), 4), shards(matrix(401), 4)
    local moved = 0
    for id, index in pairs(before) do
        moved = moved + (after[id] ~= index and 1 or 0)
    end
    t.check(moved <= 3, moved .. " of 400 moved")
end)

t.test("with_fewer_cells_than_shares_the_tests_of_a_cell_are_shared_out_and_chains_stay_whole", function()
    local tests = {}
    for i = 1, 6 do
        tests[#tests + 1] = { name = "b" .. i, run = nothing }
        tests[#tests + 1] = { name = "c" .. i, from = "b" .. i, run = nothing }
    end
    local of, sizes = shards(expand { name = "m", tests = tests }, 3)
    for i = 1, 6 do
        t.equal(of["m:b" .. i], of["m:c" .. i])
    end
    t.equal(sizes, { 4, 4, 4 })
end)

t.test("many_cells_are_chosen_from_in_no_time_that_matters", function()
    local many = expand {
        axes = { { a = values("a", 40) }, { b = values("b", 10) }, { c = values("c", 10) }, { d = values("d", 5) } },
        tests = { check = nothing },
    }
    local started = os.clock()
    local few = select_tests.choose(many, { words = { "a=a1*", "b!=b1" }, pairwise = true,
        shard = { index = 1, count = 2 } })
    t.check(#few.tests > 10)
    print(("      %d cells: %.2f s of cpu"):format(#many.cells, os.clock() - started))
    t.check(os.clock() - started < 20)
end)

t.finish()
