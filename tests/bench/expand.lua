-- How long a matrix of 100,000 cells takes to expand, and how much memory it holds then: beside a Python
-- program that makes as many dictionaries with itertools.product and joins their ids, and does nothing of
-- the rest (rules, checks, tests). The two take turns, so that both meet the same load.
-- Run with a release build: vmatrix tests/bench/expand.lua [ROUNDS]     (7 unless told otherwise)
-- Wanted: less than 1 s and less than 200 MB.
local vm = require "vm"
local host = require "vm.host"
local plan = require "vm.matrix.plan"
local select_tests = require "vm.matrix.select"

local rounds = tonumber(arg[1] or 7)

local function values(prefix, n)
    local list = {}
    for i = 1, n do
        list[i] = prefix .. i
    end
    return list
end

local function nothing() end

local function define()
    return vm.matrix {
        axes = { { image = values("image-", 50) }, { arch = values("arch-", 20) }, { cc = values("cc-", 10) },
            { option = values("option-", 10) } },
        exclude = { { image = "image-1", arch = "arch-1" }, { cc = "cc-2", option = "option-*", image = "image-2" } },
        include = { { image = "image-1", arch = "arch-1", cc = "cc-1", option = "option-1" },
            { cc = "cc-3", old = true } },
        tests = { check = nothing },
    }
end

local python = [[
import itertools, time, resource
axes = {"image": [f"image-{i}" for i in range(50)], "arch": [f"arch-{i}" for i in range(20)],
        "cc": [f"cc-{i}" for i in range(10)], "option": [f"option-{i}" for i in range(10)]}
started = time.process_time()
cells = [dict(zip(axes, values), id="/".join(values)) for values in itertools.product(*axes.values())]
print(time.process_time() - started, len(cells))
]]

local function median(list)
    table.sort(list)
    return list[(#list + 1) // 2]
end

local ours, theirs, chosen, memory, count = {}, {}, {}, 0, 0
for _ = 1, rounds do
    collectgarbage()
    local before, started = collectgarbage "count", os.clock()
    local all, found = plan.all({ define() }, { guests = false })
    ours[#ours + 1] = os.clock() - started
    assert(#found.list == 0, found:lines()[1])
    memory = math.max(memory, (collectgarbage "count" - before) * 1024)
    count = #all.tests
    started = os.clock()
    assert(#select_tests.choose(all, { words = { "arch!=arch-3", "image=image-1*" } }).tests > 0)
    chosen[#chosen + 1] = os.clock() - started
    all = nil -- luacheck: ignore 311
    if host.which "python3" then
        theirs[#theirs + 1] = tonumber(host.run({ "python3", "-c", python }).stdout:match "^%S+")
    end
end

local time = median(ours)
print(("%d tests: %.2f s of cpu, %.0f MB; two filters over them: %.2f s"):format(count, time, memory / 1e6,
    median(chosen)))
if #theirs > 0 then
    print(("%.1f times what Python needs for bare dictionaries"):format(time / median(theirs)))
end
if time >= 1 or memory >= 200e6 then
    print "more than wanted: 1 s, 200 MB"
    os.exit(1)
end
