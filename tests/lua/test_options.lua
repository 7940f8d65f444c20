-- vm.options: what a user wrote, checked, converted and filled in.
local t = require "harness"
local options = require "vm.options"

local MIB <const>, GIB <const> = 2 ^ 20 // 1, 2 ^ 30 // 1

t.test("sizes_have_binary_units_in_any_spelling", function()
    for text, bytes in pairs {
        ["512MiB"] = 512 * MIB, ["2GiB"] = 2 * GIB, ["2G"] = 2 * GIB, ["1.5 GiB"] = 1536 * MIB, ["64k"] = 65536,
        ["4096B"] = 4096, ["1TiB"] = 1024 * GIB,
    } do
        t.equal(options.size("memory", text), bytes, text)
        t.equal(math.type(options.size("memory", text)), "integer", text)
    end
    t.equal(options.size("memory", 3 * GIB), 3 * GIB)
    t.equal(math.type(options.size("memory", 3 * 2 ^ 30)), "integer")
end)

t.test("a_small_bare_number_is_no_size_and_the_message_says_what_was_meant", function()
    t.raises(function() options.size("memory", 512) end, "usage", "memory: 512 .*'512MiB' or '512GiB'")
end)

t.test("what_is_no_size_raises_and_shows_it", function()
    for _, value in ipairs { "lots", "2GB2", "", "-1GiB", "0MiB", "GiB", true, 1.5 } do
        t.raises(function() options.size("disk", value) end, "usage", "^disk: a size")
    end
    t.raises(function() options.size("disk", {}) end, "usage", "got a table")
end)

t.test("times_are_seconds_or_have_a_unit", function()
    for text, seconds in pairs { ["250ms"] = 0.25, ["90s"] = 90, ["10m"] = 600, ["2min"] = 120, ["1h"] = 3600,
        ["1d"] = 86400, ["1.5"] = 1.5, [" 3 s "] = 3 } do
        t.equal(options.time("timeout", text), seconds, text)
    end
    t.equal(options.time("timeout", 0), 0)
    t.equal(options.time("timeout", 1.5), 1.5)
    for _, value in ipairs { "soon", "-1s", "10 parsecs", -1, "", "10MiB" } do
        t.raises(function() options.time("timeout", value) end, "usage", "^timeout: a time")
    end
end)

t.test("not_a_number_is_no_time_and_no_number_in_bounds", function()
    t.raises(function() options.time("timeout", 0 / 0) end, "usage", "a time")
    t.raises(function() options.check("verb", { n = 0 / 0 }, { n = { "number", min = 0 } }) end, "usage")
end)

t.test("an_unknown_option_raises_and_names_the_nearest", function()
    local spec = { memory = "size", cpus = "integer", name = "string" }
    t.raises(function() options.check("vm.boot", { memroy = "1GiB" }, spec) end, "usage",
        "^vm.boot: unknown option 'memroy'; did you mean 'memory'%?$")
    t.raises(function() options.check("vm.boot", { Cpus = 1 }, spec) end, "usage", "did you mean 'cpus'")
    t.raises(function() options.check("vm.boot", { colour = 1 }, spec) end, "usage", "known are cpus, memory, name$")
    t.raises(function() options.check("vm.boot", { [1] = "x" }, spec) end, "usage", "unknown option '1'")
end)

t.test("the_nearest_is_never_something_far_off", function()
    t.equal(options.nearest("docter", { "doctor", "prune" }), "doctor")
    t.equal(options.nearest("x", { "doctor", "prune" }), nil)
    t.equal(options.nearest("aarch46", { "x86_64", "aarch64", "riscv64" }), "aarch64")
end)

t.test("a_wrong_type_names_the_verb_the_option_and_what_came", function()
    t.raises(function() options.check("guest:exec", { cwd = 5 }, { cwd = "string" }) end, "usage",
        "^guest:exec: option 'cwd': string expected, got 5$")
    t.raises(function() options.check("vm.boot", "debian", {}) end, "usage",
        'a table of options expected, got "debian"')
    t.raises(function() options.check("verb", { n = 1.5 }, { n = "integer" }) end, "usage", "a whole number expected")
end)

t.test("a_type_may_be_one_of_several", function()
    local spec = { stdin = "string|function", when = "boolean|time" }
    local fn = function() end
    t.equal(options.check("v", { stdin = "x" }, spec).stdin, "x")
    t.equal(options.check("v", { stdin = fn }, spec).stdin, fn)
    t.equal(options.check("v", { when = false }, spec).when, false)
    t.equal(options.check("v", { when = "2m" }, spec).when, 120)
    t.raises(function() options.check("v", { stdin = 1 }, spec) end, "usage", "string or function expected")
end)

t.test("defaults_fill_in_and_what_is_required_must_be_there", function()
    local spec = {
        size = { "size", default = GIB },
        name = { "string", required = true },
        flag = { "boolean", default = true },
    }
    t.equal(options.check("v", { name = "a" }, spec), { size = GIB, name = "a", flag = true })
    t.equal(options.check("v", { name = "a", flag = false }, spec).flag, false)
    t.raises(function() options.check("v", {}, spec) end, "usage", "^v: option 'name' is missing$")
    t.raises(function() options.check("v", nil, spec) end, "usage", "option 'name' is missing")
end)

t.test("limits_and_choices_hold", function()
    local spec = { n = { "integer", min = 1, max = 8 }, how = { "string", one_of = { "none", "console", "commands" } } }
    t.equal(options.check("v", { n = 8, how = "none" }, spec), { n = 8, how = "none" })
    t.raises(function() options.check("v", { n = 0 }, spec) end, "usage", "option 'n': at least 1 expected, got 0")
    t.raises(function() options.check("v", { n = 9 }, spec) end, "usage", "at most 8 expected, got 9")
    t.raises(function() options.check("v", { how = "comands" }, spec) end, "usage",
        "unknown value 'comands'; did you mean 'commands'")
end)

t.test("the_users_table_is_not_changed", function()
    local given = { memory = "1GiB" }
    local out = options.check("v", given, { memory = "size", cpus = { "integer", default = 2 } })
    t.equal(given, { memory = "1GiB" })
    t.equal(out, { memory = GIB, cpus = 2 })
end)

t.finish()
