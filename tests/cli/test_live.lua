-- What is seen of a run while it goes on: on a terminal (of tmux), and in a pipe.
-- timeout: 240
local raw = require "vm.raw"
local host = require "vm.host"
local t = require "harness"
local cli = require "cli.cli"

local source = os.getenv "VMATRIX_SOURCE" or "."
local script = source .. "/tests/cli/live_run.lua"

local function run_in_pipe(cells, seconds, how, flag, env)
    return cli.run({ script, cli.folder, tostring(cells), tostring(seconds), how, flag }, { env = env })
end

-- A terminal with the given window, in which the run was started.
local Screen = {}
Screen.__index = Screen

local servers = 0

local function tmux(self, ...)
    return host.run { "tmux", "-S", self.server, ... }
end

local function open(columns, rows, command, locale)
    if not host.which "tmux" then
        t.skip "tmux is not installed"
    end
    servers = servers + 1
    local self = setmetatable({ server = ("%s/tmux-%d"):format(cli.folder, servers) }, Screen)
    local env = ("env -u NO_COLOR LC_ALL=%s GITHUB_ACTIONS= LUA_PATH='%s'"):format(locale or "C.UTF-8",
        os.getenv "LUA_PATH" or "")
    host.run({ "tmux", "-S", self.server, "-f", "/dev/null", "new-session", "-d", "-x", tostring(columns), "-y",
        tostring(rows), env .. " PS1='ready> ' sh" }, { env = { LC_ALL = "C.UTF-8" } })
    tmux(self, "send-keys", "clear; " .. command, "Enter")
    return self
end

function Screen.__close(self)
    host.run({ "tmux", "-S", self.server, "kill-server" }, { check = false })
end

function Screen:text(...)
    return tmux(self, "capture-pane", "-p", ...).stdout
end

function Screen:wait(pattern)
    return cli.wait_for(pattern .. " on the screen; it shows:\n" .. self:text(), function()
        local text = self:text()
        return text:find(pattern) and text
    end, 60)
end

local function command(cells, seconds, how, flag)
    return ("'%s' '%s' '%s' %d %g %s %s; echo status $?"):format(cli.binary, script, cli.folder, cells, seconds, how,
        flag or "")
end

t.test("in_a_pipe_each_verdict_is_a_plain_line_and_the_summary_comes_last", function()
    local result = run_in_pipe(3, 0.05, "end")
    t.equal(result.status, 0, result.stderr)
    t.match(result.stdout, "^run %S+: 6 tests in 3 cells; %-%-seed 17\n")
    t.match(result.stdout, "\npassed debian%-12/x86_64/r1:build %(50 ms%)\n")
    t.match(result.stdout, "\nfailed debian%-13/x86_64/r1:build %(50 ms%): make: ")
    t.match(result.stdout, "\n\nFAILED debian%-13/x86_64/r1:build")
    t.match(result.stdout, "\n1 failed, 5 passed in 3 cells; [^\n]*\nrun: [^\n]*\njunit: [^\n]*/junit.xml\ntap: ")
    t.check(not result.stdout:find "[\0-\9\11-\31\127]", "control characters")
    t.check(not result.stdout:find "line 1 of", "outputs are told without being asked for")
    t.match(raw.fs.read(cli.folder .. "/out.tap"), "^TAP version 14\n1..6\n")
end)

t.test("a_terminal_has_colors_unless_no_color_is_set", function()
    for _, set in ipairs { "", "NO_COLOR=1 " } do
        local screen <close> = open(100, 30, set .. command(2, 0.05, "end"))
        screen:wait "status 0"
        t.equal(screen:text("-e"):find "\27%[[%d;]*3%d" ~= nil, set == "", set .. ": ")
    end
end)

t.test("verbose_streams_every_line_of_output_with_its_test_before_it", function()
    local result = run_in_pipe(2, 0.3, "end", "-v")
    for _, at in ipairs { 1, 3 } do -- the second one is written over, see below
        t.match(result.stdout, ("debian%%-12/x86_64/r1:check | line %d of check"):format(at))
    end
    t.match(result.stdout, "debian%-13/x86_64/r1:check | line 2 of check: | a | b |\n")
    -- A line that was written over, as a progress bar is, has its last state.
    t.match(result.stdout, "debian%-12/x86_64/r1:check |  over\n")
    t.check(not result.stdout:find "[\0-\9\11-\31\127]", "control characters")
end)

t.test("quiet_tells_only_what_failed", function()
    local result = run_in_pipe(3, 0.05, "end", "-q")
    t.match(result.stdout, "^failed debian%-13/x86_64/r1:build [^\n]*\n\nFAILED ")
    t.check(not result.stdout:find "\npassed")
end)

t.test("in_github_actions_nothing_of_a_guest_is_a_command_and_failures_are_annotated", function()
    local summary = cli.folder .. "/summary.md"
    local result = run_in_pipe(12, 0.03, "end", "-v", { "GITHUB_ACTIONS=true", "GITHUB_STEP_SUMMARY=" .. summary })
    t.check(not result.stdout:find("##[", 1, true))
    local commands = 0
    for line in result.stdout:gmatch "[^\n]+" do
        if line:find "^%s*::" then
            commands = commands + 1
            t.match(line, "^::error file=matrix.lua,line=3,title=")
        end
    end
    t.equal(commands, 5)
    t.match(raw.fs.read(summary), "^# vmatrix: 5 failed, 19 passed\n")
end)

t.test("on_a_terminal_the_cells_and_what_runs_are_shown_and_go_when_it_is_over", function()
    local screen <close> = open(100, 30, command(12, 1.2, "end"))
    -- One after the other: each is there for a while only.
    screen:wait "· debian%-13/riscv64/r1"
    screen:wait "▶ %S+ +0:0%d  line %d of %w+: "
    screen:wait "✓ debian%-12/x86_64/r1 +%S+ s"
    screen:wait "✗ debian%-13/x86_64/r1"
    screen:wait "of 24 tests; %d failed, %d+ passed; 0:%d%d; about %S+ %S+ left"
    local text = screen:wait "status 0"
    t.match(text, "5 failed, 19 passed in 12 cells")
    t.check(not text:find "[▶·]" or not text:find "tests; ", "the view is left on the screen:\n" .. text)
    local whole = screen:text("-S", "-200")
    t.equal(select(2, whole:gsub("of 24 tests; ", "")), 0, whole)
end)

t.test("the_view_fits_a_window_that_changes_its_size", function()
    local screen <close> = open(100, 30, command(30, 2, "wait"))
    screen:wait "of 60 tests; "
    for _, size in ipairs { { 50, 10 }, { 30, 6 }, { 120, 40 } } do
        tmux(screen, "resize-window", "-x", tostring(size[1]), "-y", tostring(size[2]))
        raw.task.sleep(1.5)
        local text = screen:text()
        t.equal(select(2, text:gsub("of 60 tests", "")), 1, text)
        local lines = select(2, text:gsub("%s+$", ""):gsub("\n", "")) + 1
        t.check(lines <= size[2], text)
    end
    tmux(screen, "send-keys", "C-c")
    screen:wait "status 130"
end)

t.test("control_c_leaves_a_terminal_that_is_fit_for_use", function()
    local screen <close> = open(90, 30, command(12, 0.3, "wait"))
    screen:wait "of 24 tests; "
    raw.task.sleep(1)
    tmux(screen, "send-keys", "C-c")
    local text = screen:wait "status 130"
    t.match(text, "LOST ")
    t.check(not text:find "tests; %d", "the view is left:\n" .. text)
    t.match(tmux(screen, "display-message", "-p", "#{cursor_flag} #{alternate_on} #{wrap_flag}").stdout, "^1 0 1")
    tmux(screen, "send-keys", "echo typed $((40 + 2))", "Enter")
    screen:wait "typed 42"
end)

t.test("an_error_of_the_runner_ends_the_view_too_and_the_reports_are_written", function()
    local screen <close> = open(90, 40, command(6, 0.2, "error"))
    local text = screen:wait "status 1"
    t.match(text, "the runner is broken")
    t.match(text, "what has no verdict is lost")
    t.check(not text:find "tests; %d", "the view is left:\n" .. text)
end)

t.test("a_shell_has_the_terminal_to_itself_and_the_view_comes_back", function()
    local screen <close> = open(100, 40, command(12, 1.5, "shell"))
    screen:wait "of 24 tests; "
    screen:wait "shell> "
    for _ = 1, 3 do
        local text = screen:text()
        t.check(text:find "exit" or text:find "shell> %s*$", "something is drawn over it:\n" .. text)
        raw.task.sleep(0.3)
    end
    screen:wait "shell> exit.*of 24 tests; "
    local text = screen:wait "status 0"
    t.match(text, "5 failed, 19 passed")
    -- In a pipe what was held back is said afterwards, in its order.
    local piped = run_in_pipe(12, 0.3, "shell").stdout
    t.match(piped, "\nshell> exit\n")
    t.equal(select(2, piped:gsub("\npassed ", "")), 19)
end)

t.test("verbose_output_runs_above_the_view", function()
    local screen <close> = open(110, 40, command(4, 1, "end", "-v"))
    local text = screen:wait "debian%-12/x86_64/r1:build | line 1 of build.*of 8 tests; "
    t.check(not text:find "of 8 tests; .*|", "output below the view:\n" .. text)
    text = screen:wait "status 0"
    t.match(screen:text("-S", "-200"), "debian%-13/x86_64/r1:check | line 3 of check")
    t.equal(select(2, text:gsub("of 8 tests; ", "")), 0, text)
end)

t.test("a_terminal_without_unicode_is_shown_ascii", function()
    local screen <close> = open(80, 24, command(4, 1, "end"), "C")
    local text = screen:wait "> debian%-1%d/x86_64/r1"
    t.check(not text:find "[\128-\255]", text)
    screen:wait "status 0"
end)

cli.clean()
t.finish()
