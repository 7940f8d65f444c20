-- A real matrix, 3 architectures x 4 tests on seed guests, against a shell loop that boots each guest
-- cold and runs the same command. The prepared states are made anew (first) and found (second).
--   cmake --build --preset release --target bench_matrix_real
local vm = require "vm"
local host = require "vm.host"
local fs = vm.raw.fs

local vmatrix <const> = os.getenv "VMATRIX_PROGRAM" or error "VMATRIX_PROGRAM must name the binary"
local ARCHES <const> = { "x86_64", "aarch64", "riscv64" }
local COMMANDS <const> = { "uname -a", "cat /proc/meminfo", "cat /proc/cpuinfo", "ls -lR /etc" }

local folder = assert(fs.mkdtemp "/tmp/vmb-")
local env = { XDG_STATE_HOME = folder .. "/state", XDG_CACHE_HOME = folder .. "/cache" }
-- The seed's own images are no part of the question.
assert(fs.mkdir_p(folder .. "/cache/vmatrix"))
for _, name in ipairs { "images", "qemu" } do
    local path = require("vm.host.paths").cache() .. "/" .. name
    if fs.exists(path) then
        assert(fs.symlink(path, folder .. "/cache/vmatrix/" .. name))
    end
end

local tests = {}
for i, command in ipairs(COMMANDS) do
    tests[i] = ("t%d = function(g) g:run %q end,"):format(i, command)
end
assert(fs.write_atomic(folder .. "/matrix.lua", ([[
local vm = require "vm"
return vm.matrix { axes = { arch = { "x86_64", "aarch64", "riscv64" } },
    guest = function(cell) return { image = "seed", arch = cell.arch, memory = "256MiB" } end,
    tests = { %s } }]]):format(table.concat(tests, " "))))
assert(fs.write_atomic(folder .. "/one.lua", [[
local vm = require "vm"
local guest <close> = vm.boot { image = "seed", arch = arg[1], memory = "256MiB" }
guest:run(arg[2])]]))

local function timed(fn)
    local begun = vm.now()
    fn()
    return vm.now() - begun
end

local function matrix()
    host.run({ vmatrix, "test", folder .. "/matrix.lua", "--output", folder .. "/runs" }, { env = env, timeout = 900 })
end

local function loop()
    for _, arch in ipairs(ARCHES) do
        for _, command in ipairs(COMMANDS) do
            host.run({ vmatrix, folder .. "/one.lua", arch, command }, { env = env, timeout = 400 })
        end
    end
end

local first, second, cold = timed(matrix), timed(matrix), timed(loop)
print(("shell loop over cold boots   %6.1f s"):format(cold))
print(("matrix, nothing prepared     %6.1f s, %.2f of the loop"):format(first, first / cold))
print(("matrix, prepared before      %6.1f s, %.2f of the loop"):format(second, second / cold))
assert(fs.remove_tree(folder))
