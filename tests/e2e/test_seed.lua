-- The seed guest under plain QEMU: it boots, lets in whom it should, and ends politely.
-- timeout: 900
local t = require "harness"
local raw = require "vm.raw"
local host = require "vm.host"
local reseed = require "vm.reseed"
local seed = require "vm.seed"

local fs, data = raw.fs, raw.data

-- What QEMU must be told: the program's name where it differs, and how devices attach.
local MACHINES = {
    aarch64 = { "-machine", "virt", "-cpu", "max,pauth-impdef=on" },
    armhf = { "-machine", "virt,highmem=off", "-cpu", "max", program = "arm", uname = "armv7l" },
    i386 = { "-machine", "q35", "-cpu", "max", uname = "i686", pvpanic = { "-device", "pvpanic" } },
    ppc64le = { "-machine", "pseries,x-vof=on", program = "ppc64" },
    riscv64 = { "-machine", "virt" },
    s390x = { "-cpu", "max,vx=off", bus = "ccw" },
    x86_64 = { "-machine", "q35", "-cpu", "max,-cx16", pvpanic = { "-device", "pvpanic" } },
}

local function build(arch)
    return seed.build(arch, {
        progress = function(line)
            print(arch .. ": " .. line)
        end,
    })
end

-- A guest whose monitor is the process's standard input and output, and whose console is a file.
local function start(folder, arch, extra)
    local machine = MACHINES[arch]
    local name = "qemu-system-" .. (machine.program or arch)
    local program = host.which(name)
    if not program then
        t.skip(name .. " is not on this machine")
    end
    local bus = machine.bus or "pci"
    local image = build(arch)
    local login, host_key = data.ed25519("login"), data.ed25519("host")
    seed.keys(folder .. "/initrd", image, { public = login.public, host_key = host_key.dropbear })
    t.equal(fs.stat(folder .. "/initrd").mode, 384)
    assert(fs.write_atomic(folder .. "/login", login.private, 384))
    assert(fs.write_atomic(folder .. "/known", "guest " .. host_key.public .. "\n"))
    local argv = { program, "-accel", "tcg,tb-size=256", "-m", tostring(image.memory_min // 2 ^ 20 | 0),
        "-smp", (arch == "riscv64" or arch == "i386") and "1" or "2", -- see scripts/vm/guest/spec.lua
        "-nodefaults", "-display", "none", "-no-reboot", "-kernel", image.kernel, "-initrd", folder .. "/initrd",
        "-append", image.append .. " vmatrix.hostname=box",
        "-netdev", "user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:0-:22",
        "-device", "virtio-net-" .. bus .. ",netdev=net", "-device", "virtio-rng-" .. bus,
        "-serial", "file:" .. folder .. "/console", "-monitor", "stdio" }
    table.move(machine, 1, #machine, #argv + 1, argv)
    table.move(extra or {}, 1, #(extra or {}), #argv + 1, argv)
    return { folder = folder, image = image, started = raw.task.now(),
        process = assert(raw.process.start { argv = argv, stdin = true }) }
end

local function console(guest)
    return (fs.read(guest.folder .. "/console")) or ""
end

local function wait_console(guest, text)
    local deadline = raw.task.now() + 120
    while not console(guest):find(text, 1, true) do
        if raw.task.now() > deadline then
            error(("'%s' did not appear on the console, which ended with: %s"):format(text, console(guest):sub(-2000)))
        end
        raw.task.sleep(0.05)
    end
end

-- Asks the monitor until its answer matches; returns what the pattern captured.
local function ask(guest, command, pattern)
    local answer = ""
    assert(guest.process:write(command .. "\n"))
    while not answer:find(pattern) do
        local _, chunk = guest.process:read(30)
        answer = answer .. assert(type(chunk) == "string" and chunk, "the monitor did not answer: " .. answer)
    end
    return answer:match(pattern)
end

local function ssh_argv(guest, ...)
    guest.port = guest.port or ask(guest, "info usernet", "127%.0%.0%.1%s+(%d+)%s+10%.0%.2%.15%s+22")
    return { "ssh", "-F", "none", "-i", guest.folder .. "/login", "-p", guest.port,
        "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", "HostKeyAlias=guest",
        "-o", "UserKnownHostsFile=" .. guest.folder .. "/known", "-o", "LogLevel=ERROR", ... }
end

local function ssh(guest, user, command, check)
    return host.run(ssh_argv(guest, user .. "@127.0.0.1", command), { timeout = 120, check = check })
end

-- The first byte of the SFTP server's answer to SSH_FXP_INIT, version 3, which tells its type.
local function greet_sftp(guest)
    local process <close> = assert(raw.process.start {
        argv = ssh_argv(guest, "-s", "root@127.0.0.1", "sftp"),
        stdin = true,
    })
    assert(process:write(string.pack(">s4", "\1\0\0\0\3")))
    local _, chunk = process:read(60)
    return chunk:byte(5)
end

local function wait_end(guest, seconds)
    local status, signal = guest.process:wait(seconds)
    if status == nil then
        error("QEMU did not end; the console's end: " .. console(guest):sub(-2000))
    end
    t.equal({ status, signal }, { 0, 0 })
end

-- Whether the pool was reseeded, by the seed's own program and by the one that the snippet brings along.
local function check_reseed(guest, arch)
    for _, gone in ipairs { "", "/nonexistent" } do
        local script = reseed.script(arch, assert(fs.random(48))):gsub(reseed.PROGRAM:gsub("%p", "%%%0"),
            gone ~= "" and gone or "%0")
        t.equal(ssh(guest, "root", script).stderr, "")
        local refused = ssh(guest, "user", script, false)
        t.equal(refused.status, 1)
        t.match(refused.stderr, "could not be reseeded")
    end
    if arch == "x86_64" then
        local other = reseed.script("i386", assert(fs.random(48)))
            :gsub(reseed.PROGRAM:gsub("%p", "%%%0"), "/nonexistent")
        ssh(guest, "root", other)
    end
    ssh(guest, "root", [[n=0
        while ls -A /run /tmp /dev/shm /var/tmp /root | grep vmatrix; do
            n=$((n+1)); [ $n -lt 20 ] || exit 1; sleep 0.5 # it is removed in the background
        done]])
end

for _, arch in ipairs(seed.arches()) do
    t.test(arch .. " boots with the least memory, runs commands for both users, and shows a kernel panic", function()
        t.with_folder(function(folder)
            local pvpanic = MACHINES[arch].pvpanic or {}
            local guest = start(folder, arch, { "-action", "panic=shutdown", table.unpack(pvpanic) })
            local process <close> = guest.process
            wait_console(guest, guest.image.ready)
            local ready = raw.task.now() - guest.started
            t.equal(ssh(guest, "root", "uname -m").stdout, (MACHINES[arch].uname or arch) .. "\n")
            print(("%s: ready line after %.2f s, first command after %.2f s"):format(arch, ready,
                raw.task.now() - guest.started))
            t.equal(ssh(guest, "root", "id -u; hostname; stat -c %a / /tmp /root").stdout, "0\nbox\n755\n1777\n700\n")
            t.equal(ssh(guest, "user", "id -un; pwd; touch f && ls -l f | cut -c1-10").stdout,
                "user\n/home/user\n-rw-r--r--\n")
            t.equal(ssh(guest, "root", "su user -c 'id -u'; cd /usr/bin && ls tar setsid").stdout,
                "1000\nsetsid\ntar\n")
            t.equal(greet_sftp(guest), 2) -- SSH_FXP_VERSION
            t.equal(ssh(guest, "nobody", "true", false).status, 255)
            -- A file system that is a module is loaded by the kernel itself when it is mounted.
            t.equal(ssh(guest, "root", "modprobe isofs; grep -c iso9660 /proc/filesystems").stdout, "1\n")
            check_reseed(guest, arch)
            ssh(guest, "root", "(sleep 1; echo c >/proc/sysrq-trigger) >/dev/null 2>&1 </dev/null &")
            wait_console(guest, "Kernel panic - not syncing")
            if guest.image.features.panic_event then
                wait_end(guest, 60) -- it told QEMU
            else
                t.equal(select(2, process:wait(0.5)).kind, "timeout")
            end
        end)
    end)

    -- Not all of them know a button. The button is pressed as soon as the guest is ready.
    t.test(arch .. " powers off: by its button where it has one, and else by `poweroff`", function()
        t.with_folder(function(folder)
            local guest = start(folder, arch)
            local _ <close> = guest.process
            local button = ({ armhf = true, i386 = true, s390x = true, x86_64 = true })[arch] or false
            t.equal(guest.image.features.power_button, button)
            wait_console(guest, guest.image.ready)
            local asked = raw.task.now()
            if button then
                assert(guest.process:write("system_powerdown\n"))
            else
                ssh(guest, "root", "poweroff", false)
            end
            wait_end(guest, 60)
            t.check(not console(guest):find("Restarting system", 1, true), "it was restarted instead")
            print(("%s: off after %.2f s"):format(arch, raw.task.now() - asked))
        end)
    end)
end

t.test("a mirror that cannot be reached is named in the error, and nothing is left", function()
    t.with_folder(function(folder)
        local env = { XDG_CACHE_HOME = folder, VMATRIX_DEBIAN_MIRROR = "http://127.0.0.1:9/debian" }
        local result = host.run({ os.getenv("VMATRIX"), "images", "build", "seed", "--arch", "x86_64" },
            { env = env, check = false, timeout = 120 })
        t.equal(result.status, 1)
        t.match(result.stderr, "seed guest for x86_64: .*http://127%.0%.0%.1:9/debian.*VMATRIX_DEBIAN_MIRROR")
        t.equal(fs.list(folder .. "/vmatrix/images"), { "seed-x86_64.lock" })
        t.equal(fs.list(folder .. "/vmatrix/apt"), {})
    end)
end)

t.test("a built seed is used again without any work, and a damaged one is not used", function()
    local image = build("x86_64")
    seed.build("x86_64", {
        progress = function(line)
            error("it was built again: " .. line)
        end,
    })
    t.with_folder(function(folder)
        local copy = folder .. "/vmatrix/images/" .. image.folder:match("[^/]+$")
        assert(fs.mkdir_p(copy))
        assert(fs.symlink(image.kernel, copy .. "/kernel"))
        for _, name in ipairs { "manifest.lua", "initramfs.cpio.gz" } do
            assert(fs.write_atomic(copy .. "/" .. name, assert(fs.read(image.folder .. "/" .. name))))
        end
        local function list()
            local env = { XDG_CACHE_HOME = folder }
            local said = host.run({ os.getenv("VMATRIX"), "images", "list" }, { env = env }).stdout
            return said:match("seed +x86_64[^\n]*")
        end
        t.check(list():find(copy, 1, true), list())
        local bytes = assert(fs.read(image.initrd))
        assert(fs.write_atomic(copy .. "/initramfs.cpio.gz", bytes:sub(1, -2) .. "\1"))
        t.match(list(), "not built")
    end)
end)

t.test("the same packages give the same bytes", function()
    t.with_folder(function(folder)
        local tree, packages = seed.fetch("x86_64", folder)
        for _, name in ipairs { "one", "two" } do
            assert(fs.mkdir_p(folder .. "/" .. name))
            seed.assemble(folder .. "/" .. name, "x86_64", tree, packages)
        end
        for _, name in ipairs(assert(fs.list(folder .. "/one"))) do
            t.equal(fs.sha256(folder .. "/one/" .. name), fs.sha256(folder .. "/two/" .. name), name)
        end
        t.equal(#fs.list(folder .. "/one"), 3)
    end)
end)

t.test("an architecture that is not known is misuse", function()
    t.raises(function()
        seed.build("x86-64")
    end, "usage", "x86_64")
    t.raises(function()
        seed.build("x86_64", { forse = true })
    end, "usage", "force")
end)

t.finish()
