-- `vmatrix images` without a network: its help, its errors, an empty cache.
local t = require "harness"
local raw = require "vm.raw"
local host = require "vm.host"

local fs = raw.fs

-- Runs the program with an empty cache.
local function images(...)
    local argv = { assert(os.getenv("VMATRIX")), "images", ... }
    return t.with_folder(function(folder)
        local result = host.run(argv, { env = { XDG_CACHE_HOME = folder }, check = false, timeout = 60 })
        t.equal(fs.list(folder), {}, "something was written: ")
        return result
    end)
end

t.test("help is on standard output and names the architectures", function()
    for _, args in ipairs { { "build", "-h" }, { "build", "seed", "--help" } } do
        local result = images(table.unpack(args))
        t.equal({ result.status, result.stderr }, { 0, "" })
        t.match(result.stdout, "^usage: vmatrix images build %[OPTION%.%.%.%] seed|RELEASE\n")
        t.match(result.stdout, "aarch64, armhf, i386, ppc64le, riscv64, s390x, x86_64")
    end
    local result = images "--help"
    t.equal({ result.status, result.stderr }, { 0, "" })
    t.match(result.stdout, "^usage: vmatrix images COMMAND.*\n  build +builds the seed guest, or .*\n  mirror ")
end)

t.test("wrong usage has status 2 and says what is wrong on standard error", function()
    for text, args in pairs {
        ["a command is missing"] = {},
        ["unknown command 'lst'; did you mean 'list'"] = { "lst" },
        ["did you mean 'x86_64'"] = { "build", "seed", "--arch", "x86-64" },
        ["unknown architecture 'vax'"] = { "build", "seed", "--arch=vax" },
        ["option '--arch' wants a value"] = { "build", "seed", "--arch" },
        ["unknown option '--frce'; did you mean '--force'"] = { "build", "seed", "--frce" },
        ["'more' is one word too many"] = { "build", "seed", "more" },
        ["seed|RELEASE is missing"] = { "build" },
        ["option '--with' is not for the seed guest"] = { "build", "seed", "--with", "gcc" },
        ["option '--force' is not for a release"] = { "build", "debian-13", "--force" },
    } do
        local result = images(table.unpack(args))
        t.equal({ result.status, result.stdout }, { 2, "" }, text .. ": ")
        t.check(result.stderr:find(text, 1, true), result.stderr)
    end
end)

t.test("an empty cache lists every architecture as not built", function()
    local result = images("list")
    t.equal(result.status, 0)
    for _, arch in ipairs { "aarch64", "riscv64", "x86_64" } do
        t.match(result.stdout, "\nseed +" .. arch .. " +%- +not built")
    end
end)

t.finish()
