-- What is kept in the cache of states: listing, locks, the limit and who goes first. The templates in it
-- are empty stand-ins: only their files matter here.
local t = require "harness"
local raw = require "vm.raw"
local paths = require "vm.host.paths"
local evict = require "vm.state.evict"
local store = require "vm.state.store"

local fs = raw.fs
local KIB <const> = 1024

-- Runs fn with an empty cache.
local function with_cache(fn)
    t.with_folder(function(folder)
        local cache = paths.cache
        paths.cache = function() return folder end
        local _ <close> = setmetatable({}, { __close = function() paths.cache = cache end })
        store.make_folder()
        fn(folder)
    end)
end

local function key_of(letter)
    return letter:rep(40)
end

-- A state as it lies in the cache, of this many KiB, last used so many seconds ago.
local function make(letter, opts)
    local key = key_of(letter)
    local path = store.path(key)
    assert(fs.mkdir_p(path))
    assert(fs.write_atomic(path .. "/template.json", "{}"))
    assert(fs.write_atomic(path .. "/lock", ""))
    assert(fs.write_atomic(path .. "/ram", ("x"):rep((opts.kib or 64) * KIB)))
    store.write { key = key, id = letter, name = opts.name or letter, guest = "seed", cell = "", line = "1",
        parent = opts.parent and key_of(opts.parent), parts = { { "a", "1" } }, why = { "new" }, steps = { "boot" },
        created = 1, seconds = 1, cold = 2 }
    raw.tree.set(path .. ".json", 384, os.time() - (opts.ago or 0))
    return key
end

local function names(list)
    local out = {}
    for i, item in ipairs(list) do
        out[i] = item.name or item.record and item.record.name or "?"
    end
    return out
end

t.test("states_are_listed_the_longest_unused_first_with_sizes_and_children", function()
    with_cache(function()
        make("a", { ago = 30 })
        make("b", { ago = 20, parent = "a", kib = 256 })
        make("c", { ago = 40, parent = "a" })
        local list = store.list()
        t.equal(names(list), { "c", "a", "b" })
        t.check(list[3].bytes >= 256 * KIB and list[3].bytes < 300 * KIB, list[3].bytes)
        t.equal(list[2].children, { key_of "b", key_of "c" })
        store.touch(key_of "c")
        t.equal(names(store.list()), { "a", "b", "c" })
    end)
end)

t.test("a_file_with_several_names_counts_once", function()
    with_cache(function()
        make("a", { kib = 256, ago = 2 })
        make("b", { kib = 1 })
        os.execute(("ln %s/ram %s/base"):format(store.path(key_of "a"), store.path(key_of "b")))
        local total = 0
        for _, entry in ipairs(store.list()) do
            total = total + entry.bytes
        end
        t.check(total < 300 * KIB, total)
    end)
end)

t.test("what_is_not_whole_has_no_record_and_goes_first", function()
    with_cache(function()
        make("a", {})
        make("b", {})
        fs.unlink(store.path(key_of "a") .. "/template.json")
        fs.write_atomic(store.path(key_of "b") .. ".json", "{")
        fs.mkdir_p(store.path(key_of "c"))
        for _, entry in ipairs(store.list()) do
            t.equal(entry.record, nil)
        end
        t.equal(#evict.run { max = 1 << 40 }, 3)
        t.equal(store.list(), {})
    end)
end)

t.test("the_longest_unused_go_until_the_rest_fits", function()
    with_cache(function()
        for i, letter in ipairs { "a", "b", "c", "d" } do
            make(letter, { ago = 100 - i, kib = 100 })
        end
        local dry = evict.run { max = 250 * KIB, dry_run = true }
        t.equal(names(dry), { "a", "b" })
        t.equal(#store.list(), 4)
        local removed, left = evict.run { max = 250 * KIB }
        t.equal(names(removed), { "a", "b" })
        t.equal(names(store.list()), { "c", "d" })
        t.check(left < 250 * KIB)
        t.equal(fs.glob(store.folder() .. "/aaa*"), {})
    end)
end)

t.test("those_unused_for_long_go_whatever_the_limit", function()
    with_cache(function()
        make("a", { ago = 10 * 86400 })
        make("b", { ago = 5 })
        t.equal(names((evict.run { older = 86400 })), { "a" })
        t.equal(names(store.list()), { "b" })
    end)
end)

t.test("a_state_that_others_stand_on_goes_after_them", function()
    with_cache(function()
        make("a", { ago = 100, kib = 100 })
        make("b", { ago = 50, parent = "a", kib = 100 })
        make("c", { ago = 10, kib = 100 })
        t.equal(names((evict.run { max = 250 * KIB })), { "b" })
        make("b", { ago = 50, parent = "a", kib = 100 })
        t.equal(names((evict.run { max = 150 * KIB })), { "b", "a" })
        t.equal(names(store.list()), { "c" })
    end)
end)

t.test("a_state_in_use_stays_and_so_do_those_it_stands_on", function()
    with_cache(function()
        make("a", { ago = 100 })
        make("b", { ago = 90, parent = "a" })
        make("c", { ago = 80 })
        make("d", { ago = 70 })
        local user <close> = assert(fs.lock(store.path(key_of "b") .. "/lock", true, true))
        local builder <close> = assert(store.lock(key_of "d"))
        t.equal(names((evict.run { max = 0, dry_run = true })), { "c" })
        t.equal(names((evict.run { max = 0 })), { "c" })
        t.equal(names(store.list()), { "a", "b", "d" })
        user:close()
        builder:close()
        t.equal(names((evict.run { max = 0 })), { "b", "a", "d" })
    end)
end)

t.test("rests_of_builds_and_removals_go_and_those_of_living_builders_stay", function()
    with_cache(function()
        local alive, dead = key_of "a", key_of "b"
        fs.mkdir_p(store.path(alive) .. ".new-12")
        fs.mkdir_p(store.path(dead) .. ".new-13/deep")
        fs.mkdir_p(store.path(dead) .. ".old-0123456789abcdef")
        local builder <close> = assert(store.lock(alive))
        t.equal(#evict.leftovers(true), 2)
        local removed = evict.leftovers()
        t.equal(#removed, 2)
        t.equal(store.leftovers()[2], { key = alive, path = store.path(alive) .. ".new-12", kind = "build" })
        builder:close()
        t.equal(#evict.leftovers(), 1)
        t.equal(store.leftovers(), {})
        t.equal(fs.list(store.folder()), {})
    end)
end)

t.test("small_files_of_what_is_gone_go_without_a_word", function()
    with_cache(function()
        local here = make("a", {})
        store.set_last(store.read(here))
        local gone = key_of "b"
        for _, name in ipairs { gone .. ".json", gone .. ".times", key_of "c" .. ".lock", "last/old.json" } do
            assert(fs.write_atomic(store.folder() .. "/" .. name, ""))
        end
        raw.tree.set(store.folder() .. "/last/old.json", 384, os.time() - 100 * 86400)
        t.equal(evict.leftovers(true), {})
        t.equal(evict.leftovers(), {})
        t.equal(fs.list(store.folder()), { here, here .. ".json", "last" })
        t.equal(fs.list(store.folder() .. "/last"), { "1.json" })
    end)
end)

t.test("on_a_disk_that_is_full_the_longest_unused_make_room", function()
    with_cache(function()
        for i, letter in ipairs { "a", "b", "c" } do
            make(letter, { ago = 100 - i, kib = 100 })
        end
        local space = fs.space
        local _ <close> = setmetatable({}, { __close = function() fs.space = space end })
        fs.space = function() return { free = 1000 * KIB, total = 2000 * KIB } end -- a disk that can be had anywhere
        evict.before(1000 * KIB)
        t.equal(#store.list(), 3)
        evict.before(1150 * KIB)
        t.equal(names(store.list()), { "c" })
    end)
end)

t.test("removing_a_state_leaves_nothing_of_it_and_may_be_repeated", function()
    with_cache(function()
        local key = make("a", {})
        store.add_time(key, 0.5)
        store.remove(key)
        store.remove(key)
        t.equal(fs.list(store.folder()), {})
        t.equal(store.read(key), nil)
    end)
end)

t.test("the_last_measurements_of_forks_are_kept", function()
    with_cache(function()
        local key = make("a", {})
        t.equal(store.times(key), {})
        for i = 1, 12 do
            store.add_time(key, i / 4)
        end
        t.equal(#store.times(key), 9)
        t.equal(store.times(key)[9], 3)
    end)
end)

t.test("the_last_version_is_remembered_by_what_it_is_a_version_of", function()
    with_cache(function()
        t.equal(store.last "1", nil)
        make("a", {})
        store.set_last(store.read(key_of "a"))
        store.remove(key_of "a")
        t.equal(store.last("1").parts, { { "a", "1" } })
        fs.write_atomic(store.folder() .. "/last/1.json", "garbage")
        t.equal(store.last "1", nil)
    end)
end)

t.test("a_cache_that_was_removed_is_an_empty_one", function()
    with_cache(function(folder)
        make("a", {})
        assert(fs.remove_tree(folder .. "/states"))
        t.equal(store.list(), {})
        t.equal(store.leftovers(), {})
        t.equal((evict.run { max = 0 }), {})
        t.check(evict.limit() > 0)
        store.touch(key_of "a")
        store.add_time(key_of "a", 1)
    end)
end)

t.test("a_lock_says_who_holds_it", function()
    with_cache(function()
        local _ <close> = assert(store.lock(key_of "a"))
        store.sign(key_of "a", "'tool\27chain'")
        t.equal(store.signature(key_of "a"), ("process %d: 'tool?chain'"):format(fs.pid()))
        local none, err = store.lock(key_of "a")
        t.equal(none, nil)
        t.equal(err.kind, "exists")
    end)
end)

t.finish()
