-- Two guests joined twice: by a network of ours (a switch in this process) and by QEMU's own multicast
-- socket. Round trips and throughput of both, in turns; then how long a card takes to be plugged.
-- Run: vmatrix tests/bench/network.lua [ROUNDS]     (5 unless told otherwise)
local vm = require "vm"

local rounds = tonumber(arg[1] or 5)
local BYTES <const> = 4 * 1024 * 1024

local lan <close> = vm.network { subnet = "10.9.0.0/24" }

local function boot(name, number)
    local mac = ("52:54:00:77:00:%02x"):format(number)
    return vm.spawn(vm.boot, { image = "seed", name = name, memory = "256MiB", cpus = 1, arch = "x86_64",
        nics = { "nat", lan }, timeout = 300, qemu_args = {
            "-netdev", ("socket,id=peer,mcast=239.77.7.7:%d,localaddr=127.0.0.1"):format(
                20000 + vm.raw.fs.pid() % 20000),
            "-device", "virtio-net-pci,netdev=peer,bus=pcie.0,addr=0x1c,romfile=,mac=" .. mac,
        } })
end

local booting = { boot("a", 1), boot("b", 2) }
local a <close> = booting[1]:join()
local b <close> = booting[2]:join()
for number, guest in ipairs { a, b } do
    guest:run(("for p in /sys/class/net/*; do read -r m <$p/address; [ $m = 52:54:00:77:00:%02x ] || continue; \z
        ip address add 10.77.0.%d/24 dev ${p##*/}; ip link set ${p##*/} up; done"):format(number, number))
end

local function median(list)
    table.sort(list)
    return list[(#list + 1) // 2]
end

local function ping(address)
    local out = a:output(("ping -c 20 -i 0.05 -W 2 %s"):format(address))
    return tonumber(out:match "min/avg/max = [%d.]+/([%d.]+)/")
end

local port = 5000
local function send(address)
    port = port + 1
    local receiver <close> = b:spawn(("nc -l -p %d >/dev/null"):format(port))
    b:wait_port(port)
    local started = vm.now()
    a:run(("head -c %d /dev/zero | nc %s %d"):format(BYTES, address, port), { timeout = 60 })
    receiver:wait()
    return BYTES / 1024 / 1024 / (vm.now() - started)
end

local ways = { { "ours", lan:address(b) }, { "multicast", "10.77.0.2" } }
local trips, rates = { {}, {} }, { {}, {} }
for _ = 1, rounds do
    for i, way in ipairs(ways) do
        table.insert(trips[i], ping(way[2]))
        table.insert(rates[i], send(way[2]))
    end
end
for i, way in ipairs(ways) do
    print(("%-9s  round trip %.2f ms   %.2f MiB/s"):format(way[1], median(trips[i]), median(rates[i])))
end
print(("ours / multicast: round trip %.2f, throughput %.2f"):format(median(trips[1]) / median(trips[2]),
    median(rates[1]) / median(rates[2])))

local plugs, unplugs = {}, {}
for i = 1, 2 * rounds do
    local started = vm.now()
    lan:unplug(a)
    unplugs[i] = vm.now() - started
    started = vm.now()
    lan:plug(a)
    plugs[i] = vm.now() - started
end
print(("plug %.3f s, unplug %.3f s"):format(median(plugs), median(unplugs)))
