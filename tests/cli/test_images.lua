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
    for _, args in ipairs { { "--help" }, { "build", "-h" }, { "build", "seed", "--help" } } do
        local result = images(table.unpack(args))
        t.equal({ result.status, result.stderr }, { 0, "" })
        t.match(result.stdout, "usage: vmatrix images build seed")
        t.match(result.stdout, "aarch64, armhf, i386, ppc64le, riscv64, s390x, x86_64")
    end
end)

t.test("wrong usage has status 2 and says what is wrong on standard error", function()
    for text, args in pairs {
        ["a command is missing"] = {},
        ["unknown command 'lst'"] = { "lst" },
        ["did you mean 'x86_64'"] = { "build", "seed", "--arch", "x86-64" },
        ["unknown architecture 'vax'"] = { "build", "seed", "--arch=vax" },
        ["--arch wants"] = { "build", "seed", "--arch" },
        ["unknown argument '--frce'"] = { "build", "seed", "--frce" },
        ["unknown argument 'more'"] = { "build", "seed", "more" },
        ["only 'seed' can be built"] = { "build" },
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
