-- timeout: 600
-- What root can do here, an ordinary user can: a guest's life, networks and forks. With VMATRIX_CHECK_ALL=1
-- the tests of a guest's life are run again as one, too.
local t = require "harness"
local vm = require "vm"
local host = require "vm.host"
local paths = require "vm.host.paths"
local fs = vm.raw.fs

local USER <const> = "nobody"

-- Copies a file or folder for that user to read.
local function give(from, to)
    host.run { "cp", "-a", "--no-preserve=ownership", from, to }
    host.run { "chown", "-R", USER, to }
end

t.test("an_ordinary_user_boots_stops_snapshots_and_leaves_nothing", function()
    if fs.uid() ~= 0 then
        t.skip("this is an ordinary user already")
    end
    require("vm.seed").build(vm.raw.build.arch)
    local home = fs.mkdtemp("vmatrix-user-")
    local _ <close> = setmetatable({}, { __close = function() fs.remove_tree(home) end })
    fs.chmod(home, 493) -- 0755
    local source = os.getenv "VMATRIX_SOURCE" .. "/tests/"
    for _, folder in ipairs { "/cache", "/cache/vmatrix", "/cache/vmatrix/images", "/tests" } do
        fs.mkdir_p(home .. folder)
    end
    for _, image in ipairs(fs.glob(paths.cache() .. "/images/seed-" .. vm.raw.build.arch .. "-*")) do
        give(image, home .. "/cache/vmatrix/images/")
    end
    give(os.getenv "VMATRIX", home .. "/vmatrix")
    give(source .. "harness.lua", home .. "/tests/")
    give(source .. "e2e/test_lifecycle.lua", home .. "/tests/")
    host.run { "chown", "-R", USER, home }
    local function as_user(...)
        local result = host.run({
            "setpriv", "--reuid", USER, "--regid", "nogroup", "--clear-groups", "--reset-env",
            "env", "HOME=" .. home, "XDG_CACHE_HOME=" .. home .. "/cache", "TMPDIR=" .. home,
            "LUA_PATH=" .. home .. "/tests/?.lua", home .. "/vmatrix", ...,
        }, { check = false, timeout = 500, cwd = home })
        t.equal(result.status, 0, result.stdout .. result.stderr)
        return result.stdout
    end
    if os.getenv "VMATRIX_CHECK_ALL" == "1" then
        t.match(as_user(home .. "/tests/test_lifecycle.lua"), " 0 failed")
    end
    t.match(as_user("-e", [[
        local net <close> = vm.network()
        local list = vm.parallel({ "one", "two" }, function(name)
            return vm.boot { image = "seed", name = name, memory = "256MiB", nics = { net, "nat" } }
        end)
        list[1]:run "ping -c 1 -W 30 two; echo one > /tmp/state"
        local one = list[1]:snapshot "one"
        list[1]:run "echo two > /tmp/state"
        one:revert()
        assert(list[1]:output "cat /tmp/state" == "one")
        list[1]:write("/tmp/in", ("x"):rep(100000))
        list[1]:copy_out("/tmp/in", os.getenv "HOME" .. "/out")
        assert(#assert(io.open(os.getenv "HOME" .. "/out")):read "a" == 100000)
        list[1]:stop()
        list[1]:start()
        local base <close> = list[2]:template()
        local fork <close> = base:fork { name = "three" }
        print(fork.origin.how, fork:output "id -un")
    ]]), "live\troot\n")
    -- Nothing of that user's runs on, and no folder of a run is left.
    local left = host.run({ "pgrep", "-u", USER, "-f", home }, { check = false })
    t.equal(left.stdout, "")
    t.equal(fs.glob(home .. "/vmatrix-*/*/guests"), {})
end)

t.finish()
