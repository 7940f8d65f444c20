-- The line that says how far something is.
local progress = require "vm.terminal.progress"
local t = require "harness"
local vm = require "vm"
local width = require "vm.terminal.width"

t.test("bytes_and_times_are_written_as_people_read_them", function()
    t.equal(progress.bytes(0), "0 B")
    t.equal(progress.bytes(1536), "1.5 KiB")
    t.equal(progress.bytes(3 * 2 ^ 30), "3.0 GiB")
    t.equal(progress.clock(7.4), "0:07")
    t.equal(progress.clock(3723), "1:02:03")
end)

t.test("with_a_total_it_shows_a_bar_the_part_the_rate_and_the_time_left", function()
    local line = progress.line({ what = "copy a", done = 50 * 2 ^ 20, total = 200 * 2 ^ 20, rate = 10 * 2 ^ 20,
        elapsed = 5 }, 80)
    t.equal(line, "copy a  [#######-----------------------]   25 %  10.0 MiB/s  0:15 left")
end)

t.test("without_a_total_it_shows_what_is_done_and_since_when", function()
    t.equal(progress.line({ what = "copy a", done = 2048, rate = 1024, elapsed = 2 }, 80),
        "copy a  2.0 KiB  1.0 KiB/s  0:02")
end)

t.test("what_took_a_known_time_before_says_how_long_it_may_take", function()
    t.match(progress.line({ what = "boot dev", elapsed = 3, expect = 12 }, 80), "25 %%  0:03  about 0:09 left$")
    t.match(progress.line({ what = "boot dev", elapsed = 30, expect = 12 }, 80), "99 %%  0:30  longer than last time$")
end)

t.test("the_line_never_wraps_and_speaks_no_escape_sequences", function()
    local line = progress.line({ what = ("x"):rep(70), elapsed = 1, note = "\27[2J\nhere\xff" }, 80)
    t.check(#line <= 79, line)
    t.check(not line:find "[%c\x80-\xff]", line)
    t.match(progress.line({ what = "boot", elapsed = 1, note = "a\27b" }, 80), "a%?b$")
end)

t.test("tables_have_columns_as_wide_as_their_cells_and_no_blanks_at_the_ends_of_lines", function()
    local rows = { { "NAME", "STATE" }, { width.plain "g\27r\u{fc}n\u{9b}", "" }, { "a", "on" } }
    t.equal(width.table(rows), "NAME    STATE\ng?r\u{fc}n?\na       on")
    t.equal(width.plain "\xff\t", "??")
end)

t.test("nothing_is_drawn_where_nobody_looks", function()
    local bar <close> = progress.start("quiet", { visible = false })
    bar:update(1, 2)
    t.equal(bar.driver, nil)
end)

t.test("it_is_drawn_after_a_second_and_erased_at_the_end", function()
    local said = {}
    local bar = progress.start("slow", { visible = true, total = 100 })
    bar.out = { write = function(_, ...) said[#said + 1] = table.concat { ... } end, flush = function() end }
    bar:update(10)
    vm.sleep(0.5)
    t.equal(#said, 0)
    vm.sleep(0.8)
    t.match(table.concat(said), "\rslow .* 10 %%")
    bar:close()
    t.equal(said[#said], "\r\27[K")
    local before = #said
    vm.sleep(0.3)
    t.equal(#said, before)
end)

t.test("what_is_printed_takes_it_away_and_a_line_that_was_begun_is_not_drawn_over", function()
    local said = {}
    local bar <close> = progress.start("slow", { visible = true })
    bar.out = { write = function(_, ...)
        progress.wrote(false) -- as writes to a terminal tell it, its own, too
        said[#said + 1] = table.concat { ... }
    end, flush = function() end }
    local function is_drawn(seconds)
        local before = #said
        vm.sleep(seconds)
        return #said > before
    end
    t.check(is_drawn(1.3))
    progress.wrote(false)
    t.equal(said[#said], "\r\27[K")
    t.check(not is_drawn(0.3))
    progress.wrote(true)
    t.check(is_drawn(0.5))
    progress.hold(true)
    t.equal(said[#said], "\r\27[K")
    t.check(not is_drawn(0.3))
    progress.hold(false)
    t.check(is_drawn(0.5))
end)

t.test("calls_of_the_library_show_it_only_where_that_was_wanted_and_know_how_long_they_took", function()
    local bar <close> = progress.call("boot a", "boot seed")
    t.equal({ bar.driver, bar.expect }, {})
    vm.sleep(0.05)
    bar:done_well()
    local again <close> = progress.call("boot b", "boot seed")
    t.check(again.expect >= 0.05)
    local other <close> = progress.call("stop a")
    t.equal(other.expect, nil)
end)

t.test("the_rate_is_taken_of_the_last_seconds", function()
    local bar <close> = progress.start("rate", { visible = false, total = 1000 })
    bar:update(0)
    vm.sleep(0.25)
    bar:update(100)
    local rate = bar:state().rate
    t.check(rate > 100 and rate < 500, tostring(rate))
end)

t.finish()
