-- `vmatrix images build RELEASE`: a disk image of Debian from packages.
local raw = require "vm.raw"
local bootstrap = require "vm.build.bootstrap"
local errors = require "vm.errors"
local recipe_of = require "vm.build.recipe"

local function words_of(list)
    local out = {}
    for _, text in ipairs(list or {}) do
        for word in text:gmatch "[^%s,]+" do
            out[#out + 1] = word
        end
    end
    return out
end

local function build(release, arch, opts)
    local started = raw.task.now()
    local label = ("%s %s"):format(release, arch)
    local image = require("vm.build.image").build(release, arch, {
        with = words_of(opts.with),
        init = opts.init,
        as = opts.as,
        mirror = opts.mirror,
        progress = function(line)
            io.stderr:write(("%s: %s\n"):format(label, line))
        end,
    })
    local made = { name = image.entry.name, arch = image.entry.arch, path = image.path, digest = image.digest,
        bytes = raw.fs.stat(image.path).size, seconds = raw.task.now() - started }
    if not opts.json then
        print(("%s@%s  %s  %s  (%.1f s)"):format(made.name, made.arch,
            require("vm.terminal.progress").bytes(made.bytes), made.digest:sub(1, 23), made.seconds))
    end
    return made
end

return require("vm.cli.command").define {
    name = "images build",
    help = "builds a disk image of Debian on this machine, from packages",
    operands = { { name = "RELEASE", words = recipe_of.names() } },
    options = {
        { name = "--arch", value = "ARCH", many = true, complete = { "arch" },
            help = "this machine's unless told otherwise; may be given several times" },
        { name = "--with", value = "PACKAGE,...", many = true, help = "further packages" },
        { name = "--init", value = "NAME", words = { "systemd", "none" },
            help = "its first process; none is a script: boots in a fraction of the time" },
        { name = "--as", value = "NAME", help = "the name that the image gets; RELEASE, or RELEASE-none, otherwise" },
        { name = "--mirror", value = "URL", help = "where the packages are; VMATRIX_DEBIAN_MIRROR says it, too" },
        { name = "--check", help = "only says whether this machine could" },
        { name = "--json", help = "says what was built as JSON" },
    },
    text = [[
The image has an SSH server, the guest agent and no key or identity of its own; its kernel is started
directly. It takes its place in the cache, and answers to its name. Packages stay in the cache as well.
Other architectures need qemu-user and binfmt_misc; `vmatrix images build seed` builds the tiny guest.]],
    examples = {
        "vmatrix images build debian-13",
        "vmatrix images build debian-12 --arch aarch64 --with gcc,make --as debian-12-gcc",
    },
    handler = function(opts, operands)
        local arches = opts.arch or { raw.build.arch }
        for _, arch in ipairs(arches) do -- what cannot be is said before anything is built
            bootstrap.check(recipe_of.find(operands.release, arch, { with = words_of(opts.with), init = opts.init }))
        end
        if opts.as and not opts.as:find "^%w[%w._-]*$" then
            errors.fail("usage", "option '--as': letters, digits, '.', '_' and '-' expected")
        end
        local made = {}
        for _, arch in ipairs(opts.check and {} or arches) do
            made[#made + 1] = build(operands.release, recipe_of.find(operands.release, arch).arch, opts)
        end
        if opts.json then
            print(raw.json.encode(raw.json.list(made)))
        end
    end,
}
