-- timeout: 900
-- Real guests frozen once and forked: what a fork is, shares, and has of its own.
local vm = require "vm"
local t = require "harness"
local fs = vm.raw.fs

local function frozen(opts)
    opts.image, opts.memory = "seed", opts.memory or "256MiB"
    local guest = vm.boot(opts)
    guest:run "echo frozen > /tmp/state; sleep 1000 >/dev/null 2>&1 & echo $! > /tmp/pid"
    return guest
end

-- The guest's clock is that of the host, as far as a command can tell.
local function check_clock(guest)
    local before = os.time()
    local time = tonumber(guest:output "date +%s")
    t.check(time >= before - 3 and time <= os.time() + 1, ("the clock says %d at %d"):format(time, before))
end

-- One template for the tests that leave it as it is.
local source = frozen { name = "source", forward = { 80 } }
local base = source:template()
source:close() -- which waits for its end
t.baseline()

t.test("a_frozen_guest_is_consumed_and_says_so", function()
    t.raises(function() source:run "true" end, "closed", "frozen into template source; fork that")
    t.raises(function() source:template() end, "closed", "frozen into template source")
    source:close()
    t.match(tostring(base), "^template source %(x86_64, live%)$")
end)

t.test("a_fork_goes_on_where_the_template_was_frozen", function()
    local fork <close> = base:fork()
    t.equal(fork:output "cat /tmp/state", "frozen")
    fork:run "kill -0 $(cat /tmp/pid)" -- its processes run on
    t.equal(fork.origin.how, "live")
    t.equal(fork.origin.template, "source")
    t.check(fork:port(80) > 1024)
    t.check(vm.features(fork).fork == "live")
end)

t.test("forks_differ_in_random_numbers_and_agree_on_the_time", function()
    local forks = base:fork { count = 2 }
    t.equal(#forks, 2)
    t.check(forks[1].name ~= forks[2].name)
    local function draw(fork)
        return fork:output "head -c 16 /dev/urandom | od -An -tx1"
    end
    t.check(draw(forks[1]) ~= draw(forks[2]), "two forks drew the same")
    for _, fork in ipairs(forks) do
        check_clock(fork)
        fork:close()
    end
end)

t.test("the_kernel_of_a_fork_sees_that_its_generation_changed", function()
    local fork <close> = base:fork()
    t.match(fork:output "dmesg", "crng reseeded due to virtual machine fork")
end)

t.test("what_a_fork_writes_is_its_own", function()
    local one <close> = base:fork()
    local two <close> = base:fork()
    one:run "echo one > /tmp/state; echo one | dd of=/dev/vda conv=sync 2>/dev/null; sync"
    t.equal(two:output "cat /tmp/state", "frozen")
    t.equal(two:output "dd if=/dev/vda bs=3 count=1 2>/dev/null | tr -d '\\0'", "")
    local three <close> = base:fork()
    t.equal(three:output "cat /tmp/state", "frozen")
end)

t.test("a_fork_gets_the_names_that_it_is_given", function()
    local fork <close> = base:fork { name = "fred", hostname = true, machine_id = true, forward = { 81 } }
    t.equal(fork.name, "fred")
    t.equal(fork:output "hostname", "fred")
    t.match(fork:output "cat /etc/machine-id", "^%x+$")
    t.check(fork:port(81) > 1024)
    t.raises(function() fork:port(80) end, "notfound")
    t.raises(function() base:fork { name = "fred" } end, "exists", "fred")
    t.raises(function() base:fork { hostnam = "x" } end, "usage", "did you mean 'hostname'")
    t.raises(function() base:fork { count = 0 } end, "usage")
end)

t.test("a_fork_that_nobody_waits_for_is_put_right_before_its_first_command", function()
    local fork <close> = base:fork { wait = "none" }
    t.equal(fork:state(), "running")
    check_clock(fork)
end)

t.test("a_fork_can_be_stopped_and_boots_again_with_ram_of_its_own", function()
    local fork <close> = base:fork()
    fork:run "echo disk | dd of=/dev/vda conv=sync 2>/dev/null; sync"
    fork:stop()
    fork:start()
    t.equal(fork:exec("cat /tmp/state").ok, false) -- the root file system is in memory
    t.equal(fork:output "dd if=/dev/vda bs=4 count=1 2>/dev/null", "disk")
    local again <close> = base:fork()
    t.equal(again:output "cat /tmp/state", "frozen")
end)

t.test("a_fork_has_snapshots_and_libvirt_can_start_it_from_one", function()
    local fork <close> = base:fork()
    fork:run "echo one > /tmp/state"
    local one = fork:snapshot "one"
    fork:run "echo two > /tmp/state"
    one:revert()
    t.equal(fork:output "cat /tmp/state", "one")
    fork:kill()
    one:revert()
    t.equal(fork:state(), "running")
    t.equal(fork:output("cat /tmp/state", { timeout = 60 }), "one")
end)

t.test("a_fork_can_be_frozen_again", function()
    local fork = base:fork()
    fork:run "echo second >> /tmp/state"
    local second <close> = fork:template { name = "second" }
    local one <close> = second:fork()
    local other <close> = base:fork()
    t.equal(one:output "cat /tmp/state", "frozen\nsecond")
    t.equal(other:output "cat /tmp/state", "frozen")
end)

t.test("a_closed_template_keeps_its_files_until_its_last_fork_is_gone", function()
    local guest = frozen { name = "short" }
    local short = guest:template()
    local folder, ram = short.folder, short.info.desc.ram
    local fork = short:fork()
    t.raises(function() short:delete() end, "busy", "1 of its forks are alive")
    short:close()
    t.raises(function() short:fork() end, "closed", "the template is closed")
    t.check(fs.exists(folder) and fs.exists(ram))
    t.equal(fork:output "cat /tmp/state", "frozen")
    fork:close()
    t.check(not fs.exists(folder) and not fs.exists(ram))
end)

t.test("memory_is_shared_until_it_is_written_to", function()
    local function pss(guest)
        local file = assert(io.open(("/proc/%d/smaps"):format(guest:info().pid)))
        local rss, sum, ram = 0, 0, false
        for line in file:lines() do
            if line:find "^%x+%-%x+ " then
                ram = line:find("template%-source%.ram") ~= nil
            elseif ram then
                rss = rss + (tonumber(line:match "^Rss:%s+(%d+)") or 0)
                sum = sum + (tonumber(line:match "^Pss:%s+(%d+)") or 0)
            end
        end
        file:close()
        return sum, rss
    end
    local forks = base:fork { count = 3 }
    for _, fork in ipairs(forks) do
        local sum, rss = pss(fork)
        t.check(rss > 0 and sum < 0.7 * rss, ("pss %d KiB of rss %d KiB"):format(sum, rss))
    end
    for _, fork in ipairs(forks) do
        fork:close()
    end
end)

t.test("forks_on_a_network_have_addresses_of_their_own_and_see_each_other", function()
    local lan <close> = vm.network { subnet = "10.9.7.0/24" }
    local guest = frozen { name = "netted", nics = { lan, "nat" }, agent = true }
    local address = lan:address(guest)
    local netted <close> = guest:template()
    t.equal(#lan:members(), 0)
    local one <close> = netted:fork { name = "one" }
    local two <close> = netted:fork { name = "two", networks = { { net = lan, address = "10.9.7.9" } } }
    local none <close> = netted:fork { networks = {} }
    t.equal(lan:address(one), address)
    t.equal(lan:address(two), "10.9.7.9")
    local members = lan:members()
    t.check(members[1].mac ~= members[2].mac)
    one:run "ping -c 1 -W 20 two"
    two:run "ping -c 1 -W 20 one"
    t.equal(#lan:members(), 2)
    t.equal(none:output "cat /tmp/state", "frozen")
    t.raises(function() netted:fork { networks = { "lan" } } end, "usage", "networks%[1%]")
end)

for arch, size in pairs {
    aarch64 = { cpus = 4, memory = "4GiB" },
    riscv64 = { cpus = 1, memory = "256MiB" },
    x86_64 = { cpus = 1, memory = "128MiB" },
} do
    t.test(("a_fork_of_%s_with_more_disks_%d_cpus_and_%s_works"):format(arch, size.cpus, size.memory), function()
        local guest = frozen { name = "far-" .. arch, arch = arch, cpus = size.cpus, memory = size.memory,
            disks = { "1GiB" } }
        guest:run "echo more | dd of=/dev/vdb conv=sync 2>/dev/null; sync"
        local far <close> = guest:template()
        local fork <close> = far:fork { machine_id = true }
        t.equal(fork:output "cat /tmp/state; dd if=/dev/vdb bs=4 count=1 2>/dev/null", "frozen\nmore")
        check_clock(fork)
    end)
end

-- The program leaves a kernel without a tick no moment to do anything else.
t.test("the_timers_of_a_busy_riscv64_go_on_in_a_fork", function()
    local guest = frozen { name = "busy", arch = "riscv64", memory = "256MiB" }
    guest:run "while :; do :; done >/dev/null 2>&1 </dev/null &"
    local template <close> = guest:template()
    local fork <close> = template:fork()
    t.equal(fork:output("sleep 0.5; cat /tmp/state", { timeout = 60 }), "frozen")
end)

t.test("other_ways_are_taken_where_they_are_asked_for", function()
    for _, way in ipairs { "snapshot", "boot" } do
        local guest = frozen { name = "by-" .. way }
        guest:run "echo disk | dd of=/dev/vda conv=sync 2>/dev/null; sync"
        local made <close> = guest:template { way = way }
        t.equal(made.way, way)
        local one <close> = made:fork()
        local two <close> = made:fork()
        for _, fork in ipairs { one, two } do
            t.equal(fork.origin.how, way)
            t.equal(fork:exec("cat /tmp/state").stdout, way == "snapshot" and "frozen\n" or "")
            t.equal(fork:output "dd if=/dev/vda bs=4 count=1 2>/dev/null", "disk")
            check_clock(fork)
        end
    end
end)

t.test("a_guest_says_why_it_cannot_be_forked_live", function()
    local guest <close> = vm.create { image = "seed", memory = "256MiB",
        qemu_args = { "-device", "ivshmem-plain,memdev=x" } }
    local can = vm.features(guest)
    t.equal(can.fork, "boot")
    t.match(can.why, "ivshmem")
    t.raises(function() vm.features "x" end, "usage", "a guest expected")
    t.raises(function() guest:template() end, "closed", "not running")
end)

base:close()
t.finish()
