-- vmatrix doctor: what is there, what is missing with its remedy, and the exit status.
local vm = require "vm"
local t = require "harness"
local cli = require "cli.cli"

local fs = vm.raw.fs

local function doctor(opts)
    local result = cli.run({ "doctor", "--json" }, opts)
    local found = assert(vm.raw.json.decode(result.stdout))
    local by_name = {}
    for _, check in ipairs(found.checks) do
        by_name[check.name] = check
    end
    return result, found, by_name
end

t.test("every_architecture_and_every_need_is_checked", function()
    local result, found, by_name = doctor()
    for _, name in ipairs { "libvirt", "x86_64", "aarch64", "riscv64", "i386", "armhf", "ppc64le", "s390x", "qemu-img",
        "accelerator", "memory", "disk", "cache", "ssh" } do
        t.check(by_name[name], name .. " is not checked")
        t.check(by_name[name].status == "ok" or by_name[name].remedy or name == "accelerator",
            name .. " is not well and has no remedy")
    end
    t.equal(#found.libraries >= 8, true)
    t.equal(result.status, found.usable and 0 or 1)
end)

t.test("a_machine_that_runs_guests_says_so", function()
    local result, found = doctor()
    t.equal(found.usable, true, result.stdout)
    t.equal(result.status, 0)
    t.match(cli.run({ "doctor" }).stdout, "\nguests can run here\n$")
end)

t.test("root_is_told_how_to_make_the_user_that_libvirt_looks_up", function()
    local host = require "vm.host"
    if fs.uid() ~= 0 or not host.which "unshare" then
        t.skip("another /etc/passwd needs root and unshare")
    end
    local users = host.run({ "sh", "-c", "grep -v '^libvirt-qemu:' /etc/passwd" }).stdout
    local path = cli.script("passwd", users)
    local argv = cli.argv { "doctor" }
    local got = host.run({ "unshare", "-m", "sh", "-c", "mount --bind " .. path .. " /etc/passwd && exec \"$@\"", "sh",
        table.unpack(argv) }, { check = false, timeout = 60 })
    if got.stdout == "" then
        t.skip("namespaces cannot be made here: " .. got.stderr)
    elseif not got.stdout:find "Failed to parse user" then
        t.skip "this libvirt looks no user up"
    end
    t.match(got.stdout, "NO   libvirt")
    t.match(got.stdout, "useradd %-%-system %-%-no%-create%-home %-%-shell /usr/sbin/nologin libvirt%-qemu")
    t.check(not got.stdout:find("apt-get install libvirt-daemon-driver-qemu", 1, true), "that would not help")
end)

-- A folder with links to some programs only, to be the whole of PATH.
local function path_with(programs)
    local host = require "vm.host"
    local folder = assert(fs.mkdtemp(cli.folder .. "/bin-"))
    for _, name in ipairs(programs) do
        assert(fs.symlink(assert(host.which(name), name), folder .. "/" .. name))
    end
    return { env = { "PATH=" .. folder } }
end

t.test("without_any_qemu_no_guest_can_run_and_packages_are_named", function()
    local result, found, by_name = doctor(path_with { "env", "qemu-img" })
    t.equal(result.status, 1)
    t.equal(found.usable, false)
    t.equal(by_name.x86_64.status, "fail")
    t.match(by_name.x86_64.remedy, "install")
    t.match(cli.run({ "doctor" }, path_with { "env" }).stdout, "\nno guest can run here")
end)

t.test("one_qemu_is_enough_and_the_others_are_warnings", function()
    local _, found, by_name = doctor(path_with { "env", "qemu-img", "qemu-system-riscv64" })
    t.equal(by_name.riscv64.status, "ok")
    t.equal(by_name.s390x.status, "warn")
    t.equal(found.usable, true)
end)

t.test("without_qemu_img_no_guest_can_run", function()
    local result, _, by_name = doctor(path_with { "env", "qemu-system-riscv64" })
    t.equal(result.status, 1)
    t.equal(by_name["qemu-img"].status, "fail")
end)

t.test("a_cache_that_cannot_be_written_to_is_a_failure_with_its_remedy", function()
    local file = cli.script("a-file", "")
    local result, _, by_name = doctor { env = { "XDG_CACHE_HOME=" .. file } }
    t.equal(result.status, 1)
    t.equal(by_name.cache.status, "fail")
    t.match(by_name.cache.remedy, "XDG_CACHE_HOME")
end)

cli.clean()
t.finish()
