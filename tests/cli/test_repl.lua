-- The prompt in a real terminal: what is typed, edited, completed, interrupted and printed meanwhile.
local vm = require "vm"
local t = require "harness"
local cli = require "cli.cli"
local tmux = require "cli.tmux"

-- The line of sh that starts the binary with folders of this file's own.
local function line_of(args)
    local words = {}
    for i, word in ipairs(cli.argv(args or {}, { env = { "HOME=" .. cli.folder, "LC_ALL=C.UTF-8" } })) do
        words[i] = "'" .. word .. "'"
    end
    return table.concat(words, " ")
end

-- The prompt is there when this returns.
local function start(args, opts)
    local terminal = tmux.start(line_of(args), opts)
    local ok, err = pcall(terminal.expect, terminal, "vm>$")
    if not ok then
        terminal:__close()
        error(err, 0)
    end
    return terminal
end

-- Enters a line and returns when it runs: what is pressed sooner is the editor's, and a Ctrl-C or Ctrl-Z takes
-- away what was not read yet.
local function enter_and_run(at, line)
    at:enter("print 'it runs' " .. line)
    at:expect "\nit runs$"
end

-- The same with a line that goes on until the function that is returned is called.
local function enter_and_hold(at)
    local path = ("%s/go-%d"):format(cli.folder, math.random(1 << 30))
    enter_and_run(at, ("while not vm.raw.fs.exists '%s' do vm.sleep(0.05) end"):format(path))
    return function()
        vm.sleep(0.2) -- until what was pressed is there
        assert(vm.raw.fs.write_atomic(path, ""))
    end
end

t.test("an_expression_prints_its_values_and_the_last_one_is_kept", function()
    local at <close> = start()
    at:enter "6 * 7, 'two'"
    at:expect "\n42\n\"two\"\nvm>$"
    at:enter "_ + 1"
    at:expect "\n43\nvm>$"
    at:enter "= { 1, x = 'y', { 2 } }"
    at:expect '\n{ 1, { 2 }, x = "y" }\nvm>$'
    at:enter "nothing"
    at:expect "\nnil\nvm>$"
    at:enter "x = 5"
    at:expect "x = 5\nvm>$"
    at:enter "local y = 6"
    at:expect "a local is gone when its line ends"
end)

t.test("what_is_not_finished_goes_on_and_comes_back_whole_from_the_history", function()
    local at <close> = start()
    at:enter "for i = 1, 2 do"
    at:expect "%.%.>$"
    at:enter "print('round', i)"
    at:enter "end"
    at:expect "\nround\t?%s*1\nround%s+2\nvm>$"
    at:press "Up"
    at:expect "vm> for i = 1, 2 do\nprint%('round', i%)\nend$"
    at:press "Enter"
    at:expect "round%s+2\n.*round%s+2\nvm>$"
    at:enter "function f("
    at:expect "%.%.>$"
    at:press "C-c"
    at:expect "%^C\nvm>$"
    at:enter "x = = 1"
    at:expect "error: stdin:1: unexpected symbol near '='\nvm>$"
end)

t.test("editing_moves_deletes_and_knows_characters_of_several_bytes", function()
    local at <close> = start()
    at:type "'grüße, 日本'"
    at:press("Left", "Left", "BSpace")
    at:expect "vm> 'grüße, 本'$"
    at:press("Home", "Right", "DC")
    at:type "G"
    at:press "Enter"
    at:expect '\n"Grüße, 本"\nvm>$'
    at:type "abc def"
    at:press "C-w"
    at:expect "vm> abc%s*$"
    at:press "C-u"
    at:enter "#'ü'"
    at:expect "\n2\nvm>$"
end)

t.test("the_history_is_this_users_alone_and_can_be_searched", function()
    do
        local at <close> = start()
        at:enter "first = 'needle'"
        at:enter "second = 'hay'"
        at:enter " secret = 'not kept'"
        at:expect "not kept'\nvm>$"
        at:press "C-d"
        at:expect "ended 0"
    end
    local path = cli.folder .. "/state/vmatrix/typed"
    t.equal(vm.raw.fs.stat(path).mode, 384) -- 0600
    local kept = assert(vm.raw.fs.read(path, 65536))
    t.match(kept, "first = 'needle'\nsecond = 'hay'\n$")
    local at <close> = start()
    at:press "C-r"
    at:type "need"
    at:expect "first = 'needle'"
    at:press "Enter"
    at:expect "\nvm>$"
    at:enter "first"
    at:expect '\n"needle"\nvm>$'
end)

t.test("output_of_tasks_goes_above_what_is_typed_and_does_not_tear_it", function()
    local at <close> = start()
    at:enter "vm.spawn(function() for i = 1, 5 do print('tick', i) vm.sleep(0.2) end io.write 'half' end)"
    at:type "half a li"
    at:expect "tick%s+5\nhalf\nvm> half a li$"
    at:type "ne"
    at:expect "vm> half a line$"
    local screen = at:screen()
    local _, torn = screen:gsub("vm> half a li", "")
    t.equal(torn, 1, screen)
    at:press "C-u"
    at:enter "vm.spawn(function() vm.sleep(0.1) error 'lost' end)"
    at:expect "warn [^\n]*stdin:1: lost\nvm>$"
    at:enter "vm.raw.log.write('warn', nil, 'a warning')"
    at:expect "warn.*a warning\nvm>$"
end)

t.test("ctrl_c_ends_the_line_that_runs_and_nothing_else", function()
    local at <close> = start()
    at:enter "alive = true; vm.spawn(function() while true do vm.sleep(0.05) ticks = (ticks or 0) + 1 end end)"
    enter_and_run(at, "done = false; vm.sleep(100); done = true")
    at:press "C-c"
    at:expect "%^C\ninterrupted\nvm>$"
    at:enter "done, alive"
    at:expect "\nfalse\ntrue\nvm>$"
    at:enter "before = ticks; vm.sleep(0.3)"
    at:enter "ticks > before"
    at:expect "\ntrue\nvm>$"
    -- One that computes.
    enter_and_run(at, "while true do end")
    at:press "C-c"
    at:expect "while true do end\nit runs\n%^C\ninterrupted\nvm>$"
    -- While nothing runs it takes the line away, again and again.
    for i = 1, 5 do
        at:type "abc"
        at:expect "vm> abc$"
        at:press "C-c"
        at:expect(("vm> abc%^C\n"):rep(i) .. "vm>$")
    end
end)

t.test("ctrl_z_stops_the_prompt_and_fg_brings_it_back_as_it_was", function()
    local at <close> = tmux.shell()
    at:enter(line_of())
    at:expect "vm>$"
    at:type "half a li"
    at:expect "vm> half a li$"
    at:press "C-z"
    at:expect "%[1%]%+%s+Stopped[^\n]*\nsh>$"
    at:resize(100, 30)
    at:enter "fg"
    at:expect "vm> half a li$"
    at:type "ne"
    at:expect "vm> half a line$"
    at:press "C-u"
    at:enter "vm.raw.terminal.size()"
    at:expect "\n30\n100\nvm>$"
    -- While a line runs.
    local go = enter_and_hold(at)
    at:press "C-z"
    at:expect "%[1%]%+%s+Stopped[^\n]*\nsh>$"
    at:enter "fg"
    go()
    at:enter "'went on'"
    at:expect '\n"went on"\nvm>$'
    -- By somebody else, who gives no time to put the terminal right.
    at:enter "vm.raw.fs.pid()"
    local pid = at:expect "fs%.pid%(%)\n(%d+)\nvm>$"
    at:type "vm.paral"
    at:expect "vm> vm%.paral$"
    require("vm.host").run { "kill", "-STOP", pid }
    at:expect "Stopped[^\n]*\nsh>$"
    at:enter "fg"
    at:expect "vm> vm%.paral$"
    at:press "Tab" -- which the shell's settings would echo
    at:expect "vm> vm%.parallel$"
    at:press "C-u"
    at:press "C-d"
    at:expect "\nsh>$"
end)

t.test("what_is_typed_while_a_line_runs_and_not_entered_is_seen_once_behind_the_prompt", function()
    local at <close> = start()
    local go = enter_and_hold(at)
    at:type "gru\xc3\xb8e 日本"
    at:expect "\ngru\xc3\xb8e 日本$"
    go()
    at:expect "\nit runs\nvm> gru\xc3\xb8e 日本$"
    at:press "C-u"
    -- Entered lines run, and what stands behind them is edited.
    go = enter_and_hold(at)
    at:type "41 + 1\r 43 + "
    at:expect " 43 %+$"
    go()
    at:expect "\n42\nvm>  43 %+$"
    at:enter "1"
    at:expect "\n44\nvm>$"
    -- A prompt begins its line; what does not end its own stays.
    at:enter "file = io.write 'no end'"
    at:expect "\nno end\nvm>$"
end)

t.test("ctrl_d_that_is_typed_while_a_line_runs_leaves_when_it_has_ended", function()
    do
        local at <close> = start()
        local go = enter_and_hold(at)
        at:press "C-d"
        go()
        at:expect "ended 0"
    end
    local at <close> = start()
    local go = enter_and_hold(at)
    at:type "abc"
    at:press "C-d" -- there it deletes what follows: nothing
    go()
    at:expect "vm> abc$"
    at:press "C-u"
    -- The question whether guests may be lost is not answered by whoever has not seen it.
    at:enter "one = { name = 'one', spec = {} }"
    at:enter "package.loaded['vm.guest.connection'] = { guests = function() return { one } end }"
    go = enter_and_hold(at)
    at:press("C-d", "C-d")
    go()
    at:expect "one guest ends with this prompt %(one%); leave%? %[y/N%]$"
    vm.sleep(0.3)
    at:enter "n"
    at:expect "%] n\nvm>$"
    at:enter "package.loaded['vm.guest.connection'] = nil"
    at:press "C-d"
    at:expect "ended 0"
end)

t.test("tab_completes_names_options_values_and_paths", function()
    local at <close> = start()
    at:type "vm.para"
    at:press "Tab"
    at:expect "\nparallel%s+params\nvm> vm%.para$"
    at:press "C-u"
    at:type "vm.boot{ im"
    at:press "Tab"
    at:type '"se'
    at:press "Tab"
    at:expect 'vm> vm%.boot{ image = "seed"$'
    at:type ", cpu"
    at:press "Tab"
    at:expect "\ncpu%s+cpus\nvm> vm%.boot{ image = \"seed\", cpu$"
    at:press "C-u"
    local folder = cli.folder .. "/paths"
    assert(vm.raw.fs.mkdir_p(folder .. "/a folder"))
    at:type(("io.open('%s/a f"):format(folder))
    at:press "Tab"
    at:expect "/a folder/$"
end)

t.test("errors_have_the_users_lines_only_and_values_of_guests_are_harmless", function()
    local at <close> = start()
    at:enter "function deep() error 'oh' end"
    at:enter "deep()"
    at:expect "error: stdin:1: oh\n%s+stdin:1: in function 'deep'\nvm>$"
    at:enter "vm.boot { imag = 'seed' }"
    at:expect "error: vm%.boot: unknown option 'imag'; did you mean 'image'%?\nvm>$"
    t.check(not at:screen():find "vmatrix/")
    at:enter "boot { image = 'seed' }"
    at:expect "nil value %(global 'boot'%); did you mean vm%.boot%?\nvm>$"
    at:enter "'a\\27]0;title\\7b', '\\u{202e}x', '\\xff'"
    at:expect '\n"a\\x1b%]0;title\\x07b"\n"\\xe2\\x80\\xaex"\n"\\xff"\nvm>$'
end)

t.test("a_line_that_wraps_and_a_terminal_that_changes_its_size_are_drawn_right", function()
    local at <close> = start({}, { cols = 60 })
    at:enter "vm.spawn(function() for i = 1, 3 do vm.sleep(0.4) print('tick', i) end end)"
    at:type(("'%s'"):format(("x"):rep(100)))
    at:expect "tick%s+3\nvm> 'x+'$"
    local screen = at:screen():gsub("\n", "")
    local _, drawn = screen:gsub("vm> '" .. ("x"):rep(100), "")
    t.equal(drawn, 1, screen)
    at:press "C-u"
    at:resize(100, 30)
    vm.sleep(0.3)
    at:enter "vm.raw.terminal.size()"
    at:expect "\n30\n100\nvm>$"
end)

t.test("a_script_is_run_first_and_its_globals_stay", function()
    local script = cli.script("first.lua", "print('args', ...) made = { ... }")
    local at <close> = start { "-i", script, "one", "two" }
    at:expect "args%s+one%s+two\n"
    at:enter "made[2]"
    at:expect '\n"two"\nvm>$'
end)

t.test("what_was_typed_is_saved_as_a_script_that_runs_and_can_be_edited", function()
    local path = cli.folder .. "/saved.lua"
    local editor = cli.script("editor.sh", "#!/bin/sh\nsed -i s/20/40/ \"$1\"\n")
    assert(vm.raw.fs.chmod(editor, 448))
    local at <close> = start({}, { env = { "EDITOR=" .. editor, "VISUAL=" .. editor } })
    at:enter "sum = 1 + 1"
    at:enter "error 'not saved'"
    at:enter "print('sum', sum)"
    at:enter "#'four'"
    at:enter "help()"
    at:expect "topics:"
    at:enter "help copy"
    at:expect "# Copying\n.*vm>$"
    at:enter(("save '%s'"):format(path))
    at:expect "3 lines in"
    t.equal(vm.raw.fs.read(path, 4096), "local vm = require \"vm\"\n\nsum = 1 + 1\nprint('sum', sum)\n_ = #'four'\n")
    t.match(cli.run({ path }).stdout, "^sum\t2\n$")
    at:enter "answer = 20 + 2"
    at:enter "edit()"
    at:expect "answer = 40 %+ 2\nvm>$"
    at:enter "answer"
    at:expect "\n42\nvm>$"
    at:enter "time(function() return 'back' end)"
    at:expect "%d%.%d+ s\n\"back\"\nvm>$"
    at:enter(("save '%s'"):format(path)) -- neither the first save nor the call of edit is in it
    at:expect "7 lines in"
    t.match(vm.raw.fs.read(path, 4096), "_ = #'four'\nanswer = 20 %+ 2\nanswer = 40 %+ 2\n_ = answer\ntime%(")
    at:enter "print(_ .. '!')" -- what the call above gave
    at:expect "\nback!\nvm>$"
    at:enter(("save '%s'"):format(path))
    at:expect "8 lines in"
    t.match(cli.run({ path }).stdout, "^sum\t2\nback!\n$")
end)

t.test("leaving_by_ctrl_d_exit_and_os_exit", function()
    do
        local at <close> = start()
        at:press "C-d"
        at:expect "ended 0"
    end
    do
        local at <close> = start()
        at:enter "exit"
        at:expect "ended 0"
    end
    local at <close> = start()
    at:enter "os.exit(7)"
    at:expect "ended 7"
end)

t.test("a_signal_that_asks_to_end_leaves_the_terminal_as_it_was", function()
    local at <close> = start()
    at:enter "vm.raw.fs.pid()"
    local pid = at:expect "\n(%d+)\nvm>$"
    at:type "half a line"
    require("vm.host").run { "kill", "-TERM", pid }
    at:expect "ended 143"
    at:type "seen"
    at:expect "\nseen$" -- echoed: the terminal is as before
end)

t.test("without_a_terminal_a_script_is_read_from_standard_input", function()
    local result = cli.run({}, { stdin = "print('from', 'stdin')" })
    t.equal(result.status, 0)
    t.equal(result.stdout, "from\tstdin\n")
    result = cli.run { "-i" }
    t.equal(result.status, 2)
    t.match(result.stderr, "the prompt needs a terminal")
end)

cli.clean()
t.finish()
