-- What completion says could stand next, and what it knows of it: the commands' own help.
local t = require "harness"
local cli = require "vm.cli"
local complete = require "vm.cli.complete"
local usages = require "vm.cli.usage"

local function values(...)
    local found = complete.words { ... }
    local list = {}
    for i, item in ipairs(found.list) do
        list[i] = item.value
    end
    return list, found.files
end

local function has(list, value)
    for _, one in ipairs(list) do
        if one == value then
            return true
        end
    end
    return false
end

t.test("the first word is a command, an option or a script", function()
    local list, files = values ""
    t.equal(#list, #cli.commands)
    t.check(files, "a script is a file")
    t.equal((values "pru"), { "prune" })
    t.equal((values "--vers"), { "--version" })
    t.equal((values("-v", "doc")), { "doctor" })
    t.equal((values("-e", "")), {})
end)

t.test("every option that a command's help shows is completed", function()
    local count = 0
    for _, command in ipairs(cli.commands) do
        local list = values(command.name, "-")
        for _, option in ipairs(usages.parse(usages.of(command)).options) do
            local name = option.names[#option.names]
            t.check(has(list, name), ("vmatrix %s %s is not completed"):format(command.name, name))
            count = count + 1
        end
        t.check(has(list, "--help"), command.name .. " has no help")
    end
    t.check(count > 40, "the helps were not read")
end)

t.test("commands of commands and the values of options are known", function()
    t.equal((values("states", "")), { "list", "show", "tree", "verify" })
    t.equal((values("completion", "")), { "bash", "zsh", "fish" })
    for _, name in ipairs { "build", "list", "pull", "lock" } do
        t.check(has(values("images", ""), name), "images " .. name)
    end
    t.check(has(values("images", "pull", "debian-"), "debian-12"), "images pull takes images")
    t.check(has(values("images", "mirror", "-"), "--help"))
    t.equal((values("test", "--keep", "")), { "never", "failed", "always" })
    t.equal((values("test", "--format=j")), { "--format=junit", "--format=json" })
    t.equal((values("test", "--isolation=")), { "--isolation=test", "--isolation=cell", "--isolation=revert",
        "--isolation=boot" })
    t.equal((values("images", "build", "se")), { "seed" })
    local _, files = values("report", "--runs", "")
    t.check(files, "--runs wants a folder")
    _, files = values("script.lua", "")
    t.check(files, "what a script takes is not known")
end)

t.test("the values that stand in sentences only are those of real options, and named there", function()
    for name, of in pairs(complete.values) do
        local text
        for _, command in ipairs(cli.commands) do
            text = command.name == name and usages.of(command) or text
        end
        for option, words in pairs(of()) do
            t.check(text:find("\n  " .. option .. " ", 1, true), option .. " is no option of " .. name)
            for _, word in ipairs(words) do
                t.check(text:find("%f[%w]" .. word .. "%f[%W]"), ("%s %s does not name %s"):format(name, option, word))
            end
        end
    end
end)

t.test("commands that are data complete what their operands and options name", function()
    local vm, real = require "vm", rawget(require "vm", "list")
    rawset(vm, "list", function()
        return { { name = "dev", state = "running" }, { name = "old", state = "stopped" } }
    end)
    package.loaded["test.cmd_poke"] = require("vm.cli.command").define { name = "poke", help = "pokes",
        operands = { { name = "GUEST", complete = { "guest" } },
            { name = "SRC", complete = { "path" }, words = { "all" } },
            { name = "COMMAND", rest = true, optional = true } },
        options = { { name = "--arch", short = "-a", value = "ARCH", complete = { "arch" }, help = "which" },
            { name = "--how", value = "HOW", words = { "well", "badly" }, help = "how" },
            { name = "--hard", help = "harder" } },
        handler = function() end }
    table.insert(cli.commands, { name = "poke", help = "pokes", module = "test.cmd_poke" })
    t.equal((values("poke", "")), { "dev", "old" })
    t.equal((values("poke", "d")), { "dev" })
    t.equal((values("poke", "dev", "")), { "all", "dev:", "old:" })
    t.equal((values("poke", "-a", "riscv")), { "riscv64" })
    t.equal((values("poke", "--how", "dev")), {})
    t.equal((values("poke", "--how=b")), { "--how=badly" })
    t.equal((values("poke", "--ha")), { "--hard" })
    t.equal((values("poke", "dev", "all", "--ha")), {}, "what is run there has options of its own")
    table.remove(cli.commands)
    package.loaded["test.cmd_poke"] = nil
    rawset(vm, "list", real)
end)

t.test("a help text is taken apart", function()
    local usage = usages.parse [[
usage: vmatrix x list [--why]
       vmatrix x show|tree KEY   see there

Does it
well.

saying:
  -j, --jobs N    so many
                  at once
  --format F[=P]  a report
  word            no option
]]
    t.equal(usage.synopsis, { "vmatrix x list [--why]", "vmatrix x show|tree KEY" })
    t.equal(usages.subcommands(usage, "x"), { "list", "show", "tree" })
    t.equal(usage.options[1], { names = { "-j", "--jobs" }, value = "N", text = "so many at once" })
    t.equal(usage.options[2].value, "F[=P]")
    t.equal(#usage.options, 2)
    t.equal(usage.parts[1].text, "Does it well.")
end)

t.finish()
