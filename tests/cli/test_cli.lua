-- What the command line understands, and what it says when it does not.
local vm = require "vm"
local t = require "harness"
local cli = require "cli.cli"

t.test("a_script_gets_its_arguments_in_arg_and_as_varargs", function()
    local script = cli.script("args.lua", "print(arg[0], arg[1], #arg, ...)")
    local result = cli.run { script, "one", "two words" }
    t.equal(result.stdout, ("%s\tone\t2\tone\ttwo words\n"):format(script))
    t.equal(result.status, 0)
end)

t.test("a_dash_runs_a_script_from_standard_input", function()
    local result = cli.run({ "-", "x" }, { stdin = "#!/usr/bin/env vmatrix\nprint(arg[0], ...)" })
    t.equal(result.stdout, "-\tx\n")
    t.equal(result.status, 0)
end)

t.test("code_after_e_runs_with_vm_loaded_and_its_arguments", function()
    local result = cli.run { "-e", "print(type(vm.sleep), ...)", "a", "-v" }
    t.equal(result.stdout, "function\ta\t-v\n")
end)

t.test("options_after_the_script_are_the_scripts", function()
    local script = cli.script("options.lua", "print(...)")
    t.equal(cli.run({ script, "--help", "-e" }).stdout, "--help\t-e\n")
    t.equal(cli.run({ "--", script, "--version" }).stdout, "--version\n")
end)

t.test("a_first_line_with_an_interpreter_is_skipped_and_still_counted", function()
    local script = cli.script("shebang.lua", "#!/usr/bin/env vmatrix\nerror 'here'")
    local result = cli.run { script }
    t.match(result.stderr, "shebang%.lua:2: here")
    t.equal(result.status, 1)
end)

t.test("compiled_lua_is_refused", function()
    local script = cli.script("compiled.luac", string.dump(function() print "ran" end))
    local result = cli.run { script }
    t.equal(result.status, 1)
    t.equal(result.stdout, "")
    t.match(result.stderr, "compiled%.luac is compiled Lua")
    result = cli.run({ "-" }, { stdin = string.dump(function() print "ran" end) })
    t.equal(result.status, 1)
    t.equal(result.stdout, "")
end)

t.test("a_folder_or_nothing_at_the_path_is_wrong_usage", function()
    local result = cli.run { cli.folder }
    t.equal(result.status, 2)
    t.match(result.stderr, "Is a directory")
    result = cli.run { cli.folder .. "/none.lua" }
    t.equal(result.status, 2)
    t.match(result.stderr, "No such file")
end)

t.test("a_misspelt_command_or_option_names_the_nearest", function()
    local result = cli.run { "docter" }
    t.equal(result.status, 2)
    t.match(result.stderr, "did you mean `vmatrix doctor`")
    result = cli.run { "--verson" }
    t.equal(result.status, 2)
    t.match(result.stderr, "did you mean '%-%-version'")
    result = cli.run { "prune", "--dry-rn" }
    t.equal(result.status, 2)
    t.match(result.stderr, "did you mean '%-%-dry%-run'")
end)

t.test("every_command_explains_itself", function()
    for _, name in ipairs { "doctor", "images", "prune", "test" } do
        local result = cli.run { name, "--help" }
        t.equal(result.status, 0, name)
        t.match(result.stdout, "^usage: vmatrix " .. name)
        t.equal(result.stderr, "", name)
        t.equal(cli.run({ name, "--no-such-flag" }).status, 2, name)
    end
end)

t.test("help_goes_to_stdout_and_names_every_command", function()
    local result = cli.run { "--help" }
    t.equal(result.status, 0)
    for _, word in ipairs { "doctor", "images", "prune", "%-%-version", "130" } do
        t.match(result.stdout, word)
    end
    result = cli.run {} -- an empty script, on a standard input that is no terminal
    t.equal({ result.status, result.stdout, result.stderr }, { 0, "", "" })
end)

t.test("the_version_names_the_libraries_with_theirs", function()
    local result = cli.run { "--version" }
    t.equal(result.status, 0)
    t.match(result.stdout, "^vmatrix %d+%.%d+%.%d+\n")
    for _, name in ipairs {
        "Lua", "libvirt", "libssh2", "libuv", "libxml2", "jansson", "libarchive", "libcurl", "openssl", "libedit",
    } do
        t.match(result.stdout, "\n  " .. name .. " +%d+%.%d+")
    end
end)

t.test("a_traceback_shows_the_scripts_lines_only", function()
    local script = cli.script("trace.lua", [[
local vm = require "vm"
local function inner()
    vm.sleep "soon"
end
local function outer()
    inner()
    return 1
end
outer()
]])
    local result = cli.run { script }
    t.equal(result.status, 1)
    t.match(result.stderr, "vmatrix: vm%.sleep: a time")
    t.match(result.stderr, "trace%.lua:3: in upvalue 'inner'\n.*trace%.lua:6: in local 'outer'\n")
    t.match(result.stderr, "trace%.lua:9: in main chunk\n$")
    t.check(not result.stderr:find("vmatrix/vm/", 1, true), "the library's lines are shown: " .. result.stderr)
    t.check(not result.stderr:find("[C]", 1, true), "C is shown: " .. result.stderr)
end)

t.test("a_syntax_error_is_one_line", function()
    local result = cli.run { "-e", "x = = 1" }
    t.equal(result.status, 1)
    t.match(result.stderr, "^vmatrix: %(command line%):1: [^\n]*\n$")
end)

t.test("modules_beside_the_script_are_found_and_none_stands_in_for_the_library", function()
    cli.script("beside.lua", "return 'beside'")
    cli.script("vm.lua", "return 'not the library'")
    local script = cli.script("main.lua", "print(require 'beside', type(require 'vm'))")
    t.equal(cli.run({ script }, { cwd = "/" }).stdout, "beside\ttable\n")
end)

t.test("it_runs_without_home_or_any_variable", function()
    local host = require "vm.host"
    local result = host.run({ "env", "-i", cli.binary, "-e",
        "local r = require 'vm.run'.open() print(r.root, r.dir, r.cache)" }, { timeout = 60 })
    local root, dir, cache = result.stdout:match "^(%S+)\t(%S+)\t(%S+)\n"
    t.match(root, "^/tmp/vmatrix%-%d+/%x+$")
    t.match(dir, "^/var/tmp/vmatrix%-%d+%-files/%x+$")
    t.match(cache, "^/var/tmp/vmatrix%-%d+%-cache$")
    t.check(not vm.raw.fs.exists(root) and not vm.raw.fs.exists(dir), "the run's folders are left")
end)

cli.clean()
t.finish()
