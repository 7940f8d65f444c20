-- Commands as data: reading a command line by its description, and the help that is made of it.
local command = require "vm.cli.command"
local t = require "harness"

local seen

local def = {
    name = "copy",
    help = "copy files",
    operands = { { name = "GUEST", complete = { "guest" } }, { name = "WORDS", rest = true, optional = true } },
    options = {
        { name = "--memory", short = "-m", value = "SIZE", type = "size", help = "so much" },
        { name = "--timeout", value = "TIME", type = "time", help = "so long" },
        { name = "--cpus", value = "N", type = "integer", help = "so many" },
        { name = "--way", value = "WAY", words = { "ssh", "agent" }, help = "by which way" },
        { name = "--forward", value = "PORT", many = true, help = "a port" },
        { name = "--keep", value = "SIZE", type = "size", zero = true, help = "so much stays" },
        { name = "--json", help = "say it as JSON" },
    },
    examples = { "vmatrix copy dev" },
    handler = function(opts, operands)
        seen = { opts, operands }
    end,
}

local function parse(...)
    local opts, operands = command.parse(def, { ... })
    return { opts, operands }
end

t.test("values_are_converted_and_flags_are_true", function()
    local got = parse("--memory", "1GiB", "--timeout=2m", "--cpus", "3", "--json", "dev")
    t.equal(got, { { memory = 2 ^ 30 // 1, timeout = 120, cpus = 3, json = true }, { guest = "dev", words = {} } })
end)

t.test("a_size_is_0_only_where_that_means_something", function()
    t.equal(parse("--keep", "0", "dev")[1], { keep = 0 })
    t.raises(function() parse("--memory", "0", "dev") end, "usage", "%-%-memory")
    t.raises(function() parse("--keep", "10", "dev") end, "usage", "%-%-keep.*10MiB")
end)

t.test("a_short_name_is_the_same_option", function()
    t.equal(parse("-m", "1MiB", "dev")[1], { memory = 2 ^ 20 // 1 })
end)

t.test("an_option_that_may_come_several_times_is_a_list", function()
    t.equal(parse("--forward", "80", "--forward=81", "dev")[1], { forward = { "80", "81" } })
end)

t.test("what_follows_the_last_fixed_operand_belongs_to_the_rest_with_its_options", function()
    t.equal(parse("dev", "ls", "--json", "-l")[2], { guest = "dev", words = { "ls", "--json", "-l" } })
end)

t.test("options_after_the_operand_are_ours_until_two_dashes", function()
    t.equal(parse("dev", "--json", "--", "--json"), { { json = true }, { guest = "dev", words = { "--json" } } })
end)

t.test("an_unknown_option_is_refused_with_the_nearest_one", function()
    t.raises(function() parse("--memroy", "1GiB", "dev") end, "usage", "did you mean '%-%-memory'")
end)

t.test("wrong_values_name_the_option", function()
    t.raises(function() parse("--memory", "much", "dev") end, "usage", "%-%-memory.*512MiB")
    t.raises(function() parse("--cpus", "two", "dev") end, "usage", "%-%-cpus.*whole number")
    t.raises(function() parse("--way", "agnet", "dev") end, "usage", "%-%-way.*did you mean 'agent'")
    t.raises(function() parse("--json=yes", "dev") end, "usage", "takes no value")
    t.raises(function() parse("dev", "--cpus") end, "usage", "wants a value")
end)

t.test("a_missing_operand_and_one_too_many_are_said", function()
    t.raises(function() parse() end, "usage", "GUEST is missing")
    local two = { name = "x", help = "y", operands = { { name = "A" } } }
    t.raises(function() command.parse(two, { "1", "2" }) end, "usage", "'2' is one word too many")
end)

t.test("the_help_names_every_operand_option_and_example", function()
    local text = command.usage(def)
    t.match(text, "^usage: vmatrix copy %[OPTION%.%.%.%] GUEST %[%[%-%-%] WORDS%.%.%.%]\n")
    t.match(text, "\n  %-m, %-%-memory SIZE +so much\n")
    t.match(text, "\n  %-h, %-%-help +this text\n")
    t.match(text, "examples:\n  vmatrix copy dev\n")
end)

t.test("a_handler_without_a_code_means_0", function()
    t.equal(command.define(def).main { "dev" }, 0)
    t.equal(seen, { {}, { guest = "dev", words = {} } })
end)

t.finish()
