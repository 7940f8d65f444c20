-- Exit codes, and that every way out cleans up.
local vm = require "vm"
local t = require "harness"
local cli = require "cli.cli"

local fs = vm.raw.fs

local function status(code)
    local result = cli.run { "-e", code }
    return result.status, result
end

t.test("the_exit_code_says_how_it_ended", function()
    t.equal(status "return", 0)
    t.equal(status "return 5", 0)
    t.equal(status "error 'x'", 1)
    t.equal(status "error({})", 1)
    t.equal(status "os.exit()", 0)
    t.equal(status "os.exit(true)", 0)
    t.equal(status "os.exit(false)", 1)
    t.equal(status "os.exit(7)", 7)
end)

t.test("os_exit_works_anywhere_and_nothing_after_it_runs", function()
    t.equal(status "pcall(os.exit, 3) print 'after'", 3)
    t.equal(status "coroutine.wrap(function() os.exit(9) end)()", 9)
    t.equal(status "vm.spawn(function() os.exit(6) end) vm.sleep(60)", 6)
    local _, result = status "pcall(os.exit, 3) print 'after'"
    t.equal(result.stdout, "")
    t.equal(result.stderr, "")
end)

t.test("os_exit_closes_what_is_open_and_writes_what_was_printed", function()
    local code, result = status [[
        local thing <close> = setmetatable({}, { __close = function() vm.sleep(0.05) io.write "closed" end })
        io.stdout:setvbuf "full"
        io.write "printed "
        os.exit(4)
    ]]
    t.equal(code, 4)
    t.equal(result.stdout, "printed closed")
end)

-- Opens a run, prints its folders, and ends as `how` says.
local function run_that(how)
    local result = cli.run { "-e", [[
        local run = require "vm.run"
        local r = run.open()
        run.ram_file("guest.ram", 4 * 2^20 // 1)
        io.open(r.dir .. "/disk", "w"):close()
        print(r.root, r.dir, r.ram or r.dir)
    ]] .. how }
    local folders = table.pack(result.stdout:match "^(%S+)\t(%S+)\t(%S+)\n")
    t.equal(folders.n, 3, result.stderr)
    return result.status, folders
end

t.test("a_run_leaves_no_folder_however_it_ends", function()
    for how, code in pairs { [""] = 0, ["error 'x'"] = 1, ["os.exit(3)"] = 3, ["vm.spawn(error, 'x')"] = 1 } do
        local got, folders = run_that(how)
        t.equal(got, code, how)
        for _, folder in ipairs(folders) do
            t.check(not fs.exists(folder), folder .. " is left after " .. how)
        end
        t.check(not fs.exists(folders[1] .. ".run"), "the record is left after " .. how)
    end
end)

t.test("what_cannot_be_ended_is_said_and_makes_the_exit_code_1", function()
    local code, result = status [[
        local shutdown = require "vm.task.shutdown"
        shutdown.add("first", function() print "still run" end)
        shutdown.add("second", function() error "it will not" end)
    ]]
    t.equal(code, 1)
    t.equal(result.stdout, "still run\n")
    t.match(result.stderr, "while ending: second: .*it will not")
end)

t.test("a_process_that_names_the_runs_folder_does_not_outlive_it", function()
    local result = cli.run { "-e", [[
        local r = require "vm.run".open()
        -- Stands in for a QEMU that nobody closed.
        os.execute("setsid tail -f /dev/null -- stand-in=" .. r.root .. "/disk >/dev/null 2>&1 </dev/null &")
        local function is_there()
            local found = vm.raw.run.processes { r.root }[1]
            return found and found.name == "tail" -- and no longer the shell that starts it
        end
        while not is_there() do vm.sleep(0.02) end
        print(r.root)
    ]] }
    local root = result.stdout:match "%S+"
    t.equal(result.status, 0, result.stderr)
    t.match(result.stderr, "ended 1 processes")
    t.equal(#assert(vm.raw.run.processes { root }), 0)
    t.check(not fs.exists(root))
end)

cli.clean()
t.finish()
