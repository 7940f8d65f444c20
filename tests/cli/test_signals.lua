-- Ctrl-C and its relatives: the first cancels and cleans up, the second forces the end.
local vm = require "vm"
local t = require "harness"
local cli = require "cli.cli"

local INT <const>, TERM <const>, HUP <const> = 2, 15, 1

local function lines(text)
    return select(2, text:gsub("\n", "\n"))
end

-- Presses Ctrl-C again and again, as people do: those that come right after the first do not count.
local function interrupt_until_it_ends(process)
    local presses <const> = vm.spawn(function()
        while true do
            process:kill(INT)
            vm.sleep(0.1)
        end
    end)
    local _ <close> = vm.closing(presses)
    return (process:finish(15))
end

t.test("the_first_interrupt_cancels_closes_and_says_so_in_one_line", function()
    local process <close> = cli.start { "-e", [[
        local thing <close> = setmetatable({}, { __close = function() vm.sleep(0.1) print "closed" end })
        print "up"
        vm.sleep(60)
    ]] }
    process:expect(1, "up\n")
    process:kill(INT)
    t.equal(process:finish(), 130)
    t.equal(process.text[1], "up\nclosed\n")
    t.match(process.text[2], "^vmatrix: interrupted: cleaning up")
    t.equal(lines(process.text[2]), 1)
end)

t.test("a_terminate_or_hang_up_does_the_same_with_its_own_status", function()
    for _, signal in ipairs { TERM, HUP } do
        local process <close> = cli.start { "-e", [[
            local thing <close> = setmetatable({}, { __close = function() print "closed" end })
            print "up"
            vm.sleep(60)
        ]] }
        process:expect(1, "up\n")
        process:kill(signal)
        t.equal(process:finish(), 128 + signal)
        t.equal(process.text[1], "up\nclosed\n")
        t.equal(lines(process.text[2]), 1)
    end
end)

t.test("the_same_request_made_twice_at_once_is_one_as_timeout_makes_it", function()
    local host = require "vm.host"
    local argv = cli.argv { "-e", [[
        local thing <close> = setmetatable({}, { __close = function() vm.sleep(0.2) print "closed" end })
        vm.sleep(60)
    ]] }
    local result = host.run(table.move(argv, 1, #argv, 3, { "timeout", "2" }), { check = false, timeout = 60 })
    t.equal(result.stdout, "closed\n")
    t.equal(result.status, 124)
    t.check(not result.stderr:find "forced", result.stderr)
end)

t.test("the_second_interrupt_ends_a_clean_up_that_hangs", function()
    local process <close> = cli.start { "-e", [[
        local thing <close> = setmetatable({}, { __close = function() vm.sleep(25) print "closed" end })
        print "up"
        vm.sleep(60)
    ]] }
    process:expect(1, "up\n")
    process:kill(INT)
    process:expect(2, "cleaning up")
    t.equal(interrupt_until_it_ends(process), 130)
    t.equal(process.text[1], "up\n")
    t.match(process.text[2], "\nvmatrix: forced to end")
end)

t.test("the_second_interrupt_ends_even_a_function_that_blocks_everything", function()
    local process <close> = cli.start { "-e", "print 'up' io.stdout:flush() io.read()" }
    process:expect(1, "up\n")
    t.equal(interrupt_until_it_ends(process), 130)
    t.match(process.text[2], "forced to end")
end)

t.test("a_loop_that_never_waits_is_interrupted_and_pcall_cannot_stop_that", function()
    local process <close> = cli.start { "-e", [[
        print "up"
        io.stdout:flush()
        while true do
            pcall(function() while true do end end)
        end
    ]] }
    process:expect(1, "up\n")
    process:kill(INT)
    t.equal(process:finish(), 130)
    t.match(process.text[2], "^vmatrix: interrupted")
end)

t.test("a_hang_up_that_was_ignored_from_the_start_stays_ignored", function()
    local argv = table.concat(cli.argv { "-e" }, " ")
    local host = require "vm.host"
    local code = [['os.execute("kill -HUP $PPID") vm.sleep(0.2) print "still here"']]
    local result = host.run({ "sh", "-c", ("trap '' HUP; %s %s"):format(argv, code) }, { check = false, timeout = 60 })
    t.equal(result.stdout, "still here\n")
    t.equal(result.status, 0)
end)

t.test("an_interrupt_cancels_every_task_and_each_closes_what_it_has", function()
    local process <close> = cli.start { "-e", [[
        local function work(name)
            local thing <close> = setmetatable({}, { __close = function() vm.sleep(0.05) print("closed " .. name) end })
            vm.sleep(60)
        end
        vm.spawn(work, "a")
        vm.spawn(work, "b")
        vm.sleep(0.01)
        print "up"
        vm.sleep(60)
    ]] }
    process:expect(1, "up\n")
    process:kill(INT)
    t.equal(process:finish(), 130)
    t.match(process.text[1], "closed a\n")
    t.match(process.text[1], "closed b\n")
end)

cli.clean()
t.finish()
