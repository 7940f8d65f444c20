-- Prepared states: finding one and running a command in a guest of it, beside booting and doing the steps;
-- and what the keys cost.
-- Run: vmatrix tests/bench/states.lua [REPEATS]
local vm = require "vm"
local paths = require "vm.host.paths"
local key = require "vm.state.key"
local step = require "vm.state.step"

local fs = vm.raw.fs
local repeats = tonumber(arg[1]) or 10

-- A cache of its own, with the real one's images and QEMU's capabilities.
local real, folder = paths.cache(), assert(fs.mkdtemp())
require("vm.seed").build(vm.raw.build.arch)
assert(fs.mkdir_p(real .. "/qemu"))
for _, name in ipairs { "images", "qemu" } do
    assert(fs.symlink(real .. "/" .. name, folder .. "/" .. name))
end
paths.cache = function() return folder end
local _ <close> = setmetatable({}, { __close = function() fs.remove_tree(folder) end })

local function median(list)
    table.sort(list)
    return list[(#list + 1) // 2]
end

local function measure(count, fn)
    local list = {}
    for i = 1, count do
        local started = vm.now()
        fn()
        list[i] = vm.now() - started
    end
    return median(list)
end

-- Keys: twenty steps, one of which has a folder of 1,000 files of 4 KiB.
local files = assert(fs.mkdtemp())
for i = 1, 1000 do
    assert(fs.write_atomic(("%s/%d"):format(files, i), ("%d\n"):format(i):rep(1024):sub(1, 4096)))
end
local twenty = {}
for i = 1, 20 do
    twenty[i] = step.step { name = "s" .. i, uses = { "cc" }, inputs = i == 10 and { files } or nil,
        run = function(g, cell) g:run(cell.cc, i) end }
end
local keys = measure(repeats, function()
    for _, item in ipairs(twenty) do
        key.key(item:parts { cc = "gcc" })
    end
end)
fs.remove_tree(files)
print(("keys of 20 steps and 1,000 files   %6.1f ms"):format(keys * 1000))

local steps = {
    vm.step { name = "one", run = function(g) g:run "echo one > /one" end },
    vm.step { name = "two", run = function(g) g:run "echo two > /two" end },
}
local spec = { image = "seed", memory = "256MiB" }

local started = vm.now()
vm.prepared(spec, steps):close()
print(("built: a boot and two steps        %6.2f s"):format(vm.now() - started))

local found = measure(repeats, function()
    local state <close> = vm.prepared(spec, steps)
    assert(state.how == "found")
    local guest <close> = state:fork()
    guest:run "cat /two"
end)
local cold = measure(math.max(1, repeats // 3), function()
    local guest <close> = vm.boot(spec)
    for _, item in ipairs(steps) do
        item:perform(guest)
    end
    guest:run "cat /two"
end)
print(("found, forked, first command       %6.2f s"):format(found))
print(("booted, steps done, first command  %6.2f s"):format(cold))
print(("ratio                              %6.1f"):format(cold / found))
local lookup = measure(repeats, function() vm.prepared(spec, steps):close() end)
print(("vm.prepared alone, found           %6.1f ms"):format(lookup * 1000))
