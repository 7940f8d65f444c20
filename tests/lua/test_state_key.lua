-- What changes the key of a step, and what does not: its text, what it calls and uses, axes, env.
local t = require "harness"
local key = require "vm.state.key"
local script = require "vm.script"
local source = require "vm.state.source"
local step = require "vm.state.step"
local value = require "vm.state.value"

local count = 0

-- The key of the step that a script's text returns, as if it were a file of its own.
local function key_of(text, cell)
    count = count + 1
    local name = ("=script %d"):format(count)
    script.remember(name, text)
    local made = assert(load(text, name, "t"))()
    if type(made) == "function" then
        made = step.step { name = "s", run = made }
    end
    return key.key(made:parts(cell))
end

local function same(a, b, cell)
    t.equal(key_of(a, cell), key_of(b, cell))
end

local function differ(a, b, cell)
    t.check(key_of(a, cell) ~= key_of(b, cell), "the keys are the same")
end

t.test("the_same_text_has_the_same_key", function()
    same("return function(g) g:run 'make' end", "return function(g) g:run 'make' end")
end)

t.test("moving_a_step_in_its_file_keeps_its_key", function()
    same("return function(g)\n  g:run 'make'\nend", "local x = 1\n\n\n-- a\nreturn function(g)\n  g:run 'make'\nend")
end)

t.test("layout_and_comments_keep_the_key", function()
    same("return function(g) g:run 'make' g:run 'x' end", [==[
        return function ( g )  -- a comment
            g:run 'make'
            --[[ and another
              one ]]
            g :run 'x' --[=[ end ]=]
        end]==])
end)

t.test("a_word_of_the_text_changes_the_key", function()
    differ("return function(g) g:run 'make' end", "return function(g) g:run 'make ' end")
    differ("return function(g) g:run 'make' end", "return function(g) g:exec 'make' end")
    differ("return function(g) return 1 end", "return function(g) return 1.0 end")
    differ("return function(g) return 'a--b' end", "return function(g) return 'a--c' end")
    differ("return function(g) return [[a\nb]] end", "return function(g) return [[a\n b]] end")
end)

t.test("what_stands_beside_a_step_keeps_its_key", function()
    same("local a = function(g) g:run 'make' end\nlocal b = function(g) return 1 end return a",
        "local a = function(g) g:run 'make' end\nlocal b = function(g) return 2 end return a")
end)

t.test("a_local_function_that_it_calls_changes_the_key_and_one_that_it_does_not_call_does_not", function()
    local text = "local function used(g) g:run '%s' end\nlocal function other() return '%s' end _ = other\n"
        .. "return function(g) used(g) end"
    differ(text:format("a", "x"), text:format("b", "x"))
    same(text:format("a", "x"), text:format("a", "y"))
end)

t.test("functions_are_followed_however_deep_and_through_recursion", function()
    local text = [[
        local function deep(n) return n == 0 and '%s' or deep(n - 1) end
        local even, odd
        function even(n) return n == 0 or odd(n - 1) end
        function odd(n) return n ~= 0 and even(n - 1) and deep(n) end
        return function(g) return even(4) end]]
    same(text:format "a", text:format "a")
    differ(text:format "a", text:format "b")
end)

t.test("data_that_it_uses_changes_the_key_and_other_data_does_not", function()
    local text = "local used, other = %s, %s _ = other\nreturn function(g) return used end"
    for _, pair in ipairs { { "1", "2" }, { "1", "'1'" }, { "1", "1.0" }, { "true", "false" }, { "nil", "false" },
        { "{1,2}", "{2,1}" }, { "{a={b=1}}", "{a={b=2}}" }, { "{a=1}", "{b=1}" }, { "{[1]=1}", "{['1']=1}" },
        { "0.0", "-0.0" }, { "'a'", "'a\\0'" }, { "{}", "{{}}" } } do
        differ(text:format(pair[1], "0"), text:format(pair[2], "0"))
        same(text:format(pair[1], "0"), text:format(pair[1], "1"))
    end
end)

t.test("the_order_in_which_a_table_was_filled_keeps_the_key", function()
    same("local d = { a = 1, b = 2, c = 3, [10] = 1, [false] = 0 } return function() return d end",
        "local d = {} d[false] = 0 d[10] = 1 d.c = 3 d.b = 2 d.a = 1 return function() return d end")
end)

t.test("data_that_refers_to_itself_is_data", function()
    local text = "local M = { n = %d } M.__index = M M.again = { M } return function() return M end"
    same(text:format(1), text:format(1))
    differ(text:format(1), text:format(2))
end)

t.test("functions_in_tables_and_metatables_count", function()
    local text = "local M = { f = function() return %d end } return function() return M.f() end"
    differ(text:format(1), text:format(2))
    text = "local M = setmetatable({}, { __name = 'Mine', __index = function() return %d end })\n"
        .. "return function() return M.x end"
    differ(text:format(1), text:format(2))
end)

t.test("global_functions_and_values_of_the_script_count", function()
    local text = "function used() return %d end return function() return used() end"
    differ(text:format(1), text:format(2))
    text = "setting = %d return function() return _G.setting end"
    differ(text:format(1), text:format(2))
    same("setting = 1 return function() return ({}).setting end",
        "setting = 2 return function() return ({}).setting end")
    -- luacheck: ignore used setting
    _G.used, _G.setting = nil, nil
end)

t.test("two_functions_on_one_line_have_one_key_that_knows_both", function()
    local text = "local a, b = function() return %d end, function() return %d end _ = b return a"
    same(text:format(1, 2), text:format(1, 2))
    differ(text:format(1, 2), text:format(3, 2))
end)

t.test("the_library_is_known_by_name", function()
    local text = "local vm = require 'vm' local f = %s return function() return vm, f end"
    same(text:format "vm.sleep", text:format "vm.sleep")
    differ(text:format "vm.sleep", text:format "vm.now")
    differ(text:format "string.format", text:format "string.rep")
    differ(text:format "vm.raw.fs", text:format "vm.raw.data")
end)

t.test("parameters_that_a_step_reads_count_and_are_no_trouble", function()
    local text = "local p = require('vm').params { release = '%s' } return function() return p.release end"
    same(text:format "forky", text:format "forky")
    differ(text:format "forky", text:format "sid")
end)

t.test("a_script_in_a_folder_named_as_the_binary_names_its_own_is_followed_all_the_same", function()
    local function made(n)
        local text = ("local function f() return %d end return function() return f() end"):format(n)
        script.remember("@vmatrix/mine.lua", text)
        return value.parts("x", "run", assert(load(text, "@vmatrix/mine.lua"))())
    end
    t.check(#made(1) > 3)
end)

t.test("things_of_this_run_are_refused_by_name", function()
    local function refused(text, pattern)
        t.raises(function() key_of(text) end, "usage", pattern)
    end
    refused("local guest = setmetatable({}, { __name = 'vm.Guest' }) return function() return guest end",
        "step s: run.guest is a vm.Guest, which cannot be part of a kept state")
    refused("local co = coroutine.create(print) return function() return co end", "run.co is a thread")
    refused("local list = { io.stdout } return function() return list end", "run.list.%[1%] is a userdata")
    refused("local t = { [{}] = 1 } return function() return t end", "a table with a table as a key")
    refused("local f = string.gmatch('a', 'a') return function() return f end", "not the script's")
    refused("local t = setmetatable({}, { __close = print }) return function() return t end", "must be closed")
end)

t.test("an_axis_in_uses_changes_the_key_and_another_does_not", function()
    local text = "return require('vm.state.step').step { name = 's', uses = { 'cc', 'opt' }, run = function() end }"
    local one = key_of(text, { cc = "gcc", opt = "O2", image = "a" })
    t.equal(key_of(text, { cc = "gcc", opt = "O2", image = "b" }), one)
    t.check(key_of(text, { cc = "clang", opt = "O2", image = "a" }) ~= one)
    t.check(key_of(text, { cc = "O2", opt = "gcc", image = "a" }) ~= one)
    t.check(key_of(text, { cc = { "gcc" }, opt = "O2" }) ~= one)
end)

t.test("names_of_steps_keep_and_env_and_copies_change_the_key", function()
    local function made(fields)
        return key_of(("return require('vm.state.step').step { name = 's', run = function() end, %s }"):format(fields))
    end
    t.equal(made "name = 'a'", made "name = 'b'")
    t.check(made "env = { A = '1' }" ~= made "env = { A = '2' }")
    t.check(made "env = { A = '1' }" ~= made "env = { B = '1' }")
    t.equal(made "env = { A = 1, B = 2 }", made "env = { B = '2', A = '1' }")
    t.equal(made "timeout = 5", made "timeout = '10m'")
end)

t.test("every_border_between_parts_counts", function()
    local one = key.key { { "a", "b" }, { "c", "d" } }
    t.match(one, "^%x+$")
    for _, other in ipairs { { { "ab", "" }, { "c", "d" } }, { { "a", "bc" }, { "", "d" } }, { { "a", "b" } },
        { { "a", "b" }, { "c", "d" }, { "", "" } }, { { "c", "d" }, { "a", "b" } } } do
        t.check(key.key(other) ~= one)
    end
end)

t.test("a_functions_text_is_found_whatever_is_around_it", function()
    local text = [==[
#!/usr/bin/env vmatrix
local s = "function end" local c = 'it\'s \z
    function' --[[ function
end ]] local l = [=[
  function ]] end ]=]
local t = {
    run = function(a, ...)
        for i = 1, 0x1p-3 do if a then while a do break end elseif b then repeat a = 3 ..2 until a // 2 end end
        return function(...) return ... end, "end", 1e-5
    end, name
    = 1 } local function
    late(x) return x end
return t.run, late, s, c, l]==]
    local chunk = assert(load((text:gsub("^#[^\n]*", "")), "=odd"))
    script.remember("=odd", (text:gsub("^#[^\n]*", "")))
    local run, late = chunk()
    t.equal(source.text(source.of(late, "x")), "function late ( x ) return x end")
    local words = source.text(source.of(run, "x"))
    t.match(words, "^function %( a , %.%.%. %) for i = 1 , 0x1p%-3 do if")
    t.match(words, "until a // 2 end end return function %( %.%.%. %) return %.%.%. end , \"end\" , 1e%-5 end$")
    t.match(source.text(source.of(chunk, "x")), "^local s = ")
end)

t.test("text_that_is_not_known_or_has_changed_is_an_error", function()
    t.raises(function() key_of("return load('return function() end', '=nowhere')()") end, "unsupported", "not known")
    script.remember("=changed", "return 1")
    local fn = load("\n\n\nreturn function()\nend", "=changed")()
    t.raises(function() value.parts("step s", "run", fn) end, "unsupported", "has changed since it was loaded")
end)

t.test("a_change_is_named_part_by_part", function()
    local long = ("ab"):rep(32)
    t.equal(key.changes({ { "a", "1" }, { "b", "2" }, { "c", long } },
        { { "b", "3" }, { "c", "x" .. long }, { "d", "" } }),
        { "b: was 2, is 3", "c: changed", "d: new", "a: gone" })
    t.equal(key.changes({ { "a", "1" } }, { { "a", "1" } }), {})
end)

t.finish()
