-- The commands about kept guests, before any guest: what is said when something is wrong, and that nothing is
-- started or made for it.
local vm = require "vm"
local t = require "harness"
local cli = require "cli.cli"
local command_list = require "vm.cli".commands

local fs = vm.raw.fs
local home = cli.folder .. "/state/vmatrix/kept"

local function run(...)
    return cli.run { ... }
end

t.test("every_command_explains_itself", function()
    for _, each in ipairs(command_list) do
        local result = run(each.name, "--help")
        t.equal(result.status, 0, each.name)
        t.match(result.stdout, "usage: vmatrix " .. each.name:gsub("%-", "%%-"))
        t.equal(result.stderr, "")
    end
end)

t.test("commands_as_data_name_the_kinds_that_completion_knows", function()
    local kinds = { guest = true, image = true, arch = true, snapshot = true, file = true, path = true, command = true,
        state = true, run = true }
    local count = 0
    for _, each in ipairs(command_list) do
        local def = require(each.module).command
        if def then
            count = count + 1
            t.equal({ def.name, def.help }, { each.name, each.help })
            for _, list in ipairs { def.operands or {}, def.options or {} } do
                for _, item in ipairs(list) do
                    for _, kind in ipairs(item.complete or {}) do
                        t.check(kinds[kind], each.name .. ": " .. kind)
                    end
                end
            end
        end
    end
    t.check(count >= 17, tostring(count))
end)

t.test("help_knows_every_command_and_the_nearest", function()
    t.equal(run("help", "boot").stdout, run("boot", "--help").stdout)
    t.equal(run("help", "images", "pull").stdout, run("images", "pull", "--help").stdout)
    t.match(run("help", "images", "pul").stderr, "did you mean 'pull'")
    t.match(run("help", "boot", "it").stderr, "'it' is one word too many")
    t.match(run("help").stdout, "\n  ssh%-config +")
    local result = run("help", "bot")
    t.equal(result.status, 2)
    t.match(result.stderr, "did you mean 'boot'")
end)

t.test("wrong_usage_is_2_and_shows_how_it_is_used", function()
    local result = run("boot", "--memroy", "1GiB", "seed")
    t.equal(result.status, 2)
    t.match(result.stderr, "unknown option '%-%-memroy'; did you mean '%-%-memory'%?\nusage: vmatrix boot")
    t.equal(run("boot").status, 2)
    t.equal(run("boot", "seed", "more").status, 2)
    t.equal(run("boot", "seed", "--memory", "lots").status, 2)
    t.equal(run("exec", "dev").status, 2)
    t.equal(run("stop").status, 2)
    t.equal(run("forward", "dev", "80", "81").status, 2)
    t.equal(run("copy", "a").status, 2)
    t.equal(run("copy", "a", "b", "dev:/tmp").status, 2)
end)

t.test("what_no_guest_can_be_is_refused_before_anything_is_made", function()
    t.match(run("boot", "seed", "--name", "a/b").stderr, "option 'name'")
    t.match(run("boot", "seed@sparc").stderr, "unknown architecture 'sparc'")
    t.match(run("boot", "/no/such/image").stderr, "there is no file /no/such/image")
    t.match(run("-e", "vm.create { image = 'seed', keep = true, nics = { vm.network {} } }").stderr,
        "a kept guest cannot be on a network")
    t.match(run("-e", "vm.create { image = 'seed', keep = true, agent = true, transport = 'agent' }").stderr,
        "commands reach a kept guest by SSH alone")
    t.check(not fs.exists(home), "something was made")
end)

t.test("without_guests_the_commands_say_so_and_start_no_owner", function()
    t.equal(run("list", "--json").stdout, "[]\n")
    t.equal(run("list", "--names").stdout, "")
    t.match(run("list").stderr, "no kept guests; `vmatrix boot seed %-%-name dev` makes one")
    t.equal(run("ssh-config").stdout, "")
    t.equal(run("ssh-config", "--json").stdout, "[]\n")
    for _, name in ipairs { "start", "stop", "kill", "info", "console", "snapshot", "delete", "forward" } do
        local result = run(name, "dev")
        t.equal(result.status, 3, name)
        t.match(result.stderr, "there is no guest \"dev\"; `vmatrix boot` makes one")
    end
    t.equal(run("-e", "print(vm.get 'dev')").stdout, "nil\tthere is no guest \"dev\"; `vmatrix boot` makes one\n")
    t.check(not fs.exists(home), "something was made")
end)

t.test("what_is_neither_a_guest_nor_an_image_says_the_nearest_of_both", function()
    local result = run("exec", "debain-13", "--", "true")
    t.equal(result.status, 125)
    t.match(result.stderr, "there is no guest and no image \"debain%-13\"; did you mean 'debian%-13'%?")
    t.match(run("exec", "zzzzzzzz", "--", "true").stderr, "`vmatrix list` shows the guests, `vmatrix images list` the")
    t.match(run("boot", "debain-13").stderr, "there is none of that name; did you mean 'debian%-13'%?")
end)

t.test("shell_wants_a_terminal", function()
    local result = run("shell", "seed")
    t.equal(result.status, 2)
    t.match(result.stderr, "no terminal; `vmatrix exec GUEST %-%- COMMAND` needs none")
end)

cli.clean()
t.finish()
