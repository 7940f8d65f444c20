-- Waits for what the console says.
local vm = require "vm"
local t = require "harness"
local console = require "vm.guest.console"
local ready = require "vm.guest.ready"

-- Calls fn with a guest of which there is only its console, and a function that has it say something.
local function with_console(fn)
    t.with_folder(function(folder)
        local path = folder .. "/console.log"
        local log = console.follow(path, function() end)
        local guest = setmetatable({
            console_log = log,
            check_open = function() end,
            check_alive = function() end,
            what = function(_, verb) return verb end,
            limit = function(_, seconds) return seconds end,
        }, { __index = ready.methods })
        fn(guest, function(text)
            local file <close> = assert(io.open(path, "ab"))
            assert(file:write(text))
        end)
        log:close()
    end)
end

t.test("two tasks that wait for the same text both find it", function()
    with_console(function(guest, say)
        local found = 0
        local function wait(since)
            t.equal(guest:wait_console("vmatrix: ready", { since = since, timeout = 10 }), "vmatrix: ready")
            found = found + 1
        end
        local tasks = { vm.spawn(wait, "boot"), vm.spawn(wait, "boot"), vm.spawn(wait), vm.spawn(wait) }
        vm.sleep(0.05)
        say "[ 1.0] Run /init\r\nvmatrix: "
        vm.sleep(0.05)
        say "ready\r\n"
        for _, task in ipairs(tasks) do
            task:join()
        end
        t.equal(found, 4)
    end)
end)

t.test("a wait goes on where the last one ended, or begins with the boot again", function()
    with_console(function(guest, say)
        say "one two one\n"
        t.equal(guest:wait_console "one", "one")
        t.equal(guest:wait_console("t.o", { pattern = true }), "two")
        t.equal(guest:wait_console "one", "one")
        t.raises(function() guest:wait_console("one", { timeout = 0.1 }) end, "timeout", "one two one")
        t.equal(guest:wait_console("one", { since = "boot" }), "one")
        t.equal(guest:wait_console("two"), "two")
        guest.console_log:new_boot()
        t.raises(function() guest:wait_console("one", { since = "boot", timeout = 0.1 }) end, "timeout")
    end)
end)

t.finish()
