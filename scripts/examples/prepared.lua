-- Prepares guests once and starts every test from a copy. Run it twice: the second time it finds what the
-- first has made, and after a change of parallel-build/ it makes only the step "source" and what follows.
-- Run: vmatrix scripts/examples/prepared.lua
local vm = require "vm"

local steps = {
    vm.step { name = "tools", run = function(guest)
        guest:write("/usr/bin/flavour", "#!/bin/sh\necho \"a $1 build\"\n", { mode = tonumber("755", 8) })
    end },
    vm.step { name = "source", copy = { { "parallel-build", "/root/build" } } },
    vm.step { name = "build", uses = { "flavour" }, run = function(guest, cell)
        guest:run("./build.sh && flavour $FLAVOUR > out/flavour",
            { cwd = "/root/build", env = { FLAVOUR = cell.flavour } })
    end },
}

vm.parallel({ "plain", "fast" }, function(flavour)
    local state <close> = vm.prepared({ image = "seed", memory = "256MiB" }, steps, { cell = { flavour = flavour } })
    local started = vm.now()
    local guests = state:fork { count = 2 }
    print(("%s: %s; two guests of it after %.1f s"):format(flavour, state.how, vm.now() - started))
    guests[1]:run "rm -rf /root/build" -- one test's harm is not the other's
    print(("%s: the other says %s"):format(flavour, guests[2]:output "cat /root/build/out/flavour"))
end, { limit = 2 })
