-- Images by name: "debian-13", "debian-13@riscv64". What they boot from, and how one logs in.
local raw = require "vm.raw"
local arches = require "vm.arch"
local errors = require "vm.errors"
local script = require "vm.script"

local M = {}

local DISK_FILES = { qcow2 = true, raw = true, img = true, iso = true, vmdk = true, vdi = true }

---Whether the option 'image' is a name and not the path of a file.
---@param image string
---@return boolean
function M.is_name(image)
    local ending = image:match "%.(%w+)$"
    return not image:find "/" and not (ending and DISK_FILES[ending:lower()]) and not raw.fs.exists(script.path(image))
end

---Takes "debian-13@riscv64" apart; raises when there is no image of that name.
---@param what string for messages
---@param image string
---@param arch string|nil the option 'arch'
---@return string name
---@return string|nil arch
function M.split(what, image, arch)
    local name, given = image:match "^(.-)@([%w_]+)$"
    if not given then
        return image, arch
    end
    given = arches.find(what, given).name
    if arch and arches.find(what, arch).name ~= given then
        errors.fail("usage", "%s: option 'arch' says %s, and option 'image' %s", what, arch, image)
    end
    return name, given
end

---The names that images have, whatever the architecture: a list, and a set.
---@return table names
function M.names()
    local all = require("vm.images.catalogue").all()
    local names = table.move(all.names, 1, #all.names, 2, { "seed" })
    for alias in pairs(all.aliases) do
        names[#names + 1] = alias
    end
    for _, note in ipairs(require("vm.images.store").names()) do
        names[#names + 1] = note.name
    end
    for i = 1, #names do
        names[names[i]] = true
    end
    return names
end

---Raises unless there is an image of that name.
---@param what string for messages
---@param name string
---@param arch string
function M.check(what, name, arch)
    local ok, err = pcall(require("vm.images").find, name, arch)
    if not ok then
        error(errors.is(err) and errors.prefix(err, what) or err, 0)
    end
end

---The image, pulled when it is not here yet.
---@param spec table from vm.guest.spec
---@return table got of vm.images.get
function M.get(spec)
    local said = false
    local bar <close> = require("vm.terminal.progress").call("image " .. spec.image)
    return require("vm.images").get(spec.image, spec.arch, { progress = function(state)
        if state.what == "downloading" and not said then
            said = true
            io.stderr:write(("vmatrix: image %s: downloading %s\n"):format(spec.image, state.url))
        end
        bar:follow(state)
        raw.log.write("debug", nil, ("image %s: %s"):format(spec.image, tostring(state.what)))
    end })
end

-- An image that was built here: its kernel is outside, and the keys of the guest come behind its initrd.
local function direct(guest, run, got, entry)
    local spec, build = guest.spec, got.build or {}
    local key = require("vm.run").key(run)
    local host_key = errors.raise(raw.data.ed25519(guest.name))
    local user = spec.user or entry.user or "root"
    local initrd = spec.initrd
    if not initrd then
        initrd = guest.files:path("initrd")
        require("vm.build.initrd").keys(initrd, got.initrd, { public = key.public, host_key = host_key })
    end
    local append = ("%s vmatrix.hostname=%s vmatrix.user=%s%s%s"):format(got.append or "", guest.name, user,
        require("vm.network.cards").append(guest), spec.append and " " .. spec.append or "")
    return { user = user, key = key.path, host_key = host_key.public, port = 22 }, {
        kernel = spec.kernel or got.kernel,
        initrd = initrd,
        append = append,
        ready = spec.ready or build.ready,
        features = { power_button = build.power_button == true },
    }
end

---Makes what a guest of a named image boots from.
---@param guest vm.Guest
---@param run table from vm.run
---@return table|nil login as vm.image.prepare returns it
---@return table boot
function M.prepare(guest, run)
    local got = M.get(guest.spec)
    local entry = got.entry
    guest.image_file = { path = got.path, format = got.format }
    guest.package_manager = entry.packages
    if entry.reach == "cloud-init" and not guest.spec.ssh then
        return require("vm.cloud").prepare(guest, run, entry)
    elseif got.kernel and got.initrd and entry.reach == "ssh" then
        return direct(guest, run, got, entry)
    end
    local login, boot = require("vm.guest.image").own(guest, run)
    boot.firmware = entry.firmware == "uefi" and "uefi" or nil
    return login, boot
end

return M
