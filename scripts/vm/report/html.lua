-- The HTML report of a run: one file that needs nothing else, readable without its script. Everything
-- is in the document once: tests are <details> in groups by outcome; closed ones are not laid out by
-- the browser, and groups of many are laid out as they come into view, so that thousands of cells cost
-- little. The script adds filters, other axes and keys, and never makes HTML out of text.
local detail = require "vm.report.html_detail"
local files = require "vm.report.html_files"
local grid = require "vm.report.html_grid"
local summary = require "vm.report.html_summary"
local text = require "vm.report.html_text"
local timeline = require "vm.report.html_timeline"
local view = require "vm.report.html_view"

local M = {}

-- Tests that passed are shown in a closed group when there are more than this.
local OPEN_UP_TO <const> = 40
-- Tests that are laid out together.
local CHUNK <const> = 50

-- The first bytes of a file of the run, its last ones (nil when the first are all) and its size.
---@alias vm.report.HtmlReader fun(path: string, head: integer, tail: integer): string|nil, string|nil, integer|nil

---@class vm.report.HtmlOptions
---@field read? vm.report.HtmlReader without it logs are links
---@field base? string the way from the report to the run's folder, ending in "/"; empty when it lies in it

local function matrices(context, out)
    out[#out + 1] = '<section id="matrix"><h2>Matrix</h2>'
    for i, matrix in ipairs(context.view.matrices) do
        if #matrix.cells > 0 then
            if #context.view.matrices > 1 and matrix.name then
                out[#out + 1] = ("<h3>%s</h3>"):format(text.escape(matrix.name))
            end
            out[#out + 1] = ('<div class="axes" id="a%d"></div><div class="scroll" tabindex="0" role="region"'
                .. ' aria-label="Matrix%s">%s</div>'):format(i, i > 1 and " " .. i or "", grid.render(matrix, i))
        end
    end
    out[#out + 1] = "</section>\n"
end

local function tests(context, out)
    out[#out + 1] = '<section id="tests"><h2>Tests</h2>'
    for _, group in ipairs(context.view.groups) do
        local open = context.rank.flaky >= group.tests[1].rank or #group.tests <= OPEN_UP_TO
        out[#out + 1] = ('<details class="group" id="g-%s"%s><summary><h3>%s <span class="n">%s</span></h3></summary>')
            :format(group.outcome.name, open and " open" or "", detail.heading(group.outcome), text.count(#group.tests))
        out[#out + 1] = ('<p class="note">%s</p>'):format(group.outcome.says)
        for i, entry in ipairs(group.tests) do
            if i % CHUNK == 1 then
                out[#out + 1] = (i > 1 and "</div>" or "") .. '<div class="chunk">'
            end
            detail.render(entry, context, out)
        end
        out[#out + 1] = "</div></details>\n"
    end
    out[#out + 1] = "</section>\n"
end

local function list(values, fn)
    local parts = {}
    for i, value in ipairs(values) do
        parts[i] = fn(value, i)
    end
    return "[" .. table.concat(parts, ",") .. "]"
end

-- What the script needs to know, as arrays: outcomes, matrices, cells and tests in order.
local function island(context)
    local function number(value)
        return ("%d"):format(value)
    end
    local function axis(one)
        return ("[%s,%s]"):format(text.json(one.name), list(one.values, text.json))
    end
    local function test(entry)
        local source = entry.source
        local words = { table.concat(source.tags or {}, " "), source.reason, source.variant }
        for _, attempt in ipairs(source.attempts or {}) do
            local err = attempt.error
            words[#words + 1] = type(err) == "table" and (err.kind or "") .. " " .. (err.message or "") or err
        end
        local parts = {}
        for i = 1, 3 + #(source.attempts or {}) do
            parts[#parts + 1] = words[i] and words[i] ~= "" and tostring(words[i]):sub(1, 300) or nil
        end
        return ("[%d,%d,%d,%d,%s]"):format(entry.cell.index, entry.rank, entry.name_at,
            source.duration and math.floor(source.duration * 1000 + 0.5) or -1, text.json(table.concat(parts, " ")))
    end
    return ('{"outcomes":%s,"matrices":%s,"cells":%s,"tests":%s}'):format(
        list(context.outcomes, function(outcome)
            return ("[%s,%s,%s]"):format(text.json(outcome.name), text.json(outcome.glyph), text.json(outcome.label))
        end),
        list(context.view.matrices, function(matrix)
            return ("[%s,%s]"):format(list(matrix.axes, axis), list(matrix.roles, text.json))
        end),
        list(context.view.cells, function(cell)
            return ("[%d,%s,%s]"):format(cell.matrix_index, text.json(cell.id), list(cell.at, number))
        end),
        list(context.view.tests, test))
end

local function document(model, context, body)
    local style, script = require "vm.report.html.css", require "vm.report.html.js"
    local words, outcome = summary.verdict(summary.counts(context.view))
    local policy = ("default-src 'none'; style-src %s; script-src %s; base-uri 'none'; form-action 'none'; "
        .. "require-trusted-types-for 'script'; trusted-types 'none'"):format(text.source(style), text.source(script))
    local nav = {}
    for i, item in ipairs(context.nav) do
        nav[i] = ('<a href="#%s">%s</a>'):format(item[1], item[2])
    end
    return table.concat({
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n',
        ('<meta http-equiv="Content-Security-Policy" content="%s">\n'):format(policy),
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n',
        '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">\n',
        ("<title>%s %s · %s · vmatrix</title>\n"):format(context.outcomes[context.rank[outcome]].glyph, words,
            text.escape(model.run.id)),
        "<style>", style, "</style>\n</head>\n<body>\n<main>\n",
        body[1], ('<nav aria-label="Sections">%s</nav>\n<div id="filters"></div>\n'):format(table.concat(nav)),
        table.concat(body, "", 2),
        '</main>\n<aside id="panel" aria-label="Details" tabindex="-1" hidden></aside>\n',
        '<script type="application/json" id="data">', island(context), "</script>\n<script>", script,
        "</script>\n</body>\n</html>\n",
    })
end

---The report of a run as one HTML document. The same model and files give the same bytes.
---@param model table as vm.report.model makes it
---@param opts? vm.report.HtmlOptions
---@return string
function M.render(model, opts)
    opts = opts or {}
    local context = {
        model = model, view = view.new(model), outcomes = view.outcomes, rank = view.rank, base = opts.base,
        read = opts.read, budget = files.budget, records = summary.index_records(model),
        nav = { { "matrix", "Matrix" }, { "tests", "Tests" } },
    }
    if model.run.files then
        context.again = "vmatrix test "
        for _, file in ipairs(model.run.files) do
            context.again = context.again .. text.shell(file) .. " "
        end
    end
    local function part(fn)
        local out = {}
        fn(out)
        return table.concat(out)
    end
    local body = { part(function(out) summary.header(model, context, out) end) }
    body[#body + 1] = part(function(out) matrices(context, out) end)
    body[#body + 1] = part(function(out) tests(context, out) end)
    local bars = timeline.render(model, context)
    if bars ~= "" then
        body[#body + 1] = '<section id="time"><h2>Timeline</h2>' .. bars .. "</section>\n"
        context.nav[#context.nav + 1] = { "time", "Timeline" }
    end
    body[#body + 1] = part(function(out) summary.records(model, context, out) end)
    body[#body + 1] = part(function(out) summary.remarks(model, context, out) end)
    return document(model, context, body)
end

return M
