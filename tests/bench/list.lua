-- How long `vmatrix list` takes with 100 kept guests, beside `virsh list --all` with as many domains of libvirt's
-- own test driver, which asks no daemon and no QEMU: what virsh cannot do faster. One guest is really made and
-- runs; the others have its description, under their names, and do not run: 100 would not fit on a small machine.
-- Run with a release build: vmatrix tests/bench/list.lua [ROUNDS [GUESTS]]     (21 rounds, 100 guests)
local vm = require "vm"
local host = require "vm.host"

local fs, json = vm.raw.fs, vm.raw.json
local rounds, guests = tonumber(arg[1] or 21), tonumber(arg[2] or 100)

local folder = assert(fs.mkdtemp "/tmp/vml-")
local env = { "env", "XDG_STATE_HOME=" .. folder, "VMATRIX_RAM=" .. folder, "VMATRIX_OWNER_IDLE=2" }

local function argv(...)
    local list = table.move(env, 1, #env, 1, {})
    return table.move({ ... }, 1, select("#", ...), #list + 1, list)
end

local program = assert(fs.realpath(vm.raw.run.program()))
local _ <close> = setmetatable({}, { __close = function()
    host.run(argv(program, "delete", "g1"), { check = false })
    fs.remove_tree(folder)
end })

host.run(argv(program, "-e", [[vm.boot { name = "g1", keep = true, memory = "64MiB", disk = "1GiB", wait = "none" }]]))
local home = folder .. "/vmatrix/kept/guests/"
local note = assert(json.decode(assert(fs.read(home .. "g1/guest.json", 2 ^ 20 // 1))))
for i = 2, guests do
    local name = ("g%d"):format(i)
    assert(fs.mkdir_p(home .. name))
    note.name, note.desc.name, note.pid = name, name, nil
    assert(fs.write_atomic(home .. name .. "/guest.json", json.encode(note)))
end

local xml = { "<node>" }
for i = 1, guests do
    xml[#xml + 1] = ([[<domain type='test'><name>g%d</name><memory>65536</memory><os><type>hvm</type></os></domain>]])
        :format(i)
end
xml[#xml + 1] = "</node>"
assert(fs.write_atomic(folder .. "/node.xml", table.concat(xml, "\n")))

local function timed(list, wanted)
    local started = vm.now()
    local result = host.run(list, { timeout = 60 })
    local took = vm.now() - started
    local _, lines = result.stdout:gsub("g%d+", "")
    assert(lines >= wanted, result.stdout)
    return took
end

local function median(list)
    table.sort(list)
    return list[(#list + 1) // 2]
end

local ours, theirs, ratios = {}, {}, {}
for i = 1, rounds do
    ours[i] = timed(argv(program, "list"), guests)
    theirs[i] = timed({ "virsh", "-c", "test://" .. folder .. "/node.xml", "list", "--all" }, guests)
    ratios[i] = ours[i] / theirs[i]
end
print(("vmatrix list, %d guests        %6.2f ms"):format(guests, median(ours) * 1000))
print(("virsh list --all, %d domains   %6.2f ms"):format(guests, median(theirs) * 1000))
print(("ratio                           %6.2f (wanted <= 1.50)"):format(median(ratios)))
