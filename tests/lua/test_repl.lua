-- What the prompt is made of, without a terminal: pieces of Lua, values, the place of the cursor, what may
-- stand there, help, the history, and the keys that leave a shell.
local vm = require "vm"
local t = require "harness"
local chunk = require "vm.repl.chunk"
local complete = require "vm.repl.complete"
local cursor = require "vm.repl.cursor"
local help = require "vm.repl.help"
local history = require "vm.repl.history"
local show = require "vm.repl.show"
local terminal = require "vm.terminal"

-- The globals that completion sees at the prompt.
_G.vm = vm
_G.made = { one = 1, two = { three = 3 }, ["not a name"] = 4, call = function() end }
_G.list_of = { { name = "first" }, setmetatable({}, { __index = { inherited = function() end } }) }

t.test("expressions_statements_and_what_is_not_finished", function()
    local function how(text)
        local compiled, kind = chunk.compile(text)
        return compiled and kind or kind == "unfinished" and kind or "wrong"
    end
    t.equal(how "1 + 1", "expression")
    t.equal(how "= 1 + 1", "expression")
    t.equal(how "print 'x' -- why", "expression")
    t.equal(how "x = 1", "statement")
    t.equal(how "", "statement")
    t.equal(how "-- only this", "expression") -- of no values
    t.equal(how "for i = 1, 2 do", "unfinished")
    t.equal(how "f(", "unfinished")
    t.equal(how "x = [[", "unfinished")
    t.equal(how "x = 'abc", "unfinished") -- by Lua's own rule
    t.equal(how "x = = 1", "wrong")
    t.equal(chunk.statement "x = 1", "x = 1")
    t.equal(chunk.statement "f(1)", "f(1)")
    t.equal(chunk.statement "=1 + 1", "_ = 1 + 1")
    t.equal(chunk.statement("f(1)", true), "_ = f(1)")
end)

t.test("values_are_shown_readably_and_folded_at_a_sensible_size", function()
    t.equal(show.value(nil), "nil")
    t.equal(show.value(1.5), "1.5")
    t.equal(show.value "it's", '"it\'s"')
    t.equal(show.value "a\nb", "a\nb")
    t.equal(show.value {}, "{}")
    t.equal(show.value { 1, "two", { 3 }, key = true, [10] = false }, '{ 1, "two", { 3 }, [10] = false, key = true }')
    local wide = show.value({ ("x"):rep(50), ("y"):rep(50) }, 80)
    t.equal(wide, ('{\n  "%s",\n  "%s"\n}'):format(("x"):rep(50), ("y"):rep(50)))
    local many = {}
    for i = 1, 500 do
        many[i] = i
    end
    t.match(show.value(many), "60,\n  %.%.%. 440 more\n}$")
    local circle = { 1 }
    circle.me = circle
    t.equal(show.value(circle), "{ 1, me = { the table above } }")
    t.match(show.value(("line\n"):rep(500)), "line\n%.%.%. 1500 bytes more; print%(_%) shows all, as it came$")
    t.equal(show.value(setmetatable({}, { __tostring = function() error "no" end })), "table (its __tostring raises)")
    t.equal(show.value { ok = false, status = 3, stdout = "out\n", stderr = "err\n", truncated = 0, duration = 0.25 },
        "status 3, 0.250 s\nout\nstderr: err")
end)

t.test("a_guest_is_one_line_also_one_that_is_kept", function()
    local login, ports = { port = 22 }, { { guest = 22, host = 40001, address = "127.0.0.1" } }
    local spec = { image = "/images/a.qcow2", memory = 1 << 29 }
    local own = setmetatable({ name = "a\27", arch = "x86_64", last_state = "running", spec = spec, ports = ports,
        login = login }, { __name = "vm.Guest" })
    t.equal(show.value(own), "guest a\\x1b: image a.qcow2, x86_64, running, ssh 127.0.0.1:40001, memory 512 MiB")
    own.failure = { kind = "panic" }
    t.match(show.value(own), ", panic, ")
    local folder = assert(vm.raw.fs.mkdtemp "/tmp/vmk-")
    local kept = setmetatable({ name = "k", arch = "aarch64", spec = spec, login = login,
        place = require "vm.owner.place".of(folder), note = { image = "seed", ports = ports } },
        require "vm.owner.kept".Guest)
    t.equal(show.value(kept), "guest k: image a.qcow2, aarch64, stopped, ssh -, memory 512 MiB, kept")
    assert(vm.raw.fs.remove_tree(folder))
end)

t.test("what_a_guest_wrote_cannot_speak_to_the_terminal", function()
    t.equal(show.value "\27[31m\7\0\127", '"\\x1b[31m\\x07\\x00\\x7f"')
    t.equal(show.value "grüße 日本", '"grüße 日本"')
    t.equal(show.value "\xc2\x9b31m \u{202e} \u{200b}", '"\\xc2\\x9b31m \\xe2\\x80\\xae \\xe2\\x80\\x8b"')
    t.equal(show.value "\xff\xfe", '"\\xff\\xfe"')
    t.equal(show.value "a\r\nb\27c\rd", "a\nb\\x1bc\\x0dd")
    t.equal(show.value { ["\27k"] = 1 }, '{ ["\\x1bk"] = 1 }')
    t.match(show.error(vm.raw.error.new { kind = "exit", message = "bad \27]0;x\7" }), "^error: bad \\x1b%]0;x\\x07$")
end)

t.test("the_place_of_the_cursor", function()
    local function place(text, ...)
        local at, out = cursor.place(text), {}
        for i, name in ipairs { ... } do
            out[i] = tostring(at[name])
        end
        return table.concat(out, " ")
    end
    t.equal(place("pri", "kind", "path", "word"), "name  pri")
    t.equal(place("x = vm.bo", "path", "word"), "vm. bo")
    t.equal(place("guest : ex", "path", "word"), "guest: ex")
    t.equal(place("list[12].na", "path", "word"), "list[12]. na")
    t.equal(place("f().na", "kind"), "none")
    t.equal(place("a..vm.no", "path", "word"), "vm. no")
    t.equal(place("-- vm.bo", "kind"), "none")
    t.equal(place("x = 'it' .. pri", "path", "word"), " pri")
    t.equal(place("vm.boot{ im", "callee", "argument", "at_key", "word"), "vm.boot 1 true im")
    t.equal(place("vm.boot({ image = 'x', me", "callee", "argument", "at_key", "word"), "vm.boot 1 true me")
    t.equal(place("g:exec('x, y', { ti", "callee", "argument", "at_key", "word"), "g:exec 2 true ti")
    t.equal(place("vm.boot{ image = ", "at_key", "key"), "false image")
    t.equal(place("vm.boot{ image = 'se", "kind", "callee", "key", "word"), "string vm.boot image se")
    t.equal(place("g:copy_out('/etc/ho", "kind", "callee", "argument", "word"), "string g:copy_out 1 /etc/ho")
    t.equal(place("g:copy_out('/a', \"b", "callee", "argument", "word"), "g:copy_out 2 b")
    t.equal(place("help \"co", "callee", "argument", "word"), "help 1 co")
    t.equal(place("{ 'x", "callee", "word"), "nil x")
end)

local function found(text)
    local got = complete.find(text)
    return got and table.concat(got.list, " ") or "nothing"
end

t.test("names_fields_methods_and_indices_are_completed", function()
    t.equal(found "made.", "call one two")
    t.equal(found "made:", "call")
    t.equal(found "made.two.t", "three")
    t.equal(found "list_of[1].", "name")
    t.equal(found "list_of[2]:", "inherited")
    t.equal(found "string.rep", "rep")
    t.equal(found "io.std", "stderr stdin stdout")
    t.equal(found "io.stdout:se", "seek setvbuf")
    t.equal(found "retu", "return")
    t.equal(found "nowhere.x", "")
    t.equal(found "5", "nothing")
end)

t.test("the_library_is_completed_with_what_is_documented_and_no_more", function()
    t.match(found "vm.", "boot.*connect.*spawn")
    _G.guest = setmetatable({ name = "g", domain = {} }, require "vm.guest")
    local verbs = " " .. found "guest:" .. " "
    for _, name in ipairs { "exec", "copy_in", "shell", "snapshot", "console" } do
        t.check(verbs:find(" " .. name .. " ", 1, true), name .. " in" .. verbs)
    end
    for _, name in ipairs { "check_alive", "on_event", "domain", "fail_waits" } do
        t.check(not verbs:find(" " .. name .. " ", 1, true), name .. " in" .. verbs)
    end
    t.match(found "guest.na", "^name$")
    _G.guest = setmetatable({ name = "g" }, { __name = "vm.KeptGuest", __index = require "vm.owner.kept".Guest })
    verbs = " " .. found "guest:" .. " "
    for _, name in ipairs { "exec", "copy_in", "shell", "snapshot", "console", "fork", "delete" } do
        t.check(verbs:find(" " .. name .. " ", 1, true), name .. " in" .. verbs)
    end
    for _, name in ipairs { "template", "refresh", "await_start" } do
        t.check(not verbs:find(" " .. name .. " ", 1, true), name .. " in" .. verbs)
    end
    t.equal(found "guest:exec('x', { cw", "cwd")
    _G.guest = nil
end)

t.test("options_and_their_values_are_completed", function()
    t.equal(found "vm.boot{ im", "image")
    t.equal(found "vm.boot{ cpus = 2, cp", "cpu")
    t.equal(found "vm.boot{ arch = 'aar", "aarch64")
    t.match(found "vm.boot{ image = 'debian-1", "debian%-12.*debian%-13")
    t.equal(found "vm.boot{ image = 'see", "seed")
    t.equal(found "vm.parallel(list, f, { li", "limit")
    t.equal(found "vm.boot{ accel = '", "hvf kvm tcg")
    t.equal(found "help 'vm.par", "vm.parallel vm.params")
end)

t.test("paths_are_completed_and_escaped", function()
    local folder = assert(vm.raw.fs.mkdtemp "/tmp/vmc-")
    assert(vm.raw.fs.mkdir_p(folder .. "/some folder"))
    assert(vm.raw.fs.write_atomic(folder .. "/some'file", ""))
    assert(vm.raw.fs.write_atomic(folder .. "/.hidden", ""))
    t.equal(found(("io.open('%s/"):format(folder)), "some folder/ some'file")
    t.equal({ complete.answer(("io.open('%s/some'"):format(folder):sub(1, -2) .. "f", "") }, { 0, "" })
    t.equal({ complete.answer(("io.open(\"%s/some "):format(folder), "") }, { 5, "some folder/" })
    t.equal({ complete.answer(("io.open('%s/.h"):format(folder), "') more") }, { 2, ".hidden" })
    local drop, insert = complete.answer(("io.open('%s/"):format(folder), "")
    t.equal({ drop, insert }, { 0, "some" })
    assert(vm.raw.fs.remove_tree(folder))
end)

t.test("one_is_put_in_several_are_listed_and_a_line_begins_with_an_indent", function()
    t.equal({ complete.answer("made.o", "") }, { 1, "one" })
    t.equal({ complete.answer("vm.boot{ im", "") }, { 2, "image = " })
    t.equal({ complete.answer("vm.boot{ arch = 'aar", "") }, { 3, "aarch64'" })
    local drop, insert, listing = complete.answer("made.", "")
    t.equal({ drop, insert, listing }, { 0, "", "call  one   two\n" })
    t.equal({ complete.answer("", "") }, { 0, "    " })
    t.equal({ complete.answer("zzz", "") }, { 0, "" })
    local names = {}
    for i = 1, 1000 do
        names[i] = ("name%04d"):format(i)
    end
    t.match(complete.columns(names, 80), "\n%.%.%. and 800 more\n$")
end)

t.test("help_knows_functions_objects_topics_and_chapters", function()
    local said
    local raw_print = print
    print = function(text) said = text end -- luacheck: ignore 121
    local _ <close> = setmetatable({}, { __close = function() print = raw_print end }) -- luacheck: ignore 121
    local function about(what)
        said = ""
        help.show(what)
        return said
    end
    t.match(about(vm.boot), "^vm%.boot%(opts%)\n.*image%?.*memory%?.*returns vm%.Guest.*example:")
    t.match(about(require "vm.guest".exec), "^guest:exec%(command, opts%?%)\n.*timeout%?.*raises .*timeout.*example:")
    t.match(about "exec", "^guest:exec%(")
    t.match(about "guest:copy_in", "^guest:copy_in%(")
    t.match(about "copy", "copy_in.*copy_out")
    t.match(about "manual copy", "^# Copying\n")
    t.match(about "vm", "vm%.boot%(opts%)")
    t.match(about(vm), "vm%.boot%(opts%)")
    t.match(about "guest", "guest:snapshot%(")
    local kept = require "vm.owner.kept".Guest
    t.match(about(setmetatable({}, kept)), "guest:snapshot%(")
    t.match(about(kept.fork), "^guest:fork%(name, opts%?%)\n")
    t.match(about(kept.stop), "^guest:stop%(")
    t.match(about(nil), "topics: .*copy")
    t.raises(function() about "exce" end, "notfound", 'did you mean "exec"')
    t.raises(function() about(function() end) end, "notfound", "not of the library")
    t.equal(show.value(require "vm.guest".copy_in), "function guest:copy_in(src, dst, opts?)")
end)

t.test("what_is_called_by_a_wrong_name_is_told_the_right_one", function()
    local known = require "vm.repl.known"
    local function meant(kind, name)
        return known.meant(("stdin:1: attempt to call a nil value (%s '%s')"):format(kind, name))
    end
    t.equal(meant("method", "exce"), "guest:exec")
    t.equal(meant("field", "bot"), nil) -- too short to tell
    t.equal(meant("field", "boott"), "vm.boot")
    t.equal(meant("global", "boot"), "vm.boot")
    t.equal(meant("global", "pritn"), "print")
    t.equal(meant("global", "quite_another"), nil)
    t.equal(meant("local", "boot"), nil)
    t.equal(known.meant "stdin:1: oh", nil)
end)

t.test("the_history_keeps_entries_of_several_lines_and_nobody_else_reads_it", function()
    local folder = assert(vm.raw.fs.mkdtemp "/tmp/vmh-")
    local path = folder .. "/state/typed"
    local one = history.open(path)
    t.check(one:add "first")
    t.check(one:add "for i = 1, 2 do\n  print '\\n'\nend")
    t.check(not one:add "for i = 1, 2 do\n  print '\\n'\nend")
    t.check(not one:add " secret")
    t.check(not one:add "")
    t.equal(vm.raw.fs.stat(path).mode, 384)
    t.equal(vm.raw.fs.stat(folder .. "/state").mode, 448)
    t.equal(history.open(path).entries, { "first", "for i = 1, 2 do\n  print '\\n'\nend" })
    for i = 1, 2100 do
        one:add("entry " .. i)
    end
    local again = history.open(path)
    t.equal(#again.entries, 1000)
    t.equal(again.entries[1000], "entry 2100")
    t.equal(vm.raw.fs.stat(path).mode, 384)
    assert(vm.raw.fs.remove_tree(folder))
end)

t.test("a_tilde_and_a_dot_at_the_beginning_of_a_line_leave_a_shell_and_one_and_ctrl_z_stops_us", function()
    local function keys(...)
        local state, out = {}, {}
        for _, bytes in ipairs { ... } do
            local pass, wish, rest = terminal.keys(state, bytes)
            out[#out + 1] = pass
            if wish then
                return table.concat(out), wish, rest ~= "" and rest or nil
            end
        end
        return table.concat(out), "nothing"
    end
    t.equal({ keys "~." }, { "", "leave" })
    t.equal({ keys("ls\r", "~", ".") }, { "ls\r", "leave" })
    t.equal({ keys "ls ~.\r" }, { "ls ~.\r", "nothing" })
    t.equal({ keys "~~.\r" }, { "~.\r", "nothing" })
    t.equal({ keys "~/x\r" }, { "~/x\r", "nothing" })
    t.equal({ keys "ls\r~\26id\r" }, { "ls\r", "stop", "id\r" })
    t.equal({ keys "\26vi\r" }, { "\26vi\r", "nothing" }) -- alone it is the guest's
    -- What a terminal answers to a question is no text of the line.
    t.equal({ keys("\r", "\27[24;80R", "~.") }, { "\r\27[24;80R", "leave" })
    t.equal({ keys("\r", "\27OA~.") }, { "\r\27OA", "leave" })
end)

t.test("the_alternate_screen_is_left_only_where_it_was_entered", function()
    local function is_alternate(...)
        local state = {}
        for _, text in ipairs { ... } do
            terminal.follow_screen(state, text)
        end
        return state.alternate or false
    end
    t.check(not is_alternate "text\27[1;31m\27[?25h")
    t.check(is_alternate "\27[?1049h\27[2J")
    t.check(is_alternate "\27[?25;1049h")
    t.check(is_alternate("\27[?10", "49", "h"))
    t.check(not is_alternate("\27[?1049h", "text\27", "[?1049l"))
    t.check(not is_alternate("\27[?1049", ("x"):rep(100), "h"))
end)

t.finish()
