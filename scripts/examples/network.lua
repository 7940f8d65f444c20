-- Two guests on a network of their own, and what a bad cable does to them.
-- Run: vmatrix scripts/examples/network.lua
local vm = require "vm"

local lan <close> = vm.network { name = "lan", subnet = "10.9.0.0/24" }

-- Booted at the same time. Each has a card that leads to the host, and one on the network.
local function boot(name)
    return vm.spawn(vm.boot, { image = "seed", name = name, memory = "256MiB", nics = { "nat", lan } })
end
local booting = { boot "server", boot "client" }
local server <close> = booting[1]:join()
local client <close> = booting[2]:join()

local function ping(what)
    local out = client:exec("ping -c 4 -i 0.3 -W 2 server").stdout
    print(("%-22s %s"):format(what, out:match "%d+ packets received"))
end

print(("server is %s, client is %s"):format(lan:address(server), lan:address(client)))
ping "a good cable:"

server:link(lan, { delay = "200ms", jitter = "50ms", loss = 0.2 })
ping "a bad one:"

server:link(lan, "down")
ping "none:"
server:link(lan, { state = "up" })

-- Data goes from guest to guest and never touches the host's network.
local receiver <close> = server:spawn "nc -l -p 5000 >/tmp/received"
server:wait_port(5000)
client:run "head -c 1000000 /dev/zero | nc server 5000"
receiver:wait()
print("the server received " .. server:output "wc -c </tmp/received" .. " bytes")

-- Cards come and go while guests run.
lan:unplug(client)
print("the client's new address: " .. lan:plug(client, { address = "10.9.0.99" }))
ping "back again:"
