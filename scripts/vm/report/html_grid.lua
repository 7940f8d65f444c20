-- The matrix as a table: some axes are rows, some columns, the others folded into each field. The
-- report's script makes the same table, element by element, for the axes a reader chooses.
local text = require "vm.report.html_text"
local view = require "vm.report.html_view"

local M = {}

local function axes_of(matrix, role)
    local found = {}
    for i, axis in ipairs(matrix.axes) do
        if matrix.roles[i] == role then
            found[#found + 1] = { axis = axis, at = i }
        end
    end
    return found
end

-- Sorted by the places of the values on their axes; each line is { values = { place... }, key = }.
local function lines_of(entries, axes)
    local lines, by_key = {}, {}
    for _, entry in ipairs(entries) do
        local values = {}
        for i, axis in ipairs(axes) do
            values[i] = entry.at[axis.at]
        end
        local key = table.concat(values, ",")
        if not by_key[key] then
            by_key[key] = { values = values, key = key }
            lines[#lines + 1] = by_key[key]
        end
        entry.key = key
    end
    table.sort(lines, function(a, b)
        for i = 1, #axes do
            if a.values[i] ~= b.values[i] then
                return a.values[i] < b.values[i]
            end
        end
        return false
    end)
    return lines
end

---Sorts the tests of a matrix into fields by the rows and columns they belong to.
---@param matrix table of a vm.report.html.View
---@return table grid { rows = axes, columns = axes, row_lines =, column_lines =, fields = [row key][column key] }
function M.pivot(matrix)
    local entries = {}
    for _, cell in ipairs(matrix.cells) do
        for _, entry in ipairs(cell.tests) do
            entries[#entries + 1] = entry
        end
    end
    local grid = { rows = axes_of(matrix, "row"), columns = axes_of(matrix, "column"), fields = {} }
    grid.row_lines = lines_of(entries, grid.rows)
    local row_keys = {}
    for i, entry in ipairs(entries) do
        row_keys[i] = entry.key
    end
    grid.column_lines = lines_of(entries, grid.columns)
    for i, entry in ipairs(entries) do
        local row = grid.fields[row_keys[i]] or {}
        grid.fields[row_keys[i]] = row
        local field = row[entry.key]
        if not field then
            field = { total = 0, count = 0, duration = 0 }
            row[entry.key] = field
        end
        field.total = field.total + 1
        field.duration = field.duration + (entry.source.duration or 0)
        if not field.worst or entry.rank < field.worst.rank then
            field.worst, field.count = entry, 0
        end
        if entry.rank == field.worst.rank then
            field.count = field.count + 1
        end
    end
    return grid
end

-- How many lines from i on have the same values up to this level.
local function span(lines, i, level)
    local last = i
    while lines[last + 1] do
        for at = 1, level do
            if lines[last + 1].values[at] ~= lines[i].values[at] then
                return last - i + 1
            end
        end
        last = last + 1
    end
    return last - i + 1
end

local function spanning(name, count)
    return count > 1 and (' %s="%d"'):format(name, count) or ""
end

local function header(grid, out)
    local rows, columns = grid.rows, grid.columns
    out[#out + 1] = "<thead>"
    for level = 1, math.max(1, #columns) do
        local column = columns[level]
        out[#out + 1] = "<tr>"
        if level < #columns then
            out[#out + 1] = ('<td class="axis column"%s>%s</td>'):format(spanning("colspan", math.max(1, #rows)),
                text.escape(column.axis.name))
        else
            for i = 1, math.max(1, #rows) do
                local last = i == math.max(1, #rows)
                out[#out + 1] = ('<td class="axis%s">%s%s</td>'):format(i > 1 and " l" .. i or "",
                    rows[i] and ("<span>%s</span>"):format(text.escape(rows[i].axis.name)) or "",
                    last and column and ("<span>%s</span>"):format(text.escape(column.axis.name)) or "")
            end
        end
        local i = 1
        while i <= #grid.column_lines do
            local count = column and span(grid.column_lines, i, level) or 1
            local leaf = level >= #columns
            out[#out + 1] = ('<th scope="%s"%s><span>%s</span></th>'):format(leaf and "col" or "colgroup",
                leaf and "" or spanning("colspan", count),
                column and text.escape(column.axis.values[grid.column_lines[i].values[level]]) or "all")
            i = i + (leaf and 1 or count)
        end
        out[#out + 1] = "</tr>"
    end
    out[#out + 1] = "</thead>"
end

-- What a field says: the worst outcome, and of how many.
local function field_html(field, dense)
    local outcome = field.worst.outcome
    local label, words
    if field.total == 1 then
        label, words = outcome.label, text.duration(field.worst.source.duration)
    else
        label = ("%s: %d of %d"):format(outcome.label, field.count, field.total)
        words = field.count == field.total and ("%d"):format(field.total)
            or ("%d/%d"):format(field.count, field.total)
    end
    local shown = outcome.glyph
    if not dense then
        shown = ("<b>%s</b>%s"):format(shown, words ~= "" and "<i>" .. words .. "</i>" or "")
    end
    return ('<td><a class="%s" href="#t%d" aria-label="%s">%s</a></td>'):format(outcome.name, field.worst.index,
        label, shown)
end

local function body(grid, dense, out)
    out[#out + 1] = "<tbody>"
    for i, line in ipairs(grid.row_lines) do
        local first = #grid.rows > 1 and i > 1 and span(grid.row_lines, i - 1, 1) == 1
        out[#out + 1] = first and '<tr class="first">' or "<tr>"
        for level = 1, math.max(1, #grid.rows) do
            local row = grid.rows[level]
            if not row then
                out[#out + 1] = '<th scope="row"><span>all</span></th>'
            elseif i == 1 or span(grid.row_lines, i - 1, level) == 1 then
                local leaf = level == #grid.rows
                local count = leaf and 1 or span(grid.row_lines, i, level)
                out[#out + 1] = ('<th scope="%s"%s%s><span>%s</span></th>'):format(leaf and "row" or "rowgroup",
                    level > 1 and (' class="l%d"'):format(level) or "", spanning("rowspan", count),
                    text.escape(row.axis.values[line.values[level]]))
            end
        end
        for _, column in ipairs(grid.column_lines) do
            local field = grid.fields[line.key][column.key]
            out[#out + 1] = field and field_html(field, dense) or "<td></td>"
        end
        out[#out + 1] = "</tr>"
    end
    out[#out + 1] = "</tbody>"
end

---The table of one matrix.
---@param matrix table of a vm.report.html.View
---@param index integer its number
---@return string
function M.render(matrix, index)
    local grid = M.pivot(matrix)
    local dense = #grid.column_lines >= view.dense_from
    local out = {}
    out[1] = ('<table class="grid%s" id="m%d">'):format(dense and " dense" or "", index)
    header(grid, out)
    body(grid, dense, out)
    out[#out + 1] = "</table>"
    return table.concat(out)
end

return M
