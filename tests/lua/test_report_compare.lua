-- Two runs compared.
local t = require "harness"
local fixture = require "lua.run_fixture"
local compare = require "vm.report.compare"
local model = require "vm.report.model"
local store = require "vm.report.store"

local folder = fixture.folder()

-- Forty tests that pass in about n % 7 + 2 seconds; outcomes and durations by id on top.
local function load(changes, opts)
    opts = opts or {}
    opts.cells, opts.tests, opts.outcome, opts.logs, opts.events = opts.cells or 10, 4, "passed", false, false
    opts.change = function(test, one, result)
        if not result then
            one.duration = (one.n % 7 + 2) * (changes.speed or 1) * (1 + (one.n * (changes.salt or 3) % 5 - 2) / 100)
            local change = changes[test.id]
            if type(change) == "number" then
                one.duration = one.duration * change
            elseif change then
                one.outcome = change
            end
        end
    end
    return model.load(store.open(fixture.make(folder.path, opts).path))
end

local function ids(list)
    local out = {}
    for at, one in ipairs(list) do
        out[at] = one.test.id
    end
    return out
end

local A <const>, B <const>, C <const>, D <const>, E <const> = "debian-12/x86_64/r1:build", "debian-13/x86_64/r1:check",
    "fedora-42/x86_64/r1:build", "alpine-3.20/aarch64/r1:lint", "debian-12/aarch64/r1:install"

t.test("new_and_old_failures_and_what_is_fixed_are_told_apart", function()
    local result = compare.compare(load { [B] = "failed", [C] = "failed", [D] = "error", [E] = "failed" },
        load { [A] = "failed", [B] = "failed", [D] = "failed", [E] = "lost" })
    t.equal(ids(result.newly_failing), { A })
    t.equal(ids(result.still_failing), { B })
    t.equal(ids(result.fixed), { C })
    t.equal(ids(result.failing_now), { D })
    t.equal(ids(result.no_verdict), { E })
    local text = compare.render(result)
    t.match(text, "newly failing: 1\n  debian%-12/x86_64/r1:build: guest ")
    t.match(text, "fixed: 1\n  fedora%-42/x86_64/r1:build %(was failed%)\n")
    t.equal(compare.data(result).newly_failing, { { id = A, outcome = "failed", was = "passed" } })
end)

t.test("an_unexpected_pass_counts_as_a_failure_and_flaky_as_a_pass", function()
    local result = compare.compare(load { [B] = "xfail" }, load { [A] = "flaky", [B] = "xpass" })
    t.equal(ids(result.newly_failing), { B })
    t.equal(ids(result.newly_flaky), { A })
    t.equal(ids(compare.compare(load { [A] = "failed" }, load { [A] = "flaky" }).fixed), { A })
end)

t.test("the_same_run_has_no_difference", function()
    local run = load { [A] = "failed" }
    local result = compare.compare(run, run)
    t.equal(#result.newly_failing + #result.slower + #result.faster + #result.added + #result.removed, 0)
    t.match(compare.render(compare.compare(load {}, load {})), "no difference\n$")
end)

t.test("slower_is_what_grew_beyond_the_noise_of_all_tests", function()
    local result = compare.compare(load { salt = 3 }, load { salt = 4, [A] = 2, [B] = 1.15, [C] = 0.3 })
    t.equal(ids(result.slower), { A })
    t.equal(ids(result.faster), { C })
    t.match(compare.render(result), "slower: 1\n  debian%-12/x86_64/r1:build: [%d.]+ s, was [%d.]+ s %(%d%.%d%dx%)\n")
end)

t.test("a_slower_machine_makes_no_test_slower_and_is_told", function()
    local result = compare.compare(load {}, load { speed = 1.6, [A] = 2 })
    t.equal(ids(result.slower), { A })
    t.check(math.abs(result.shift - 1.6) < 0.05, result.shift)
    t.match(compare.render(result), "all in all tests took 1%.%d%dx the time")
end)

t.test("with_few_tests_only_a_large_difference_is_told", function()
    local result = compare.compare(load({}, { cells = 1 }), load({ [A] = 1.4 }, { cells = 1 }))
    t.equal(ids(result.slower), {})
    result = compare.compare(load({}, { cells = 1 }), load({ [A] = 2 }, { cells = 1 }))
    t.equal(ids(result.slower), { A })
end)

t.test("added_and_removed_tests_are_named", function()
    local result = compare.compare(load({}, { cells = 2 }), load({ ["fedora-42/x86_64/r1:build"] = "failed" },
        { cells = 3 }))
    t.equal(#result.added, 4)
    t.equal(ids(result.failing_now), { "fedora-42/x86_64/r1:build" })
    t.equal(#result.newly_failing, 0)
    t.equal(#compare.compare(load({}, { cells = 3 }), load({}, { cells = 2 })).removed, 4)
end)

local _ <close> = folder
t.finish()
