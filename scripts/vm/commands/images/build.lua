-- `vmatrix images build`: the seed guest, or a disk image of Debian, from packages.
local raw = require "vm.raw"
local arches = require "vm.arch"
local bootstrap = require "vm.build.bootstrap"
local errors = require "vm.errors"
local progress = require "vm.terminal.progress"
local recipe_of = require "vm.build.recipe"
local seed = require "vm.seed"

local function words_of(list)
    local out = {}
    for _, text in ipairs(list or {}) do
        for word in text:gmatch "[^%s,]+" do
            out[#out + 1] = word
        end
    end
    return out
end

-- The steps of a build, as lines.
local function teller(label)
    return function(line)
        io.stderr:write(("%s: %s\n"):format(label, line))
    end
end

local function seed_arches(list)
    local names = {}
    for _, name in ipairs(list or { raw.build.arch }) do
        if name == "all" then
            return seed.arches()
        end
        names[#names + 1] = arches.find("option '--arch'", name).name
    end
    return names
end

local function build_seed(arch, opts)
    local started = raw.task.now()
    local image = seed.build(arch, { force = opts.force, agent = opts.agent, progress = teller(arch) })
    local made = { name = "seed", arch = arch, path = image.folder,
        bytes = raw.fs.stat(image.kernel).size + raw.fs.stat(image.initrd).size, seconds = raw.task.now() - started }
    if not opts.json then
        print(("%s  %s  %s  (%.1f s)"):format(arch, progress.bytes(made.bytes), image.folder, made.seconds))
    end
    return made
end

local function build_release(release, arch, opts)
    local started = raw.task.now()
    local image = require("vm.build.image").build(release, arch, {
        with = words_of(opts.with),
        init = opts.init,
        as = opts.as,
        mirror = opts.mirror,
        progress = teller(("%s %s"):format(release, arch)),
    })
    local made = { name = image.entry.name, arch = image.entry.arch, path = image.path, digest = image.digest,
        bytes = raw.fs.stat(image.path).size, seconds = raw.task.now() - started }
    if not opts.json then
        print(("%s@%s  %s  %s  (%.1f s)"):format(made.name, made.arch,
            progress.bytes(made.bytes), made.digest:sub(1, 23), made.seconds))
    end
    return made
end

-- Those of one kind of image only.
local ours <const> = { seed = { "agent", "force" }, release = { "with", "init", "as", "mirror", "check" } }

local function refuse(opts, list, what)
    for _, key in ipairs(list) do
        if opts[key] ~= nil then
            errors.fail("usage", "option '--%s' is not for %s", key, what)
        end
    end
end

local function seeds(opts)
    refuse(opts, ours.release, "the seed guest")
    local made = {}
    for i, arch in ipairs(seed_arches(opts.arch)) do
        made[i] = build_seed(arch, opts)
    end
    return made
end

local function releases(release, opts)
    refuse(opts, ours.seed, "a release")
    local list = opts.arch or { raw.build.arch }
    for _, arch in ipairs(list) do -- what cannot be is said before anything is built
        bootstrap.check(recipe_of.find(release, arch, { with = words_of(opts.with), init = opts.init }))
    end
    if opts.as and not opts.as:find "^%w[%w._-]*$" then
        errors.fail("usage", "option '--as': letters, digits, '.', '_' and '-' expected")
    end
    local made = {}
    for _, arch in ipairs(opts.check and {} or list) do
        made[#made + 1] = build_release(release, recipe_of.find(release, arch).arch, opts)
    end
    return made
end

return require("vm.cli.command").define {
    name = "images build",
    help = "builds the seed guest, or a disk image of Debian, from packages",
    operands = { { name = "seed|RELEASE", key = "release", words = { "seed", table.unpack(recipe_of.names()) } } },
    options = {
        { name = "--arch", value = "ARCH", many = true, complete = { "arch" },
            help = "this machine's unless told otherwise; several times; of the seed also 'all'" },
        { name = "--agent", help = "the seed: with the QEMU guest agent, for guests made with agent = true" },
        { name = "--force", help = "the seed: builds it again, with the packages of today" },
        { name = "--with", value = "PACKAGE,...", many = true, help = "a release: further packages" },
        { name = "--init", value = "NAME", words = { "systemd", "none" },
            help = "a release: its first process; none is a script: boots in a fraction of the time" },
        { name = "--as", value = "NAME", help = "a release: the name that the image gets; RELEASE, or RELEASE-none" },
        { name = "--mirror", value = "URL",
            help = "a release: where the packages are; VMATRIX_DEBIAN_MIRROR says it, too" },
        { name = "--check", help = "a release: only says whether this machine could" },
        { name = "--json", help = "says what there is now as JSON" },
    },
    text = ([[
The seed is the tiny guest, for %s; one that is there is not built again.
An image of a release has an SSH server, the guest agent and no key or identity of its own; its kernel is
started directly. It takes its place in the cache, and answers to its name. Packages stay in the cache as
well. Other architectures of it need qemu-user and binfmt_misc.]]):format(table.concat(seed.arches(), ", ")),
    examples = {
        "vmatrix images build seed --arch aarch64 --arch riscv64",
        "vmatrix images build debian-13",
        "vmatrix images build debian-12 --arch aarch64 --with gcc,make --as debian-12-gcc",
    },
    handler = function(opts, operands)
        local made = operands.release == "seed" and seeds(opts) or releases(operands.release, opts)
        if opts.json then
            print(raw.json.encode(raw.json.list(made)))
        end
    end,
}
