-- Steps: their options, their view of a cell, the files they take in and the copies they may make.
local t = require "harness"
local raw = require "vm.raw"
local inputs = require "vm.state.inputs"
local key = require "vm.state.key"
local step = require "vm.state.step"

local fs = raw.fs
local MIB <const> = 1024 * 1024

-- Runs fn with a new folder of a few files.
local function with_tree(fn)
    local folder = assert(fs.mkdtemp())
    local _ <close> = setmetatable({}, { __close = function() assert(fs.remove_tree(folder)) end })
    assert(fs.mkdir_p(folder .. "/src/deep"))
    assert(fs.write_atomic(folder .. "/src/a.c", "a"))
    assert(fs.write_atomic(folder .. "/src/a.o", "o"))
    assert(fs.write_atomic(folder .. "/src/deep/b.c", "b"))
    assert(fs.write_atomic(folder .. "/note", "n"))
    assert(fs.symlink("a.c", folder .. "/src/link"))
    fn(folder)
end

local function key_of(...)
    return key.key(inputs.parts("step s", { ... }))
end

t.test("content_names_and_modes_of_inputs_change_the_key_and_times_do_not", function()
    with_tree(function(folder)
        local input = { path = folder .. "/src" }
        local last = key_of(input)
        local function changed(what)
            local now = key_of(input)
            t.check(now ~= last, what .. " does not change the key")
            last = now
        end
        fs.write_atomic(folder .. "/src/deep/b.c", "B")
        changed "content"
        fs.chmod(folder .. "/src/a.c", 493)
        changed "a mode"
        fs.rename(folder .. "/src/a.o", folder .. "/src/b.o")
        changed "a name"
        fs.mkdir_p(folder .. "/src/empty")
        changed "an empty folder"
        fs.unlink(folder .. "/src/link")
        fs.symlink("deep/b.c", folder .. "/src/link")
        changed "where a link leads"
        fs.write_atomic(folder .. "/note", "other")
        raw.tree.set(folder .. "/src/a.c", 493, 1000000000)
        t.equal(key_of(input), last)
    end)
end)

t.test("the_place_of_the_scripts_folder_is_no_part_of_the_key", function()
    local script = require "vm.script"
    local before = script.path "x"
    local _ <close> = setmetatable({}, { __close = function() script.set(before) end })
    local function parts_in(folder)
        script.set(folder .. "/script.lua")
        local made = step.step { name = "s", copy = { { "src", "/w" } }, inputs = { "note" } }
        script.set "/elsewhere/another.lua" -- several scripts may be loaded
        return made:parts(nil)
    end
    with_tree(function(one)
        with_tree(function(two)
            t.equal(parts_in(one), parts_in(two))
            t.equal(parts_in(one)[2][1], "input note")
        end)
    end)
end)

t.test("what_is_excluded_is_no_part_of_the_key", function()
    with_tree(function(folder)
        local input = { path = folder .. "/src", exclude = { "*.o" } }
        local before = key_of(input)
        fs.write_atomic(folder .. "/src/a.o", "another")
        t.equal(key_of(input), before)
        t.check(key_of { path = folder .. "/src" } ~= before)
    end)
end)

t.test("globs_are_their_matches_and_must_match_something", function()
    with_tree(function(folder)
        local before = key_of { path = folder .. "/src/*.c" }
        fs.write_atomic(folder .. "/src/a.o", "another")
        t.equal(key_of { path = folder .. "/src/*.c" }, before)
        fs.write_atomic(folder .. "/src/z.c", "z")
        t.check(key_of { path = folder .. "/src/*.c" } ~= before)
        t.raises(function() key_of { path = folder .. "/*.none" } end, "notfound", "step s: input .*: nothing matches")
        t.raises(function() key_of { path = folder .. "/none" } end, "notfound", "there is no file or folder")
    end)
end)

t.test("a_big_file_that_changes_within_a_moment_is_another_one", function()
    with_tree(function(folder)
        local seen = {}
        for i = 1, 5 do
            local file = assert(io.open(folder .. "/big", "wb"))
            file:write(("x"):rep(MIB), i)
            file:close()
            local now = key_of { path = folder .. "/big" }
            t.check(not seen[now], "two contents have one key")
            seen[now] = true
        end
    end)
end)

t.test("the_digest_of_an_old_big_file_is_kept_and_of_a_changed_one_made_anew", function()
    with_tree(function(folder)
        local path = folder .. "/big"
        fs.write_atomic(path, ("x"):rep(MIB))
        raw.tree.set(path, 420, 1000000000)
        raw.task.sleep(2.1)
        local first = key_of { path = path }
        t.equal(key_of { path = path }, first)
        local file = assert(io.open(path, "r+b"))
        file:write "y"
        file:close()
        raw.tree.set(path, 420, 1000000000) -- the time that it had before is no disguise
        t.check(key_of { path = path } ~= first)
    end)
end)

t.test("a_copy_within_a_step_must_be_among_its_inputs", function()
    with_tree(function(folder)
        fs.symlink(folder .. "/note", folder .. "/src/out")
        local list = { { path = folder .. "/src", exclude = { "*.o" } }, { path = folder .. "/n*" } }
        local function covers(wanted, path, exclude)
            t.equal(inputs.cover(folder .. path, list, exclude), wanted, path)
        end
        covers(true, "/src", { "*.o", "x" })
        covers(false, "/src")
        covers(true, "/src/deep/b.c", { "*.o" })
        covers(true, "/src/../src/deep/", { "*.o" })
        covers(true, "/note")
        covers(false, "", { "*.o" })
        covers(false, "/src/../", { "*.o" })
        fs.write_atomic(folder .. "/secret", "s")
        fs.symlink("../secret", folder .. "/src/away")
        covers(false, "/src/away", { "*.o" })
        covers(false, "/s*", { "*.o" })
        covers(true, "/src/*.c", { "*.o" })
    end)
end)

t.test("the_guest_of_a_step_refuses_other_copies_and_forgets_it_after", function()
    with_tree(function(folder)
        local copied, guest = {}, {}
        function guest:copy_in(src, dst, opts)
            self.step:check_copy("guest g: copy_in", src, opts and opts.exclude)
            copied[#copied + 1] = src .. ">" .. dst
        end
        local made = step.step { name = "one", copy = { { folder .. "/src", "/w", exclude = { "*.o" } } },
            env = { A = "1" }, run = function(g)
                t.equal(g.default_env, { A = "1" })
                t.raises(function() g:copy_in(folder .. "/note", "/n") end, "usage",
                    "inside step one, and .*/note is not among its inputs")
            end }
        made:perform(guest, nil)
        t.equal(copied, { folder .. "/src>/w" })
        t.equal({ guest.step, guest.default_env }, {})
        made = step.step { name = "two", run = function() error "no" end }
        t.check(not pcall(made.perform, made, guest, nil))
        t.equal(guest.step, nil)
    end)
end)

t.test("a_step_sees_the_axes_that_it_uses_and_reading_another_says_what_to_do", function()
    local made = step.step { name = "one", uses = { "cc", "extra" }, run = function() end }
    local cell = { cc = "gcc", image = "debian-12" }
    local view = made:view(cell)
    t.equal(view.cc, "gcc")
    t.equal(view.extra, nil)
    t.raises(function() return view.image end, "usage", "step one: it reads cell.image, .*add 'image' to uses")
    t.raises(function() return view.imag end, "usage", "unknown axis 'imag'; did you mean 'image'")
    t.raises(function() view.cc = "x" end, "usage", "not to be changed")
    local all = {}
    for name, value in pairs(view) do
        all[name] = value
    end
    t.equal(all, { cc = "gcc" })
    made:check_uses(cell, { "extra" })
    t.raises(function() made:check_uses(cell) end, "usage", "unknown axis 'extra'")
    t.raises(function() made:check_uses(nil) end, "usage", "no cell was given")
end)

t.test("options_of_a_step_are_checked", function()
    local function refused(opts, pattern)
        t.raises(function() step.step(opts) end, "usage", pattern)
    end
    refused({ run = print }, "'name' is missing")
    refused({ name = "a", runs = print }, "vm.step a: unknown option 'runs'; did you mean 'run'")
    refused({ name = "a" }, "without 'run' and 'copy' does nothing")
    refused({ name = "a/b", run = print }, "option 'name'")
    refused({ name = "a", run = print, uses = { 1 } }, "option 'uses': a list of strings expected")
    refused({ name = "a", run = print, env = { ["a b"] = "1" } }, "not the name of a variable")
    refused({ name = "a", copy = { { "src" } } }, "copy%[1%]: option '2' is missing")
    refused({ name = "a", run = print, inputs = { { pth = "a" } } }, "inputs%[1%]: unknown option 'pth'")
    t.raises(function() step.list("vm.prepared", { print }) end, "usage", "made by vm.step expected")
    t.raises(function() step.list("vm.prepared", 1) end, "usage", "a list of steps expected")
    local one = step.step { name = "a", run = function() end }
    t.equal(#step.list("x", one), 1)
    t.equal(tostring(one), "step a")
end)

t.test("keys_of_twenty_steps_and_a_thousand_files_take_little_time", function()
    local folder = assert(fs.mkdtemp())
    local _ <close> = setmetatable({}, { __close = function() assert(fs.remove_tree(folder)) end })
    for i = 1, 1000 do
        local file = assert(io.open(("%s/%d"):format(folder, i), "wb"))
        file:write(("%d\n"):format(i):rep(1024):sub(1, 4096))
        file:close()
    end
    local steps = {}
    for i = 1, 20 do
        steps[i] = step.step { name = "s" .. i, uses = { "cc" }, inputs = i == 10 and { folder } or nil,
            run = function(g, cell) g:run(cell.cc, i) end }
    end
    local function all()
        local parent
        for _, item in ipairs(steps) do
            parent = key.key(item:parts { cc = "gcc" })
        end
        return parent
    end
    local best = math.huge
    for _ = 1, 5 do
        local started = raw.task.now()
        all()
        best = math.min(best, raw.task.now() - started)
    end
    print(("      %.1f ms"):format(best * 1000))
    t.check(best < ((raw.build.sanitized or raw.build.gc_eager) and 30 or 1), ("it took %.0f ms"):format(best * 1000))
end)

t.finish()
