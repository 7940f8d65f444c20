-- The run's folders and the files that guests keep their RAM in.
local vm = require "vm"
local t = require "harness"
local paths = require "vm.host.paths"
local run = require "vm.run"

local fs = vm.raw.fs
local MIB <const> = 1024 * 1024

local this = run.open()
t.baseline()

t.test("a_run_is_opened_once", function()
    t.equal(run.open(), this)
    t.equal(run.is_open(), true)
    t.match(this.id, "^%x%x%x%x%x%x%x%x$")
end)

t.test("its_folders_are_this_users_alone", function()
    for _, folder in ipairs { this.root, this.dir, this.ram or this.dir, (this.root:match "^(.*)/") } do
        local stat = assert(fs.lstat(folder))
        t.equal(stat.type, "dir")
        t.equal(stat.mode & 511, 448, folder) -- 0777, 0700
        t.equal(stat.uid, fs.uid())
    end
end)

t.test("the_root_leaves_room_for_the_sockets_below_it", function()
    t.check(#this.root <= 55, this.root .. " is too long")
end)

t.test("the_record_names_every_folder_and_is_locked", function()
    local record = this.root .. ".run"
    local text = assert(fs.read(record))
    t.check(text:find("\npath " .. this.root .. "\n", 1, true), text)
    t.check(text:find("\npath " .. this.dir .. "\n", 1, true), text)
    local lock, err = fs.lock(record, true)
    t.equal(lock, nil)
    t.equal(err.kind, "exists")
end)

t.test("a_ram_file_is_sparse_private_and_of_the_right_size", function()
    local path = run.ram_file("a.ram", 64 * MIB)
    local stat = assert(fs.lstat(path))
    t.equal(stat.size, 64 * MIB)
    t.check(stat.blocks * 512 < MIB, "it takes room before it is used")
    t.equal(stat.mode & 511, 384) -- 0600
    t.check(path:find(this.ram or this.dir, 1, true) == 1, path)
    assert(fs.unlink(path))
end)

t.test("memory_that_is_promised_to_one_guest_is_not_promised_to_another", function()
    if not this.ram then
        t.skip "there is no RAM file system"
    end
    local space = assert(fs.space(this.ram))
    local disk = assert(fs.space(this.dir))
    local most = math.floor(space.free * 0.6)
    if disk.free < most + 1024 * MIB then
        t.skip "the disk is smaller than the RAM file system"
    end
    local first = run.ram_file("first.ram", most)
    local second = run.ram_file("second.ram", most)
    t.equal(first:match "^(.*)/", this.ram)
    t.equal(second:match "^(.*)/", this.dir)
    assert(fs.unlink(first))
    assert(fs.unlink(second))
end)

t.test("no_room_anywhere_is_an_error_that_says_what_there_is", function()
    local err = t.raises(function() run.ram_file("huge.ram", 2 ^ 50 // 1) end, "nospace", "no room for %d+ MiB of RAM")
    t.match(err.message, "give the guest less memory")
    t.check(not fs.exists(this.dir .. "/huge.ram"))
end)

t.test("a_folder_that_is_a_link_or_a_file_is_not_private", function()
    local folder = assert(fs.mkdtemp "vmatrix-private-")
    assert(fs.symlink("/tmp", folder .. "/link"))
    io.open(folder .. "/file", "w"):close()
    t.equal(paths.private(folder .. "/link"), nil)
    t.equal(paths.private(folder .. "/file"), nil)
    assert(fs.chmod(folder, 493)) -- 0755
    t.equal(paths.private(folder), folder)
    t.equal(fs.lstat(folder).mode & 511, 448)
    assert(fs.remove_tree(folder))
end)

t.finish()
