-- The checks of `vmatrix doctor`, each a function that adds what it found.
local raw = require "vm.raw"
local accel = require "vm.host.accel"
local host = require "vm.host"
local paths = require "vm.host.paths"

local M = {}

---@class vm.Check
---@field name string
---@field status string "ok", "warn": something is missing that guests can do without, "fail": no guest can run
---@field text string
---@field remedy? string

-- The packages by the package manager's command; Debian 12 has fewer packages for QEMU than 13.
local packages = {
    driver = { ["apt-get"] = "libvirt-daemon-driver-qemu", dnf = "libvirt-daemon-driver-qemu", brew = "libvirt" },
    ["qemu-img"] = { ["apt-get"] = "qemu-utils", dnf = "qemu-img", brew = "qemu" },
    x86_64 = { ["apt-get"] = "qemu-system-x86", dnf = "qemu-system-x86-core", brew = "qemu" },
    i386 = { ["apt-get"] = "qemu-system-x86", dnf = "qemu-system-x86-core", brew = "qemu" },
    aarch64 = { ["apt-get"] = "qemu-system-arm", dnf = "qemu-system-aarch64-core", brew = "qemu" },
    armhf = { ["apt-get"] = "qemu-system-arm", dnf = "qemu-system-arm-core", brew = "qemu" },
    riscv64 = { ["apt-get"] = "qemu-system-riscv", dnf = "qemu-system-riscv-core", brew = "qemu",
        old = "qemu-system-misc" },
    ppc64le = { ["apt-get"] = "qemu-system-ppc", dnf = "qemu-system-ppc-core", brew = "qemu" },
    s390x = { ["apt-get"] = "qemu-system-s390x", dnf = "qemu-system-s390x-core", brew = "qemu",
        old = "qemu-system-misc" },
    ssh = { ["apt-get"] = "openssh-client", dnf = "openssh-clients" },
}

-- How this machine's package manager is told to install what is missing.
local function install(what)
    for _, manager in ipairs { "apt-get", "dnf", "brew" } do
        local name = packages[what][manager]
        if name and host.which(manager) then
            local line = ("%s%s install %s"):format(manager == "brew" and "" or "sudo ", manager, name)
            local old = manager == "apt-get" and packages[what].old
            return old and ("%s (Debian 12: %s)"):format(line, old) or line
        end
    end
    return "install it with this system's package manager"
end

local function gib(bytes)
    return ("%.1f GiB"):format(bytes / 2 ^ 30)
end

-- The first line that a program prints, or nil and why not.
local function first_line(argv)
    local ok, result = pcall(host.run, argv, { timeout = 20 })
    if not ok then
        return nil, tostring(result)
    end
    return result.stdout:match "[^\n]+" or ""
end

-- The version in what `qemu-... --version` prints.
local function qemu_version(path)
    local line, why = first_line { path, "--version" }
    return line and (line:match "version (%S+)" or line), why
end

-- What helps when libvirt's driver cannot be opened. Opened by root, it looks a user up whom Debian 12 makes
-- only together with the daemon, though guests run as root then.
local function driver_remedy(err)
    local what, name = tostring(err):match "Failed to parse (%l+) '([%w_-]+)'"
    local command = ({ user = "useradd --system --no-create-home --shell /usr/sbin/nologin ",
        group = "groupadd --system " })[what]
    return command and command .. name .. ", or run vmatrix as an ordinary user" or install "driver"
end

local function check_libvirt(add)
    local version
    for _, library in ipairs(raw.version.libraries()) do
        version = library.name == "libvirt" and library.version or version
    end
    local ok, run = pcall(require("vm.run").open)
    if not ok then
        add("run", "fail", tostring(run), "check the permissions and the space of the folders that it names")
        return
    end
    local conn, err = raw.virt.open("qemu:///embed", { root = run.root, cache = run.capabilities })
    if not conn then
        add("libvirt", "fail", ("%s: its embedded QEMU driver does not work: %s"):format(version, tostring(err)),
            driver_remedy(err))
        return
    end
    conn:close()
    add("libvirt", "ok", version .. ", with the embedded QEMU driver")
end

local function check_qemu(add)
    local found, missing = 0, {}
    for _, arch in ipairs(raw.virt.arches()) do
        local path = host.which(arch.emulator)
        local version, why
        if path then
            version, why = qemu_version(path)
        end
        if version then
            found = found + 1
            add(arch.name, "ok", ("QEMU %s, %s"):format(version, table.concat(accel.possible(arch), " or ")))
        else
            missing[#missing + 1] = add(arch.name, "warn", why or arch.emulator .. " is not in PATH",
                install(arch.name))
        end
    end
    for _, check in ipairs(found == 0 and missing or {}) do
        check.status = "fail"
    end
end

local function check_qemu_img(add)
    local path = host.which "qemu-img"
    local version, why
    if path then
        version, why = qemu_version(path)
    end
    if version then
        add("qemu-img", "ok", version)
    else
        add("qemu-img", "fail", why or "is not in PATH", install "qemu-img")
    end
end

-- What is known of this machine's own architecture.
local function own_arch()
    for _, arch in ipairs(raw.virt.arches()) do
        if arch.name == raw.build.arch then
            return arch
        end
    end
    return { name = raw.build.arch, emulator = "qemu-system-" .. raw.build.arch }
end

local function check_accelerator(add)
    if raw.build.system == "macos" then
        local word = first_line { "sysctl", "-n", "kern.hv_support" }
        local works = word == "1"
        add("accelerator", works and "ok" or "warn", works and "hvf" or "hvf is not there: guests are emulated")
        return
    end
    local why = accel.why_not_kvm(own_arch())
    if not why then
        add("accelerator", "ok", "kvm for guests of this machine's architecture, emulation for others")
        return
    end
    local remedy
    if not raw.fs.exists "/dev/kvm" then
        remedy = "load the module (modprobe kvm_intel or kvm_amd); switch virtualization on in the firmware, or, in a "
            .. "virtual machine, allow nested virtualization"
    elseif not io.open("/dev/kvm", "r+b") then
        remedy = "sudo usermod -aG kvm $USER, then log in again"
    end
    add("accelerator", "warn", "guests are emulated, which is slow: " .. why, remedy)
end

local function check_memory(add)
    local available, total = raw.fs.memory_available()
    local text = ("%s available of %s, %d processors"):format(gib(available), gib(total), raw.fs.cpu_count())
    if available < 512 * 2 ^ 20 then
        add("memory", "fail", text, "end other programs: the smallest guest needs 256 MiB, and QEMU some itself")
    elseif available < 3 * 2 ^ 30 then
        add("memory", "warn", text, "give guests little: a guest has 2 GiB unless told otherwise")
    else
        add("memory", "ok", text)
    end
end

-- The folder, or the nearest one above it that exists.
local function existing(path)
    while not raw.fs.exists(path) do
        path = path:match "^(.+)/[^/]*$" or "/"
    end
    return path
end

local function check_disk(add)
    local folder = paths.files()[1]
    local space, err = raw.fs.space(existing(folder))
    if not space then
        add("disk", "fail", tostring(err), "set XDG_STATE_HOME to a folder that can be written to")
        return
    end
    local text = ("%s free for %s"):format(gib(space.free), folder)
    local remedy = "free some, or set XDG_STATE_HOME to a folder with more room"
    if space.free < 512 * 2 ^ 20 then
        add("disk", "fail", text, remedy)
    else
        add("disk", space.free < 5 * 2 ^ 30 and "warn" or "ok", text, space.free < 5 * 2 ^ 30 and remedy or nil)
    end
end

local function check_ram_folder(add)
    local space = raw.fs.space "/dev/shm"
    if raw.build.system ~= "linux" then
        return
    elseif not space then
        add("/dev/shm", "warn", "is not there: the RAM of guests is kept on disk", "mount a tmpfs there")
    else
        local small = space.free < 2 * 2 ^ 30
        add("/dev/shm", small and "warn" or "ok", ("%s free of %s"):format(gib(space.free), gib(space.total)),
            small and "guests that do not fit have their RAM on disk: mount -o remount,size=75% /dev/shm" or nil)
    end
end

local function check_cache(add)
    local folder = paths.cache()
    local ok, err = raw.fs.mkdir_p(folder, 448) -- 0700
    local probe
    if ok then
        probe, err = raw.fs.mkdtemp(folder .. "/probe-")
    end
    if not probe then
        add("cache", "fail", tostring(err), "set XDG_CACHE_HOME to a folder that can be written to")
        return
    end
    raw.fs.rmdir(probe)
    add("cache", "ok", folder)
end

local function check_ssh(add)
    local path = host.which "ssh"
    add("ssh", path and "ok" or "warn", path or "is not in PATH; vmatrix has its own, this one is for people",
        not path and install "ssh" or nil)
end

local function check_kept(add)
    local list, damaged = require("vm.owner.find").kept()
    local running, names = 0, {}
    for i, entry in ipairs(list) do
        running = running + (entry.state ~= "stopped" and 1 or 0)
        names[i] = entry.name
    end
    if #damaged > 0 then
        add("kept guests", "warn", table.concat(damaged, "; "),
            "remove the folder of such a guest when its disk is of no use any more")
    else
        add("kept guests", "ok", #list == 0 and "none" or ("%d, %d of them running: %s"):format(#list, running,
            table.concat(names, ", ")))
    end
end

---Runs all checks. Waits.
---@return vm.Check[]
function M.all()
    local found = {}
    local function add(name, status, text, remedy)
        found[#found + 1] = { name = name, status = status, text = text, remedy = remedy }
        return found[#found]
    end
    for _, check in ipairs { check_libvirt, check_qemu, check_qemu_img, check_accelerator, check_memory, check_disk,
        check_ram_folder, check_cache, check_ssh, check_kept } do
        check(add)
    end
    return found
end

return M
