-- The top of the HTML report, its warnings and its records.
local groups = require "vm.report.groups"
local detail = require "vm.report.html_detail"
local text = require "vm.report.html_text"

local M = {}

local escape = text.escape

local function plural(number, one, many)
    return ("%s %s"):format(text.count(number), number == 1 and one or many)
end

---The counts by outcome, and of all.
---@param view table
---@return table<string, integer>
function M.counts(view)
    local counts = { total = #view.tests }
    for _, group in ipairs(view.groups) do
        counts[group.outcome.name] = #group.tests
    end
    return setmetatable(counts, { __index = function() return 0 end })
end

---What became of the run, in a sentence, with the outcome whose colour it takes.
---@param counts table<string, integer>
---@return string words
---@return string outcome
function M.verdict(counts)
    local bad, trouble = counts.failed + counts.xpass, counts.error + counts.lost + counts.interrupted
    local total = plural(counts.total, "test", "tests")
    if counts.total == 0 then
        return "No test was planned", "lost"
    elseif bad > 0 then
        local more = ""
        if trouble > 0 then
            more = (", and %s %s no verdict"):format(text.count(trouble), trouble == 1 and "has" or "have")
        end
        return ("%s of %s failed%s"):format(text.count(bad), total, more), "failed"
    elseif counts.interrupted > 0 then
        return ("Interrupted: %s of %s have a verdict"):format(text.count(counts.total - trouble), total), "interrupted"
    elseif trouble > 0 then
        return ("%s of %s %s no verdict; none failed"):format(text.count(trouble), total,
            trouble == 1 and "has" or "have"), counts.error > 0 and "error" or "lost"
    elseif counts.flaky > 0 then
        return ("No test failed; %s passed only on a retry"):format(text.count(counts.flaky)), "flaky"
    elseif counts.skipped == counts.total then
        return ("All %s were skipped"):format(total), "skipped"
    elseif counts.skipped > 0 then
        return ("%s passed, %s skipped"):format(plural(counts.total - counts.skipped, "test", "tests"),
            text.count(counts.skipped)), "passed"
    end
    return counts.total == 1 and "The test passed" or ("All %s passed"):format(total), "passed"
end

-- One bar whose parts are as wide as the counts, worst first.
local function proportions(view, counts)
    local out = { '<svg class="bar" height="10" role="presentation">' }
    local x = 0
    for _, group in ipairs(view.groups) do
        local width = #group.tests / counts.total * 100
        out[#out + 1] = ('<rect class="%s" x="%.3f%%" width="%.3f%%" height="10"/>'):format(group.outcome.name, x,
            width)
        x = x + width
    end
    out[#out + 1] = "</svg>"
    return table.concat(out)
end

local function words_of(list)
    local words = {}
    for i, word in ipairs(list or {}) do
        words[i] = text.shell(tostring(word))
    end
    return table.concat(words, " ")
end

local function fact(out, name, html)
    if html and html ~= "" then
        out[#out + 1] = ("<div><dt>%s</dt><dd>%s</dd></div>"):format(name, html)
    end
end

local function time_html(seconds)
    return seconds and os.date("!%Y-%m-%d %H:%M:%S UTC", math.floor(seconds)) or ""
end

local function host_html(host)
    if type(host) ~= "table" then
        return ""
    end
    local parts = {}
    parts[#parts + 1] = host.arch and escape(host.arch) or nil
    parts[#parts + 1] = host.cpus and plural(host.cpus, "cpu", "cpus") or nil
    parts[#parts + 1] = host.memory and (type(host.memory) == "number" and text.bytes(host.memory)
        or escape(host.memory)) or nil
    return table.concat(parts, ", ")
end

local function params_html(params)
    local names = {}
    for name in pairs(params or {}) do names[#names + 1] = tostring(name) end
    table.sort(names)
    for i, name in ipairs(names) do
        names[i] = ("<code>%s=%s</code>"):format(escape(name), escape(params[name], 200))
    end
    return table.concat(names, " ")
end

---The verdict, the counts, the commands that go on, and the facts of the run.
---@param model table
---@param context table
---@param out string[]
function M.header(model, context, out)
    local run, view = model.run, context.view
    local counts = M.counts(view)
    local words, outcome = M.verdict(counts)
    out[#out + 1] = ('<header><p class="kicker">vmatrix run <b>%s</b></p><h1 class="%s"><b>%s</b>%s</h1>'):format(
        escape(run.id), outcome, context.outcomes[context.rank[outcome]].glyph, words)
    if run.state == "unfinished" then
        out[#out + 1] = "<p>The run was ended before its time: this is what had been written.</p>"
    elseif run.state == "running" then
        out[#out + 1] = "<p>The run goes on: this is what it had written so far.</p>"
    end
    if counts.total > 0 then
        out[#out + 1] = proportions(view, counts)
    end
    out[#out + 1] = '<ul class="counts">'
    for _, group in ipairs(view.groups) do
        out[#out + 1] = ('<li><a class="%s" href="#g-%s"><b>%s</b><span class="n">%s</span> %s</a></li>'):format(
            group.outcome.name, group.outcome.name, group.outcome.glyph, text.count(#group.tests), group.outcome.label)
    end
    out[#out + 1] = "</ul>"
    if counts.failed + counts.xpass + counts.error > 0 then
        out[#out + 1] = ('<p class="rerun">Run the failed ones again: <code id="rerun">%s</code></p>'):format(
            escape("vmatrix test --rerun failed " .. text.shell(tostring(run.id))))
    end
    if counts.lost + counts.interrupted > 0 then
        out[#out + 1] = ('<p class="rerun">Run what has no verdict: <code>vmatrix test --rerun missing %s</code></p>')
            :format(escape(text.shell(tostring(run.id))))
    end
    out[#out + 1] = '<dl class="run">'
    fact(out, "started", time_html(run.started))
    fact(out, "time", text.duration(run.duration or (run.ended and run.started and run.ended - run.started)))
    fact(out, "cells", text.count(#view.cells))
    fact(out, "slots", run.slots and escape(run.slots))
    fact(out, "host", host_html(run.host))
    fact(out, "seed", run.seed and ("<code>%s</code>"):format(escape(run.seed)))
    fact(out, "version", run.version and escape(run.version))
    fact(out, "exit code", model.exit and escape(model.exit))
    fact(out, "parameters", params_html(run.params))
    if run.argv and #run.argv > 0 then
        fact(out, "command", ("<code>%s</code>"):format(escape(words_of(run.argv))))
    end
    out[#out + 1] = "</dl>"
    out[#out + 1] = "</header>\n"
end

local function list(title, id, items, context, out)
    if #items == 0 then
        return
    end
    out[#out + 1] = ('<section id="%s"><h2>%s</h2><ul><li>%s</li></ul></section>\n'):format(id, title,
        table.concat(items, "</li><li>"))
    context.nav[#context.nav + 1] = { id, title }
end

---What went on besides, and what the plan left out.
---@param model table
---@param context table
---@param out string[]
function M.remarks(model, context, out)
    local warnings, skipped = {}, {}
    for _, problem in ipairs(model.problems or {}) do
        warnings[#warnings + 1] = escape(problem)
    end
    for _, warning in ipairs(model.warnings or {}) do
        local about = warning.test or warning.cell
        warnings[#warnings + 1] = (about and detail.link(about, context) .. ": " or "")
            .. escape(warning.text or warning.kind)
    end
    for _, left in ipairs(model.skipped or {}) do
        if not context.view.by_id[left.id] and not context.view.cell_ids[left.id] then
            skipped[#skipped + 1] = ("%s <small>%s%s</small>"):format(escape(left.id), escape(left.reason),
                left.rule and " (" .. escape(left.rule) .. ")" or "")
        end
    end
    list("Warnings", "warnings", warnings, context, out)
    list("Left out", "left", skipped, context, out)
end

---Where the value of each test is among the groups: by the test's id and the record's name.
---@param model table
---@return table<string, table<string, table>>
function M.index_records(model)
    local index = {}
    for i, record in ipairs(model.records or {}) do
        for _, group in ipairs(record.groups) do
            for _, id in ipairs(group.tests) do
                index[id] = index[id] or {}
                index[id][record.record or record.name] = { index = i, alike = #group.tests, total = record.total }
            end
        end
    end
    return index
end

local function group_html(group, context)
    local links = {}
    for i, id in ipairs(group.tests) do
        local entry = context.view.by_id[id]
        links[i] = entry and ('<a href="#t%d">%s</a>'):format(entry.index, escape(id)) or escape(id)
    end
    return ('<li><p><b>%s</b></p><pre>%s</pre><details><summary>which</summary><p class="ids">%s</p></details></li>')
        :format(plural(#group.tests, "test", "tests"), escape(group.text, 2000), table.concat(links, " "))
end

---What tests recorded, equal values together.
---@param model table
---@param context table
---@param out string[]
function M.records(model, context, out)
    if #(model.records or {}) == 0 then
        return
    end
    out[#out + 1] = '<section id="records"><h2>Records</h2>'
        .. '<p class="note">What tests recorded, equal values together.</p>'
    for i, record in ipairs(model.records) do
        out[#out + 1] = ('<details class="record" id="r%d"%s><summary><b>%s</b> <span>%s</span></summary><ul>')
            :format(i, #record.groups > 1 and " open" or "", escape(record.name), escape(groups.words(record)))
        for _, group in ipairs(record.groups) do
            out[#out + 1] = group_html(group, context)
        end
        out[#out + 1] = "</ul></details>"
    end
    out[#out + 1] = "</section>\n"
    context.nav[#context.nav + 1] = { "records", "Records" }
end

return M
