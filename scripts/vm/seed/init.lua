-- The seed guest: a tiny system that boots in seconds, made from Debian packages, kept in the cache.
local raw = require "vm.raw"
local errors = require "vm.errors"
local paths = require "vm.host.paths"
local initramfs = require "vm.seed.initramfs"
local options = require "vm.options"

local fs, data = raw.fs, raw.data
local raise = errors.raise

local M = {}

local FORMAT <const> = 3 -- raised when initramfs.lua or this file changes what comes out
local MIB <const> = 1024 * 1024

local COMMON = {
    "busybox-static", "dropbear-bin", "openssh-sftp-server",
    "libc6", "libcrypt1", "libgmp10", "libtomcrypt1", "libtommath1", "zlib1g",
}

-- What the guest agent comes from, where one is wanted.
local AGENT = {
    "qemu-guest-agent",
    "libatomic1", "libcap2", "libgcc-s1", "libglib2.0-0t64", "libnuma1", "libpcre2-8-0", "libudev1", "liburing2",
}

-- Loaded at boot when the device is there, or later by modprobe and mount. Cloud kernels have most
-- of virtio built in.
local MODULES = {
    "virtio_pci", "virtio_mmio", "virtio_net", "virtio_blk", "virtio_scsi", "virtio_console", "virtio_rng",
    "virtio_balloon", "pvpanic_pci", "pvpanic_mmio", "button", "gpio_keys", "evdev",
    "sr_mod", "sd_mod", "ext4", "isofs", "vfat", "nls_ascii", "nls_cp437", "nls_iso8859_1",
    "loop", "overlay", "fuse", "virtiofs",
}

-- cryptomgr.notests saves the time of self-tests that nobody relies on here. A panic stays where it
-- is (panic=0), to be seen.
local APPEND = " panic=0 cryptomgr.notests"

---What is known of an architecture: Debian's names, how its guests boot and what they need.
local ARCHES = {
    -- On a busy host the kernel's look whether its timer ticks fails, and it gives up, unless told not to.
    x86_64 = { deb_arch = "amd64", kernel = "linux-image-cloud-amd64", append = "console=ttyS0 no_timer_check",
        memory_min = 128 * MIB, features = { power_button = true, panic_event = true } },
    aarch64 = { deb_arch = "arm64", kernel = "linux-image-cloud-arm64", append = "console=ttyAMA0",
        memory_min = 128 * MIB, features = { power_button = false, panic_event = false } },
    armhf = { deb_arch = "armhf", kernel = "linux-image-armmp", append = "console=ttyAMA0",
        memory_min = 128 * MIB, features = { power_button = true, panic_event = false } },
    -- Debian 13 has no kernel for it any more. What this one finds behind virtio_pci, which is a module of it, is
    -- not there yet when devices are looked for.
    i386 = { deb_arch = "i386", kernel = "linux-image-686", kernel_suite = "bookworm",
        append = "console=ttyS0 no_timer_check",
        always = { "virtio_net", "virtio_blk", "virtio_scsi", "virtio_console", "virtio_rng", "ahci", "sr_mod" },
        memory_min = 128 * MIB, features = { power_button = true, panic_event = true } },
    ppc64le = { deb_arch = "ppc64el", kernel = "linux-image-powerpc64le", append = "console=hvc0",
        memory_min = 256 * MIB, features = { power_button = false, panic_event = true } },
    riscv64 = { deb_arch = "riscv64", kernel = "linux-image-riscv64", append = "console=ttyS0",
        memory_min = 256 * MIB, features = { power_button = false, panic_event = false } },
    s390x = { deb_arch = "s390x", kernel = "linux-image-s390x", append = "console=ttysclp0",
        memory_min = 128 * MIB, features = { power_button = true, panic_event = true } },
}

---@class vm.SeedImage
---@field arch string
---@field folder string
---@field kernel string path
---@field initrd string path; it needs keys, see seed.keys
---@field append string kernel command line
---@field ready string what the console says when it can be logged into
---@field user string
---@field memory integer bytes it gets unless told otherwise
---@field memory_min integer bytes it cannot boot with less than
---@field features { power_button: boolean, panic_event: boolean } whether QEMU hears of a panic (x86_64: by pvpanic)
---@field agent boolean whether the guest agent is in it
---@field packages { name: string, version: string, sha256: string }[]

local function check_arch(what, arch)
    local spec = ARCHES[arch]
    if not spec then
        options.unknown(what, "architecture", arch, M.arches())
    end
    return spec
end

---The architectures a seed can be built for, sorted.
---@return string[]
function M.arches()
    local names = {}
    for name in pairs(ARCHES) do
        names[#names + 1] = name
    end
    table.sort(names)
    return names
end

local function packages_of(agent)
    return table.move(AGENT, 1, agent and #AGENT or 0, #COMMON + 1, { table.unpack(COMMON) })
end

-- What decides the content apart from the packages: another recipe is another image.
local function recipe_key(spec, agent)
    local packages, modules = table.concat(packages_of(agent), " "), table.concat(MODULES, " ")
    local parts = { FORMAT, spec.deb_arch, spec.kernel, packages, modules,
        (require "vm.seed.init_script"), spec.always and table.concat(spec.always, " ") }
    return (raise(data.sha256(table.concat(parts, "\0"))):sub(1, 12))
end

local function folder_of(arch, spec, agent)
    return ("%s/images/seed%s-%s-%s"):format(paths.cache(), agent and "-agent" or "", arch, recipe_key(spec, agent))
end

local function write_manifest(path, manifest)
    local out = { "-- A seed guest of vmatrix: what it was made of.\nreturn {\n" }
    for _, name in ipairs { "format", "arch" } do
        out[#out + 1] = ("    %s = %q,\n"):format(name, manifest[name])
    end
    for _, list in ipairs { "packages", "files" } do
        out[#out + 1] = ("    %s = {\n"):format(list)
        for _, item in ipairs(manifest[list]) do
            local detail = item.version and ("version = %q"):format(item.version) or ("size = %d"):format(item.size)
            out[#out + 1] = ("        { name = %q, %s, sha256 = %q },\n"):format(item.name, detail, item.sha256)
        end
        out[#out + 1] = "    },\n"
    end
    out[#out + 1] = "}\n"
    raise(fs.write_atomic(path, table.concat(out)))
end

local verified = {} -- folder -> its manifest, once its files were found to be as built

local function verify(folder, files)
    for _, file in ipairs(files) do
        local stat = fs.stat(folder .. "/" .. file.name)
        if not stat or stat.size ~= file.size or fs.sha256(folder .. "/" .. file.name) ~= file.sha256 then
            return false
        end
    end
    return true
end

-- The manifest of a folder, or nil if there is no whole seed in it. Digests are checked once a run:
-- it takes some 50 ms.
local function read_manifest(folder)
    if verified[folder] and fs.exists(folder .. "/manifest.lua") then
        return verified[folder]
    end
    local text = fs.read(folder .. "/manifest.lua", MIB)
    local chunk = text and load(text, "=manifest", "t", {})
    local ok, manifest = pcall(chunk or error)
    if not ok or type(manifest) ~= "table" or type(manifest.files) ~= "table" or not verify(folder, manifest.files) then
        return nil
    end
    verified[folder] = manifest
    return manifest
end

-- A bzImage unpacks itself, which takes an emulated machine over a second: QEMU starts the kernel
-- inside it directly (PVH), if it was built for that.
local function unpacked_kernel(boot, config)
    if not config:find("\nCONFIG_PVH=y\n", 1, true) then
        return boot
    end
    local setup = boot:byte(0x1f1 + 1)
    local offset, length = string.unpack("<I4I4", boot, 0x248 + 1) -- Linux: Documentation/arch/x86/boot.rst
    local start = (setup + 1) * 512 + offset + 1
    local kernel = data.decompress(boot:sub(start, start + length - 5)) -- four bytes of length at its end
    return kernel and kernel:sub(1, 4) == "\127ELF" and kernel or boot
end

---The kernel of a package's files, as QEMU starts it fastest.
---@param tree string
---@param arch string
---@return string
function M.read_kernel(tree, arch)
    local path = raise(fs.glob(tree .. "/boot/vmlinu*"))[1]
    if not path then
        errors.fail("notfound", "the kernel package has no kernel in /boot")
    end
    local boot = raise(fs.read(path, 256 * MIB))
    if arch == "x86_64" then
        return unpacked_kernel(boot, raise(fs.read(raise(fs.glob(tree .. "/boot/config-*"))[1])))
    end
    return boot
end

---Writes kernel, initramfs and manifest into a folder from the packages' files; the same files give
---the same bytes.
---@param folder string
---@param arch string
---@param tree string
---@param packages table[]
---@param agent? boolean with the guest agent
function M.assemble(folder, arch, tree, packages, agent)
    local manifest = { format = FORMAT, arch = arch, packages = packages, files = {} }
    raise(fs.write_atomic(folder .. "/kernel", M.read_kernel(tree, arch)))
    local entries = initramfs.entries(tree, MODULES, arch, agent, ARCHES[arch].always)
    raise(data.cpio(folder .. "/initramfs.cpio.gz", entries, { compress = "gzip" }))
    for i, name in ipairs { "kernel", "initramfs.cpio.gz" } do
        local path = folder .. "/" .. name
        manifest.files[i] = { name = name, size = raise(fs.stat(path)).size, sha256 = raise(fs.sha256(path)) }
    end
    write_manifest(folder .. "/manifest.lua", manifest)
end

---Downloads and unpacks the packages of an architecture into an empty folder.
---@param arch string
---@param work string
---@param progress? fun(line: string)
---@param agent? boolean with the guest agent
---@return string tree, table[] packages
function M.fetch(arch, work, progress, agent)
    local spec = check_arch("seed.fetch", arch)
    return require("vm.seed.packages").fetch(work, {
        deb_arch = spec.deb_arch,
        kernel = spec.kernel,
        kernel_suite = spec.kernel_suite,
        packages = packages_of(agent),
    }, progress or function() end)
end

local function replace(folder, new)
    if fs.exists(folder) then
        local old = new .. ".old"
        raise(fs.rename(folder, old))
        raise(fs.rename(new, folder))
        raise(fs.remove_tree(old))
    else
        raise(fs.rename(new, folder))
    end
end

-- Removes a folder when the block that has it ends, however it ends.
local function scratch(path)
    raise(fs.remove_tree(path))
    raise(fs.mkdir_p(path))
    return setmetatable({}, {
        __close = function()
            fs.remove_tree(path)
        end,
    })
end

local function build_into(folder, arch, progress, agent)
    local work = ("%s/apt/%s"):format(paths.cache(), arch)
    local new = folder .. ".new"
    local _ <close> = scratch(work)
    local _ <close> = scratch(new)
    local tree, packages = M.fetch(arch, work, progress, agent)
    progress("writing kernel and initramfs")
    M.assemble(new, arch, tree, packages, agent)
    replace(folder, new)
    verified[folder] = nil
end

---Builds the seed guest of an architecture, unless it is there already; then the network is not
---touched. Several processes may ask at once: one builds, the others wait for it.
---@param arch string
---@param opts? { force?: boolean, agent?: boolean, progress?: fun(line: string) } agent: with the guest agent
---@return vm.SeedImage
function M.build(arch, opts)
    opts = options.check("seed.build", opts, { force = "boolean", agent = "boolean", progress = "function" })
    local spec = check_arch("seed.build", arch)
    local folder = folder_of(arch, spec, opts.agent)
    local progress = opts.progress or function() end
    if opts.force or not read_manifest(folder) then
        local images = paths.cache() .. "/images"
        raise(fs.mkdir_p(images))
        progress(("building the seed guest for %s"):format(arch))
        local _ <close> = raise(fs.lock(("%s/seed-%s.lock"):format(images, arch)))
        if opts.force or not read_manifest(folder) then
            local ok, err = pcall(build_into, folder, arch, progress, opts.agent)
            if not ok then
                error(errors.prefix(err, "seed guest for " .. arch), 0)
            end
        end
    end
    return M.image(arch, opts.agent)
end

---The seed guest of an architecture as built, or nil. A damaged one counts as not built.
---@param arch string
---@param agent? boolean the one with the guest agent
---@return vm.SeedImage|nil
function M.image(arch, agent)
    local spec = check_arch("seed.image", arch)
    local folder = folder_of(arch, spec, agent)
    local manifest = read_manifest(folder)
    if not manifest then
        return nil
    end
    return {
        arch = arch,
        folder = folder,
        kernel = folder .. "/kernel",
        initrd = folder .. "/initramfs.cpio.gz",
        append = spec.append .. APPEND,
        ready = "vmatrix: ready",
        user = "root",
        memory = 512 * MIB,
        memory_min = spec.memory_min,
        features = { power_button = spec.features.power_button, panic_event = spec.features.panic_event },
        agent = agent == true,
        packages = manifest.packages,
    }
end

---Writes the initrd of one guest: the image's, and its keys in a second archive behind it.
---@param path string
---@param image vm.SeedImage
---@param keys { public: string, host_key: string } who may log in, and the host's own key (raw.data.ed25519's dropbear)
function M.keys(path, image, keys)
    keys = options.check("seed.keys", keys, {
        public = { "string", required = true },
        host_key = { "string", required = true },
    })
    -- It holds a secret: mode 0600.
    raise(data.cpio(path, initramfs.key_entries(keys.public, keys.host_key), {
        after = image.initrd,
        mode = 384,
        scratch = true,
    }))
end

return M
