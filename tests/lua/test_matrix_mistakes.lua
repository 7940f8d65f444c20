-- Mistakes in a matrix are found before anything boots: all of them at once, with file and line.
local t = require "harness"
local plan = require "vm.matrix.plan"
local problems = require "vm.matrix.problems"
local load = require "vm.matrix.load"
local vm = require "vm"

local fs = vm.raw.fs
local folder = assert(fs.mkdtemp(fs.tmpdir() .. "/vmt-"))
local count = 0

-- Writes the body of a matrix file, and returns its path.
local function file(text)
    count = count + 1
    local path = ("%s/m%d.lua"):format(folder, count)
    assert(fs.write_atomic(path, 'local vm = require "vm"\n' .. text))
    return path
end

-- The mistakes of these files, without the folder in front.
local function mistakes(texts, opts)
    local paths = {}
    for i, text in ipairs(type(texts) == "table" and texts or { texts }) do
        paths[i] = file(text)
    end
    local found = problems.new()
    plan.all(load.files(paths, found), { problems = found, guests = opts and opts.guests or false,
        memory = opts and opts.memory })
    local lines = found:lines()
    for i, line in ipairs(lines) do
        lines[i] = line:gsub("^[^:]*/m%d+%.lua:", "")
    end
    return lines
end

local function says(texts, wanted, opts)
    local lines = mistakes(texts, opts)
    for i, pattern in ipairs(wanted) do
        t.match(lines[i] or ("(only %d)"):format(#lines), pattern)
    end
    t.equal(#lines, #wanted, table.concat(lines, "\n"))
end

t.test("all_mistakes_of_a_file_are_said_each_with_its_line", function()
    says([[
return vm.matrix {
    axes = {
        image = { "debian-12", "debian-13" },
        arch = {},
    },
    exlude = {},
    timeout = "soon",
    retries = -1,
    isolation = "tests",
    artifacts = { "/w/a.log", "w/b.log",
        "/w/../../etc/shadow" },
    tests = {
        build = { form = "x", run = function() end },
        check = { run = "make check" },
        lint = 7,
    },
}]], {
        "^5: vm.matrix: axis 'arch' has no values",
        "^7: vm.matrix: unknown option 'exlude'; did you mean 'exclude'%?",
        "^8: .*'timeout': a time in seconds",
        "^9: .*'retries': at least 0 expected",
        "^10: .*'isolation': unknown value 'tests'; did you mean 'test'",
        '^11: vm.matrix: artifacts%[2%]: "w/b.log" is not absolute',
        '^12: vm.matrix: artifacts%[3%]: "/w/../../etc/shadow" escapes',
        "^14: test 'build': unknown option 'form'; did you mean 'from'",
        "^15: test 'check': option 'run': function expected",
        '^16: vm.matrix: test "lint": a function or a table expected, got 7',
    })
end)

t.test("rules_that_match_nothing_say_which_value_was_meant", function()
    says([[
return vm.matrix {
    axes = { image = { "debian-12", "debian-13" }, arch = { "x", "y" } },
    exclude = {
        { image = "debian-14", arch = "x" },
        { imge = "debian-12" },
        { image = { "debian-12", "debain-13" } },
        { image = "debian-12", arch = "x" },
        {},
        { image = "fedora-*" },
    },
    include = {
        { arch = "z", slow = true },
        { arch = "y" },
        { image = "debian-13", arch = "y" },
        { image = "debian-13", archs = "y", note = 1 },
    },
    tests = { check = function() end },
}]], {
        "^5: .*exclude%[1%] matches nothing: axis 'image' has no value \"debian%-14\"; did you mean 'debian%-12'",
        "^6: .*exclude%[2%]: unknown axis 'imge'; did you mean 'image'",
        "^7: .*exclude%[3%] matches nothing: .*\"debain%-13\"; did you mean 'debian%-13'",
        "^9: .*exclude%[5%]: .* an empty one, which would exclude every cell",
        '^10: .*exclude%[6%] matches nothing: axis \'image\' has no value "fedora%-%*"$',
        "^13: .*include%[1%] matches nothing: axis 'arch' has no value \"z\"",
        "^14: .*include%[2%] adds nothing",
        "^15: .*include%[3%]: that cell is there already",
        "^16: .*include%[4%]: unknown axis 'archs'; did you mean 'arch'",
    })
end)

t.test("a_combination_that_other_rules_have_left_nothing_of_matches_nothing", function()
    says([[
return vm.matrix {
    axes = { a = { "1", "2" }, b = { "x", "y" } },
    exclude = { { a = "1" }, { a = "1", b = "x" } },
    include = { { a = "1", b = { "x", "y" }, note = "n" } },
    tests = { check = function() end },
}]], { "^5: .*include%[1%] matches nothing: there is no such cell" })
    says([[
return vm.matrix { axes = { a = { "1" } }, exclude = { { a = "1" } }, tests = { check = function() end } }
]], { "^2: .*no cell is left" })
end)

t.test("ids_that_are_there_twice_are_mistakes", function()
    says([[
return vm.matrix {
    axes = { cc = { "gcc", { name = "gcc" }, "gcc 12",
        { name = "gcc-12" } } },
    tests = { { name = "a b", run = function() end },
        { name = "a-b", run = function() end } },
}]], {
        "^3: .*'gcc' is there twice",
        "^4: .*'gcc 12' and 'gcc%-12' would have the same id; give one a name",
        "^6: test 'a%-b': another has the same name",
    })
    local one = 'return vm.matrix { axes = { a = { "1" } }, tests = { check = function() end } }'
    says({ one, one }, { "^2: vm.matrix: the cell '1' is also one of .*m%d+.lua:2; give the matrices names" })
    says({ one, (one:gsub("{ axes", "{ name = 'other', axes")) }, {})
end)

t.test("from_must_lead_somewhere_and_not_round_in_a_circle", function()
    says([[
return vm.matrix {
    tests = {
        a = { run = print, from = "b" },
        b = { run = print, from = "c" },
        c = { run = print, from = "a" },
        d = { run = print, from = "a" },
        e = { run = print, from = "biuld" },
        build = { run = print, variants = { "x", "y" } },
        f = { run = print, from = "build" },
        g = { run = print, from = "build@x" },
        h = { run = print, from = "build@z" },
        i = { run = print, from = "i" },
    },
}]], {
        "^4: test 'a': from goes round in a circle: a <%- b <%- c <%- a",
        "^8: test 'e': from: there is no test 'biuld'; did you mean 'build'",
        "^10: test 'f': from: 'build' has variants; say which: 'build@x'",
        "^12: test 'h': from: there is no test 'build@z'; did you mean 'build@",
        "^13: test 'i': from goes round in a circle: i <%- i",
    })
end)

t.test("guests_that_could_never_be_made_are_found", function()
    says([[
return vm.matrix {
    axes = { image = { "seed", "deban-12", "sed" }, arch = { "x86_64", "riscv46" } },
    exclude = { { image = "sed", arch = "riscv46" } },
    guest = function(cell)
        return { image = cell.image, arch = cell.arch, memory = cell.image == "seed" and "2TiB" or "512MiB" }
    end,
    tests = { check = function() end },
}]], {
        "^5: guest: it needs 2097152 MiB of memory, and this host has 1024 MiB: it could never run %(seed/x86_64%)",
        "^5: guest: unknown architecture 'riscv46'; did you mean 'riscv64'%? %(seed/riscv46%)",
        "^5: guest: unknown image 'deban%-12': .*%(deban%-12/x86_64, deban%-12/riscv46%)",
        "^5: guest: unknown image 'sed': .*did you mean 'seed'%? %(sed/x86_64%)",
    }, { guests = true, memory = 2 ^ 30 // 1 })
end)

t.test("a_guest_function_that_fails_or_returns_nothing_is_named_with_its_cells", function()
    says([[
return vm.matrix {
    axes = { arch = { "x86_64", "aarch64" } },
    guest = function(cell)
        return cell.arch == "x86_64" and { image = "seed", arch = cell.acrh } or nil
    end,
    tests = { check = function() end },
}]], {
        "^4: guest: unknown field 'acrh'; did you mean 'arch'%? %(x86_64%)",
        "^4: guest: .*a table of vm.create's options expected, got nil %(aarch64%)",
    }, { guests = true })
    says([[
return vm.matrix {
    guests = { server = { image = "seed", memory = "600MiB" },
        client = function() return { image = "seed", memroy = "600MiB" } end },
    tests = { check = function() end },
}]], { "^4: guests.client: unknown option 'memroy'; did you mean 'memory'" }, { guests = true, memory = 2 ^ 30 // 1 })
    says([[
return vm.matrix {
    guests = function()
        local one = { image = "seed", memory = "600MiB" }
        return { a = one, b = one }
    end,
    tests = { check = function() end },
}]], { "^3: guests: together they need 1200 MiB of memory, and this host has 1024" },
        { guests = true, memory = 2 ^ 30 // 1 })
end)

t.test("a_when_that_fails_is_said_once_for_all_cells", function()
    says([[
return vm.matrix {
    axes = { n = { 1, 2, 3, 4, 5 } },
    tests = {
        check = { run = print,
            when = function(cell) return cell.m > 3 end },
        lint = { run = print, when = function() return 7 end },
    },
}]], {
        "^6: when: unknown field 'm'; did you mean 'n'%? %(n=1:check, n=2:check, n=3:check and 2 more%)",
        "^7: when: true, nil, a reason, or false and a reason expected, got 7 %(n=1:lint",
    })
end)

t.test("steps_may_use_only_axes_that_there_are", function()
    says([[
return vm.matrix {
    axes = { cc = { "gcc" } },
    prepare = {
        vm.step { name = "tools", uses = { "cc" }, run = function(g, cell) g:run(cell.cc) end },
        vm.step { name = "source", uses = { "image" }, run = function(g) g:run "true" end },
        function() end,
    },
    tests = { check = function() end },
}]], {
        "^6: step 'source': uses: unknown axis 'image'",
        "^7: .*prepare%[3%]: a step from vm.step expected",
    })
end)

t.test("one_step_needs_no_list", function()
    says([[
return vm.matrix {
    prepare = vm.step { name = "source", uses = "image", run = function(g) g:run "true" end },
    tests = { check = function() end },
}]], { "^3: step 'source': uses: unknown axis 'image'" })
end)

-- Nothing but a mistake may come of it: an error in the middle would hide the other ones.
t.test("whatever_is_said_for_a_key_is_a_mistake_at_worst", function()
    local earlier, select_tests = require "vm.matrix.earlier", require "vm.matrix.select"
    local circle, nothing = {}, function() end
    circle[1], circle.circle = circle, circle
    local junk = { 0, -1, 1.5, 0 / 0, "", "x", "../..", "a\0b", true, false, nothing, {}, { {} }, { 1 }, { "x" },
        { x = 1 }, { x = {} }, { [2] = "x" }, { { x = "y" } }, { name = "n" }, { { name = "n" } }, { nothing },
        { x = nothing },
        { run = 1 }, { { run = nothing, name = "n", from = "n" } }, circle, setmetatable({}, { __index = error }),
        function() return 1 end, function(cell) return cell end, function() error {} end, { [{}] = 1, [nothing] = 2 } }
    local keys = { "name", "axes", "exclude", "include", "when", "guest", "guests", "prepare", "tests", "setup",
        "teardown", "tags", "timeout", "cell_timeout", "retries", "artifacts", "env", "secrets", "max_parallel",
        "priority", "isolation", "inputs", "unknown", 1, true }
    local test_keys = { "run", "when", "from", "tags", "timeout", "retries", "env", "artifacts", "secrets", "variants",
        "expect_fail", "priority", "name", "unknown", 1 }
    local function try(def)
        local found = problems.new()
        local all = plan.all({ vm.matrix(def) }, { problems = found })
        for _, matrix in ipairs(all.matrices) do
            earlier.digest(matrix, found)
        end
        if #found.list == 0 then
            select_tests.choose(all, { pairwise = true })
        end
        t.equal(#found:lines(), #found.list)
    end
    for _, value in ipairs(junk) do
        for _, key in ipairs(keys) do
            try { axes = { a = { "1", "2" } }, tests = { n = nothing }, [key] = value }
        end
        for _, key in ipairs(test_keys) do
            try { axes = { a = { "1", "2" } }, tests = { n = { run = nothing, [key] = value } } }
        end
    end
end)

t.test("files_that_fail_or_return_nothing_are_mistakes_and_the_others_are_read_all_the_same", function()
    says({ "local x = = 1", "\nerror 'on purpose'", "vm.sleep 'soon'", "return {}", [[
return { vm.matrix { tests = {} } }]] }, {
        "^2: unexpected symbol",
        "^3: on purpose",
        "^2: vm.sleep: a time in seconds",
        "^1: it returns no matrix",
        "^2: vm.matrix: tests: it is empty",
    })
end)

t.test("a_timeout_beyond_the_cells_is_a_mistake", function()
    says([[
return vm.matrix {
    cell_timeout = "1m",
    tests = {
        a = { run = print,
            timeout = "2m" },
        b = { run = print, timeout = 0 },
        c = print,
    },
}]], { "^6: test 'a': its timeout of 120 s is more than the cell's, 60 s", "^7: test 'b': .*at least 0.001 expected" })
end)

t.test("what_a_table_made_by_code_has_wrong_stands_at_the_next_thing_around_it", function()
    says([[
local rules = {}
for i = 1, 2 do
    rules[i] = { image = "none-" .. i }
end
local def = {
    axes = { image = { "a" } },
    exclude = rules,
    tests = { check = print },
}
local m = vm.matrix(def)
return m]], { "^11: .*exclude%[1%] matches nothing", "^11: .*exclude%[2%] matches nothing" })
    says([[
local rules = { { image = "none" } }
return vm.matrix {
    axes = { image = { "a" } },
    exclude = rules,
    tests = { check = print },
}]], { "^5: .*exclude%[1%] matches nothing" })
end)

assert(fs.remove_tree(folder))
t.finish()
