-- What the HTML report says about one test: error, attempts, times, checks, records, output and files.
local files = require "vm.report.html_files"
local text = require "vm.report.html_text"
local model_of = require "vm.report.model"
local stats = require "vm.report.stats"

local M = {}

local escape = text.escape

local function pair(out, name, html)
    if html and html ~= "" then
        out[#out + 1] = ("<dt>%s</dt><dd>%s</dd>"):format(name, html)
    end
end

local function axes_html(entry, context)
    local parts = {}
    local matrix = context.view.matrices[entry.cell.matrix_index]
    for a, at in ipairs(entry.cell.at) do
        local axis = matrix.axes[a]
        parts[a] = ("%s=%s"):format(escape(axis.name), escape(axis.values[at]))
    end
    return table.concat(parts, " · ")
end

local function tags_html(tags)
    local parts = {}
    for i, tag in ipairs(tags or {}) do
        parts[i] = escape(tag)
    end
    return table.concat(parts, ", ")
end

local function since_start(started, context)
    local zero = context.model.run.started
    return started and zero and "+" .. text.duration(math.max(0, started - zero)) or ""
end

---A link to a test, or only its id.
---@param id string
---@param context table
---@return string html
function M.link(id, context)
    local other = context.view.by_id[id]
    return other and ('<a href="#t%d">%s</a>'):format(other.index, escape(id)) or escape(id)
end

local function run_html(test, context)
    if #(test.attempts or {}) ~= 1 then
        return ""
    end
    local first = test.attempts[1]
    local started = since_start(test.started or first.started, context)
    local words = { started ~= "" and "started " .. started or nil }
    words[#words + 1] = first.slot and "slot " .. escape(first.slot) or nil
    words[#words + 1] = first.how and escape(first.how) or nil
    return table.concat(words, " · ")
end

-- Of a test that passed and has nothing special, two lines; there may be thousands.
local function facts(entry, context, out)
    local test = entry.source
    local axes, run, tags = axes_html(entry, context), run_html(test, context), tags_html(test.tags)
    if entry.rank == context.rank.passed and not (test.from or test.variant or test.rate) and tags == "" then
        out[#out + 1] = ("<p>%s%s%s</p>"):format(axes, axes ~= "" and run ~= "" and "<br>" or "", run)
        return
    end
    out[#out + 1] = '<dl class="facts">'
    pair(out, "axes", axes)
    pair(out, "variant", test.variant and escape(test.variant))
    pair(out, "tags", tags)
    pair(out, "defined", test.file and escape(test.file) .. (test.line and ":" .. escape(test.line) or ""))
    pair(out, "starts from", test.from and M.link(test.from, context))
    pair(out, "repeated", test.rate and escape(stats.show(test.rate)))
    pair(out, "run", run)
    out[#out + 1] = "</dl>"
end

local function error_html(err, out)
    if type(err) == "table" then
        out[#out + 1] = ('<p class="error">Error of kind <b>%s</b></p><pre>%s</pre>'):format(
            escape(err.kind or "error"), escape(err.message))
    elseif err then
        out[#out + 1] = ("<pre>%s</pre>"):format(escape(err))
    end
end

local function attempts(entry, context, out)
    local list = entry.source.attempts or {}
    if #list < 2 then
        return
    end
    out[#out + 1] = "<h4>Attempts</h4><table><thead><tr><th>#</th><th>outcome</th><th>guest</th><th>slot</th>"
        .. '<th class="n">started</th><th class="n">time</th></tr></thead><tbody>'
    for i, attempt in ipairs(list) do
        out[#out + 1] = ('<tr><td>%d</td><td>%s</td><td>%s</td><td>%s</td><td class="n">%s</td>'
            .. '<td class="n">%s</td></tr>'):format(i, M.status(attempt.outcome, context), escape(attempt.how),
            escape(attempt.slot), since_start(attempt.started, context), text.duration(attempt.duration))
    end
    out[#out + 1] = "</tbody></table>"
end

local function sections(list, out)
    if not list or #list == 0 then
        return
    end
    out[#out + 1] = '<h4>Sections</h4><table><tbody>'
    for _, section in ipairs(list) do
        local depth = math.max(1, math.min(6, math.tointeger(section.depth) or 1))
        out[#out + 1] = ('<tr><td class="i%d">%s</td><td>%s</td><td class="n">%s</td></tr>'):format(depth,
            escape(section.name), section.ok == false and "✗ failed" or "", text.duration(section.duration))
    end
    out[#out + 1] = "</tbody></table>"
end

local function checks(list, out)
    if type(list) ~= "table" then
        return
    elseif list.passed or list.failed then
        local good, bad = list.passed or 0, list.failed or 0
        out[#out + 1] = ("<h4>Checks: %d of %d ok</h4>"):format(good, good + bad)
    elseif #list > 0 then
        local lines, good = {}, 0
        for _, wanted in ipairs { false, true } do
            for _, check in ipairs(list) do
                if (check.ok and true or false) == wanted then
                    good = good + (wanted and 1 or 0)
                    lines[#lines + 1] = ("<li><b>%s</b> %s</li>"):format(wanted and "✓ ok" or "✗ not ok",
                        escape(check.message))
                end
            end
        end
        out[#out + 1] = ("<h4>Checks: %d of %d ok</h4><ul>%s</ul>"):format(good, #list, table.concat(lines))
    end
end

local function sorted_keys(map)
    local keys = {}
    for key in pairs(map or {}) do
        keys[#keys + 1] = tostring(key)
    end
    table.sort(keys)
    return keys
end

local function alike(found)
    if found.alike == found.total then
        return found.total == 1 and "recorded once" or ("all %d alike"):format(found.total)
    end
    return ("%d alike, %d differ"):format(found.alike, found.total - found.alike)
end

local function records(entry, context, out)
    local names = sorted_keys(entry.source.records)
    if #names == 0 then
        return
    end
    out[#out + 1] = "<h4>Records</h4><ul>"
    local index = context.records[entry.source.id] or {}
    for _, name in ipairs(names) do
        local record, found = entry.source.records[name], index[name]
        local words = found and (' <a href="#r%d">%s</a>'):format(found.index, alike(found)) or ""
        local shown = type(record) == "table" and record.text or record
        out[#out + 1] = ("<li><code>%s</code>%s%s</li>"):format(escape(name), words,
            shown and ("<pre>%s</pre>"):format(escape(shown, 400)) or "")
    end
    out[#out + 1] = "</ul>"
end

local function siblings(entry, out)
    if #entry.cell.tests < 2 then
        return
    end
    local parts = {}
    for _, other in ipairs(entry.cell.tests) do
        if other ~= entry and #parts < 40 then
            parts[#parts + 1] = ('<a href="#t%d">%s %s</a>'):format(other.index, other.outcome.glyph,
                escape(other.source.name or other.source.id))
        end
    end
    out[#out + 1] = '<p class="also">Also in this cell: ' .. table.concat(parts, " ") .. "</p>"
end

local function again(entry, context, out)
    if context.again and entry.rank ~= context.rank.passed then
        out[#out + 1] = ('<p class="also">Run it again: <code>%s</code></p>'):format(
            escape(context.again .. text.shell(entry.source.id)))
    end
end

---An outcome with its sign.
---@param name string
---@param context table
---@return string html
function M.status(name, context)
    local rank = context.rank[name]
    local outcome = rank and context.outcomes[rank]
    if not outcome then
        return escape(name)
    end
    return ('<span class="s %s"><b>%s</b>%s</span>'):format(outcome.name, outcome.glyph, outcome.label)
end

---An outcome as a heading.
---@param outcome vm.report.html.Outcome
---@return string html
function M.heading(outcome)
    return ('<span class="s %s"><b>%s</b>%s</span>'):format(outcome.name, outcome.glyph,
        (outcome.label:gsub("^%l", string.upper)))
end

---One test: a line that opens.
---@param entry table of a vm.report.html.View
---@param context table
---@param out string[]
function M.render(entry, context, out)
    local test, cell = entry.source, entry.cell
    local reason = entry.rank ~= context.rank.passed and text.line(model_of.why(test)) or ""
    out[#out + 1] = ('<details class="t" id="t%d"><summary>%s<span class="id">%s%s</span>%s'
        .. '<span class="n">%s</span></summary><div class="d">'):format(entry.index,
        M.status(entry.outcome.name, context), escape(cell.id),
        test.name and (":<b>%s</b>"):format(escape(test.name)) or "",
        reason ~= "" and ('<span class="why">%s</span>'):format(reason) or "", text.duration(test.duration))
    if test.outcome ~= entry.outcome.name then
        out[#out + 1] = ("<p>Its outcome %s is unknown here; it is taken as lost.</p>"):format(escape(test.outcome))
    end
    if test.reason and (#test.reason > 80 or model_of.why(test) ~= test.reason) then
        out[#out + 1] = ("<pre>%s</pre>"):format(escape(test.reason))
    end
    if #(test.attempts or {}) < 2 then
        error_html((test.attempts or {})[1] and test.attempts[1].error, out)
    end
    facts(entry, context, out)
    attempts(entry, context, out)
    checks(test.checks, out)
    sections(test.sections, out)
    for i, attempt in ipairs(test.attempts or {}) do
        if #test.attempts > 1 then
            out[#out + 1] = ("<h4>Attempt %d: %s</h4>"):format(i, M.status(attempt.outcome, context))
            error_html(attempt.error, out)
        end
        files.render(entry, attempt, context, out)
    end
    records(entry, context, out)
    again(entry, context, out)
    siblings(entry, out)
    out[#out + 1] = "</div></details>\n"
end

return M
