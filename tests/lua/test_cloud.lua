-- What cloud-init is told, and the ISO image it is told on.
local t = require "harness"
local data = require "vm.cloud.data"
local raw = require "vm.raw"

local WHO = { user = "root", name = "web", public = "ssh-ed25519 AAAA run",
    host_key = { private = "PRIVATE\nKEY\n", public = "ssh-ed25519 BBBB web" } }

local function config(given, who)
    local text = data.config(data.check("vm.create", given), who or WHO)
    t.equal(text:sub(1, 14), "#cloud-config\n")
    return assert(raw.json.decode(text:sub(15)))
end

t.test("root_can_log_in_with_the_runs_key_and_the_host_has_its_own", function()
    local got = config {}
    t.equal(got.users, { { name = "root", ssh_authorized_keys = { WHO.public } } })
    t.equal({ got.disable_root, got.ssh_pwauth, got.hostname }, { false, false, "web" })
    t.equal(got.ssh_keys, { ed25519_private = "PRIVATE\nKEY\n", ed25519_public = WHO.host_key.public })
    t.equal({ got.packages, got.runcmd, got.mounts, got.growpart.mode }, { growpart = nil, [4] = "auto" })
end)

t.test("everything_that_is_asked_for_is_in_the_config", function()
    local got = config { keys = { "ssh-rsa CCCC me" }, packages = { "gcc" },
        run = { "echo \"a: b\"", { "touch", "/x y" } }, hostname = "db",
        mounts = { { "/dev/vdb", "/data" } }, timezone = "Europe/Paris",
        grow = false }
    t.equal(got.ssh_authorized_keys, { WHO.public, "ssh-rsa CCCC me" })
    t.equal({ got.packages, got.runcmd }, { { "gcc" }, { "echo \"a: b\"", { "touch", "/x y" } } })
    t.equal({ got.hostname, got.timezone, got.growpart.mode, got.resize_rootfs },
        { "db", "Europe/Paris", "off", false })
    t.equal({ got.mounts, got.package_update }, { { { "/dev/vdb", "/data" } }, true })
end)

t.test("a_user_gets_sudo_and_the_images_own_user_is_left_as_it_is", function()
    local who = setmetatable({ user = "me" }, { __index = WHO })
    local got = config({}, who)
    t.equal({ got.users[1], got.users[2].name, got.users[2].sudo }, { "default", "me", "ALL=(ALL) NOPASSWD:ALL" })
    who.default_user = "me"
    t.equal(config({}, who).users, { "default" })
end)

t.test("the_users_own_data_stands_alone_or_as_a_part_of_its_own", function()
    t.equal(data.user_data("#cloud-config\n{}\n", nil, false), "#cloud-config\n{}\n")
    t.equal(data.user_data("ours", "#!/bin/sh\n", true), "#!/bin/sh\n")
    local both = data.user_data("#cloud-config\n{}\n", "#cloud-config\na: ==vmatrix==\n", false)
    t.match(both, "^Content%-Type: multipart/mixed; boundary=\"==vmatrix===\"\n")
    t.match(both, "text/cloud%-config; charset=\"utf%-8\"\nMIME%-Version: 1.0\nMerge%-Type: list%(append%).*\n")
    t.match(both, "a: ==vmatrix==\n")
    t.match(data.user_data("", "#!/bin/sh\n", false), "text/x%-shellscript")
    t.raises(function() data.user_data("", "hello", false) end, "usage", "#cloud%-config")
end)

t.test("cards_of_networks_have_addresses_and_the_others_ask", function()
    local got = raw.json.decode(data.network_config {
        { kind = "nat", mac = "52:54:00:00:00:01" },
        { kind = "net", mac = "52:54:00:00:00:02", address = "10.9.0.2", prefix = 24 },
    })
    t.equal(got.version, 2)
    t.equal(got.ethernets.eth0, { match = { macaddress = "52:54:00:00:00:01" }, ["set-name"] = "eth0", dhcp4 = true })
    t.equal(got.ethernets.eth1.addresses, { "10.9.0.2/24" })
end)

t.test("misuse_names_the_option", function()
    local function wrong(given, kind, pattern)
        t.raises(function() data.check("vm.create", given) end, kind, pattern)
    end
    wrong({ pakages = {} }, "usage", "did you mean 'packages'")
    wrong({ packages = { "a\nb" } }, "usage", "packages%[1%]")
    wrong({ run = { 7 } }, "usage", "run%[1%]")
    wrong({ mounts = { { "/dev/vdb" } } }, "usage", "mounts%[1%]")
    wrong({ user_data = "/no/such/file" }, "notfound", "/no/such/file")
    wrong({ plain = true }, "usage", "user_data")
end)

t.test("the_iso_image_has_its_volume_and_files_and_is_private", function()
    local path = os.tmpname()
    local _ <close> = setmetatable({}, { __close = function() os.remove(path) end })
    local big = ("x"):rep(5000)
    assert(raw.data.iso(path, "cidata", { { name = "user-data", data = big }, { name = "meta-data", data = "" } }))
    local bytes = raw.fs.read(path)
    t.equal(bytes:sub(32769, 32774), "\1CD001")
    t.equal(bytes:sub(32769 + 40, 32769 + 71):gsub("%s+$", ""):lower(), "cidata")
    t.equal(raw.fs.stat(path).mode & 511, 384)
    if require("vm.host").which "bsdtar" then
        t.equal(require("vm.host").run({ "bsdtar", "-xOf", path, "user-data" }).stdout, big)
    end
    t.check(bytes:find(big, 1, true))
    local ok, err = raw.data.iso("/no/such/folder/x", "cidata", {})
    t.check(not ok and err.kind == "notfound", tostring(err))
end)

t.finish()
