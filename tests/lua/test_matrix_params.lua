-- vm.params: what -D gives a matrix, in the type of its default.
local t = require "harness"
local vm = require "vm"
local params = require "vm.matrix.params"

t.test("a_parameter_has_its_default_or_what_was_said_in_the_same_type", function()
    params.set { jobs = "8", deep = "yes", release = "forky", ratio = "0.5" }
    local p = vm.params { jobs = 4, deep = false, release = "trixie", ratio = 1.0, mirror = "none", fast = true }
    t.equal({ p.jobs, p.deep, p.release, p.ratio, p.mirror, p.fast }, { 8, true, "forky", 0.5, "none", true })
    params.set { deep = "off", fast = "0" }
    p = vm.params { deep = true, fast = true }
    t.equal({ p.deep, p.fast }, { false, false })
end)

t.test("what_is_not_of_the_type_is_refused_and_named", function()
    params.set { jobs = "many", deep = "maybe", memory = "512" }
    t.raises(function() vm.params { jobs = 4 } end, "usage", 'parameter \'jobs\': a number expected, got "many"')
    t.raises(function() vm.params { deep = true } end, "usage", "parameter 'deep': yes or no expected")
    t.raises(function() vm.params { memory = { "size" } } end, "usage", "memory.*a size such as")
    t.raises(function() vm.params { list = {} } end, "usage", "vm.params: 'list'")
    t.raises(function() vm.params { fn = print } end, "usage", "'fn': a default or a description expected")
    t.raises(function() vm.params { ["a b"] = 1 } end, "usage", "is no name of a parameter")
    t.raises(function() vm.params(1) end, "usage", "a table of defaults expected")
end)

t.test("a_description_has_choices_bounds_and_may_require", function()
    params.set { release = "sid", jobs = "99" }
    t.raises(function() vm.params { release = { "string", one_of = { "trixie", "forky" } } } end, "usage",
        "release.*unknown value 'sid'")
    t.raises(function() vm.params { jobs = { "integer", max = 9 } } end, "usage", "jobs.*at most 9")
    t.raises(function() vm.params { token = { "string", required = true, help = "of the mirror" } } end, "usage",
        "parameter 'token' is missing; say %-D token=VALUE %(of the mirror%)")
    params.set { memory = "2GiB", wait = "5m" }
    local p = vm.params { memory = { "size", default = 2 ^ 30 // 1 }, wait = { "time" }, absent = { "time" } }
    t.equal({ p.memory, p.wait }, { 2 ^ 31 // 1, 300 })
end)

t.test("a_name_that_was_not_declared_raises", function()
    params.set { extra = "text" }
    local p = vm.params { jobs = 4 }
    t.raises(function() return p.jbos end, "usage", "unknown parameter 'jbos'; did you mean 'jobs'")
    t.equal(vm.params.extra, "text")
    t.raises(function() return vm.params.nothing end, "usage", "'nothing' was not given; say %-D nothing=VALUE")
    t.raises(function() vm.params.extra = 1 end, "usage", "cannot be set")
end)

t.test("what_nobody_asked_for_is_known", function()
    params.set { jbos = "4", extra = "x" }
    t.equal(vm.params({ jobs = 4 }).jobs, 4)
    t.equal(vm.params.extra, "x")
    local unknown, known = params.unknown()
    t.equal(unknown, { "jbos" })
    t.equal(known, { "extra", "jobs" })
    t.equal(params.values(), { jobs = 4, extra = "x" })
    params.set {}
end)

t.finish()
