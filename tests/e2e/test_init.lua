-- The matrix that `vmatrix init` writes is run for real: a project of make on the seed guest. The seed has
-- no make, so a step is put before the others that brings this host's; nothing else of the file is touched.
local vm = require "vm"
local host = require "vm.host"
local t = require "harness"
local fs = vm.raw.fs

local place = assert(fs.mkdtemp "vmatrix-test-")

local function write(name, text)
    assert(fs.mkdir_p((place .. "/" .. name):match "^(.*)/"))
    assert(fs.write_atomic(place .. "/" .. name, text))
end

local function run(args)
    return host.run({ os.getenv "VMATRIX", table.unpack(args) }, { cwd = place, check = false, timeout = 200 })
end

-- This host's make and the libraries it stands on, below a folder.
local function bring_make()
    local make = assert(host.which "make", "make is not installed")
    local files = { [make] = "/usr/bin/make" }
    for path in host.run({ "ldd", make }).stdout:gmatch "(/%S+) %(" do
        files[path] = path
    end
    for from, to in pairs(files) do
        assert(fs.mkdir_p((place .. "/bits" .. to):match "^(.*)/"))
        host.run { "cp", "-L", from, place .. "/bits" .. to }
    end
end

t.test("the matrix of a project of make builds it and runs its check", function()
    write("Makefile", "all: greeting\n\ngreeting: name.txt\n\tsed 's/^/hello, /' name.txt > greeting\n\n"
        .. "check: greeting\n\tgrep -q '^hello, world$$' greeting\n")
    write("name.txt", "world\n")
    local got = run { "init", "--image", "seed" }
    t.equal(got.status, 0, got.stderr)
    bring_make()
    write("run.lua", [[
local vm = require "vm"
local real = vm.matrix
function vm.matrix(def)
    table.insert(def.prepare, 1, vm.step { name = "make", run = function(guest)
        guest:copy_in("bits.tar", "/bits.tar")
        guest:run "tar -C / -xf /bits.tar"
    end, inputs = { "bits.tar" } })
    return real(def)
end
return dofile "matrix.lua"
]])
    host.run({ "tar", "-C", place .. "/bits", "-cf", place .. "/bits.tar", "." })
    got = run { "test", "run.lua" }
    t.equal(got.status, 0, got.stdout .. got.stderr)
    t.match(got.stdout, "2 passed")
    local log = host.run { "sh", "-c", "cat " .. place .. "/.vmatrix/runs/*/logs/* " .. place
        .. "/.vmatrix/runs/*/*/*.log 2>/dev/null || :" }.stdout
    t.match(log, "grep %-q '%^hello, world%$' greeting")
end)

assert(fs.remove_tree(place))
t.finish()
