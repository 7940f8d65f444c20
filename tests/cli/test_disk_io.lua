-- How QEMU does its disks: what it is asked once, what is taken when it refuses, and who may say otherwise.
local vm = require "vm"
local t = require "harness"
local cli = require "cli.cli"

local fs = vm.raw.fs

local function choose(emulator, env)
    return cli.run({ "-e", ("print(require('vm.host.disk_io').choose('x86_64', %q))"):format(emulator) }, { env = env })
end

-- An emulator that counts how often it is asked.
local function emulator(name, body)
    local path = cli.folder .. "/" .. name
    assert(fs.write_atomic(path, ("#!/bin/sh\necho asked >>%s.count\n%s\n"):format(path, body)))
    assert(fs.chmod(path, 493)) -- 0755
    return path, function()
        local _, count = (fs.read(path .. ".count") or ""):gsub("asked", "")
        return count
    end
end

t.test("a_qemu_that_can_use_io_uring_is_asked_once", function()
    local path, asked = emulator("qemu-can", "read -r line; test \"$line\" = quit")
    t.equal(choose(path).stdout, "io_uring\n")
    t.equal(choose(path).stdout, "io_uring\n")
    t.equal(asked(), 1)
end)

t.test("a_qemu_without_it_does_its_disks_by_threads", function()
    local path, asked = emulator("qemu-cannot", "echo \"error: aio=io_uring is not supported\" >&2; exit 1")
    t.equal(choose(path).stdout, "threads\n")
    t.equal(choose(path).stdout, "threads\n")
    t.equal(asked(), 1)
end)

t.test("the_real_qemu_opens_a_file_in_the_way_that_was_chosen", function()
    local host = require "vm.host"
    local qemu = host.which "qemu-system-x86_64"
    if not qemu then
        t.skip "there is no qemu-system-x86_64"
    end
    local way = choose(qemu).stdout:match "%S+"
    local result = host.run({ qemu, "-machine", "none", "-nodefaults", "-display", "none", "-S", "-monitor", "stdio",
        "-blockdev", "driver=file,node-name=a,read-only=on,filename=" .. qemu .. ",aio=" .. way }, { stdin = "quit\n" })
    t.equal(result.status, 0)
    t.check(way == "io_uring" or way == "threads", way)
end)

t.test("the_environment_decides_and_is_checked", function()
    local path, asked = emulator("qemu-unasked", "exit 1")
    t.equal(choose(path, { "VMATRIX_DISK_IO=io_uring" }).stdout, "io_uring\n")
    t.equal(choose(path, { "VMATRIX_DISK_IO=threads" }).stdout, "threads\n")
    t.equal(asked(), 0)
    local refused = choose(path, { "VMATRIX_DISK_IO=native" })
    t.equal(refused.status, 1)
    t.match(refused.stderr, 'VMATRIX_DISK_IO=native: "io_uring" or "threads" expected')
end)

cli.clean()
t.finish()
