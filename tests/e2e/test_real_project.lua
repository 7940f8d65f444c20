-- The example that builds and tests zlib on releases of Debian. Its cells are counted; with VMATRIX_CHECK_ALL=1
-- its source is fetched, an image with the compilers is built, and the cells of that image are run.
-- timeout: 5400
local t = require "harness"
local vm = require "vm"
local host = require "vm.host"
local fs = vm.raw.fs

local ALL <const> = os.getenv "VMATRIX_CHECK_ALL" == "1"
local EXAMPLE <const> = os.getenv "VMATRIX_SOURCE" .. "/scripts/examples/real-project"

-- The example in a folder of its own, with a cache and a history of its own.
local function place()
    local path = assert(fs.mkdtemp "vmatrix-test-")
    host.run { "cp", EXAMPLE .. "/matrix.lua", EXAMPLE .. "/fetch.sh", path }
    assert(fs.mkdir_p(path .. "/zlib")) -- the source, until it is fetched
    return setmetatable({ path = path, env = { XDG_CACHE_HOME = path .. "/cache", XDG_STATE_HOME = path .. "/state" } },
        { __close = function() fs.remove_tree(path) end })
end

local function vmatrix(where, ...)
    return host.run({ os.getenv "VMATRIX", ... }, { cwd = where.path, env = where.env, check = false, timeout = 5000 })
end

t.test("the_matrix_has_three_releases_three_architectures_and_two_compilers_as_far_as_debian_has_them", function()
    local where <close> = place()
    local result = vmatrix(where, "test", "--list", "--json")
    t.equal({ result.status, result.stderr }, { 0, "" })
    local plan = vm.raw.json.decode(result.stdout)
    t.equal({ plan.cells, plan.count }, { 14, 42 })
    local cells, from = {}, {}
    for _, test in ipairs(plan.tests) do
        cells[test.cell] = true
        from[test.name] = test.from or ""
    end
    t.check(cells["debian-11/aarch64/clang"] and cells["debian-13/riscv64/gcc"], result.stdout)
    t.check(not cells["debian-12/riscv64/gcc"], "Debian 12 has no riscv64")
    t.check(from.check:find ":build$" and from.bytes:find ":build$" and from.build == "", result.stdout)
end)

t.test("zlib_is_built_and_tested_on_an_image_that_was_built_with_both_compilers", function()
    if not ALL then
        t.skip "it takes minutes: VMATRIX_CHECK_ALL=1 asks for it"
    end
    local where <close> = place()
    host.run({ where.path .. "/fetch.sh" }, { timeout = 600 })
    t.check(fs.exists(where.path .. "/zlib/configure"))
    -- The image goes into that cache; packages, the seed and QEMU's capabilities come from the usual one.
    local usual = require("vm.host.paths").cache()
    assert(fs.mkdir_p(where.env.XDG_CACHE_HOME .. "/vmatrix"))
    for _, name in ipairs { "debs", "qemu" } do
        assert(fs.mkdir_p(usual .. "/" .. name))
        assert(fs.symlink(usual .. "/" .. name, where.env.XDG_CACHE_HOME .. "/vmatrix/" .. name))
    end
    local made = vmatrix(where, "images", "build", "debian-13", "--arch", "x86_64", "--with",
        "gcc,clang,make,libc6-dev")
    t.equal(made.status, 0, made.stderr)
    local result = vmatrix(where, "test", "image=debian-13", "arch=x86_64", "--format", "junit=junit.xml", "--format",
        "html=report.html", "--output", "runs")
    t.equal(result.status, 0, result.stdout .. result.stderr)
    local counts = vm.raw.json.decode(fs.read(where.path .. "/runs/last/run.json", 1 << 20)).counts
    t.equal({ counts.passed, counts.total }, { 6, 6 })
    t.match(fs.read(where.path .. "/junit.xml", 1 << 22), 'testsuite[^>]*debian%-13[^>]*')
    t.match(fs.read(where.path .. "/report.html", 1 << 24), "<html")
end)

t.finish()
