-- The random pool of a guest that wakes twice from one snapshot: without reseeding it draws the same
-- numbers again, after it it does not; by the guest's own program and by one that the snippet brings
-- along. That both work on every architecture is shown in test_seed.lua.
-- timeout: 600
local t = require "harness"
local vm = require "vm"
local reseed = require "vm.reseed"
local seed = require "vm.seed"

local random = vm.raw.fs.random

vm.connect() -- it and the run stay until the end
t.baseline()

local function script(arch)
    return reseed.script(arch, random(48))
end

-- As script, for a guest without the program.
local function script_alone(arch)
    return (script(arch):gsub(reseed.PROGRAM:gsub("%p", "%%%0"), "/nonexistent"))
end

-- What the guest draws next after a revert, by itself: nothing but the revert comes before. With a
-- command, what it draws after that.
local function draw(guest, snapshot, command)
    local sign = "alone: "
    snapshot:revert()
    if command then
        guest:run(command)
        guest:run "touch /reseeded"
        sign = "reseeded: "
    end
    local line = guest:wait_console(sign .. "[%x ]+%x\r?\n", { pattern = true, timeout = 90 })
    return line:match(sign .. "([%x ]+)")
end

local function boot(arch)
    local image, err = vm.try(seed.build, arch)
    if not image and err.kind == "connection" then
        t.skip(err.message)
    end
    return vm.boot { image = "seed", arch = arch, accel = "tcg", memory = "256MiB" }
end

-- Not riscv64: QEMU 7.2 drops its pending timer when a state is loaded, so that a guest which only sleeps
-- goes on sleeping until something else interrupts it.
for _, arch in ipairs { "x86_64", "aarch64" } do
    t.test(arch .. ": a guest that wakes twice draws the same numbers, and not once it is reseeded", function()
        local guest <close> = boot(arch)
        guest:run [[
            sign=alone
            while sleep 1; do
                if [ -e /reseeded ]; then sign=reseeded; fi
                echo "$sign: $(head -c 16 /dev/urandom | od -An -tx1)" >/dev/console
            done >/dev/null 2>&1 </dev/null &]]
        local snapshot = guest:snapshot "same"
        local seen, again = {}, 0
        for _ = 1, 4 do
            local drawn = draw(guest, snapshot)
            again = again + (seen[drawn] and 1 or 0)
            seen[drawn] = true
        end
        -- A timer may tick on either side of the draw: not all need to be the same, and on a busy machine
        -- none may be.
        print(("%s: %d of 3 later draws had been seen before"):format(arch, again))
        for _, make in ipairs { script, script_alone } do
            for _ = 1, 2 do
                local drawn = draw(guest, snapshot, make(arch))
                t.check(not seen[drawn], "it drew again " .. drawn)
                seen[drawn] = true
            end
        end
    end)
end

t.finish()
