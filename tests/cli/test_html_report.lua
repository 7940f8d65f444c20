-- The HTML report in a real browser: filters, axes, keys, without scripts, dark, on a phone, thousands.
-- timeout: 600
local raw = require "vm.raw"
local vm = require "vm"
local t = require "harness"
local chromium = require "cli.chromium"
local cli = require "cli.cli"
local html = require "vm.report.html"
local grid = require "vm.report.html_grid"
local view = require "vm.report.html_view"
local model_of = require "vm.report.model"
local reports = require "vm.report.reports"
local store = require "vm.report.store"
local fixture = require "lua.run_fixture"
local models = require "lua.html_model"
local parse = require "lua.html_parse"

if not chromium.program() then
    t.test("the report works in Chromium", function()
        t.need("Chromium", false)
    end)
    cli.clean()
    t.finish()
end

local root = assert(raw.fs.realpath(cli.folder))

local function write(name, text)
    local path = root .. "/" .. name
    local file <close> = assert(io.open(path, "wb"))
    file:write(text)
    return path
end

local few = write("few.html", html.render(models.few()))
local thousands <const> = raw.build.gc_eager and 300 or 5000
local many = write("many.html", html.render(models.many(thousands)))
local browser = chromium.start(root)
t.baseline()

-- A page that shows a file; fn gets it, and the page must not have complained at its end.
local function with_page(path, fn, opts)
    opts = opts or {}
    local page = browser:page()
    page:media(opts.scheme or "light", opts.medium)
    page:size(opts.width or 1360, opts.height or 900, opts.phone)
    page:scripts(opts.scripts ~= false)
    local seconds = page:open(path)
    if opts.scripts ~= false then
        t.equal(page:eval "document.documentElement.dataset.ready", "yes")
    end
    fn(page, seconds)
    t.equal(page:complaints(), {})
    page:close()
end

-- What the grid is, without what only the script adds.
local function table_of(page)
    return (page:eval "document.getElementById('m1').outerHTML":gsub(' tabindex="[-%d]+"', "")
        :gsub(' style="[^"]*"', ""))
end

local function choose(page, roles)
    page:eval(([[(() => { [...document.querySelectorAll("#a1 select")].forEach((select, i) => {
        select.value = %s[i]; select.dispatchEvent(new Event("change")); }); })()]]):format(raw.json.encode(roles)))
end

-- Waits until an expression has this value: text is looked at a moment after it was typed.
local function eventually(page, expression, wanted)
    local deadline = vm.now() + 20
    while page:eval(expression) ~= wanted and vm.now() < deadline do
        vm.sleep(0.05)
    end
    t.equal(page:eval(expression), wanted, expression)
end

t.test("the script makes the same grid as the document has, whatever the axes are", function()
    local matrix = view.new(models.few()).matrices[1]
    with_page(few, function(page)
        t.equal(table_of(page), grid.render(matrix, 1))
        for _, roles in ipairs {
            { "column", "row", "row", "fold" }, { "row", "column", "column", "fold" },
            { "row", "fold", "fold", "column" }, { "fold", "fold", "fold", "fold" }, { "row", "row", "row", "row" },
            { "column", "column", "column", "column" }, { "row", "row", "column", "fold" },
        } do
            choose(page, roles)
            matrix.roles = roles
            t.equal(table_of(page), grid.render(matrix, 1), table.concat(roles, " "))
        end
    end)
end)

t.test("a status, a text and an axis narrow what is shown, and Esc shows all again", function()
    with_page(few, function(page)
        local function shown()
            return page:eval "[...document.querySelectorAll('.t')].filter((e) => e.checkVisibility()).length"
        end
        page:eval "document.querySelector('.chip.failed').click()"
        t.equal(page:eval "document.body.dataset.shown", "2")
        t.equal(shown(), 2)
        t.equal(page:eval "document.querySelectorAll('#m1 td a').length", 2)
        t.equal(page:eval "document.getElementById('shown').textContent", "2 of 64 tests")
        page:eval "document.querySelector('.chip.failed').click()"
        page:key "/"
        t.equal(page:eval "document.activeElement.id", "search")
        page:type "clang riscv64"
        eventually(page, "document.body.dataset.shown", "8")
        t.equal(page:eval [[(() => { const select = document.querySelector("[data-filter=image]");
            select.value = "=debian-13";
            select.dispatchEvent(new Event("change"));
            return document.body.dataset.shown; })()]], "4")
        page:key "Escape"
        eventually(page, "document.body.dataset.shown", "24")
        t.equal(page:eval "document.activeElement === document.body", true)
        page:key "/"
        page:type "no such test anywhere"
        eventually(page, "document.body.dataset.shown", "0")
        t.match(page:eval "document.getElementById('m1').textContent", "No test here matches")
    end)
end)

t.test("the grid, the details and the search work by keyboard alone", function()
    with_page(few, function(page)
        local function focused()
            return page:eval "document.activeElement.getAttribute('href') || document.activeElement.tagName"
        end
        page:eval "document.querySelector('#m1 a[tabindex=\"0\"]').focus()"
        t.equal(focused(), "#t1")
        page:key "ArrowDown"
        page:key "ArrowRight"
        t.equal(focused(), page:eval [[document.querySelectorAll("#m1 tbody tr")[1].querySelectorAll("a")[1]
            .getAttribute("href")]])
        page:key "ArrowRight" -- there is no more: it stays
        page:key("End", 2)
        t.equal(page:eval "document.activeElement === [...document.querySelectorAll('#m1 a')].at(-1)", true)
        t.equal(page:eval "document.querySelectorAll('#m1 a[tabindex=\"0\"]').length", 1)
        page:key "ArrowUp"
        local from = focused()
        page:key "Enter"
        t.equal(page:eval "document.getElementById('panel').hidden", false)
        t.equal(page:eval "document.activeElement.id", "panel")
        t.equal(page:eval "document.querySelector('#panel h2').textContent", "fedora-42/x86_64/clang")
        t.match(page:eval "document.querySelector('#panel .t[open]').textContent", "no commands after 120 s")
        t.equal(page:eval "document.querySelectorAll('#panel [id]').length", 0)
        page:key "Escape"
        t.equal(page:eval "document.getElementById('panel').hidden", true)
        t.equal(focused(), from)
        page:key "n"
        t.match(page:eval "document.querySelector('#panel h2').textContent", "^debian%-13/aarch64/clang:check$")
        page:key "n"
        t.match(page:eval "document.querySelector('#panel h2').textContent", "^fedora%-42/aarch64/gcc:check$")
        page:key "p"
        page:key "p"
        t.match(page:eval "document.querySelector('#panel h2').textContent", "^debian%-12/riscv64/gcc:check$")
        page:key "Escape"
        t.equal(page:eval [[(() => { const link = document.querySelector("#m1 a[tabindex='0']"); link.focus();
            return getComputedStyle(link).outlineStyle; })()]], "solid")
    end)
end)

t.test("bars of the timeline and links to tests open their details", function()
    with_page(few, function(page)
        page:eval [[document.querySelector("#timeline rect.error").dispatchEvent(
            new MouseEvent("click", { bubbles: true }))]]
        t.match(page:eval "document.querySelector('#panel h2').textContent", "^fedora%-42/x86_64/clang:build$")
        page:eval [[document.querySelector("#panel a[href^='#t']").click()]]
        t.match(page:eval "document.querySelector('#panel h2').textContent", "^fedora%-42/x86_64/clang:")
    end)
    local passed
    for i, test in ipairs(models.few().tests) do
        passed = passed or test.outcome == "passed" and i
    end
    with_page("file://" .. few .. "#t" .. passed, function(page)
        t.equal(page:eval(("document.getElementById('t%d').checkVisibility()"):format(passed)), true)
    end)
end)

t.test("without scripts everything is there", function()
    with_page(few, function(page)
        t.equal(page:eval "document.documentElement.dataset.ready", nil)
        t.equal(page:eval "document.querySelectorAll('.t').length", 64)
        t.equal(page:eval "document.querySelectorAll('#m1 td a').length", 16)
        t.equal(page:eval "document.getElementById('filters').offsetHeight", 0)
        t.equal(page:eval "document.getElementById('panel').checkVisibility()", false)
        t.equal(page:eval "document.querySelector('#g-failed .t').checkVisibility()", true)
        t.match(page:eval "document.querySelector('#g-failed').innerText", "FAIL: test_socket")
        t.match(page:eval "document.querySelector('#g-passed').textContent", "debian%-12/x86_64/gcc:build")
    end, { scripts = false })
end)

-- The lowest contrast of text with what is behind it, and where.
local contrast <const> = [[(() => {
    const parse = (color) => color.match(/[\d.]+/g).map(Number);
    const linear = (v) => v <= 10 ? v / 3294.6 : ((v / 255 + .055) / 1.055) ** 2.4;
    const light = ([r, g, b]) => .2126 * linear(r) + .7152 * linear(g) + .0722 * linear(b);
    const behind = (element) => {
        for (let at = element; at; at = at.parentElement) {
            const color = parse(getComputedStyle(at).backgroundColor);
            if (color.length < 4 || color[3] > 0) return color;
        }
        return [255, 255, 255];
    };
    let worst = [99, ""], seen = 0;
    for (const element of document.querySelectorAll("body *")) {
        const hasText = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
        if (!hasText || !element.checkVisibility() || element.closest("svg, script, style")) continue;
        const pair = [light(parse(getComputedStyle(element).color)), light(behind(element))].sort((x, y) => y - x);
        const ratio = (pair[0] + .05) / (pair[1] + .05);
        seen++;
        if (ratio < worst[0]) worst = [ratio, element.outerHTML.slice(0, 200)];
    }
    return [...worst, seen]; })()]]

t.test("light and dark have contrast enough everywhere", function()
    local every = models.few()
    for i, outcome in ipairs(view.outcomes) do
        every.tests[i * 5].outcome = outcome.name
    end
    local path = write("every.html", html.render(every))
    local seen = {}
    for _, scheme in ipairs { "light", "dark" } do
        with_page(path, function(page)
            seen[scheme] = page:eval "getComputedStyle(document.body).backgroundColor"
            page:eval "document.querySelectorAll('details').forEach((one) => { one.open = true; })"
            local worst = page:eval(contrast)
            t.check(worst[3] > 500, worst[3])
            t.check(worst[1] >= 4.5, ("%s: %.2f: %s"):format(scheme, worst[1], worst[2]))
        end, { scheme = scheme })
    end
    t.equal(seen, { light = "rgb(255, 255, 255)", dark = "rgb(20, 23, 26)" })
end)

t.test("no two outcomes look alike without their colour", function()
    local signs = {}
    for _, outcome in ipairs(view.outcomes) do
        t.check(not signs[outcome.glyph], outcome.glyph)
        signs[outcome.glyph] = true
    end
    with_page(few, function(page)
        t.equal(page:eval [=[[...document.querySelectorAll("#m1 td a, .s")]
            .every((e) => e.textContent.trim().length > 0)]=], true)
    end)
end)

t.test("a phone's width is enough, with and without the panel", function()
    for _, path in ipairs { few, many } do
        with_page(path, function(page)
            t.equal(page:eval "document.documentElement.scrollWidth", 390)
            page:eval "document.querySelector('#m1 a.failed').click()"
            t.equal(page:eval "document.getElementById('panel').offsetWidth", 390)
            t.equal(page:eval "document.getElementById('panel').scrollWidth", 390)
        end, { width = 390, height = 844, phone = true })
    end
end)

t.test("on paper there are no controls and nothing scrolls", function()
    with_page(few, function(page)
        for _, what in ipairs { "nav", "#filters", "#a1" } do
            t.equal(page:eval(("getComputedStyle(document.querySelector('%s')).display"):format(what)), "none", what)
        end
        t.equal(page:eval "getComputedStyle(document.querySelector('.scroll')).overflow", "visible")
    end, { medium = "print" })
end)

t.test("hostile texts run nothing and load nothing", function()
    local path = write("nasty.html", html.render(models.nasty()))
    with_page(path, function(page)
        page:eval "document.querySelectorAll('details').forEach((one) => { one.open = true; })"
        page:eval "document.querySelectorAll('#m1 td a').forEach((link) => link.click())"
        page:eval [[document.querySelectorAll("#filters select").forEach((select) => {
            select.selectedIndex = 1; select.dispatchEvent(new Event("change")); })]]
        vm.sleep(0.2)
        t.equal(page:eval "typeof window.owned", "undefined")
        t.equal(page:eval "document.querySelectorAll('script').length", 2)
        t.equal(page:eval "document.querySelectorAll('img, iframe, object, embed, link, base').length", 0)
        t.equal(page:eval "performance.getEntriesByType('resource').length", 0)
    end)
end)

t.test("the policy of the document refuses scripts, styles and loads that are not its own", function()
    local page = browser:page()
    page:open(few)
    page:eval [[(() => { try {
        const script = document.createElement("script");
        script.textContent = "window.owned = 1";
        document.body.append(script);
    } catch (e) { window.refused = String(e); } })()]]
    t.equal(page:eval "typeof window.owned", "undefined")
    t.raises(function() page:eval "document.body.innerHTML = '<b>x</b>'" end, nil, "TrustedHTML")
    t.equal(page:eval "fetch('https://127.0.0.1:9/').then(() => 'loaded', () => 'refused')", "refused")
    t.check(#page:complaints() > 0)
    page:close()
end)

t.test("logs and artifacts of odd names open from the report, wherever it lies", function()
    local plan = fixture.plan { cells = 2, tests = 1 }
    local made = fixture.make(root, { plan = plan, outcome = "failed", change = function(_, _, result)
        if result then
            result.attempts[1].artifacts = { { path = "artifacts/a b#c?d%25:e.txt", size = 3 } }
        end
    end })
    assert(raw.fs.mkdir_p(made.path .. "/artifacts"))
    assert(raw.fs.mkdir_p(root .. "/else where"))
    local file <close> = assert(io.open(made.path .. "/artifacts/a b#c?d%25:e.txt", "wb"))
    file:write "odd"
    file:flush()
    local model = model_of.load(store.open(made.path))
    for _, place in ipairs { made.path .. "/report.html", root .. "/else where/report.html" } do
        reports.write(model, "html", place)
        with_page(place:gsub(" ", "%%20"), function(page)
            local hrefs = page:eval "[...document.querySelectorAll('.d a:not([href^=\"#\"])')].map((a) => a.href)"
            t.equal(#hrefs, 4)
            for _, href in ipairs(hrefs) do
                page:open(href)
                t.match(page:eval "document.body.innerText", href:find "odd" and "odd" or ".")
            end
        end)
    end
end)

t.test("thousands of cells load and are filtered in a bounded time", function()
    with_page(many, function(page, seconds)
        local function timed(expression)
            return page:eval(([[(() => { const t = performance.now(); %s; document.body.offsetHeight;
                return performance.now() - t; })()]]):format(expression))
        end
        local filter = timed "document.querySelector('.chip.failed').click()"
        t.equal(tonumber(page:eval "document.body.dataset.shown"),
            page:eval "document.querySelectorAll('#g-failed .t').length")
        local all = timed "document.querySelector('.chip.failed').click()"
        t.equal(page:eval "document.querySelectorAll('#m1 td a').length", thousands)
        print(("      load %.2f s, filter %.0f ms, all again %.0f ms, %d elements"):format(seconds, filter, all,
            page:eval "document.querySelectorAll('*').length"))
        t.check(seconds < 60, seconds)
        t.check(filter < 15000 and all < 15000)
    end)
end)

-- An HTML parser mends what is wrong: it closes, moves and adds elements. Where it had nothing to mend,
-- the tree is the one that we wrote.
t.test("the browser's parser makes of the document exactly what was written", function()
    for _, name in ipairs { "few", "nasty" } do
        local document = html.render(models[name]())
        with_page(write("parsed.html", document), function(page)
            local ours, text = parse.parse(document)
            local theirs, their_text = parse.parse("<!DOCTYPE html>\n"
                .. page:eval "document.documentElement.outerHTML")
            t.equal(#theirs, #ours, name)
            for i, element in ipairs(ours) do
                t.equal({ i, theirs[i].name }, { i, element.name })
                for key, value in pairs(element.attributes) do
                    t.equal(parse.text(theirs[i].attributes[key]), parse.text(value))
                end
                t.equal(theirs[i].text, element.text)
            end
            local function squeeze(words)
                return (parse.text(words):gsub("%s+", " "):gsub("^ ", ""):gsub(" $", ""))
            end
            t.check(squeeze(their_text) == squeeze(text), name)
        end, { scripts = false })
    end
end)

browser:__close()
cli.clean()
t.finish()
