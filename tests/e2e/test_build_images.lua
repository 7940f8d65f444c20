-- Images of Debian that are built here, and booted to a first command. With VMATRIX_CHECK_ALL=1 every
-- release and architecture that the manual names, each built twice and installed into; otherwise those that
-- take a few minutes. Says how long each took.
-- timeout: 14400
local t = require "harness"
local raw = require "vm.raw"
local build = require "vm.build.image"
local store = require "vm.images.store"
local vm = require "vm"

local ALL <const> = os.getenv "VMATRIX_CHECK_ALL" == "1"

local CASES = {
    { "debian-12", "x86_64" },
    { "debian-13", "x86_64", init = "none" },
    { "debian-13", "i386", init = "none" },
}
if ALL then
    CASES = {
        { "debian-13", "aarch64" }, { "debian-12", "aarch64" }, { "debian-13", "riscv64" },
        { "debian-13", "x86_64" }, { "debian-12", "x86_64" }, { "debian-11", "x86_64" }, { "debian-13", "i386" },
        { "debian-13", "x86_64", init = "none" }, { "debian-13", "riscv64", init = "none" },
    }
end

local MACHINE = { i386 = "i686" }

local function forget(name, arch)
    local note = store.named(name, arch)
    local record = note and store.record(note.digest)
    if record then
        record.name, record.arch = name, arch
        pcall(store.remove, record)
    end
end

local function one(case)
    local release, arch = case[1], case[2]
    local name = ("check-%s-%s"):format(release, case.init or "systemd")
    local _ <close> = setmetatable({}, { __close = function() forget(name, arch) end })
    local started = vm.now()
    local image = build.build(release, arch, { init = case.init, as = name })
    local built = vm.now() - started
    started = vm.now()
    local guest <close> = vm.boot { image = name, arch = arch, memory = "512MiB", disk = "6GiB", timeout = 3000 }
    local said = guest:output "uname -m; . /etc/os-release; echo $VERSION_ID; id -un; hostname"
    local booted = vm.now() - started
    t.equal(said, ("%s\n%s\nroot\n%s"):format(MACHINE[arch] or arch, release:match "%d+", guest.name))
    t.check(tonumber(guest:output "df -k / | awk 'NR == 2 { print $2 }'") > 5 << 20, "the disk did not grow")
    t.match(guest:output "cat /etc/machine-id", "^%x+$")
    t.equal(guest:output "ls /etc/ssh | grep -c 'host.*key$'", "1", "keys that were baked in")
    print(("%-10s %-8s %-8s build %7.1f s  boot to first command %6.1f s"):format(release, arch,
        case.init or "systemd", built, booted))
    io.stdout:flush()
    if ALL then
        guest:install("make", { timeout = 3000 })
        t.match(guest:output "make --version", "GNU Make")
        t.equal(build.build(release, arch, { init = case.init, as = name }).digest, image.digest, "built twice")
    end
    t.check(guest:stop { timeout = 600 } == "polite", "it did not power off when asked")
end

do -- the run and its connection are there from now on
    local _ <close> = vm.create { image = "seed", memory = "256MiB" }
end
t.baseline()

t.test("images_are_built_from_packages_and_boot_to_a_command_with_an_identity_of_their_own", function()
    if not require("vm.host").which "mmdebstrap" then
        t.skip "mmdebstrap is not installed"
    end
    vm.parallel(CASES, one, { limit = ALL and 1 or raw.fs.cpu_count() })
end)

t.test("cloud_init_of_an_image_does_what_it_is_told_and_its_iso_image_is_taken_out", function()
    if not ALL then
        t.skip "it takes minutes: VMATRIX_CHECK_ALL=1 asks for it"
    end
    local name = "check-cloud"
    local _ <close> = setmetatable({}, { __close = function() forget(name, "x86_64") end })
    local image = build.build("debian-13", "x86_64", { with = { "cloud-init" }, as = name })
    local user_data = os.tmpname()
    local _ <close> = setmetatable({}, { __close = function() os.remove(user_data) end })
    raw.fs.write_atomic(user_data, "#cloud-config\nwrite_files: [ { path: /etc/theirs, content: merged } ]\n")
    local started = vm.now()
    local guest <close> = vm.boot {
        image = image.path, kernel = image.kernel, initrd = image.initrd, append = image.append,
        ready = image.build.ready, arch = "x86_64", memory = "1GiB", disk = "6GiB", timeout = 3000,
        user = "tester", name = "told",
        cloud = {
            hostname = "cloudy", timezone = "Europe/Paris", user_data = user_data,
            run = { "echo from a shell > /run/said", { "touch", "/a file" } },
        },
    }
    print(("debian-13  x86_64   cloud-init boot to first command %6.1f s"):format(vm.now() - started))
    t.equal(guest:output "id -un; hostname; sudo -n id -u; cat /run/said /etc/theirs; ls '/a file'; date +%Z",
        "tester\ncloudy\n0\nfrom a shell\nmerged/a file\n" .. guest:output "TZ=Europe/Paris date +%Z")
    t.match(guest:output "cloud-init status", "status: done")
    t.equal(guest:output "ls /etc/ssh | grep -c 'host.*key$'", "1", "keys that were not ours")
    t.equal(guest:exec("sudo dd if=/dev/sr0 of=/dev/null count=1").ok, false, "the ISO image is still in")
    t.check(tonumber(guest:output "df -k / | awk 'NR == 2 { print $2 }'") > 5 << 20, "the disk did not grow")
end)

t.finish()
