-- timeout: 900
-- Private networks between real guests, of two architectures.
local vm = require "vm"
local t = require "harness"
local host = require "vm.host"
local fs = vm.raw.fs

local folder = fs.mkdtemp("vmatrix-test-")

-- What the tests share: two guests on one network, one of them on another one as well.
local lan = vm.network { name = "lan", subnet = "10.9.0.0/24" }
local other = vm.network { name = "other", subnet = "10.10.0.0/28" }

local function boot(opts)
    opts.image, opts.memory = "seed", "256MiB"
    return vm.spawn(vm.boot, opts)
end

local booting = {
    boot { name = "server", cpus = 1, nics = { "nat", { net = lan, address = "10.9.0.2" }, other } },
    boot { name = "client", cpus = 1, arch = "aarch64", nics = { { net = lan, hostname = "phone" }, "nat" } },
}
local server, client = booting[1]:join(), booting[2]:join()
t.baseline()

-- How many of the pings were answered, and the shortest round trip in seconds.
local function ping(guest, whom, count, interval)
    local result = guest:exec(("ping -c %d -i %s -W 2 %s"):format(count, interval or 0.2, whom), { timeout = 120 })
    local got = math.tointeger(tonumber(result.stdout:match "(%d+) packets received"))
    local least = tonumber(result.stdout:match "min/avg/max = ([%d.]+)/")
    return got or error(result.stdout .. result.stderr), least and least / 1000
end

t.test("guests_have_their_addresses_and_know_each_other_by_name", function()
    t.equal(lan:address(server), "10.9.0.2")
    t.equal(lan:address "phone", "10.9.0.3")
    t.check(ping(server, "phone", 3) >= 2)
    t.check(ping(client, "server", 3) >= 2)
    t.match(server:output "ip -o address show dev eth1", "inet 10%.9%.0%.2/24 ")
    t.match(server:output "ip -o address show dev eth2", "inet 10%.10%.0%.2/28 ")
    t.match(client:output "ip -o address show dev eth1", "inet 10%.9%.0%.3/24 ")
    t.match(client:output "ip route", "default via 10%.0%.2%.2 dev eth0")
    local members = lan:members()
    t.equal(#members, 2)
    t.check(members[1].guest == server)
    t.equal(members[2].hostname, "phone")
    t.check(members[1].connected and members[2].connected and members[1].plugged)
    t.check(members[1].mac ~= members[2].mac)
    t.check(members[1].sent.frames > 0 and members[1].received.bytes > 0)
end)

t.test("data_arrives_whole", function()
    client:run "head -c 3000000 /dev/urandom >/tmp/data"
    local receiver <close> = server:spawn "nc -l -p 5000 >/tmp/data"
    server:wait_port(5000)
    client:run("nc server 5000 </tmp/data", { timeout = "4m" })
    receiver:wait { timeout = "2m" }
    t.equal(server:output "sha256sum </tmp/data", client:output "sha256sum </tmp/data")
end)

t.test("another_network_hears_nothing", function()
    local before = other:members()[1].received.frames
    other:capture(folder .. "/other.pcap")
    ping(client, "10.9.0.77", 2)
    ping(client, "server", 2)
    other:capture()
    t.equal(other:members()[1].received.frames, before)
    local mac = lan:members()[2].mac:gsub("(%x%x):?", function(byte) return string.char(tonumber(byte, 16)) end)
    local heard = fs.read(folder .. "/other.pcap", 2 ^ 20 // 1)
    t.check(not heard:find(mac, 1, true), "a frame of the client's is in it")
    lan:capture(folder .. "/lan.pcap")
    ping(client, "server", 2)
    lan:capture()
    t.check(fs.read(folder .. "/lan.pcap", 2 ^ 20 // 1):find(mac, 1, true), "no frame of the client's is in it")
end)

t.test("another_run_with_the_same_subnet_hears_nothing", function()
    local script = folder .. "/run.lua"
    fs.write_atomic(script, [[
        local vm = require "vm"
        local lan <close> = vm.network { subnet = "10.9.0.0/24" }
        local g <close> = vm.boot { image = "seed", name = "stranger", memory = "256MiB",
            nics = { "nat", { net = lan, address = "10.9.0.9" } } }
        print(g:exec("ping -c 3 -W 1 10.9.0.2").status, g:exec("ping -c 3 -W 1 10.9.0.3").status)
        print(lan:members()[1].received.frames)
    ]])
    local result = host.run({ os.getenv "VMATRIX", script }, { timeout = 300 })
    t.equal(result.stdout, "1\t1\n0\n")
    t.check(server:exec("ip neigh | grep 10.9.0.9").stdout == "", "the server has heard of it")
end)

t.test("a_link_goes_down_and_up_and_the_guest_sees_its_carrier", function()
    t.equal(server:link(lan).state, "up")
    t.equal(server:link(lan, "down").state, "down")
    t.equal(server:output "cat /sys/class/net/eth1/carrier", "0")
    t.equal(ping(client, "server", 2), 0)
    t.equal(server:link(2).state, "down")
    t.equal(server:link(lan, { state = "up" }).state, "up")
    t.equal(server:output "cat /sys/class/net/eth1/carrier", "1")
    t.check(ping(client, "server", 4) >= 2)
end)

t.test("the_link_of_a_nat_card_goes_down_too", function()
    t.equal(client:link(2).kind, "nat")
    -- Commands come by this very card: the console tells what the guest saw.
    client:run [[
        (at=/sys/class/net/eth0/carrier
        until grep -q 0 $at; do usleep 20000; done; echo "carrier: down" >/dev/console
        until grep -q 1 $at; do usleep 20000; done; echo "carrier: up" >/dev/console) >/dev/null 2>&1 &
    ]]
    t.equal(client:link(2, "down").state, "down")
    client:wait_console "carrier: down"
    client:link(2, "up")
    client:wait_console "carrier: up"
    t.equal(client:output "echo here again", "here again")
    t.raises(function() client:link(2, { delay = 1 }) end, "unsupported", "networks of vm.network")
end)

t.test("delay_loss_and_rate_are_what_was_asked_for", function()
    local _, quick = ping(client, "server", 5)
    local link = server:link(lan, { delay = "300ms", direction = "receive" })
    t.equal(link.receive, { delay = 0.3 })
    t.equal(link.send, {})
    local got, slow = ping(client, "server", 4, 0.5)
    t.check(got >= 3 and slow >= 0.3 and slow < quick + 1, ("%d answers, %s s, %s s before"):format(got, slow, quick))
    link = server:link(lan, { loss = 1 })
    t.equal(link.send, { loss = 1 })
    t.equal(ping(client, "server", 2), 0)
    t.check(server:link(lan).received.lost > 0)
    server:link(lan, {})
    t.check(ping(client, "server", 3) >= 2)

    server:link(lan, { rate = "64KiB", direction = "receive" })
    local receiver <close> = server:spawn "nc -l -p 5001 >/tmp/slow"
    server:wait_port(5001)
    local started = vm.now()
    client:run("head -c 200000 /tmp/data | nc server 5001", { timeout = "4m" })
    receiver:wait { timeout = "2m" }
    -- Some of it waits in the sender's and the link's queues, and headers count.
    t.check(vm.now() - started >= 2.5, ("200 kB took %.2f s at 64 KiB/s"):format(vm.now() - started))
    server:link(lan, {})
end)

t.test("cards_are_unplugged_and_plugged_in_again_while_guests_run", function()
    for _, guest in ipairs { server, client } do
        local mac = guest:link(lan).mac
        lan:unplug(guest)
        t.check(not guest:output("cat /sys/class/net/*/address"):find(mac, 1, true), "the card is still there")
        t.raises(function() guest:link(lan) end, "notfound", "no card on network lan")
        t.raises(function() lan:unplug(guest) end, "notfound")
        t.equal(lan:plug(guest), guest == server and "10.9.0.2" or "10.9.0.3")
        t.equal(guest:link(lan).mac, mac)
    end
    t.check(ping(client, "server", 3) >= 2)
    lan:unplug(server)
    t.equal(lan:plug(server, { address = "10.9.0.20", mac = "52:54:00:00:00:20" }), "10.9.0.20")
    t.match(server:output "cat /sys/class/net/*/address", "52:54:00:00:00:20")
    t.match(client:output "cat /etc/hosts", "10%.9%.0%.20 server")
    t.check(ping(client, "server", 3) >= 2)
    t.raises(function() lan:plug(server) end, "exists", "is on network lan already")
    lan:unplug(server)
    t.equal(lan:plug(server), "10.9.0.2")
end)

t.test("twenty_times_plugged_and_unplugged_nothing_is_left", function()
    lan:unplug(server)
    local spent = 0
    for i = 1, 20 do
        local started = vm.now()
        local address = lan:plug(server, { address = ("10.9.0.%d"):format(100 + i) })
        t.equal(address, ("10.9.0.%d"):format(100 + i))
        lan:unplug(server)
        spent = spent + vm.now() - started
    end
    print(("# plug and unplug: %.3f s together, on average"):format(spent / 20))
    t.equal(#lan:members(), 2) -- the place that the server was made with, and the client's
    t.match(server.domain:hmp "info network", "vxnet2")
    t.check(not server.domain:hmp("info network"):find "vxnet[^02]")
    lan:plug(server)
    t.equal(#fs.list(lan.folder), 2)
end)

t.test("a_revert_keeps_links_and_wants_the_same_cards", function()
    local snapshot = server:snapshot()
    server:link(lan, "down")
    snapshot:revert()
    t.equal(server:link(lan).state, "down")
    t.equal(server:output "cat /sys/class/net/eth1/carrier", "0")
    server:link(lan, "up")
    t.check(ping(server, "phone", 3) >= 2)
    lan:unplug(server)
    t.raises(function() snapshot:revert() end, "unsupported", "plugged or unplugged since snapshot")
    lan:plug(server)
    snapshot:revert()
    t.check(ping(server, "phone", 3) >= 2)
    snapshot:delete()
end)

t.test("what_cannot_be_is_refused_before_anything_is_made", function()
    local function create(nics, more)
        local opts = more or {}
        opts.image, opts.name, opts.nics = "seed", "refused", nics
        return function() vm.create(opts) end
    end
    t.raises(create { { net = lan, address = "10.9.0.2" } }, "exists", "is the address of guest server already")
    t.raises(create { { net = lan, address = "10.9.1.2" } }, "usage", "not among the addresses of 10%.9%.0%.0/24")
    t.raises(create { { net = lan, mac = lan:members()[1].mac:upper() } }, "exists", "the MAC address of guest server")
    t.raises(create { { net = lan, mac = "53:54:00:00:00:01" } }, "usage", "address of a group")
    t.raises(create { { net = lan, hostname = "phone" } }, "exists", "client is called phone there")
    t.raises(create { { net = lan, adress = "10.9.0.4" } }, "usage", "did you mean 'address'")
    t.raises(create { { net = "lan" } }, "usage", "a network of vm.network expected")
    t.raises(create { lan, lan }, "usage", "two cards on it")
    t.raises(create({ lan }, { forward = { 80 } }), "usage", "needs a \"nat\" network card")
    t.raises(create({ lan }, { card_slots = 0 }), "usage", "only 0 slots")
    local same <close> = vm.network { subnet = "10.9.0.0/16" }
    t.raises(create { lan, same }, "usage", "have addresses in common")
    same:close()
    t.raises(create { same }, "closed", "the network is closed")
    t.equal(#lan:members(), 2)
    t.raises(function() vm.network { subnet = "10.9.0.0" } end, "usage", "10%.9%.0%.0/24")
    t.raises(function() vm.network { name = "a b" } end, "usage", "letters, digits")
    t.raises(function() server:link(lan, "sideways") end, "usage", "unknown value 'sideways'")
    t.raises(function() server:link(lan, { loss = 2 }) end, "usage", "at most 1")
    t.raises(function() server:link(9) end, "notfound", "has 3 network cards")
    t.raises(function() server:link(same) end, "notfound")
end)

t.test("networks_take_free_subnets_and_full_ones_say_so", function()
    local first <close> = vm.network()
    local second <close> = vm.network()
    t.equal(first.subnet, "10.9.1.0/24")
    t.equal(second.subnet, "10.9.2.0/24")
    local tiny <close> = vm.network { subnet = "10.20.0.0/30" }
    local one <close> = vm.create { image = "seed", nics = { tiny } }
    t.equal(tiny:address(one), "10.20.0.2")
    t.raises(function() vm.create { image = "seed", nics = { tiny } } end, "limit", "no address of 10.20.0.0/30")
    one:close()
    local two <close> = vm.create { image = "seed", nics = { tiny } }
    t.equal(tiny:address(two), "10.20.0.2")
end)

t.test("a_slot_is_needed_and_the_message_names_the_option", function()
    local third <close> = vm.network()
    t.raises(function() third:plug(server) end, "limit", "a higher option 'card_slots'")
    t.raises(function() third:plug(client) end, "limit", "card_slots")
    t.equal(third:members(), {})
end)

t.test("a_stopped_guest_comes_back_with_the_cards_it_was_made_with", function()
    lan:unplug(client)
    client:stop()
    t.equal(lan:members()[2].connected, false)
    client:start()
    t.check(ping(client, "server", 3) >= 2)
    t.check(ping(server, "phone", 3) >= 2)
end)

t.test("a_network_that_closes_first_takes_the_carrier_away", function()
    other:close()
    t.equal(server:output "cat /sys/class/net/eth2/carrier", "0")
    t.equal(server:link(3).state, "down")
    t.raises(function() server:link(3, "up") end, "closed", "network other is closed")
    t.raises(function() other:members() end, "closed")
    t.check(ping(server, "phone", 3) >= 2)
    server:stop()
    t.raises(function() server:start() end, "closed", "its network other is closed")
    other:close()
end)

server:close()
client:close()
lan:close()
fs.remove_tree(folder)
t.finish()
