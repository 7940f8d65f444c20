-- What cloud-init is told, as texts: its NoCloud source's user-data, meta-data and network-config. Pure:
-- tables in, texts out. JSON is YAML, so nothing has to be escaped by hand.
local raw = require "vm.raw"
local errors = require "vm.errors"
local options = require "vm.options"
local script = require "vm.script"

local M = {}

---What cloud-init in an image is told.
---@class vm.CloudOptions
---@field keys? string[] further public keys that may log in
---@field packages? string[] installed before the guest is ready
---@field run? table commands run at the end of the first boot: a string goes to the shell, a list is run as it is
---@field hostname? string the guest's name unless told otherwise
---@field mounts? table lists as in fstab: { { "/dev/vdb", "/data", "ext4" } }
---@field timezone? string "Europe/Paris"
---@field grow? boolean the first partition grows to the disk; true unless told otherwise
---@field user_data? string path of a user-data file of yours: a cloud-config or a script, put beside ours
---@field plain? boolean only your user-data: the login is then yours to arrange, by option 'user' and the run's key

local spec = {
    keys = { "table", default = {} },
    packages = { "table", default = {} },
    run = { "table", default = {} },
    hostname = "string",
    mounts = { "table", default = {} },
    timezone = "string",
    grow = { "boolean", default = true },
    user_data = "string",
    plain = { "boolean", default = false },
}

local function strings(what, list)
    for i, item in ipairs(list) do
        if type(item) ~= "string" or item:find "%c" then
            errors.fail("usage", "%s[%d]: a string in one line expected, got %s", what, i, options.show(item))
        end
    end
end

---Checks the option 'cloud'.
---@param what string
---@param given vm.CloudOptions
---@return vm.CloudOptions
function M.check(what, given)
    what = what .. ": cloud"
    local cloud = options.check(what, given, spec)
    for _, name in ipairs { "keys", "packages" } do
        strings(("%s: %s"):format(what, name), cloud[name])
    end
    for i, line in ipairs(cloud.run) do
        if type(line) == "table" then
            strings(("%s: run[%d]"):format(what, i), line)
        elseif type(line) ~= "string" then
            errors.fail("usage", "%s: run[%d]: a command expected, got %s", what, i, options.show(line))
        end
    end
    for i, mount in ipairs(cloud.mounts) do
        if type(mount) ~= "table" or #mount < 2 then
            errors.fail("usage", "%s: mounts[%d]: a device and a folder expected, as in { \"/dev/vdb\", \"/data\" }",
                what, i)
        end
        strings(("%s: mounts[%d]"):format(what, i), mount)
    end
    if cloud.user_data then
        cloud.user_data = script.path(cloud.user_data)
        if not raw.fs.exists(cloud.user_data) then
            errors.fail("notfound", "%s: option 'user_data': there is no file %s", what, cloud.user_data)
        end
    elseif cloud.plain then
        errors.fail("usage", "%s: option 'plain' goes with option 'user_data'", what)
    end
    return cloud
end

local function json(value)
    return errors.raise(raw.json.encode(value))
end

local function or_nil(list)
    return #list > 0 and list or nil
end

---Our cloud-config.
---@param cloud vm.CloudOptions checked
---@param who { user: string, public: string, host_key: table, name: string }
---@return string
function M.config(cloud, who)
    local keys = table.move(cloud.keys, 1, #cloud.keys, 2, { who.public })
    local config = {
        hostname = cloud.hostname or who.name,
        preserve_hostname = false,
        manage_etc_hosts = true,
        disable_root = false,
        ssh_pwauth = false,
        ssh_deletekeys = true,
        ssh_keys = { ed25519_private = who.host_key.private, ed25519_public = who.host_key.public },
        ssh_authorized_keys = keys,
        package_update = #cloud.packages > 0 or nil,
        packages = or_nil(cloud.packages),
        runcmd = or_nil(cloud.run),
        mounts = or_nil(cloud.mounts),
        timezone = cloud.timezone,
        growpart = { mode = cloud.grow and "auto" or "off" },
        resize_rootfs = cloud.grow,
    }
    local users = { { name = who.user, ssh_authorized_keys = keys } }
    if who.user ~= "root" then
        users[1].sudo, users[1].shell, users[1].lock_passwd = "ALL=(ALL) NOPASSWD:ALL", "/bin/bash", true
        table.insert(users, 1, "default")
        if who.default_user == who.user then
            users = { "default" }
        end
    end
    config.users = users
    return "#cloud-config\n" .. json(config) .. "\n"
end

local function part(kind, text, boundary, more)
    return ("--%s\nContent-Type: %s; charset=\"utf-8\"\nMIME-Version: 1.0\n%s\n%s\n"):format(boundary, kind, more or "",
        text)
end

---The user-data: ours, the user's own, or both. Of two, each is a part; the user's has the last word, and
---lists of both are kept.
---@param ours string
---@param own string|nil
---@param plain boolean
---@return string
function M.user_data(ours, own, plain)
    if not own then
        return ours
    elseif plain then
        return own
    end
    local kind
    if own:find "^#cloud%-config" then
        kind = "text/cloud-config"
    elseif own:find "^#!" then
        kind = "text/x-shellscript"
    else
        errors.fail("usage", "cloud: user_data: it must begin with '#cloud-config' or '#!'; say plain = true to use it "
            .. "as it is")
    end
    local boundary = "==vmatrix=="
    while own:find(boundary, 1, true) do
        boundary = boundary .. "="
    end
    return ("Content-Type: multipart/mixed; boundary=\"%s\"\nMIME-Version: 1.0\n\n"):format(boundary)
        .. part("text/cloud-config", ours, boundary)
        .. part(kind, own, boundary, "Merge-Type: list(append)+dict(recurse_list)+str()\n")
        .. "--" .. boundary .. "--\n"
end

---The meta-data.
---@param id string new for each guest
---@param hostname string
---@return string
function M.meta_data(id, hostname)
    return json { ["instance-id"] = id, ["local-hostname"] = hostname } .. "\n"
end

---The network-config, version 2: the card of the user-mode network asks by DHCP, those on networks have
---addresses.
---@param cards table[] of vm.network.cards
---@return string
function M.network_config(cards)
    local ethernets = {}
    for i, card in ipairs(cards) do
        local item = { match = { macaddress = card.mac }, ["set-name"] = ("eth%d"):format(i - 1) }
        if card.kind == "nat" then
            item.dhcp4 = true
        else
            item.addresses = { ("%s/%d"):format(card.address, card.prefix) }
        end
        ethernets[("eth%d"):format(i - 1)] = item
    end
    return json { version = 2, ethernets = next(ethernets) and ethernets or nil } .. "\n"
end

return M
