-- timeout: 600
-- Bad input and a bad world: each gets an error that names the object and the remedy.
local vm = require "vm"
local t = require "harness"
local host = require "vm.host"
local fs = vm.raw.fs

local folder = fs.mkdtemp("vmatrix-test-")
local seed = { image = "seed", memory = "256MiB" }

local function with(extra)
    local opts = {}
    for name, value in pairs(seed) do
        opts[name] = value
    end
    for name, value in pairs(extra) do
        opts[name] = value
    end
    return opts
end

-- The connection is opened before the first count of what is left.
vm.create(seed):close()
t.baseline()

t.test("an_unknown_option_names_the_nearest_one", function()
    t.raises(function() vm.create { image = "seed", memroy = "1GiB" } end, "usage",
        "unknown option 'memroy'; did you mean 'memory'")
    t.raises(function() vm.boot { image = "seed", wait = "comands" } end, "usage", "did you mean 'commands'")
    t.raises(function() vm.create(with { ssh = { usr = "x" } }) end, "usage", "did you mean 'user'")
end)

t.test("a_wrong_type_says_what_was_expected", function()
    t.raises(function() vm.create(with { cpus = "two" }) end, "usage", "option 'cpus': a whole number expected")
    t.raises(function() vm.create(with { memory = 512 }) end, "usage", "write '512MiB'")
    t.raises(function() vm.create(with { name = "a/b" }) end, "usage", "option 'name'")
    t.raises(function() vm.create(with { disk = "20 apples" }) end, "usage", "a size such as")
    t.raises(function() vm.create(with { forward = { { guest = 80, host = 99999 } } }) end, "usage", "at most 65535")
    t.raises(function() vm.create(with { nics = { "bridge" } }) end, "usage", "known are nat")
    t.raises(function() vm.create "seed" end, "usage", "a table of options expected")
end)

t.test("an_unknown_architecture_names_the_known", function()
    t.raises(function() vm.create(with { arch = "x86-64" }) end, "usage", "did you mean 'x86_64'")
    t.raises(function() vm.create(with { arch = "vax" }) end, "usage", "unknown architecture 'vax'; known are")
end)

t.test("a_missing_image_kernel_or_disk_names_the_path", function()
    t.raises(function() vm.create { image = folder .. "/no.qcow2" } end, "notfound", "no%.qcow2")
    t.raises(function() vm.create { kernel = folder .. "/vmlinuz" } end, "notfound", "vmlinuz")
    t.raises(function() vm.create(with { disks = { folder .. "/no.raw" } }) end, "notfound", "no%.raw")
    t.raises(function() vm.create(with { media = { folder .. "/no.iso" } }) end, "notfound", "no%.iso")
end)

t.test("a_corrupt_qcow2_is_refused_before_anything_boots", function()
    local path = folder .. "/corrupt.qcow2"
    host.run { "qemu-img", "create", "-q", "-f", "qcow2", path, "64M" }
    host.run { "qemu-io", "-c", "write 0 1M", path }
    local file = assert(io.open(path, "r+b"))
    file:seek("set", 0x20000) -- somewhere in the tables
    file:write(("\255"):rep(65536))
    file:close()
    t.raises(function() vm.create { image = path, memory = "256MiB" } end, "format", "corrupt%.qcow2")
    fs.write_atomic(folder .. "/nonsense.qcow2", "QFI\xfb" .. ("\255"):rep(4096))
    t.raises(function() vm.create { image = folder .. "/nonsense.qcow2", memory = "256MiB" } end, "format", "nonsense")
end)

t.test("an_image_that_refers_to_other_files_is_refused", function()
    host.run { "qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", "/etc/hostname", folder .. "/evil.qcow2" }
    t.raises(function() vm.create { image = folder .. "/evil.qcow2" } end, "unsafe", "refers to another file")
    t.raises(function() vm.create(with { disks = { folder .. "/evil.qcow2" } }) end, "unsafe", "refers to another file")
end)

t.test("an_architecture_without_qemu_names_the_program", function()
    local code = "vm.create{ arch = 'riscv64', kernel = '/etc/hostname' }"
    local result = host.run({ "/usr/bin/env", "PATH=" .. folder, os.getenv "VMATRIX", "-e", code },
        { check = false, timeout = 60 })
    t.equal(result.status, 1)
    t.match(result.stderr, "no QEMU for riscv64: qemu%-system%-riscv64 is not installed; `vmatrix doctor`")
end)

t.test("a_taken_port_is_named_and_the_remedy_too", function()
    local guest <close> = vm.boot(with { wait = "none", forward = { 80 } })
    local taken = guest:port(80)
    t.raises(function()
        vm.boot(with { wait = "none", forward = { { guest = 80, host = taken } } })
    end, "exists", "taken on this host")
    t.raises(function() vm.create(with { name = guest.name }) end, "exists", "there is a guest named")
end)

t.test("memory_that_does_not_fit_is_refused_before_qemu_gets_a_sigbus", function()
    t.raises(function() vm.create { image = "seed", memory = "64TiB" } end, "nospace", "no room for")
end)

t.test("a_full_disk_is_said_so_and_leaves_nothing", function()
    if fs.uid() ~= 0 then
        t.skip("mounting a small file system needs root")
    end
    local small = folder .. "/small"
    fs.mkdir_p(small)
    local mounted = host.run({ "mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", small }, { check = false })
    if not mounted.ok then
        t.skip("cannot mount a tmpfs here")
    end
    local binary = os.getenv "VMATRIX"
    local result = host.run({ binary, "-e", "vm.create{ image = 'seed', memory = '256MiB' }" },
        { check = false, timeout = 100, env = { TMPDIR = small, XDG_STATE_HOME = small, XDG_RUNTIME_DIR = small } })
    local left = host.run { "find", small, "-type", "f" }
    host.run { "umount", small }
    t.equal(result.status, 1)
    t.match(result.stderr, "No space left")
    t.equal(left.stdout, "")
end)

t.test("a_wrong_key_and_a_wrong_host_key_fail_and_are_not_retried", function()
    local other = vm.raw.data.ed25519("other")
    fs.write_atomic(folder .. "/id", other.private, 384)
    local guest <close> = vm.boot(with { wait = "console" })
    local port = guest:port(22)
    t.raises(function()
        vm.ssh { host = "127.0.0.1", port = port, key = folder .. "/id", host_key = guest.login.host_key }:exec "true"
    end, "auth")
    t.raises(function()
        vm.ssh { host = "127.0.0.1", port = port, key = guest.login.key, host_key = other.public }:exec "true"
    end, "hostkey")
    t.equal(guest:output "uname", "Linux")
end)

t.test("a_guest_killed_at_any_stage_ends_the_call_and_can_be_closed", function()
    local function pid_of(guest)
        return ("%d"):format(guest:info().pid)
    end
    local stages = {
        boot = function(guest) guest:wait_ready() end,
        exec = function(guest) guest:wait_ready() guest:exec "sleep 60" end,
        copy = function(guest) guest:wait_ready() guest:write("/tmp/zero", ("0"):rep(2 ^ 28)) end,
        snapshot = function(guest) guest:wait_ready() while true do guest:snapshot() end end,
    }
    for stage, fn in pairs(stages) do
        local guest <close> = vm.boot(with { wait = "none" })
        local task = vm.spawn(function()
            return vm.try(fn, guest)
        end)
        if stage ~= "boot" then
            guest:wait_ready()
        end
        vm.sleep(stage == "snapshot" and 0.15 or 1)
        host.run { "kill", "-9", pid_of(guest) }
        local _, err = vm.timeout(20, task.join, task)
        t.check(err, stage .. " did not fail")
        local expected = { crashed = true, libvirt = true, closed = true }
        t.check(expected[err.kind], ("%s: %s: %s"):format(stage, err.kind, err))
    end
    t.equal(#fs.glob(folder .. "/zero*"), 0)
end)

fs.remove_tree(folder)
t.finish()
