-- What a guest is to be: the options of vm.create, checked and completed. No file is made here.
local raw = require "vm.raw"
local arches = require "vm.arch"
local errors = require "vm.errors"
local options = require "vm.options"
local script = require "vm.script"

local M = {}

local MIB <const> = 1024 * 1024
local GIB <const> = 1024 * MIB

---What a guest is to be.
---@class vm.CreateOptions
---@field name? string letters, digits, '.', '_' and '-'; made from the image when absent
---@field image? string "seed", a name such as "debian-13", or the path of a disk image (qcow2 or raw); it is only read
---@field arch? string the host's unless told otherwise
---@field kernel? string path: boots this kernel directly; the seed's unless told otherwise
---@field initrd? string path
---@field append? string kernel command line; added to the seed's own
---@field cpus? integer 2 unless told otherwise; 1 for an emulated guest
---@field memory? string|integer such as "512MiB"; "2GiB" unless told otherwise, 512 MiB for the seed
---@field disk? string|integer size of the first disk; the image's own, or 20 GiB sparse
---@field disks? table further disks: a size, a path (used as it is, written to), or { path=, size=, readonly= }
---@field media? string[] read-only media: paths of ISO images
---@field nics? table cards: "nat", { "nat", mac=, restrict= }, a network, { net=, address=, mac=, hostname= }
---@field card_slots? integer how many cards can be on networks at a time; as many as `nics` names
---@field forward? table ports of the guest to reach from here: 80, or { guest = 443, host = 8443, address =, udp = }
---@field cpu? string|table model, or { model=, features = { "-avx" } }
---@field accel? string "kvm", "hvf" or "tcg"; the best there is unless told otherwise
---@field machine? string QEMU's machine type
---@field firmware? string "none", "bios", "uefi" or "uefi-secure"; the image's
---@field cloud? vm.CloudOptions what cloud-init in the image is told; it is told enough to log in without this
---@field panic? string "fail" (default) or "ignore": whether a kernel panic ends every wait
---@field ready? string what the console says when commands can be run
---@field ssh? table how commands reach it: { user=, key=, host_key=, password=, port= }
---@field agent? boolean whether it has the QEMU guest agent, a second way for commands; the seed then gets one
---@field transport? "auto"|"ssh"|"agent" how commands reach it: auto takes what is ready first, and SSH once that is up
---@field user? string who logs in, and so runs the commands; root unless told otherwise
---@field keep? boolean it lives on when this process ends, until it is deleted; see vm.get
---@field qemu_args? string[] put at the end of QEMU's command line

local create_spec = {
    name = "string",
    image = "string",
    arch = "string",
    kernel = "string",
    initrd = "string",
    append = "string",
    cpus = { "integer", min = 1, max = 255 },
    memory = "size",
    disk = "size",
    disks = { "table", default = {} },
    media = { "table", default = {} },
    nics = { "table", default = { "nat" } },
    card_slots = { "integer", min = 0, max = 8 },
    forward = { "table", default = {} },
    cpu = "string|table",
    accel = { "string", one_of = { "kvm", "hvf", "tcg" } },
    machine = "string",
    firmware = { "string", one_of = { "none", "bios", "uefi", "uefi-secure" } },
    cloud = "table",
    panic = { "string", default = "fail", one_of = { "fail", "ignore" } },
    ready = "string",
    ssh = "table",
    agent = { "boolean", default = false },
    transport = { "string", default = "auto", one_of = { "auto", "ssh", "agent" } },
    user = "string",
    keep = { "boolean", default = false },
    qemu_args = "table",
}

local ssh_spec = {
    user = "string",
    key = "string",
    host_key = "string",
    password = "string",
    port = { "integer", default = 22, min = 1, max = 65535 },
}

local function fail(what, format, ...)
    errors.fail("usage", "%s: " .. format, what, ...)
end

local function existing_file(what, option, path)
    local full = script.path(path)
    local stat = raw.fs.stat(full)
    if not stat then
        errors.fail("notfound", "%s: option '%s': there is no file %s", what, option, full)
    elseif stat.type ~= "file" and stat.type ~= "block" then
        fail(what, "option '%s': %s is a %s, not a file", option, full, stat.type)
    end
    return raw.fs.realpath(full)
end

local function check_disks(what, list)
    local out = {}
    for i, item in ipairs(list) do
        local label = ("%s: disks[%d]"):format(what, i)
        if type(item) == "number" or (type(item) == "string" and item:find("^%s*[%d.]+%s*%a+%s*$")) then
            item = { size = item }
        elseif type(item) == "string" then
            item = { path = item }
        end
        item = options.check(label, item, { path = "string", size = "size", readonly = { "boolean", default = false } })
        if not item.path and not item.size then
            fail(label, "a path or a size is needed")
        elseif item.path then
            item.path = existing_file(what, "disks", item.path)
        end
        out[i] = item
    end
    return out
end

local function check_mac(label, mac)
    if mac and not mac:find("^%x%x:%x%x:%x%x:%x%x:%x%x:%x%x$") then
        fail(label, "option 'mac': an address such as '52:54:00:12:34:56' expected, got %s", options.show(mac))
    elseif mac and tonumber(mac:sub(1, 2), 16) & 1 ~= 0 then
        fail(label, "option 'mac': %s is an address of a group, no card can have it", mac)
    end
end

local function check_nics(what, list)
    local network = require "vm.network"
    local out = {}
    for i, item in ipairs(list) do
        local label = ("%s: nics[%d]"):format(what, i)
        if type(item) == "string" then
            item = { item }
        elseif network.is(item) then
            item = { net = item }
        end
        if type(item) == "table" and item.net ~= nil then
            item = options.check(label, item, { net = "any", address = "string", mac = "string", hostname = "string" })
            if not network.is(item.net) then
                fail(label, "option 'net': a network of vm.network expected, got %s", options.show(item.net))
            end
        else
            item = options.check(label, item, { [1] = { "string", default = "nat", one_of = { "nat" } },
                mac = "string", restrict = { "boolean", default = false } })
        end
        check_mac(label, item.mac)
        out[i] = item
    end
    return out
end

-- The number of the first card that leads to the host, and how many are on networks.
local function count_nics(nics)
    local nat, nets = nil, 0
    for i, nic in ipairs(nics) do
        nat = nat or (not nic.net and i) or nil
        nets = nets + (nic.net and 1 or 0)
    end
    return nat, nets
end

local forward_spec = {
    guest = { "integer", required = true, min = 1, max = 65535 },
    host = { "integer", default = 0, min = 0, max = 65535 },
    address = { "string", default = "127.0.0.1" },
    udp = { "boolean", default = false },
}

---One forwarded port as a user may write it: 80, or { guest = 80, host = 8080 }.
---@param what string
---@param item any
---@return table
function M.forward(what, item)
    if type(item) == "number" then
        item = { guest = item }
    end
    item = options.check(what, item, forward_spec)
    if not item.address:find("^[%d.]+$") then
        fail(what, "option 'address': an IPv4 address such as '127.0.0.1' expected, got %s", options.show(item.address))
    end
    return item
end

local function check_forwards(what, list)
    local out = {}
    for i, item in ipairs(list) do
        out[i] = M.forward(("%s: forward[%d]"):format(what, i), item)
    end
    return out
end

local function check_cpu(what, cpu)
    if type(cpu) == "string" then
        cpu = { model = cpu }
    end
    return options.check(what .. ": cpu", cpu, { model = "string", features = { "table", default = {} } })
end

local function choose_accel(what, spec)
    if spec.accel == "tcg" then
        return "tcg"
    end
    local accel = require "vm.host.accel"
    local possible = accel.possible(spec.arch_info)
    if spec.accel == nil or spec.accel == possible[1] then
        return possible[1]
    end
    local why = spec.accel == "kvm" and accel.why_not_kvm(spec.arch_info) or "this host does not have it"
    errors.fail("unsupported", "%s: option 'accel': %s cannot be used: %s; leave the option out to get %s",
        what, spec.accel, why, possible[1])
end

local counters = {}

local function name_from(image)
    local base = (image or "guest"):match("([^/]*)$"):gsub("%.%w+$", ""):gsub("[^%w._-]", "-"):sub(1, 24)
    if not base:find("^%w") then
        base = "guest"
    end
    counters[base] = (counters[base] or 0) + 1
    return ("%s-%d"):format(base, counters[base])
end

---Raises unless a guest can have this name.
---@param what string
---@param name string
function M.check_name(what, name)
    if #name > 50 or not name:find("^%w[%w._-]*$") then
        fail(what, "option 'name': up to 50 letters, digits, '.', '_' and '-' expected, got %s",
            options.show(name))
    end
end

---Checks the options of vm.create and fills in what is absent. Raises on anything wrong.
---@param what string the verb, for messages
---@param given vm.CreateOptions
---@return table spec
function M.check(what, given)
    local spec = options.check(what, given, create_spec)
    local named = require "vm.guest.named"
    spec.named = spec.image ~= nil and spec.image ~= "seed" and named.is_name(spec.image)
    if spec.named then
        spec.image, spec.arch = named.split(what, spec.image, spec.arch)
    end
    local arch = arches.find(what, spec.arch or raw.build.arch)
    spec.arch, spec.arch_info = arch.name, arch
    spec.name = spec.name or name_from(spec.image)
    M.check_name(what, spec.name)
    if spec.named then
        named.check(what, spec.image, spec.arch)
    elseif spec.image and spec.image ~= "seed" then
        spec.image = existing_file(what, "image", spec.image)
    end
    if spec.initrd and not spec.kernel then
        fail(what, "option 'initrd' goes with option 'kernel'")
    end
    if spec.append and not spec.kernel and spec.image ~= "seed" and not spec.named then
        fail(what, "option 'append' goes with option 'kernel'")
    end
    for _, option in ipairs { "kernel", "initrd" } do
        spec[option] = spec[option] and existing_file(what, option, spec[option])
    end
    spec.cloud = spec.cloud and require("vm.cloud.data").check(what, spec.cloud)
    if spec.cloud and (spec.image == nil or spec.image == "seed" or spec.ssh) then
        fail(what, "option 'cloud' goes with an image that has cloud-init, and without option 'ssh'")
    end
    spec.memory = spec.memory or (spec.image == "seed" and 512 * MIB or 2 * GIB)
    spec.memory = (spec.memory + MIB - 1) // MIB * MIB
    spec.disks = check_disks(what, spec.disks)
    for i, path in ipairs(spec.media) do
        if type(path) ~= "string" then
            fail(what, "media[%d]: a path expected, got %s", i, options.show(path))
        end
        spec.media[i] = existing_file(what, "media", path)
    end
    spec.nics = check_nics(what, spec.nics)
    local nets
    spec.nat, nets = count_nics(spec.nics)
    spec.card_slots = spec.card_slots or nets
    if spec.card_slots < nets then
        fail(what, "option 'card_slots': %d cards are on networks, and there are only %d slots", nets, spec.card_slots)
    end
    spec.forward = check_forwards(what, spec.forward)
    if #spec.forward > 0 and not spec.nat then
        fail(what, "option 'forward' needs a \"nat\" network card, and 'nics' has none")
    end
    spec.cpu = spec.cpu and check_cpu(what, spec.cpu) or {}
    spec.accel = choose_accel(what, spec)
    spec.emulated = spec.accel == "tcg"
    -- Before 8.1, QEMU's emulator could translate code while another virtual cpu was patching it: of
    -- kernels with two, one boot in some hundreds ends in an int3 panic (x86_64; QEMU's commit "accel/tcg:
    -- Always lock pages before translation") or hangs before its first word (riscv64). A second emulated
    -- cpu makes no boot faster, either.
    spec.cpus = spec.cpus or (spec.emulated and 1 or 2)
    if spec.transport == "agent" and not spec.agent then
        fail(what, "option 'transport': the guest has no agent; say agent = true if it has one")
    end
    if spec.ssh then
        spec.ssh = options.check(what .. ": ssh", spec.ssh, ssh_spec)
    end
    return spec
end

return M
