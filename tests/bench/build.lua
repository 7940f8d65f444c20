-- What building an image costs beside the bare pipeline (mmdebstrap, mke2fs, qemu-img) with the same packages of
-- Debian 13, already downloaded, once without a kernel and once with the one that ours has, installed as its
-- package does it; and what its boot to a first command costs beside a line of QEMU written by hand
-- for the same machine. Both take turns. Needs root, as the bare pipeline does.
--   vmatrix tests/bench/build.lua [build|boot|all] [ROUNDS [IMAGE]]     (all, and 1 unless told otherwise)
-- IMAGE is one that was built before, to be booted instead of one that is built for it.
local vm = require "vm"
local bootstrap = require "vm.build.bootstrap"
local build = require "vm.build.image"
local host = require "vm.host"
local initrd = require "vm.build.initrd"
local packages = require "vm.seed.packages"
local recipe_of = require "vm.build.recipe"
local store = require "vm.images.store"

local raw = vm.raw
local fs = raw.fs
local what, rounds = arg[1] or "all", tonumber(arg[2] or 1)
local RELEASE <const>, ARCH <const> = "debian-13", "x86_64"
local NAME <const> = "bench-debian-13"
local booted = arg[3] or NAME

io.stdout:setvbuf "line"
local work = assert(fs.mkdtemp())
local _ <close> = setmetatable({}, { __close = function()
    host.run({ "rm", "-rf", "--one-file-system", work }, { check = false })
end })

-- Processor time of the programs that ran, in seconds; 0 where /proc does not say.
local function processor()
    local text, fields = fs.read("/proc/self/stat", 4096), {}
    for word in (text or ""):gsub("^.*%) ", ""):gmatch "%S+" do
        fields[#fields + 1] = tonumber(word) or 0
    end
    return text and (fields[12] + fields[13] + fields[14] + fields[15]) / 100 or 0
end

local function busy()
    return (fs.read("/proc/loadavg", 100) or "?"):match "^%S+"
end

-- Runs both by turns; prints each round and the ratio of the medians.
local function compare(label, wanted, ours, theirs)
    local walls, used = { {}, {} }, { {}, {} }
    local function median(list)
        table.sort(list)
        return list[(#list + 1) // 2]
    end
    for round = 1, rounds do
        for i, fn in ipairs { ours, theirs } do
            local before, cpu, started = busy(), processor(), vm.now()
            fn()
            walls[i][round], used[i][round] = vm.now() - started, processor() - cpu
            print(("%s, %s: %.1f s, %.1f s of processor time (load before: %s)"):format(label,
                i == 1 and "vmatrix" or "by hand", walls[i][round], used[i][round], before))
        end
    end
    print(("%s: %.2fx of what it takes by hand, %.2fx of its processor time (wanted <= %.1fx)"):format(label,
        median(walls[1]) / median(walls[2]), median(used[1]) / math.max(median(used[2]), 0.01), wanted))
end

local function ours()
    return build.build(RELEASE, ARCH, { as = NAME })
end

local recipe = recipe_of.find(RELEASE, ARCH)
local DEBS <const> = ("%s/debs/%s-%s"):format(require("vm.host.paths").cache(), recipe.suite, recipe.deb_arch)

local BARE <const> = [[
cd "$1"
mmdebstrap --variant=minbase --include="$3" --aptopt='Acquire::Languages "none"' \
    --setup-hook='mkdir -p "$1/var/cache/apt/archives"' --setup-hook="sync-in $2 /var/cache/apt/archives" \
    --customize-hook="sync-out /var/cache/apt/archives $2" "$4" root - 2>bare.log
truncate -s 4G disk.raw
mke2fs -q -F -t ext4 -d root disk.raw
qemu-img convert -q -f raw -O qcow2 -c -o compression_type=zstd disk.raw disk.qcow2
rm -rf root disk.raw disk.qcow2
]]

-- The bare pipeline; what it downloads stays in a folder of this run.
local function bare(kernel)
    local include = table.concat(recipe.packages, ",") .. (kernel and "," .. kernel or "")
    local debs = work .. "/debs"
    if not fs.exists(debs) then
        host.run { "cp", "-al", DEBS, debs }
    end
    host.run({ "sh", "-euc", BARE, "sh", work, debs, include, recipe.suite }, { timeout = 3600,
        stdin = bootstrap.sources(recipe, packages.mirror(), nil, packages.keyring()) })
end

local function boot_ours()
    local guest <close> = vm.boot { image = booted, arch = ARCH, memory = "512MiB", timeout = 600 }
    guest:run "true"
end

local accel = require("vm.host.accel").possible(require("vm.arch").find("bench", ARCH))[1]

-- One machine as one writes it down: the same kernel, disk, cpu and devices; ready when its console says so.
local function boot_by_hand(image)
    local folder = work .. "/hand"
    assert(fs.mkdir_p(folder))
    local login, host_key = raw.data.ed25519 "login", raw.data.ed25519 "host"
    initrd.keys(folder .. "/initrd", image.initrd, { public = login.public, host_key = host_key })
    assert(fs.write_atomic(folder .. "/login", login.private, 384))
    assert(fs.write_atomic(folder .. "/known", "guest " .. host_key.public .. "\n"))
    host.run { "qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", image.path, folder .. "/disk" }
    local qemu <close> = assert(raw.process.start { stdin = true, argv = {
        "qemu-system-" .. ARCH, "-machine", "q35", "-accel", accel == "tcg" and "tcg,tb-size=256" or accel,
        "-cpu", accel == "tcg" and "max,-cx16" or "max", "-smp", "1", "-m", "512", "-nodefaults", "-display", "none",
        "-kernel", image.kernel, "-initrd", folder .. "/initrd", "-append", image.append .. " vmatrix.hostname=box",
        "-drive", ("file=%s,if=virtio,format=qcow2,cache=unsafe"):format(folder .. "/disk"),
        "-netdev", "user,id=net,hostfwd=tcp:127.0.0.1:0-:22", "-device", "virtio-net-pci,netdev=net",
        "-device", "virtio-rng-pci", "-serial", "file:" .. folder .. "/console", "-monitor", "stdio" } })
    assert(qemu:write "info usernet\n")
    local port, said = nil, ""
    while not port do
        local _, chunk = qemu:read(60)
        said = said .. assert(type(chunk) == "string" and chunk, said)
        port = said:match "127%.0%.0%.1%s+(%d+)%s+10%.0%.2%.15%s+22"
    end
    while not (fs.read(folder .. "/console", 1 << 22) or ""):find("vmatrix: ready", 1, true) do
        raw.task.sleep(0.02)
    end
    local tries = 0
    repeat -- QEMU's network may refuse what comes before it knows the guest
        tries = tries + 1
        local result = host.run({ "ssh", "-F", "none", "-i", folder .. "/login", "-p", port, "-o", "BatchMode=yes",
            "-o", "StrictHostKeyChecking=yes", "-o", "HostKeyAlias=guest", "-o", "LogLevel=ERROR",
            "-o", "UserKnownHostsFile=" .. folder .. "/known", "root@127.0.0.1", "true" },
            { timeout = 300, check = false })
        assert(result.ok or tries < 50, result.stderr)
    until result.ok
    qemu:kill(9)
    qemu:wait(10)
    assert(fs.remove_tree(folder))
end

local _ <close> = setmetatable({}, { __close = function()
    local note = store.named(NAME, ARCH)
    local record = note and store.record(note.digest)
    if record then
        record.name, record.arch = NAME, ARCH
        pcall(store.remove, record)
    end
end })
if what ~= "boot" then
    if #(fs.glob(DEBS .. "/*.deb") or {}) == 0 then
        ours() -- the packages are here from now on
    end
    bare(recipe.kernel) -- and those of the kernel's package
    compare("build of " .. RELEASE .. ", by hand without a kernel", 1.2, ours, bare)
    compare("build of " .. RELEASE .. ", by hand with a kernel", 1.2, ours, function() bare(recipe.kernel) end)
end
if what ~= "build" then
    if what == "boot" and booted == NAME then
        ours()
    end
    local image = require("vm.images").get(booted, ARCH, { offline = true })
    boot_ours() -- the embedded driver and QEMU's capabilities are here from now on
    compare("boot of " .. RELEASE .. " to a first command", 1.1, boot_ours, function() boot_by_hand(image) end)
end
