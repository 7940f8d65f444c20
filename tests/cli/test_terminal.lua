-- The terminal behind a descriptor: its size, and its settings, which come back whatever happens.
local host = require "vm.host"
local vm = require "vm"
local t = require "harness"
local cli = require "cli.cli"

-- Runs a line of sh on a terminal of its own; what it printed, with plain line breaks.
local function on_terminal(line)
    if not host.which "script" then
        t.skip "script is not installed"
    end
    local argv = vm.raw.build.system == "macos" and { "script", "-q", "/dev/null", "sh", "-c", line }
        or { "script", "-qec", line, "/dev/null" }
    local result = host.run(argv, { check = false, timeout = 60 })
    return (result.stdout:gsub("\r", "")), result
end

local function code(name, text)
    return ("'%s' '%s'"):format(cli.binary, cli.script(name, text))
end

t.test("the_size_is_what_the_terminal_says", function()
    local out = on_terminal("stty rows 33 cols 77; " .. code("size.lua", [[
        print("size", require "vm".raw.terminal.size())
    ]]))
    t.match(out, "size\t33\t77\n")
end)

t.test("what_is_no_terminal_has_no_size_and_no_settings", function()
    local result = cli.run { "-e", "print(vm.raw.terminal.size(0)) print(vm.raw.terminal.raw(0))" }
    t.match(result.stdout, "^nil\t.*cannot ask for the size of the terminal.*\nnil\t.*cannot read the terminal")
end)

t.test("keys_come_as_they_are_typed_until_the_handle_is_closed", function()
    local out = on_terminal("stty -a | grep -o -e '-*icanon'; " .. code("raw.lua", [[
        local terminal = require "vm".raw.terminal
        do
            local raw <close> = assert(terminal.raw(0))
            os.execute "stty -a | grep -o -e '-*icanon'"
        end
        os.execute "stty -a | grep -o -e '-*icanon'"
        local raw = assert(terminal.raw(0))
        raw:close()
        raw:close()
        os.execute "stty -a | grep -o -e '-*icanon'"
        local kept <close> = assert(terminal.raw(0))
        error "it ends"
    ]]) .. "; stty -a | grep -o -e '-*icanon'")
    local seen = {}
    for word in out:gmatch "%-?icanon" do
        seen[#seen + 1] = word
    end
    t.equal(seen, { "icanon", "-icanon", "icanon", "icanon", "icanon" })
end)

cli.clean()
t.finish()
