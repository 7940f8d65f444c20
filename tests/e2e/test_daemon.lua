-- A private libvirt daemon of this user's session, found by its socket, also when the embedded driver
-- was opened before in the same process.
local t = require "harness"
local vm = require "vm"

local function shell(command)
    local pipe = assert(io.popen(command .. " 2>&1"))
    local out = pipe:read "a"
    return pipe:close(), out
end

-- A daemon of root is the system's; the session's needs an ordinary user.
local prefix = ""
if select(2, shell "id -u") == "0\n" then
    prefix = "runuser -u nobody -- "
end

local function run(dir, script)
    local path = dir .. "/script.lua"
    assert(io.open(path, "w")):write(script):close()
    local command = "%senv XDG_RUNTIME_DIR=%s/run HOME=%s %q %s"
    local ok, out = shell(command:format(prefix, dir, dir, os.getenv "VMATRIX", path))
    t.check(ok, out)
    return out
end

local function folder()
    local _, dir = shell "mktemp -d /tmp/vxd-XXXXXX"
    dir = dir:gsub("\n", "")
    assert(shell("mkdir -p -m 700 " .. dir .. "/run"))
    if prefix ~= "" then
        if not shell(("%stest -x %q"):format(prefix, os.getenv "VMATRIX")) then
            shell("rm -rf " .. dir)
            t.skip "user nobody, whose session root borrows, may not run this binary"
        end
        assert(shell("chown -R nobody " .. dir))
    end
    return dir
end

t.test("without a daemon the error says what is missing and what to do", function()
    local dir = folder()
    local out = run(dir, [[
        local _, err = require("vm.raw").virt.open "qemu:///session"
        print(err.kind, err.message)]])
    t.match(out, "^connection%s")
    t.match(out, "start libvirtd %(or virtqemud%), or use the default")
    shell("rm -rf " .. dir)
end)

t.test("the session's daemon answers, beside the embedded driver", function()
    local _, daemon = shell "command -v libvirtd || command -v virtqemud"
    daemon = daemon:gsub("\n", "")
    if daemon == "" then
        t.skip "neither libvirtd nor virtqemud is installed"
    end
    local dir = folder()
    shell(("%senv XDG_RUNTIME_DIR=%s/run HOME=%s XDG_CONFIG_HOME=%s/config XDG_CACHE_HOME=%s/cache "
        .. "%s --timeout 60 --pid-file %s/pid >/dev/null 2>&1 &"):format(prefix, dir, dir, dir, dir, daemon, dir))
    local limit = vm.now() + 60
    local socket = "test -S %s/run/libvirt/libvirt-sock -o -S %s/run/libvirt/virtqemud-sock"
    while not shell(socket:format(dir, dir)) do
        t.check(vm.now() < limit, "the daemon makes no socket")
        vm.sleep(0.05)
    end
    local out = run(dir, ([[
        local virt = require("vm.raw").virt
        local embed <close> = assert(virt.open("qemu:///embed", { root = %q, cache = %q }))
        local xml = assert(virt.xml { name = "mine", arch = "x86_64", accel = "tcg", cpus = 1, memory = 32 << 20 })
        local mine = assert(embed:define(xml))
        local conn <close> = assert(virt.open "qemu:///session")
        print(#assert(embed:domains()), #assert(conn:domains()))
        assert(mine:undefine())
        local dom = assert(conn:define(xml))
        assert(dom:start { autodestroy = true })
        print(dom:state())
        assert(dom:destroy())
        assert(dom:undefine())
        print(conn:uri():match "^qemu%%+unix:///session%%?socket=" ~= nil)
    ]]):format(dir .. "/r", dir .. "/cache2"))
    shell(("kill $(cat %s/pid)"):format(dir))
    t.equal(out, "1\t0\nrunning\tbooted\ntrue\n")
    shell("rm -rf " .. dir)
end)

t.finish()
