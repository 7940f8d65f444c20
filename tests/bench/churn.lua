-- Starts and closes guests, or forks, in a row and looks for what grows: processes, descriptors, files,
-- memory.
-- Run: vmatrix tests/bench/churn.lua [COUNT [WARM_UP [fork]]]     (100 and 100 unless told otherwise)
local vm = require "vm"
local fs = vm.raw.fs

local count = tonumber(arg[1] or 100)
-- The first ones load libraries, make caches and wake the 64 threads of the pool one after another,
-- whose stacks then stay.
local warm_up = tonumber(arg[2] or 100)

local function descriptors()
    return #(fs.list "/proc/self/fd" or fs.list "/dev/fd" or {})
end

-- Processes whose parent we are; nil where there is no /proc.
local function children()
    local number = 0
    for _, pid in ipairs(fs.list "/proc" or {}) do
        local status = pid:find "^%d+$" and fs.read(("/proc/%s/status"):format(pid), 4096)
        if status and math.tointeger(tonumber(status:match "PPid:%s*(%d+)")) == fs.pid() then
            number = number + 1
        end
    end
    return number
end

local function files()
    local run = require("vm.run").open()
    local number = 0
    for _, folder in ipairs { run.root, run.dir, run.ram } do
        local function walk(path)
            for _, name in ipairs(fs.list(path) or {}) do
                number = number + 1
                local stat = fs.lstat(path .. "/" .. name)
                if stat and stat.type == "dir" then
                    walk(path .. "/" .. name)
                end
            end
        end
        walk(folder)
    end
    return number
end

local function measure()
    collectgarbage()
    collectgarbage()
    vm.sleep(0.5)
    return { descriptors = descriptors(), children = children(), files = files(), memory = vm.raw.build.resident() }
end

local function median(list)
    table.sort(list)
    return list[(#list + 1) // 2]
end

local function boot()
    return vm.boot { image = "seed", memory = "256MiB", wait = "none" }
end

local make = boot
if arg[3] == "fork" then
    local base = vm.boot { image = "seed", memory = "256MiB" }:template()
    function make()
        local fork = base:fork()
        fork:run "true"
        return fork
    end
end

local starts, closes, before = {}, {}, nil
for i = 1, count + warm_up do
    local t0 = vm.now()
    local guest = make()
    local t1 = vm.now()
    guest:close()
    if i > warm_up then
        starts[#starts + 1], closes[#closes + 1] = t1 - t0, vm.now() - t1
    elseif i == warm_up then
        before = measure()
    end
end
local after = measure()

local worst = math.max(table.unpack(closes))
print(("%d %s: p50 of making one %.3f s; close p50 %.3f s, worst %.3f s"):format(count,
    arg[3] == "fork" and "forks, each with a command" or "guests, created and started",
    median(starts), median(closes), worst))
for _, name in ipairs { "children", "descriptors", "files", "memory" } do
    print(("%-12s %10d before, %10d after"):format(name, before[name], after[name]))
end
local grown = after.children > before.children or after.descriptors > before.descriptors or after.files > before.files
-- Heaps breathe a little: what grows with every guest shows as more.
local per_guest = (after.memory - before.memory) / count
print(("memory per guest: %.1f KB"):format(per_guest / 1000))
if grown or (warm_up >= 64 and per_guest > 50e3) then
    print "something grows"
    os.exit(1)
end
print "nothing grows"
