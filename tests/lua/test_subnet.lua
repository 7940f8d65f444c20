-- Subnets and addresses of private networks.
local t = require "harness"
local subnet = require "vm.network.subnet"

t.test("a_subnet_is_read_and_knows_its_addresses", function()
    local s = subnet.parse("x", "10.9.0.0/24")
    t.equal(s.text, "10.9.0.0/24")
    t.equal(subnet.text(s.first), "10.9.0.1")
    t.equal(subnet.text(s.last), "10.9.0.254")
    s = subnet.parse("x", "192.168.255.252/30")
    t.equal(subnet.text(s.first), "192.168.255.253")
    t.equal(subnet.text(s.last), "192.168.255.254")
    s = subnet.parse("x", "172.16.0.0/12")
    t.equal(subnet.text(s.last), "172.31.255.254")
end)

t.test("what_is_no_subnet_is_refused_with_a_remedy", function()
    for _, case in ipairs {
        { "10.9.0.0", "a subnet such as '10.9.0.0/24' expected" },
        { "10.9.0/24", "expected, got \"10.9.0/24\"" },
        { "10.9.0.256/24", "expected, got" },
        { "10.9.0.0000/24", "expected, got" },
        { "10.9.0.0/31", "from /8 to /30" },
        { "10.0.0.0/7", "from /8 to /30" },
        { "10.9.0.1/24", "the subnet is 10.9.0.0/24" },
        { "10.0.2.0/24", "overlaps 10.0.2.0/24" },
        { "10.0.0.0/8", "overlaps 10.0.2.0/24" },
        { "10.0.2.64/26", "overlaps" },
        { "127.0.0.0/8", "is reserved" },
        { "224.0.0.0/24", "is reserved" },
    } do
        local err = t.raises(function() subnet.parse("vm.network", case[1]) end, "usage")
        t.check(err.message:find(case[2], 1, true), ("%s: %s"):format(case[1], err.message))
    end
end)

t.test("an_address_must_be_one_of_the_subnet_s", function()
    local s = subnet.parse("x", "10.9.0.0/24")
    t.equal(subnet.text(subnet.address("x", s, "10.9.0.7")), "10.9.0.7")
    for _, text in ipairs { "10.9.0.0", "10.9.0.255", "10.9.1.1", "11.9.0.1" } do
        t.raises(function() subnet.address("x", s, text) end, "usage", "not among the addresses of 10%.9%.0%.0/24")
    end
    t.raises(function() subnet.address("x", s, "ten") end, "usage", "an address such as 10%.9%.0%.1")
end)

t.test("overlap_goes_by_the_wider_of_the_two", function()
    local function overlap(a, b)
        return subnet.overlap(subnet.parse("x", a), subnet.parse("x", b))
    end
    t.equal(overlap("10.9.0.0/24", "10.9.1.0/24"), false)
    t.equal(overlap("10.9.0.0/16", "10.9.1.0/24"), true)
    t.equal(overlap("10.9.1.0/24", "10.9.0.0/16"), true)
    t.equal(overlap("10.9.1.0/24", "10.9.1.0/24"), true)
end)

t.finish()
