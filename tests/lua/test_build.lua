-- Images that are built from packages: what goes into them, and what is said when they cannot be.
local t = require "harness"
local bootstrap = require "vm.build.bootstrap"
local hooks = require "vm.build.hooks"
local initrd = require "vm.build.initrd"
local raw = require "vm.raw"
local recipe = require "vm.build.recipe"

t.test("a_release_is_found_by_its_name_and_its_alias", function()
    local made = recipe.find("trixie", "amd64")
    t.equal({ made.name, made.arch, made.deb_arch, made.suite, made.kernel, made.init },
        { "debian-13", "x86_64", "amd64", "trixie", "linux-image-cloud-amd64", "systemd" })
    t.check(made.append:find "console=ttyS0" and not made.power_button)
    t.check(recipe.find("debian-12", "x86_64").power_button)
    t.equal(recipe.find("debian-13", "aarch64", { init = "none" }).name, "debian-13-none")
    t.equal(recipe.find("debian-13", "aarch64", { as = "mine" }).name, "mine")
end)

t.test("packages_are_sorted_named_once_and_those_of_systemd_only_with_it", function()
    local made = recipe.find("debian-12", "x86_64", { with = { "make", "gcc", "make" } })
    t.equal(made.with, { "gcc", "make" })
    local text = " " .. table.concat(made.packages, " ") .. " "
    t.check(text:find(" dbus ", 1, true) and text:find(" gcc iproute2 ", 1, true), text)
    text = table.concat(recipe.find("debian-12", "x86_64", { init = "none" }).packages, " ")
    t.check(not text:find "systemd" and text:find "openssh%-server", text)
end)

t.test("what_cannot_be_built_is_refused_by_name", function()
    t.raises(function() recipe.find("debian-31", "x86_64") end, "usage", "debian%-31.*did you mean 'debian%-1")
    t.raises(function() recipe.find("debian-13", "riscv46") end, "usage", "did you mean 'riscv64'")
    t.raises(function() recipe.find("debian-12", "riscv64") end, "unsupported", "from release 13 on")
    t.raises(function() recipe.find("debian-13", "x86_64", { with = { "gcc; reboot" } }) end, "usage", "package")
    t.raises(function() recipe.find("debian-13", "x86_64", { with = { "--foo" } }) end, "usage", "package")
    t.raises(function() recipe.find("debian-13", "x86_64", { init = "upstart" }) end, "usage", "init")
end)

t.test("the_kernel_of_an_i386_image_is_the_last_that_debian_had", function()
    t.equal(recipe.find("debian-13", "i386").kernel_suite, "bookworm")
    t.equal(recipe.find("debian-12", "i386").kernel_suite, "bookworm")
    t.equal(recipe.find("debian-11", "i386").kernel_suite, "bullseye")
end)

t.test("updates_come_from_debians_own_mirror_only", function()
    local made = recipe.find("debian-13", "x86_64")
    local lines = bootstrap.sources(made, "http://deb.debian.org/debian")
    t.match(lines, "trixie main\ndeb http://deb.debian.org/debian trixie%-updates main\n")
    t.match(lines, "http://deb.debian.org/debian%-security trixie%-security main\n$")
    t.equal(bootstrap.sources(made, "http://mirror.example/debian", nil, "/k.gpg"),
        "deb [signed-by=/k.gpg] http://mirror.example/debian trixie main\n")
    t.check(not bootstrap.sources(recipe.find("sid", "x86_64"), "http://deb.debian.org/debian"):find "security")
end)

t.test("the_hooks_are_shell_and_leave_no_placeholder", function()
    for _, init in ipairs { "systemd", "none" } do
        local made = recipe.find("debian-13", "riscv64", { init = init })
        local scripts = hooks.scripts(made, { sources = "deb x\n", uuid = "u-u-i-d", epoch = 86400 * 10 })
        for name, text in pairs(scripts) do
            t.check(not text:find "@%u+@", name .. " has a placeholder")
            local run = require("vm.host").run({ "sh", "-n" }, { stdin = text, check = false })
            t.equal({ name, run.status, run.stderr }, { name, 0, "" })
        end
        t.check(scripts.finish:find("\\1" .. "10:", 1, true), "the day of the epoch")
        t.equal(scripts.finish:find "PerSourcePenalties" ~= nil, true)
        t.equal(scripts.finish:find "vmatrix%-ready" ~= nil, init == "systemd")
        t.equal(scripts.finish:find "/var/%.updated" ~= nil, init == "systemd")
    end
    local old = hooks.scripts(recipe.find("debian-12", "x86_64"), { sources = "", uuid = "u" })
    t.check(not old.finish:find "PerSourcePenalties", "an older sshd would refuse the word")
end)

t.test("the_scripts_inside_are_shell", function()
    for _, name in ipairs { "vm.build.boot_init", "vm.build.plain_init" } do
        local run = require("vm.host").run({ "sh", "-n" }, { stdin = require(name), check = false })
        t.equal({ name, run.status, run.stderr }, { name, 0, "" })
    end
end)

t.test("the_archive_that_makes_a_guest_holds_its_keys_and_no_one_else_reads_it", function()
    local folder = os.tmpname()
    os.remove(folder)
    raw.fs.mkdir_p(folder, 448)
    local _ <close> = setmetatable({}, { __close = function() raw.fs.remove_tree(folder) end })
    raw.fs.write_atomic(folder .. "/initrd", "before")
    local pair = assert(raw.data.ed25519 "host")
    initrd.keys(folder .. "/one", folder .. "/initrd", { public = "ssh-ed25519 KEY me", host_key = pair })
    initrd.keys(folder .. "/two", folder .. "/initrd", { public = "ssh-ed25519 KEY me", host_key = pair })
    local one, two = raw.fs.read(folder .. "/one"), raw.fs.read(folder .. "/two")
    t.check(one:sub(1, 6) == "before" and one:find("ssh-ed25519 KEY me\n", 1, true))
    t.check(one:find(pair.private, 1, true) and one:find(pair.public, 1, true))
    t.check(one ~= two, "each guest has a machine id of its own")
    t.equal(raw.fs.stat(folder .. "/one").mode & 511, 384)
end)

t.finish()
