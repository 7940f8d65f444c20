-- The reseeding snippet on this very machine: adding to its random pool harms nobody.
local t = require "harness"
local host = require "vm.host"
local raw = require "vm.raw"
local reseed = require "vm.reseed"

local fs = raw.fs
local ARCHES <const> = { "aarch64", "armhf", "i386", "ppc64le", "riscv64", "s390x", "x86_64" }

-- Runs the snippet with only these programs on its PATH, and its own program elsewhere.
local function run_with(folder, programs, script)
    local bin = folder .. "/bin"
    assert(fs.mkdir_p(bin))
    for _, name in ipairs(programs) do
        local path = host.which(name) or t.skip(name .. " is not on this machine")
        -- It may be a script itself, which wants a PATH with more on it.
        local text = ("#!/bin/sh\nPATH='%s' exec '%s' \"$@\"\n"):format(os.getenv "PATH", path)
        assert(fs.write_atomic(bin .. "/" .. name, text, 493))
    end
    script = script:gsub(reseed.PROGRAM:gsub("%p", "%%%0"), folder .. "/program")
    return host.run({ "/bin/sh", "-c", script }, { env = { PATH = bin }, check = false, timeout = 60 })
end

local function way(name, programs, prepare)
    t.test("the pool is reseeded by " .. name, function()
        if raw.build.arch ~= "x86_64" or fs.uid() ~= 0 then
            t.skip "only root of an x86_64 Linux can try it"
        end
        t.with_folder(function(folder)
            if prepare then
                prepare(folder)
            end
            local result = run_with(folder, programs, reseed.script("x86_64", raw.fs.random(32)))
            if result.stderr:find "Operation not permitted" then
                t.skip "this root may not add to the random pool"
            end
            t.equal({ result.status, result.stdout, result.stderr }, { 0, "", "" })
        end)
    end)
end

way("the program that the guest has", {}, function(folder)
    assert(fs.write_atomic(folder .. "/program", reseed.program "x86_64", 493))
end)
way("perl", { "perl", "rm" })
way("python3", { "python3", "rm" })
way("a program of its own", { "chmod", "rm" })
way("the next way when a program is there and fails", { "perl", "rm" }, function(folder)
    assert(fs.write_atomic(folder .. "/program", "#!/bin/sh\nexit 1\n", 493))
end)

t.test("a guest without any way says so and fails", function()
    t.with_folder(function(folder)
        local result = run_with(folder, { "rm" }, reseed.script("x86_64", raw.fs.random(32)))
        t.equal(result.status, 1)
        t.match(result.stderr, "could not be reseeded")
    end)
end)

t.test("any bytes reach the pool as they are, in any shell", function()
    local all = {}
    for i = 0, 255 do
        all[#all + 1] = string.char(i) .. (i % 3 == 0 and "-" or "7%")
    end
    all = table.concat(all):sub(1, 512)
    local word = reseed.script("x86_64", all):match "^b=('[^\n]*')\n"
    for _, shell in ipairs { "sh", "bash", "dash" } do
        if host.which(shell) then
            t.equal(host.run({ shell, "-c", "printf " .. word }, {}).stdout, all, shell)
        end
    end
end)

t.test("bytes that begin with a digit stand behind the program as they are", function()
    local bytes = "7" .. ("0x"):rep(20)
    for _, arch in ipairs(ARCHES) do
        local script = reseed.script(arch, bytes)
        local b, program = script:match "^b='([^\n]*)'\n", script:match "printf '([^']*)'\"%$b\""
        local said = host.run({ "sh", "-c", ("printf '%s''%s'"):format(program, b) }, {}).stdout
        t.equal(said, reseed.program(arch) .. bytes, arch)
    end
end)

t.test("every architecture has a program of a few hundred bytes for its machine", function()
    local machines = { aarch64 = 183, armhf = 40, i386 = 3, ppc64le = 21, riscv64 = 243, s390x = 22, x86_64 = 62 }
    for _, arch in ipairs(ARCHES) do
        local program = reseed.program(arch)
        t.check(#program < 1024 and program:sub(1, 4) == "\127ELF", arch)
        t.equal(string.unpack((arch == "s390x" and ">" or "<") .. "I2", program, 19), machines[arch])
        t.check(#reseed.script(arch, ("x"):rep(64)) < 3000, arch)
    end
    t.equal(reseed.program "armv7l", reseed.program "armhf")
end)

t.test("the programs are what their source assembles to", function()
    if not host.which "clang" or not host.which "llvm-objcopy" then
        t.skip "clang or llvm-objcopy is not on this machine"
    end
    local root = os.getenv "VMATRIX_SOURCE"
    local made = host.run({ os.getenv "VMATRIX", root .. "/scripts/dev/reseed.lua" }, { timeout = 100 }).stdout
    t.equal(made, assert(fs.read(root .. "/scripts/vm/reseed/code.lua")))
end)

t.test("misuse raises and says what is wanted", function()
    t.raises(function()
        reseed.script("x86-64", ("x"):rep(32))
    end, "usage", "x86_64")
    t.raises(function()
        reseed.script("x86_64", "short")
    end, "usage", "16 to 512 bytes")
end)

t.finish()
