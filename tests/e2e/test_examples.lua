-- timeout: 1000
-- Every example is run, as a user would run it, and must say what it is there to show.
local t = require "harness"
local vm = require "vm"
local host = require "vm.host"
local fs = vm.raw.fs

local examples = os.getenv "VMATRIX_SOURCE" .. "/scripts/examples"
local folder = fs.mkdtemp("vmatrix-test-")

-- What each prints (patterns, in order), and the files it leaves below the folder given to it.
local wanted = {
    ["hello"] = { says = { "Hello from Linux" } },
    ["three-architectures"] = {
        says = { "reverted; the greeting says: Hello, ", "all three are gone again" },
        leaves = { "x86_64.txt", "aarch64.txt", "riscv64.txt" },
    },
    ["snapshot-and-revert"] = {
        says = { "the message of the day is gone", "all is well", "  clean, made when it was running" },
    },
    ["copy"] = {
        says = { "%d+ files, %d+ bytes in by tar", "out came list note sizes", "counted on " },
        leaves = { "copied/list", "copied/note", "copied/sizes" },
    },
    ["fork"] = { says = { "booted and prepared in", "test%-%d: passed", "test%-%d: passed", "test%-%d: passed" } },
    ["kept"] = { says = { "made example%-kept", "this is visit 1", "deleted" } },
    ["network"] = {
        says = { "server is 10%.9%.0%.2, client is 10%.9%.0%.3", "a good cable:%s+[34] packets", "none:%s+0 packets",
            "received 1000000 bytes", "new address: 10%.9%.0%.99", "back again:%s+[34] packets" },
    },
    ["prepared"] = {
        says = { "plain: %l+; two guests of it after", "plain: the other says a plain build" },
    },
    ["parallel-build"] = {
        says = { "made on x86_64", "made on aarch64", "made on riscv64" },
        leaves = { "x86_64/program.txt", "riscv64/count.txt" },
    },
}

for _, path in ipairs(fs.glob(examples .. "/*.lua")) do
    local name = path:match("([^/]+)%.lua$")
    t.test("example_" .. name:gsub("%-", "_"), function()
        local want = t.check(wanted[name], "no expectation for this example")
        local out = folder .. "/" .. name
        fs.mkdir_p(out)
        local result = host.run({ os.getenv "VMATRIX", path, out }, { timeout = 280, check = false, cwd = out })
        t.equal(result.status, 0, result.stderr)
        for _, pattern in ipairs(want.says) do
            t.match(result.stdout, pattern)
        end
        for _, file in ipairs(want.leaves or {}) do
            t.check(fs.exists(out .. "/" .. file), file .. " is missing")
        end
    end)
end

t.test("example_matrix_is_run_by_vmatrix_test", function()
    local argv = { os.getenv "VMATRIX", "test", examples .. "/matrix/matrix.lua", "--output", folder .. "/runs" }
    local result = host.run(argv, { timeout = 420, check = false })
    t.equal(result.status, 0, result.stdout .. result.stderr)
    local counts = vm.raw.json.decode(fs.read(folder .. "/runs/last/run.json", 1 << 20)).counts
    t.equal({ counts.passed, counts.flaky, counts.skipped, counts.total }, { 11, 3, 1, 15 })
    t.equal(#fs.glob(folder .. "/runs/last/artifacts/*check/1/w/check.log"), 3)
end)

fs.remove_tree(folder)
t.finish()
