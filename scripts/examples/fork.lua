-- Boot and prepare once, then start every test from a live copy of the guest.
local vm = require "vm"

local begun = vm.now()
local guest = vm.boot { image = "seed", name = "prepared", memory = "256MiB" }
guest:run "mkdir /data; echo 'the prepared file' > /data/file; sleep 1000 >/dev/null 2>&1 &"
print(("booted and prepared in %.1f s"):format(vm.now() - begun))

local base <close> = guest:template()

-- Each test breaks what it likes: the next one starts clean.
local tests = { "rm -r /data; ! cat /data/file 2>/dev/null", "grep -q prepared /data/file", "pidof sleep >/dev/null" }
vm.parallel(tests, function(command, i)
    local started = vm.now()
    local fork <close> = base:fork { hostname = "test-" .. i }
    local ready = vm.now() - started
    fork:run(command)
    print(("%s: passed, %.1f s after it was asked for: %s"):format(fork:output "hostname", ready, command))
end, { limit = 2 })
