-- Networks without guests: the switch's binding, subnets that are taken, and what a seed is told of its cards.
local vm = require "vm"
local t = require "harness"
local raw = vm.raw
local fs = raw.fs

local folder = fs.mkdtemp("vmatrix-test-")
require("vm.run").open() -- networks live in its folder
t.baseline()

t.test("a_switch_listens_until_its_port_is_removed_or_it_is_closed", function()
    local switch <close> = raw.net.switch(1)
    local first = switch:add(folder .. "/a")
    local second = switch:add(folder .. "/b")
    t.check(first ~= second)
    t.equal(switch:stats(first).connected, false)
    t.equal(switch:stats(first).from, { frames = 0, bytes = 0, lost = 0, dropped = 0 })
    switch:shape(first, "from", { delay = 0.1, jitter = 0.01, loss = 0.5, rate = 1000 })
    local port, err = switch:add(folder .. "/a")
    t.equal(port, nil)
    t.match(err.message, "cannot listen at .*/a")
    switch:remove(first)
    t.equal(fs.list(folder), { "b" })
    switch:close()
    switch:close()
    t.equal(fs.list(folder), {})
    t.raises(function() switch:stats(second) end, "closed", "the network is closed")
end)

t.test("a_switch_takes_no_wrong_types_and_says_which_field", function()
    local switch <close> = raw.net.switch(2)
    t.check(not pcall(raw.net.switch, "x"))
    t.check(not pcall(switch.shape, switch, 0, "sideways", {}))
    local ok, err = pcall(switch.shape, switch, 0, "to", { delay = "long" })
    t.check(not ok)
    t.match(tostring(err), "field 'delay': number expected")
    switch:shape(77, "to", { delay = 1 })
    t.equal(switch:stats(-1).connected, false)
end)

t.test("a_switch_that_nobody_holds_is_collected", function()
    for i = 1, 20 do
        raw.net.switch(i):add(("%s/%d"):format(folder, i))
    end
    collectgarbage()
    collectgarbage()
    t.equal(fs.list(folder), {})
end)

t.test("networks_belong_to_a_task_and_end_with_it", function()
    local lan = vm.spawn(function()
        local inner = vm.network { name = "inner" }
        t.equal(inner.closed, false)
        t.equal(fs.stat(inner.folder).mode & 511, 448)
        return { inner }
    end):join()[1]
    t.equal(lan.closed, false)
    lan:close()
    lan:close()
    t.equal(fs.exists(lan.folder), false)
    local left = {}
    vm.spawn(function()
        left[1] = vm.network()
        t.match(tostring(left[1]), "^network network%-%d+ %(10%.9%.0%.0/24%)$")
    end):join()
    t.equal(left[1].closed, true)
    t.match(tostring(left[1]), "closed")
end)

t.test("an_unknown_option_is_refused_with_the_nearest_name", function()
    t.raises(function() vm.network { subnets = "10.9.0.0/24" } end, "usage", "did you mean 'subnet'")
    t.raises(function() vm.network "10.9.0.0/24" end, "usage", "a table of options expected")
    t.raises(function() vm.network { subnet = "10.0.2.0/24" } end, "usage", "option 'subnet'.*overlaps 10%.0%.2%.0/24")
end)

t.test("a_capture_that_cannot_be_written_says_where", function()
    local lan <close> = vm.network { name = "lan" }
    t.raises(function() lan:capture "/nowhere/at/all.pcap" end, "notfound", "network lan: .*/nowhere/at/all%.pcap")
    t.raises(function() lan:capture(1) end, "usage", "a path expected")
    t.raises(function() lan:plug({}) end, "usage", "a guest expected")
    t.raises(function() lan:address "nobody" end, "notfound", "\"nobody\" is not on it")
end)

-- A seed's cards are found in the order of its bus: behind root ports later than on the root bus.
t.test("a_seed_is_told_its_addresses_in_the_order_of_its_bus", function()
    local append = require("vm.network.cards").append
    local function guest(root_ports, ...)
        local cards = {}
        for i, address in ipairs { ... } do
            cards[i] = { index = i - 1, kind = address and "net" or "nat", address = address or nil, prefix = 24 }
        end
        return { cards = cards, spec = { arch_info = { root_ports = root_ports } } }
    end
    t.equal(append(guest(true, false)), "")
    t.equal(append(guest(true, false, "10.9.0.2")), " vmatrix.eth1=10.9.0.2/24")
    t.equal(append(guest(true, "10.9.0.2", false)), " vmatrix.eth1=10.9.0.2/24")
    t.equal(append(guest(false, "10.9.0.2", false)), " vmatrix.eth0=10.9.0.2/24 vmatrix.eth1=10.0.2.15/24")
    t.equal(append(guest(true, "10.9.0.2")), " vmatrix.eth0=10.9.0.2/24")
    t.equal(append(guest(true, "10.9.0.2", false, "10.9.1.2")),
        " vmatrix.eth1=10.9.0.2/24 vmatrix.eth2=10.9.1.2/24")
end)

fs.remove_tree(folder)
t.finish()
