-- timeout: 600
-- Guests in a real terminal: the prompt's shell and console with an editor on the whole screen, Ctrl-C in the
-- middle of a command, completion of a guest's paths, and the terminals of tests that have failed.
local vm = require "vm"
local t = require "harness"
local cli = require "cli.cli"
local host = require "vm.host"
local tmux = require "cli.tmux"

local fs = vm.raw.fs

local CACHE <const> = "XDG_CACHE_HOME=" .. require("vm.host.paths").cache():match "^(.*)/"

local function line(args)
    local words = {}
    for i, word in ipairs(cli.argv(args, { env = { "HOME=" .. cli.folder, "LC_ALL=C.UTF-8", CACHE } })) do
        words[i] = "'" .. word .. "'"
    end
    return table.concat(words, " ")
end

-- tmux has our folder on its command line as well.
local function no_qemu_is_left()
    cli.wait_for("the end of its QEMU", function()
        for each in host.run({ "ps", "-eo", "args=" }).stdout:gmatch "[^\n]+" do
            if each:find "^%S*qemu%-system" and each:find(cli.folder, 1, true) then
                return false
            end
        end
        return true
    end)
end

-- A guest that does not answer soon completes nothing: then the key is pressed again.
local function complete(at, pattern)
    for _ = 1, 10 do
        at:press "Tab"
        if pcall(at.expect, at, pattern, 4) then
            return
        end
    end
    at:expect(pattern, 1)
end

t.test("a_guest_at_the_prompt_shell_editor_console_and_ctrl_c", function()
    local at <close> = tmux.start(line {})
    at:expect "vm>$"
    at:enter 'guest = vm.boot { image = "seed", memory = "256MiB", name = "one" }'
    at:expect("name = \"one\" }\nvm>$", 200)
    at:enter "guest"
    at:expect "\nguest one: image seed, [%w_]+, running, ssh 127%.0%.0%.1:%d+, memory 256 MiB\nvm>$"
    at:enter 'guest:exec "echo out; echo err >&2; exit 3"'
    at:expect("\nstatus 3, %S+ s\nout\nstderr: err\nvm>$", 60)

    -- Ctrl-C ends the command, there too, and the guest stays.
    at:enter 'guest:exec "echo $$ > /tmp/pid; exec sleep 1000"'
    vm.sleep(3)
    at:press "C-c"
    at:expect("%^C.*\ninterrupted\nvm>$", 60)
    at:enter 'guest:exec "kill -0 $(cat /tmp/pid)".ok'
    at:expect("\nfalse\nvm>$", 60)

    -- Paths in the guest.
    at:enter 'guest:run "mkdir -p /srv/only-there; touch /srv/only-there/file-of-the-guest"'
    at:expect("status 0, %S+ s\nvm>$", 60)
    at:type "guest:copy_out('/srv/onl"
    complete(at, "/srv/only%-there/$")
    complete(at, "only%-there/file%-of%-the%-guest'$")
    at:press "C-u"

    -- A shell: its size, also a new one; an editor on the whole screen; a key for an interrupt; leaving.
    at:enter "guest:shell()"
    at:expect("#%s*$", 60)
    at:enter "stty size"
    at:expect("\n24 80\n", 30)
    at:resize(70, 20)
    vm.sleep(1.5)
    at:enter "stty size"
    at:expect("\n20 70\n", 30)
    at:enter "vi /tmp/text"
    at:expect("\n~\n~\n.*/tmp/text", 30)
    -- Key by key: vi says "-" from the beginning, and takes what follows an Escape too soon for its sequence.
    at:type "i"
    at:expect("\nI /tmp/text", 30)
    at:type "written in vi: grüße"
    at:expect("written in vi: grüße\n", 30)
    at:press "Escape"
    at:expect("\n%- /tmp/text", 30)
    at:enter ":wq"
    at:expect("#%s*$", 30)
    at:enter "sh -c 'cat /tmp/text; sleep 1000'" -- one job: the key cannot come between two
    at:expect("\nwritten in vi: grüße$", 30)
    at:press "C-c"
    at:enter "echo still $((40 + 2))"
    at:expect("\nstill 42\n", 30)
    at:enter "sh -c 'echo $((1 + 1)) begun; sleep 1000'"
    at:expect("\n2 begun$", 30)
    at:press "C-z" -- the guest's, too
    at:expect("Stopped", 30)
    at:enter "kill %1; echo went $((40 + 3))"
    at:expect("\nwent 43\n", 30)
    at:press "Enter"
    at:type "~."
    at:expect("\nnil\nvm>$", 30)
    at:enter 'guest:shell { command = "exit 5" }'
    at:expect("\n5\nvm>$", 60)

    -- The console, left the same way.
    at:enter 'guest:console "attach"'
    at:expect("the console of one; ~%. at the beginning of a line leaves", 30)
    vm.sleep(2)
    at:press "Enter"
    at:enter "echo by the $((1 + 1))nd way"
    at:expect("\nby the 2nd way\n", 60)
    at:press "Enter"
    vm.sleep(1)
    at:type "~."
    at:expect("vm>$", 30)

    -- Leaving asks, since the guest would be lost.
    at:press "C-d"
    at:expect "one guest ends with this prompt %(one%); leave%? %[y/N%]$"
    at:enter "n"
    at:expect "%] n\nvm>$"
    at:press "C-d"
    at:expect "leave%? %[y/N%]$"
    at:press "C-d"
    no_qemu_is_left()
end)

local MATRIX <const> = [[
    local vm = require "vm"
    return vm.matrix {
        axes = { flavour = { "sweet" } }, guest = { image = "seed", memory = "256MiB" },
        tests = { bad = function(g) g:run "echo left behind > /root/left; echo seen there > /dev/console; exit 1" end },
    }]]

t.test("the_shell_of_a_test_that_fails_and_the_prompt_with_what_was_kept_of_it", function()
    local folder = cli.folder .. "/m"
    assert(fs.mkdir_p(folder))
    assert(fs.write_atomic(folder .. "/matrix.lua", MATRIX))
    do
        local at <close> = tmux.start(("cd %s; %s"):format(folder, line { "test", "--shell", "--keep", "failed" }))
        at:expect("failed: .*the shell of guest %S+; its end %(exit, or Ctrl%-D%) lets the run go on", 300)
        at:expect("#%s*$", 60)
        at:enter "cat /root/left; tty"
        at:expect("\nleft behind\n/dev/pts/%d+\n", 60)
        at:press "C-d"
        at:expect("ended 1", 120)
    end
    local at <close> = tmux.start(("cd %s; %s"):format(folder, line { "reopen", "sweet:bad" }))
    at:expect("sweet:bad as it was left; 'guest', 'cell' and 'console' are set.*vm>$", 120)
    at:enter 'guest:output "cat /root/left", cell.flavour, console:match "seen there"'
    at:expect('\n"left behind"\n"sweet"\n"seen there"\nvm>$', 60)
    at:press "C-d"
    at:expect "leave%? %[y/N%]$"
    at:press "C-d"
    at:expect("ended 0", 60)
    no_qemu_is_left()
end)

cli.clean()
t.finish()
