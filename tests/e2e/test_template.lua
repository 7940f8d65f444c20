-- timeout: 900
-- Templates that are kept, and what may go wrong with them and with a freeze.
local vm = require "vm"
local t = require "harness"
local host = require "vm.host"
local fs, json, data = vm.raw.fs, vm.raw.json, vm.raw.data

local place = fs.mkdtemp("vmatrix-test-")
local kept = place .. "/kept"

local function booted(name)
    local guest = vm.boot { image = "seed", memory = "256MiB", name = name }
    guest:run "echo frozen > /tmp/state"
    return guest
end

local made = booted("source"):template { path = kept }
made:saved():close()
t.baseline()

-- Another process that runs a line of Lua.
local function other(code, ...)
    return host.run({ os.getenv "VMATRIX", "-q", "-e", code, kept, ... }, { timeout = 200, check = false })
end

local FORK <const> = [[
local base = vm.template(arg[1])
local fork <close> = base:fork()
print(fork:output "cat /tmp/state")
]]

t.test("another_process_forks_a_kept_template", function()
    local result = other(FORK)
    t.equal(result.stdout, "frozen\n", result.stderr)
    t.equal(result.status, 0)
    result = host.run({ os.getenv "VMATRIX", "-q", "-e", FORK, "kept" }, { timeout = 200, check = false, cwd = place })
    t.equal(result.stdout, "frozen\n", result.stderr)
end)

t.test("several_processes_fork_one_template_at_once", function()
    local base <close> = vm.template(kept)
    local results = vm.parallel({ 1, 2, 0 }, function(i)
        if i > 0 then
            return other(FORK).stdout
        end
        local fork <close> = base:fork()
        return fork:output "cat /tmp/state" .. "\n"
    end)
    t.equal(results, { "frozen\n", "frozen\n", "frozen\n" })
end)

t.test("a_template_that_another_process_uses_is_not_deleted", function()
    local base <close> = vm.template(kept)
    local result = other "vm.template(arg[1]):delete()"
    t.equal(result.status, 1)
    t.match(result.stderr, "delete: another process uses it")
    local fork <close> = base:fork()
    t.equal(fork:output "cat /tmp/state", "frozen")
end)

t.test("what_is_private_is_for_its_owner_alone", function()
    t.equal(fs.stat(kept).mode, 448) -- 0700
    for _, name in ipairs { "id_ed25519", "ram", "state", "template.json" } do
        t.equal(fs.stat(kept .. "/" .. name).mode & 63, 0, name)
    end
end)

t.test("there_must_be_a_template_and_no_other_one", function()
    t.raises(function() vm.template(place .. "/none") end, "notfound", "there is no template there")
    t.raises(function() vm.template(7) end, "usage", "the path of a folder expected")
    local guest <close> = booted "second"
    t.raises(function() guest:template { path = kept } end, "exists", "delete it or keep the template elsewhere")
    t.equal(guest:output "cat /tmp/state", "frozen") -- it was not consumed
    t.raises(function() guest:template { pat = kept } end, "usage", "did you mean 'path'")
end)

-- A copy of the kept template that something was done to; its files are names of the same ones, so they
-- are replaced and not written to.
local function spoiled(name, how)
    local folder = place .. "/" .. name
    fs.mkdir_p(folder, 448)
    for _, file in ipairs(fs.list(kept)) do
        fs.link(kept .. "/" .. file, folder .. "/" .. file)
    end
    how(folder)
    return folder
end

local function rewrite(folder, file, change)
    local text = fs.read(folder .. "/" .. file, 2 ^ 30 // 1)
    fs.unlink(folder .. "/" .. file)
    local out = assert(io.open(folder .. "/" .. file, "wb"))
    out:write(change(text))
    out:close()
end

-- The description with one field changed, and the digest that fits it.
local function redescribe(folder, change)
    local info = json.decode(fs.read(folder .. "/template.json"))
    change(info)
    local text = json.encode(info)
    for name, content in pairs { ["template.json"] = text, ["template.sha256"] = data.sha256(text) .. "\n" } do
        rewrite(folder, name, function() return content end)
    end
end

local faults = {
    { "a_truncated_ram_file", "format", "its file ram has %d+ bytes instead of 268435456", function(folder)
        rewrite(folder, "ram", function(text) return text:sub(1, 4096) end)
    end },
    { "a_truncated_device_state", "format", "its file state has 100 bytes", function(folder)
        rewrite(folder, "state", function(text) return text:sub(1, 100) end)
    end },
    { "a_damaged_device_state", "format", "its file state is damaged", function(folder)
        rewrite(folder, "state", function(text)
            return text:sub(1, 1000) .. string.char(text:byte(1001) ~ 255) .. text:sub(1002)
        end)
    end },
    { "a_missing_disk", "format", "its file disk1.qcow2 is gone", function(folder)
        fs.unlink(folder .. "/disk1.qcow2")
    end },
    { "a_damaged_description", "format", "its description is damaged", function(folder)
        rewrite(folder, "template.json", function(text) return (text:gsub('"cpus":%d', '"cpus":9')) end)
    end },
    { "another_qemu", "unsupported", "it was made by QEMU 1%.2%.3, and this is", function(folder)
        redescribe(folder, function(info) info.qemu = "1.2.3" end)
    end },
    { "a_later_format", "unsupported", "its format is 99, and this program knows %d", function(folder)
        redescribe(folder, function(info) info.format = 99 end)
    end },
    { "a_parent_that_is_gone", "format", "the template /nowhere that it stands on is gone", function(folder)
        redescribe(folder, function(info) info.parent = "/nowhere" end)
    end },
    { "a_file_that_changed", "format", "/etc/hostname that it stands on has changed", function(folder)
        redescribe(folder, function(info)
            info.outside = { { path = "/etc/hostname", size = 12345678, mtime = 1, ino = 1 } }
        end)
    end },
}

for _, fault in ipairs(faults) do
    local name, kind, pattern, how = table.unpack(fault)
    t.test(name .. "_is_refused", function()
        local folder = spoiled(name, how)
        t.raises(function() vm.template(folder) end, kind, pattern)
        fs.remove_tree(folder)
    end)
end

t.test("a_template_deleted_under_a_live_fork_hurts_nobody", function()
    local folder = spoiled("deleted", function() end)
    local base = vm.template(folder)
    local fork <close> = base:fork()
    fs.remove_tree(folder)
    t.equal(fork:output "cat /tmp/state; dd if=/dev/vda of=/tmp/x bs=1M count=4 2>/dev/null; echo read", "frozen\nread")
    local err = t.raises(function() base:fork() end)
    t.check(err.kind == "notfound" or err.kind == "format", err.kind)
    t.raises(function() vm.template(folder) end, "notfound")
    fork:close()
    base:close()
end)

t.test("a_full_disk_keeps_no_template_and_says_so", function()
    local small = place .. "/small"
    fs.mkdir_p(small)
    if not host.run({ "mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", small }, { check = false }).ok then
        t.skip("cannot mount a tmpfs here")
    end
    local _ <close> = setmetatable({}, { __close = function() host.run { "umount", "-l", small } end })
    local full <close> = booted("third"):template { path = small .. "/kept" }
    t.raises(function() full:saved() end, "nospace", "cannot be kept as")
    t.equal(#fs.list(small), 0)
    local fork <close> = full:fork() -- which does not need it kept
    t.equal(fork:output "cat /tmp/state", "frozen")
end)

t.test("a_freeze_that_fails_leaves_the_guest_as_it_was", function()
    local guest <close> = booted "fourth"
    local folder = require("vm.run").open().dir .. "/templates/fifth"
    fs.mkdir_p(folder)
    fs.symlink("/nowhere/state", folder .. "-2") -- the next name that would be taken
    -- QEMU's state cannot be made where a folder stands in its way.
    fs.mkdir_p(folder .. "-3/state")
    local real = fs.exists
    fs.exists = function(path) return path ~= folder .. "-3" and (path == folder .. "-2" or real(path)) end
    local ok, err = pcall(guest.template, guest, { name = "fifth" })
    fs.exists = real
    t.check(not ok and err.kind == "exists", tostring(err))
    t.equal(guest:output "cat /tmp/state", "frozen")
    local one = guest:snapshot "one" -- its RAM is still part of what is kept
    guest:run "echo later > /tmp/state"
    one:revert()
    t.equal(guest:output "cat /tmp/state", "frozen")
    fs.unlink(folder .. "-2")
    fs.remove_tree(folder)
end)

t.test("a_qemu_that_is_killed_during_a_freeze_or_a_fork_is_an_error", function()
    local guest <close> = booted "fifth"
    local pid = guest:info().pid
    local killer = vm.spawn(function()
        host.run { "kill", "-9", tostring(pid) }
    end)
    local ok, err = pcall(guest.template, guest)
    killer:join()
    if ok then
        err:close() -- it was frozen before: then the template is whole
    else
        t.check(err.kind == "crashed" or err.kind == "libvirt" or err.kind == "closed", tostring(err))
    end
    local base <close> = vm.template(kept)
    for _ = 1, 3 do
        local hunter = vm.spawn(function()
            vm.sleep(0.02 + 0.1 * math.random())
            host.run({ "pkill", "-9", "-f", "guest=hunted," }, { check = false })
        end)
        ok, err = pcall(base.fork, base, { name = "hunted" })
        hunter:join()
        if ok then
            err:close()
        else
            t.check(err.kind ~= "usage" and err.kind ~= "script", tostring(err))
        end
    end
    local fork <close> = base:fork()
    t.equal(fork:output "cat /tmp/state", "frozen")
end)

t.test("a_qemu_that_is_killed_during_a_revert_is_an_error_or_started_anew", function()
    local base <close> = vm.template(kept)
    for i = 1, 3 do
        local fork <close> = base:fork()
        local one = fork:snapshot "one"
        local pid = tostring(fork:info().pid)
        local killer = vm.spawn(function()
            vm.sleep(0.03 * i)
            host.run { "kill", "-9", pid }
        end)
        local ok, err
        repeat
            ok, err = pcall(one.revert, one)
        until not ok or killer:status() ~= "running"
        killer:join()
        t.check(ok or err.kind == "crashed" or err.kind == "libvirt" or err.kind == "closed", tostring(err))
        local up, said = pcall(fork.output, fork, "cat /tmp/state")
        t.check(not up or said == "frozen", tostring(said))
        one:revert() -- which starts it anew if need be
        t.equal(fork:output "cat /tmp/state", "frozen")
    end
    local fork <close> = base:fork()
    t.equal(fork:output "cat /tmp/state", "frozen")
end)

for what, code in pairs {
    forks = [[for i = 1, 100 do base:fork { name = "doomed-" .. i, wait = "none" } end]],
    reverts = [[
        local fork = base:fork { wait = "none" }
        local one = fork:snapshot "one"
        for _ = 1, 1000 do one:revert() end]],
    freezes = [[while true do base = base:fork { wait = "none" }:template() end]],
} do
    t.test(("a_vmatrix_that_is_killed_while_it_%s_leaves_nothing"):format(what), function()
        code = [[
            local base = vm.template(arg[1])
            io.stdout:write(require "vm.run".open().root, "\n") io.stdout:flush()
        ]] .. code
        local process = assert(vm.raw.process.start { argv = { os.getenv "VMATRIX", "-q", "-e", code, kept } })
        local _, root = process:read(60)
        root = root:match "^[^\n]+"
        vm.sleep(1.5)
        process:kill(9)
        process:wait(10)
        process:close()
        local deadline = vm.now() + 30
        while fs.exists(root) or host.run({ "pgrep", "-f", root }, { check = false }).ok do
            t.check(vm.now() < deadline, "something of the dead run is left: " .. root)
            vm.sleep(0.1)
        end
        local base <close> = vm.template(kept) -- its lock went with the process
        base:close()
    end)
end

t.test("a_kept_template_of_a_fork_stands_on_its_parent", function()
    local base <close> = vm.template(kept)
    local fork = base:fork()
    fork:run "echo second | dd of=/dev/vda conv=sync 2>/dev/null; sync; echo second > /tmp/state"
    local child = fork:template { path = place .. "/child" }
    child:saved():close()
    base:close()
    local again = vm.template(place .. "/child")
    local one = again:fork()
    t.equal(one:output "cat /tmp/state; dd if=/dev/vda bs=6 count=1 2>/dev/null", "second\nsecond")
    local result = other "vm.template(arg[1]):delete()"
    t.match(result.stderr, "another process uses it")
    one:close()
    again:delete()
    t.check(not fs.exists(place .. "/child"))
end)

t.test("a_kept_template_is_deleted_when_nobody_uses_it", function()
    vm.template(kept):delete()
    t.check(not fs.exists(kept))
end)

fs.remove_tree(place)
t.finish()
