-- Text of guests, made harmless for each format: known tricks, and bytes by chance.
-- timeout: 240
local raw = require "vm.raw"
local t = require "harness"
local fixture = require "lua.run_fixture"
local escape = require "vm.report.escape"
local github = require "vm.report.github"

-- The functions, and what must never be in what they return besides what no format may hold.
local formats <const> = {
    plain = "[\0-\8\11-\31\127]",
    line = "[\0-\31\127]",
    xml = "[\0-\8\11-\31\127<>\"']",
    attribute = "[\0-\31\127<>\"']",
    tap = "[\0-\31\127]",
    yaml = "[\0-\31\127]",
    markdown = "[\0-\31\127]",
    fenced = "[\0-\8\11-\31\127]",
    github = "[\0-\8\10-\31\127]",
    github_property = "[\0-\8\10-\31\127,:]",
}

-- Code points that change what is around them or are not seen, each with a name for the message.
local hidden <const> = { ["C1"] = "\u{9b}", ["NEL"] = "\u{85}", ["RLO"] = "\u{202e}", ["LRI"] = "\u{2066}",
    ["RLM"] = "\u{200f}", ["ALM"] = "\u{61c}", ["LS"] = "\u{2028}", ["BOM"] = "\u{feff}", ["NBSP tag"] = "\u{e0041}",
    ["ZWSP"] = "\u{200b}", ["nonchar"] = "\u{fffe}", ["last"] = "\u{10ffff}", ["SHY"] = "\u{ad}" }

local function check_harmless(name, text, shown)
    local what = ("%s(%q)"):format(name, text:sub(1, 200))
    t.check(utf8.len(shown), what .. " is not UTF-8")
    t.check(not shown:find(formats[name]), ("%s holds what it must not: %q"):format(what, shown:sub(1, 200)))
    for label, char in pairs(hidden) do
        t.check(not shown:find(char, 1, true), what .. " holds " .. label)
    end
    t.check(name == "xml" or not shown:find("\27", 1, true), what)
end

local function check_all(text)
    for name in pairs(formats) do
        check_harmless(name, text, escape[name](text))
    end
    local defused = github.defuse(escape.plain(text))
    t.check(not ("\n" .. defused):find "\n%s*::" and not defused:find("##[", 1, true), defused)
end

t.test("what_a_hostile_guest_prints_is_harmless_in_every_format", function()
    for _, text in ipairs(fixture.hostile) do
        check_all(text)
        check_all(text .. "\n" .. text)
    end
    for _, char in pairs(hidden) do
        check_all("a" .. char .. "b")
    end
    check_all "##[add-mask]x ::set-output name=a::b"
    check_all "a\n  ::add-path::/x\n\t::stop-commands::"
end)

t.test("bytes_by_chance_are_harmless_in_every_format", function()
    local pieces = { "\27[", "\27]", "\7", "\27\\", "m", "0;", "\xff", "\xc2", "\xe2\x80", "\u{202e}", "]]>",
        "\n", "\r", "::", "##[", "`", "~~~", "#", "\\", "%", "|", "<b>", "&", "'", '"', "\0", "a", " ",
        "\u{1F600}", "\xf4\x90" }
    local seed = os.time()
    math.randomseed(seed)
    for _ = 1, raw.build.gc_eager and 20 or 500 do
        local parts = {}
        for at = 1, math.random(1, 40) do
            parts[at] = math.random() < 0.2 and string.char(math.random(0, 255)) or pieces[math.random(#pieces)]
        end
        local text = table.concat(parts)
        local ok, err = pcall(check_all, text)
        t.check(ok, ("seed %d: %s"):format(seed, tostring(err)))
    end
end)

t.test("commands_of_terminals_are_gone_and_text_between_them_stays", function()
    t.equal(escape.plain "\27[1;31mred\27[0m \27]0;title\7plain\27]8;;http://x\27\\link\27]8;;\27\\ \27(Bend\27c!",
        "red plainlink end!")
    t.equal(escape.plain "a\r\nb\rc\n", "a\nb\\rc\n")
    t.equal(escape.plain "bell\7 esc\27", "bell\\x07 esc\\x1b")
    t.equal(escape.plain("\27]never ends" .. ("x"):rep(10)), "\\x1b]never endsxxxxxxxxxx")
    t.equal(escape.line "a\tb\nc", "a\\tb\\nc")
    local good = "na\u{ef}ve \u{65e5}\u{672c} \u{1F469}\u{200D}\u{1F4BB}"
    t.equal(escape.plain(good), good)
    t.equal(escape.plain "\u{202e}abc", "\\u{202e}abc")
end)

t.test("invalid_bytes_become_one_sign_each_and_good_text_is_not_touched", function()
    t.equal(escape.utf8 "a\xffb\xc3\xa9\xc3", "a\u{fffd}b\u{e9}\u{fffd}")
    t.equal(escape.utf8 "\xed\xa0\x80", "\u{fffd}\u{fffd}\u{fffd}")
    t.equal(escape.utf8 "x\0y", "x\u{fffd}y")
    local good = "plain ascii"
    t.check(rawequal(escape.utf8(good), good))
end)

t.test("long_text_is_cut_between_characters_and_says_how_much_is_missing", function()
    t.equal(escape.head("aaaa\u{20ac}", 5), "aaaa[... 3 more bytes]")
    t.equal(escape.tail("\u{20ac}bbbb", 5), "[3 bytes before ...]bbbb")
    t.equal(escape.head("abc", 3), "abc")
    local long = ("\u{20ac}"):rep(10000)
    for size = 1, 20 do
        t.check(utf8.len(escape.head(long, size)) and utf8.len(escape.tail(long, size)))
    end
end)

t.test("a_hundred_megabytes_on_one_line_take_no_time_when_cut_first", function()
    local long = ("\27[31m\xff"):rep((100 << 20) // 6)
    local started = raw.task.now()
    for name in pairs(formats) do
        check_harmless(name, "100 MB", escape[name](escape.head(long, 4096)))
    end
    t.check(raw.task.now() - started < (raw.build.sanitized and 20 or 2), "it took too long")
end)

t.test("each_format_keeps_its_own_signs", function()
    t.equal(escape.xml "<a href='x'>]]></a> & \"", "&lt;a href=&apos;x&apos;&gt;]]&gt;&lt;/a&gt; &amp; &quot;")
    t.equal(escape.attribute "a\nb\tc", "a&#10;b&#9;c")
    t.equal(escape.tap "x # SKIP y \\", "x \\# SKIP y \\\\")
    t.equal(escape.yaml 'say "hi"\\\n', '"say \\"hi\\"\\\\\\n"')
    t.equal(escape.markdown "a|b\n*c* <i> `d` [e](f) @g #1",
        "a\\|b<br>\\*c\\* &lt;i\\> \\`d\\` \\[e\\]\\(f\\) \\@g \\#1")
    t.equal(escape.github "100%\n::error::", "100%25%0A::error::")
    t.equal(escape.github_property "a:b,c", "a%3Ab%2Cc")
    t.equal(escape.fenced "```\n````", "`````\n```\n````\n`````")
    t.equal(escape.json '"\u{202e}\u{9b}\127\u{e0041}\u{e9}"', '"\\u202e\\u009b\\u007f\\udb40\\udc41\u{e9}"')
    t.equal(raw.json.decode(escape.json '"\u{202e}\u{e0041}\u{e9}"'), "\u{202e}\u{e0041}\u{e9}")
end)

t.finish()
