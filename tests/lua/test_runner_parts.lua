-- The parts of the test runner that need no machine.
local admission = require "vm.test.admission"
local face = require "vm.test.face"
local history = require "vm.test.history"
local outcome = require "vm.test.outcome"
local secrets = require "vm.test.secrets"
local show = require "vm.test.show"
local stats = require "vm.report.stats"
local transcript = require "vm.test.transcript"
local vm = require "vm"
local t = require "harness"

local fs = vm.raw.fs
local MIB = 1024 * 1024

-- Every way to cut a text in two and in three.
local function streamed(masker, text)
    for i = 0, #text do
        for j = i, #text do
            local stream = masker:stream()
            local out = stream:push(text:sub(1, i)) .. stream:push(text:sub(i + 1, j)) .. stream:push(text:sub(j + 1))
                .. stream:flush()
            if out ~= masker:text(text) then
                error(("cut at %d and %d: %s"):format(i, j, out))
            end
        end
    end
    return masker:text(text)
end

t.test("secrets_are_masked_also_when_split_over_chunks", function()
    local masker = secrets.new { "hunter2", "hunter2-long", "aab", "bcd", "" }
    t.equal(streamed(masker, "x hunter2 y"), "x *** y")
    t.equal(streamed(masker, "hunter2-long!"), "***!")
    t.equal(streamed(masker, "hunter2-lon"), "***-lon")
    t.equal(streamed(masker, "caabcd aaab"), "c***cd a***")
    t.equal(streamed(masker, "hunter"), "hunter")
end)

t.test("a_stream_holds_back_no_more_than_may_be_a_secret", function()
    local stream = secrets.new({ "secret" }):stream()
    t.equal(stream:push "a line\n", "a line\n")
    t.equal(stream:push "the sec", "the ")
    t.equal(stream:push "ond", "second")
    t.equal(stream:flush(), "")
end)

t.test("secrets_are_masked_in_tables_and_their_keys", function()
    local masker = secrets.new { "s3cret" }
    t.equal(masker:value { a = { "x s3cret" }, ["s3cret"] = 1, n = 2 }, { a = { "x ***" }, ["***"] = 1, n = 2 })
end)

t.test("wilsons_interval_is_as_in_the_tables", function()
    local rate = stats.rate(3, 50)
    t.equal(("%.4f %.4f %.4f"):format(rate.rate, rate.low, rate.high), "0.0600 0.0206 0.1622")
    t.equal(stats.rate(0, 20).low, 0)
    t.equal(("%.4f"):format(stats.rate(0, 20).high), "0.1611")
    t.equal(stats.rate(20, 20).high, 1)
    t.match(stats.show(rate), "^3 of 50 runs failed %(6.0 %%, 95 %% confidence: 2.1 to 16.2 %%%)$")
end)

local function err(kind)
    return require("vm.errors").new(kind, "it is " .. kind)
end

t.test("infrastructure_is_never_a_failure_and_a_failure_never_infrastructure", function()
    local function of(kind, phase)
        return (outcome.attempt { err = kind and err(kind), phase = phase or "run", failures = {} })
    end
    for _, kind in ipairs { "connection", "crashed", "libvirt", "system", "nospace", "auth", "hostkey", "ssh" } do
        t.equal(of(kind), "error")
    end
    for _, kind in ipairs { "exit", "check", "timeout", "panic", "script", "usage", "notfound", "closed" } do
        t.equal(of(kind), "failed")
        t.equal(of(kind, "setup"), "failed")
        t.equal(of(kind, "guest"), "error")
    end
    t.equal(of(nil), "passed")
end)

t.test("a_failure_that_was_caught_fails_the_test_even_when_it_was_skipped_then", function()
    t.equal((outcome.attempt { phase = "run", failures = { err "check" } }), "failed")
    t.equal((outcome.attempt { phase = "run", failures = { err "check" }, skip = "no" }), "failed")
    t.equal((outcome.attempt { phase = "run", failures = {}, skip = "no" }), "skipped")
end)

t.test("what_is_expected_to_fail_is_xfail_and_xpass_but_an_error_stays_one", function()
    local function of(e)
        return (outcome.attempt { err = e, phase = "run", failures = {}, expected = "bug 7" })
    end
    t.equal(of(err "exit"), "xfail")
    t.equal(of(nil), "xpass")
    t.equal(of(err "crashed"), "error")
end)

t.test("a_test_is_flaky_only_after_a_failure_of_its_own", function()
    local function of(...)
        local attempts = {}
        for i, name in ipairs { ... } do
            attempts[i] = { outcome = name, reason = name .. " " .. i }
        end
        return outcome.test(attempts)
    end
    t.equal((of("failed", "passed")), "flaky")
    t.equal((of("failed", "error", "passed")), "flaky")
    local verdict, reason = of("error", "passed")
    t.equal(verdict, "passed")
    t.equal(reason, "after 1 infrastructure error")
    t.equal((of("failed", "error")), "failed")
    t.equal((of("error", "failed")), "failed")
    t.equal((of("error", "error")), "error")
    t.equal((of("failed", "interrupted")), "interrupted")
    t.equal((outcome.repeated { "passed", "failed", "passed" }), "flaky")
    t.equal(select(2, outcome.repeated { "passed", "failed", "error" }), 1)
    t.equal(select(3, outcome.repeated { "passed", "failed", "error" }), 2)
    t.equal((outcome.repeated { "passed", "error" }), "error")
end)

-- A `t` whose events and log go into lists.
local function new_face()
    local events = {}
    local function emit(event) events[#events + 1] = event end
    local masker = secrets.new {}
    local log = transcript.new { masker = masker, emit = emit }
    local made, state = face.new({ cell = { arch = "x" }, name = "n", id = "c:n", env = {}, attempt = 1,
        guests = { a = {} } }, { emit = emit, transcript = log, masker = masker })
    return made, state, events, log
end

t.test("assertions_show_values_place_and_the_last_output", function()
    local f, state, _, log = new_face()
    local machine = {}
    machine.watch = log:watch(nil, machine)
    local seen = machine.watch:begin("run", "make check")
    seen:output("stdout", "all\nthat\27[31m it said\n")
    seen:ended { status = 1 }
    local e = t.raises(function() f:equal({ a = { 1, 2 } }, { a = { 1, 3 } }, "lists") end, "check")
    t.match(e.message, "test_runner_parts.lua:%d+: lists: got { a = { 1, 2 } }, wanted { a = { 1, 3 } }; they differ")
    t.match(e.message, "%.a%[2%]: 2, wanted 3")
    t.match(e.message, "the last output %(\"make check\"%):\n  all\n  that%?%[31m it said")
    t.raises(function() f:match("abc", "x+") end, "check", '"abc" does not match "x%+"')
    t.equal(f:match("abc123", "(%d+)"), "123")
    t.equal(f:match("a.c", "a.c", { plain = true }), "a.c")
    t.raises(function() f:check(nil) end, "check", "it is nil")
    t.equal(f:check(7), 7)
    t.equal(f:expect(false, "soft"), false)
    t.equal(#state.failures, 4)
    t.equal(state.checks, { passed = 3, failed = 4 })
end)

t.test("sections_are_nested_and_timed_and_end_when_they_fail", function()
    local f, state, events = new_face()
    t.equal(f:section("outer", function(x) return f:section("inner", function() return x + 1 end) end, 1), 2)
    t.raises(function() f:section("bad", function() error "no" end) end)
    t.equal({ state.sections[1].depth, state.sections[2].depth, state.sections[3].depth }, { 1, 2, 1 })
    t.equal({ state.sections[1].ok, state.sections[3].ok }, { true, false })
    t.check(state.sections[1].duration >= state.sections[2].duration)
    t.equal(events[4].event, "section_ended")
    t.equal(state.depth, 0)
end)

t.test("t_names_the_nearest_method_and_cannot_be_changed", function()
    local f = new_face()
    t.raises(function() f:chekc(true) end, "usage", "did you mean 'check'")
    t.raises(function() f.cell = 1 end, "usage", "cannot be changed")
    t.raises(function() f:collect "relative" end, "usage", "absolute path")
    t.raises(function() f:collect "/a/../b" end, "usage", "without '..'")
    t.raises(function() f:collect("/a", { guest = "b" }) end, "usage", "unknown guest 'b'")
    t.raises(function() f:skip() end, "usage", "a reason expected")
end)

t.test("records_of_equal_tables_have_equal_digests", function()
    local f, state = new_face()
    f:record("a", { x = 1, y = { 2, 3 } })
    f:record("b", { y = { 2, 3 }, x = 1 })
    t.equal(state.records.a.digest, state.records.b.digest)
    t.check(state.records.a.text:find('"x":1', 1, true))
end)

t.test("values_are_shown_bounded", function()
    t.check(#show.value(("x"):rep(1e6)) < 500)
    local deep = {}
    deep.deep = deep
    t.check(#show.value(deep) < 500)
    t.equal(show.value { 1, "a\nb", x = { true } }, '{ 1, "a\\nb", x = { true } }')
    local same, where = show.same({ 1, { a = 1 } }, { 1, { a = 1, b = 2 } })
    t.equal({ same, where }, { false, "[2].b" })
end)

t.test("history_is_kept_and_merged", function()
    local folder = fs.mkdtemp "vmatrix-test-"
    local file = folder .. "/matrix.lua"
    assert(fs.write_atomic(file, ""))
    t.equal(history.load(file), {})
    assert(history.add(file, { a = 10, b = 2 }))
    assert(history.add(file, { a = 20, c = 0.1234567 }))
    t.equal(history.load(file), { a = 15, b = 2, c = 0.123 })
    assert(fs.remove_tree(folder))
end)

-- A host of which a test says what it has.
local function fake_host(given)
    local host = { locked = 0, reserved = nil, free = given.memory, held = given.others or
        { memory = 0, touched = 0, cpus = 0, disk = 0 } }
    host.memory = function() return host.free end
    host.disk = function() return given.disk or 1e12 end
    host.others = function() return host.held, 1 end
    host.touched = function() return 0 end
    host.reserve = function(used) host.reserved = used.memory end
    host.limits = function() return { cpus = given.cpus or 8, memory = given.memory, disk = 1e12 } end
    host.lock = function()
        host.locked = host.locked + 1
        return setmetatable({ close = function() end }, { __close = function() end })
    end
    return host
end

t.test("what_other_runs_hold_is_not_given_twice", function()
    local host = fake_host { memory = 4096 * MIB, others = { memory = 2048 * MIB, touched = 512 * MIB, cpus = 2,
        disk = 0 } }
    local room = admission.new("auto", host)
    local needs = { slots = 1, cpus = 1, memory = 1024 * MIB, disk = 0 }
    t.check(room:take(needs)) -- 1024 of 4096 - 1536 - 256
    t.equal(host.reserved, 1024 * MIB)
    t.check(room:take(needs))
    local taken, what = room:take(needs)
    t.equal({ taken, what }, { false, "memory" })
    room:give(needs)
    host.held = { memory = 0, touched = 0, cpus = 0, disk = 0 }
    t.check(room:take(needs) and room:take(needs))
end)

t.test("cpus_of_others_count_but_one_test_may_always_run", function()
    local others = { memory = 0, touched = 0, cpus = 2, disk = 0 }
    local room = admission.new("auto", fake_host { memory = 1e12, cpus = 2, others = others })
    local needs = { slots = 1, cpus = 1, memory = 1, disk = 0 }
    t.check(room:take(needs))
    t.equal(select(2, room:take(needs)), "cpus")
end)

t.test("jobs_bounds_the_number_whatever_the_cpus", function()
    local room = admission.new(3, fake_host { memory = 1e12, cpus = 1 })
    local needs = { slots = 1, cpus = 4, memory = 1, disk = 0 }
    t.check(room:take(needs) and room:take(needs) and room:take(needs))
    t.equal(select(2, room:take(needs)), "slots")
    t.raises(function() admission.new(0) end, "usage")
    t.raises(function() admission.new "many" end, "usage")
end)

t.test("what_can_never_fit_is_known_before", function()
    local room = admission.new("auto", fake_host { memory = 1024 * MIB })
    local possible, why = room:possible { memory = 2048 * MIB }
    t.equal(possible, false)
    t.match(why, "2048 MiB of memory, and this host has 1024")
end)

t.finish()
