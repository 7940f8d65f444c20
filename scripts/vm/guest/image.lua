-- What a guest boots from: the seed, a kernel, or a disk image; and how one logs in.
local raw = require "vm.raw"
local errors = require "vm.errors"
local run_of = require "vm.run"
local script = require "vm.script"

local M = {}

local function build_seed(guest)
    local seed = require "vm.seed"
    local image = seed.image(guest.arch, guest.spec.agent)
    if image then
        return image
    end
    local bar <close> = require("vm.terminal.progress").call("build the seed guest for " .. guest.arch)
    return seed.build(guest.arch, { agent = guest.spec.agent, progress = function(line)
        bar:note(line)
        io.stderr:write("vmatrix: ", line, "\n")
    end })
end

local function seed_guest(guest, run, what)
    local spec = guest.spec
    local image = build_seed(guest)
    if spec.memory < image.memory_min then
        errors.fail("usage", "%s: option 'memory': the seed guest for %s needs at least %d MiB",
            what, guest.arch, image.memory_min // (1024 * 1024))
    end
    local key = run_of.key(run)
    local host_key = errors.raise(raw.data.ed25519(guest.name))
    local initrd = spec.initrd
    if not initrd then
        initrd = guest.files:path("initrd")
        require("vm.seed").keys(initrd, image, { public = key.public, host_key = host_key.dropbear })
    end
    local append = ("%s vmatrix.hostname=%s%s%s"):format(image.append, guest.name,
        require("vm.network.cards").append(guest), require("vm.network.slot").append(guest))
    return {
        user = spec.user or image.user, key = key.path, host_key = host_key.public, port = 22,
    }, {
        kernel = spec.kernel or image.kernel,
        initrd = initrd,
        append = spec.append and append .. " " .. spec.append or append,
        ready = spec.ready or image.ready,
        features = image.features,
    }
end

---What a guest of the user's own image boots from.
---@param guest vm.Guest
---@param run table from vm.run
---@return table|nil login
---@return table boot
function M.own(guest, run)
    local spec = guest.spec
    if spec.cloud then
        return require("vm.cloud").prepare(guest, run, {})
    end
    local login
    if spec.ssh then
        login = {
            user = spec.ssh.user or spec.user or "root",
            key = spec.ssh.key and script.path(spec.ssh.key) or run_of.key(run).path,
            password = spec.ssh.password,
            host_key = spec.ssh.host_key,
            port = spec.ssh.port,
        }
    end
    local boot = { kernel = spec.kernel, initrd = spec.initrd, append = spec.append, ready = spec.ready }
    boot.features = {}
    return login, boot
end

---Makes what the guest boots from.
---@param guest vm.Guest
---@param run table from vm.run
---@param what string for messages
---@return table|nil login how to log in: user, key (path), password, host_key, port
---@return table boot kernel, initrd, append, ready (its sign on the console), features
function M.prepare(guest, run, what)
    if guest.spec.image == "seed" then
        return seed_guest(guest, run, what)
    elseif guest.spec.named then
        return require("vm.guest.named").prepare(guest, run)
    end
    return M.own(guest, run)
end

return M
