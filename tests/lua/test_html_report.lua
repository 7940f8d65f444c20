-- The HTML report as text: whole without its script, harmless whatever guests wrote, the same each time.
-- timeout: 300
local raw = require "vm.raw"
local t = require "harness"
local html = require "vm.report.html"
local words = require "vm.report.html_text"
local grid = require "vm.report.html_grid"
local summary = require "vm.report.html_summary"
local view = require "vm.report.html_view"
local model_of = require "vm.report.model"
local reports = require "vm.report.reports"
local store = require "vm.report.store"
local fixture = require "lua.run_fixture"
local models = require "lua.html_model"
local parse = require "lua.html_parse"

local fs = raw.fs
local eager <const> = raw.build.gc_eager
local thousands <const> = eager and 300 or 5000

local function by_id(elements, id)
    return parse.select(elements, function(element) return element.attributes.id == id end)[1]
end

local function count(text, what)
    local _, found = text:gsub(what, "")
    return found
end

-- What must hold for every report.
local function check_document(document)
    t.check(utf8.len(document), "not UTF-8")
    t.equal(document:find("[\0-\8\11-\31\127]"), nil, "control characters")
    for _, hidden in ipairs { "\u{202E}", "\u{2066}", "\u{FEFF}", "\u{85}", "\u{FFFE}" } do
        t.equal(document:find(hidden, 1, true), nil, "hidden characters")
    end
    local elements, text = parse.parse(document)
    local ids, scripts, styles = {}, {}, {}
    for _, element in ipairs(elements) do
        local attributes = element.attributes
        if attributes.id then
            t.check(not ids[attributes.id], "twice the id " .. attributes.id)
            ids[attributes.id] = element
        end
        for name in pairs(attributes) do
            t.check(not name:find "^on" and name ~= "style" and name ~= "src", "an attribute " .. name)
        end
        if element.name == "script" then scripts[#scripts + 1] = element end
        if element.name == "style" then styles[#styles + 1] = element end
        t.check(element.name ~= "img" and element.name ~= "iframe" and element.name ~= "link", element.name)
    end
    t.equal(#scripts, 2)
    t.equal(#styles, 1)
    t.equal(scripts[1].attributes.type, "application/json")
    t.equal(scripts[1].text:find("<", 1, true), nil, "a < in the data")
    local policy = parse.select(elements, function(element)
        return element.attributes["http-equiv"] == "Content-Security-Policy"
    end)[1].attributes.content
    t.check(parse.text(policy):find("script-src " .. words.source(scripts[2].text), 1, true), policy)
    t.check(parse.text(policy):find("style-src " .. words.source(styles[1].text), 1, true), policy)
    for _, element in ipairs(elements) do
        local href = element.attributes.href
        if href and href:sub(1, 1) == "#" then
            t.check(ids[href:sub(2)], "a link to nothing: " .. href)
        end
    end
    return elements, parse.text(text), assert(raw.json.decode(scripts[1].text)), ids
end

t.test("a run with a bit of everything is one well formed document", function()
    local model = models.few()
    local elements, text, data, ids = check_document(html.render(model))
    t.match(text, "2 of 64 tests failed, and 2 have no verdict")
    for _, test in ipairs(model.tests) do
        t.check(text:find(test.id, 1, true), test.id .. " is not there")
    end
    t.equal(#data.tests, 64)
    t.equal(#data.cells, 16)
    t.check(ids["g-flaky"] and ids["g-lost"] and ids["g-passed"] and not ids["g-interrupted"])
    t.equal(ids["g-failed"].attributes.open, "")
    t.equal(ids["g-passed"].attributes.open, nil)
    for _, expected in ipairs { "Run the failed ones again: vmatrix test --rerun failed 2025-11-25-1600-k3vd",
        "vmatrix test --rerun missing 2025-11-25-1600-k3vd", "2025-11-25 16:00:00 UTC", "x86_64, 16 cpus, 64 GiB",
        "4711", "Error of kind exit", "12 alike, 4 differ, by arch", "4 alike, 12 differ",
        "no cycle counter under emulation",
        "Checks: 1 of 2 ok", "starts from", "80 % of its 30 s are over", "there is no such image",
        "Run it again: vmatrix test matrix.lua debian-13/aarch64/clang:check" } do
        t.check(text:find(expected, 1, true), expected .. " is not there")
    end
    t.equal(#parse.select(elements, function(element) return element.attributes.class == "t" end), 64)
end)

t.test("every test is in the document once, whatever its outcome, without the script", function()
    local model = models.many(100)
    local document = html.render(model)
    local elements, _, _, ids = check_document(document)
    t.equal(#parse.select(elements, function(element) return element.attributes.class == "t" end), 100)
    local shown = {}
    for at, id, name in document:gmatch '<details class="t" id="t(%d+)">.-<span class="id">([^<]*):<b>([^<]*)</b>' do
        shown[tonumber(at)] = id .. ":" .. name
    end
    for i, test in ipairs(model.tests) do
        t.check(ids["t" .. i])
        t.equal(shown[i], test.id)
    end
end)

t.test("the same run gives the same bytes", function()
    for _, name in ipairs { "few", "many", "nasty" } do
        local first, second = html.render(models[name](60)), html.render(models[name](60))
        t.check(first == second, name)
    end
end)

t.test("hostile texts stay texts", function()
    local elements, text = check_document(html.render(models.nasty()))
    for _, wanted in ipairs { "</script><script>window.owned = 1</script>", "<img src=x onerror=\"window.owned = 1\">",
        "]]>", "<!--", "&lt;b&gt;&amp;", "invalid \u{FFFD}\u{FFFD}\u{FFFD}\u{FFFD} utf-8", "\\u{202e}gnp.exe",
        "</style></title></textarea></noscript></svg></template>", "\u{1F600} ünï ‱" } do
        t.check(text:find(wanted, 1, true), wanted .. " is not shown")
    end
    t.equal(text:find "%[31m", nil, "a terminal's commands are shown")
    for _, element in ipairs(elements) do
        local href = element.attributes.href
        t.check(not href or href:find "^#[%w-]+$" or href:find "^[%w%%._~/-]+$", href)
    end
end)

t.test("links lead into the run's folder or nowhere", function()
    t.equal(words.url("logs/a b:c.log"), "logs/a%20b%3Ac.log")
    t.equal(words.url("javascript:alert(1)"), "javascript%3Aalert%281%29")
    t.equal(words.url("100%/ü#?.txt", "../r/"), "../r/100%25/%C3%BC%23%3F.txt")
    t.equal(words.url("a\\..\\b"), "a%5C..%5Cb")
    for _, path in ipairs { "/etc/passwd", "../x", "a/../../x", "a//b", "", "a/", "./a", "..", "//host/x", "a\0b" } do
        t.equal(words.url(path), nil, path)
        t.equal(words.confined(path), false, path)
    end
    t.equal(words.url(nil), nil)
end)

t.test("the policy names digests as browsers compute them", function()
    t.equal(words.source "", "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='")
    t.equal(words.source "abc", "'sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0='")
end)

t.test("long texts are cut between characters and say how much is missing", function()
    t.equal(words.escape(("ü"):rep(10), 5), "üü … (16 B more)")
    t.equal(words.escape("<&>\"'"), "&lt;&amp;&gt;&quot;&#39;")
    t.equal(words.escape(nil), "")
    t.equal(words.line("\n\n  first\nsecond"), "  first")
    t.check(#words.escape(("x"):rep(100000)) < 4200)
end)

t.test("times, sizes and counts read well", function()
    local wanted = { [0] = "0 ms", [0.0004] = "0 ms", [0.9994] = "999 ms", [0.9996] = "1.0 s", [9.94] = "9.9 s",
        [9.96] = "10 s", [59.4] = "59 s", [59.6] = "1 min 00 s", [3599] = "59 min 59 s", [3661] = "1 h 01 min" }
    for seconds, text in pairs(wanted) do
        t.equal(words.duration(seconds), text)
    end
    t.equal(words.duration(nil), "")
    t.equal(words.duration(0 / 0), "")
    t.equal(words.bytes(1023), "1023 B")
    t.equal(words.bytes(1536), "1.5 KiB")
    t.equal(words.bytes(64 << 30), "64 GiB")
    t.equal(words.count(1234567), "1,234,567")
    t.equal(words.count(999), "999")
end)

t.test("the verdict is one sentence and never better than the run", function()
    local function verdict(counts)
        counts.total = 0
        for _, outcome in ipairs(view.outcomes) do counts.total = counts.total + (counts[outcome.name] or 0) end
        return summary.verdict(setmetatable(counts, { __index = function() return 0 end }))
    end
    t.equal({ verdict { passed = 3 } }, { "All 3 tests passed", "passed" })
    t.equal({ verdict { passed = 1 } }, { "The test passed", "passed" })
    t.equal({ verdict { passed = 3, skipped = 1 } }, { "3 tests passed, 1 skipped", "passed" })
    t.equal({ verdict { passed = 3, flaky = 1 } }, { "No test failed; 1 passed only on a retry", "flaky" })
    t.equal({ verdict { passed = 3, lost = 1 } }, { "1 of 4 tests has no verdict; none failed", "lost" })
    t.equal({ verdict { passed = 3, error = 2 } }, { "2 of 5 tests have no verdict; none failed", "error" })
    t.equal({ verdict { passed = 3, xpass = 1 } }, { "1 of 4 tests failed", "failed" })
    t.equal({ verdict { passed = 3, interrupted = 1 } }, { "Interrupted: 3 of 4 tests have a verdict", "interrupted" })
    t.equal({ verdict { skipped = 2 } }, { "All 2 tests were skipped", "skipped" })
    t.equal({ verdict {} }, { "No test was planned", "lost" })
end)

t.test("an outcome that is not known is taken as lost and said", function()
    local model = models.few()
    model.tests[1].outcome = "splendid"
    local _, text = check_document(html.render(model))
    t.match(text, "Its outcome splendid is unknown here; it is taken as lost")
    t.match(text, "3 have no verdict")
end)

t.test("a grid has the worst outcome in each field and every value of an axis that has cells", function()
    local shown = view.new(models.few())
    local matrix = shown.matrices[1]
    t.equal(matrix.roles, { "row", "row", "column", "fold" })
    local pivot = grid.pivot(matrix)
    t.equal({ #pivot.row_lines, #pivot.column_lines }, { 8, 2 })
    local field = pivot.fields["2,2"]["2"]
    t.equal({ field.worst.source.id, field.count, field.total }, { "debian-13/aarch64/clang:check", 1, 4 })
    t.equal(pivot.fields["3,3"], nil)
    local elements = parse.parse("<!DOCTYPE html>\n" .. grid.render(matrix, 1))
    t.equal(#parse.select(elements, function(element) return element.name == "td" and not element.attributes.class end),
        16)
    t.equal(#parse.select(elements, function(element) return element.attributes.scope == "rowgroup" end), 3)
end)

t.test("thousands of cells make a compact grid, axes in another order where that helps", function()
    local matrix = view.new(models.many(thousands)).matrices[1]
    local pivot = grid.pivot(matrix)
    t.equal({ #pivot.row_lines, #pivot.column_lines }, eager and { 12, 25 } or { 100, 50 })
    t.match(grid.render(matrix, 1), '^<table class="grid dense"')
end)

t.test("a run without a test, and one without anything, are reports too", function()
    local _, text = check_document(html.render { run = { id = "x", path = "/nowhere" } })
    t.match(text, "No test was planned")
    check_document(html.render { run = { id = "x", path = "/nowhere" }, matrices = {}, cells = { { id = "a" } },
        tests = {} })
end)

t.test("cells of several matrices with other axes have a grid each", function()
    local model = models.few()
    model.matrices[2] = { name = "other", axes = { { name = "disk", values = { "virtio", "nvme" } } } }
    for _, disk in ipairs { "virtio", "nvme" } do
        local cell = { id = disk, matrix = "other", axes = { { "disk", disk }, { "extra", disk } }, tests = {} }
        model.tests[#model.tests + 1] = { id = disk .. ":io", name = "io", cell = cell, outcome = "passed",
            attempts = {}, tags = {} }
    end
    local elements, _, data = check_document(html.render(model))
    t.check(by_id(elements, "m1") and by_id(elements, "m2"))
    t.equal(#data.matrices[2][1], 3)
    t.equal(data.matrices[2][1][2][1], "extra")
end)

-- A model with one test in a folder of its own, whose files fn writes.
local function with_files(attempt, fn, outcome)
    local folder <close> = fixture.folder()
    local path = folder.path
    for _, name in ipairs { "logs", "consoles", "artifacts" } do
        assert(fs.mkdir_p(path .. "/" .. name))
    end
    fn(path)
    local cell = { id = "a", axes = {}, matrix = 1, tests = {} }
    local test = { id = "a:x", name = "x", cell = cell, outcome = outcome or "failed", attempts = { attempt },
        tags = {} }
    local model = { run = { id = "r", path = path }, matrices = { { name = "m", axes = {} } }, cells = { cell },
        tests = { test } }
    local document = reports.render(model, "html", { file = path .. "/report.html" })
    local elements, text = check_document(document)
    return elements, text, document
end

local function write(path, text)
    local file <close> = assert(io.open(path, "wb"))
    file:write(text)
end

local function links(elements)
    local found = {}
    for _, element in ipairs(elements) do
        local href = element.attributes.href
        if href and href:sub(1, 1) ~= "#" then found[#found + 1] = href end
    end
    return found
end

t.test("a short log stands in the document, with a link to its file", function()
    local elements, text = with_files({ log = "logs/a~x.1.log", outcome = "failed", console = "consoles/a.log" },
        function(path)
            write(path .. "/logs/a~x.1.log", "first\n<b>second</b>\n")
            write(path .. "/consoles/a.log", "Linux version 6.1\n")
        end)
    t.check(text:find("first\n<b>second</b>\n", 1, true))
    t.check(text:find("Linux version 6.1", 1, true))
    t.equal(links(elements), { "logs/a~x.1.log", "consoles/a.log" })
end)

t.test("100 MB on one line are a begin, an end, and what is left out", function()
    local started = os.clock()
    local elements, text, document = with_files({ log = "logs/big", outcome = "failed" }, function(path)
        local file <close> = assert(io.open(path .. "/logs/big", "wb"))
        file:write("the begin" .. ("\u{FC}"):rep(5000))
        file:seek("set", 100 * 1000 * 1000)
        file:write(("\u{FC}"):rep(50000) .. "the end")
    end)
    t.check(#document < 500000, #document)
    t.check(text:find("the begin", 1, true) and text:find("the end", 1, true))
    t.match(text, "95%.%d MiB left out here")
    t.equal(links(elements), { "logs/big" })
    t.check(os.clock() - started < 20)
end)

t.test("the long log of a test that passed is a link only", function()
    local elements, text = with_files({ log = "logs/a", outcome = "passed" }, function(path)
        write(path .. "/logs/a", ("line\n"):rep(5000))
    end, "passed")
    t.equal(text:find("line\nline", 1, true), nil)
    t.match(text, "Log, 24.4 KiB")
    t.equal(links(elements), { "logs/a" })
end)

t.test("nothing is read or linked outside the run's folder, and no pipe is opened", function()
    local elements, text = with_files({ outcome = "failed", log = "logs/link", console = "../../etc/passwd",
        artifacts = { { path = "logs/pipe", size = 0 }, { path = "/etc/passwd" }, { path = "artifacts/../../x" } } },
        function(path)
            assert(fs.symlink("/etc/passwd", path .. "/logs/link"))
            assert(os.execute(("mkfifo '%s/logs/pipe'"):format(path)))
        end)
    t.equal(text:find("root:", 1, true), nil)
    t.equal(links(elements), { "logs/link", "logs/pipe" })
    t.equal(count(text, "not in the run's folder"), 3)
    with_files({ outcome = "failed", log = "logs/pipe" }, function(path)
        assert(os.execute(("mkfifo '%s/logs/pipe'"):format(path)))
    end)
end)

t.test("logs take no more room than there is for them, failures first", function()
    local files = require "vm.report.html_files"
    local before <const> = files.budget
    files.budget = 10
    local _, text = with_files({ outcome = "failed", log = "logs/a", console = "consoles/a" }, function(path)
        write(path .. "/logs/a", "this is the log of it")
        write(path .. "/consoles/a", "this is the console")
    end)
    files.budget = before
    t.check(text:find("this is the log of it", 1, true))
    t.equal(text:find("this is the console", 1, true), nil)
end)

t.test("a report elsewhere links to the run's folder from there", function()
    local document = html.render(models.few(), { base = "../runs/a b/" })
    t.match(document, 'href="%.%./runs/a%%20b/logs/debian%-12_x86_64_gcc%%3Abuild%.1%.log"')
end)

t.test("a run's own folder gives a report with all its tests, logs and artifacts", function()
    local folder <close> = fixture.folder()
    local made = fixture.make(folder.path, { cells = 20, tests = 5 })
    local model = model_of.load(store.open(made.path))
    local document = reports.render(model, "html", { file = made.path .. "/report.html" })
    local elements, text = check_document(document)
    t.equal(#parse.select(elements, function(element) return element.attributes.class == "t" end), 100)
    for _, link in ipairs(links(elements)) do
        local path = link:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end)
        t.check(fs.exists(made.path .. "/" .. path), link)
    end
    t.check(text:find("::stop-commands::x", 1, true))
    local again = model_of.load(store.open(made.path))
    t.check(document == reports.render(again, "html", { file = made.path .. "/report.html" }), "not the same bytes")
end)

t.test("thousands of cells are a few megabytes in a few seconds", function()
    local model = models.many(thousands)
    local started = os.clock()
    local document = html.render(model)
    local seconds = os.clock() - started
    print(("      %d cells: %.1f MB in %.1f s"):format(thousands, #document / 1e6, seconds))
    t.check(#document < 4.5e6, #document)
    t.check(seconds < 60)
end)

t.finish()
