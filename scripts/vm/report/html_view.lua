-- What the HTML report shows, taken from a model: outcomes in order of trouble, the tests of each
-- with their numbers, the axes of each matrix with every value that a cell has, and which axes are rows
-- and columns to begin with.
local M = {}

---With this many columns, the fields of a grid show their sign only.
M.dense_from = 13

---@class vm.report.html.Outcome
---@field name string as in the model
---@field glyph string a sign, since colour alone says nothing to many
---@field label string
---@field says string what it means, in a sentence

-- Worst first; the script of the report gets the names and signs in this order.
---@type vm.report.html.Outcome[]
M.outcomes = {
    { name = "failed", glyph = "✗", label = "failed",
        says = "The test ran, and its guest did not do what was expected." },
    { name = "xpass", glyph = "X", label = "passed unexpectedly",
        says = "Expected to fail, but passed: counted as failed until the expectation is removed." },
    { name = "error", glyph = "!", label = "error",
        says = "The machinery failed (boot, connection, host), not what was tested: no verdict about the test." },
    { name = "lost", glyph = "?", label = "lost",
        says = "Planned, but the run ended without a verdict for it. Nothing is known: it counts as trouble." },
    { name = "interrupted", glyph = "‖", label = "interrupted", says = "Was running when the run was stopped." },
    { name = "flaky", glyph = "≈", label = "flaky",
        says = "Failed, then passed on a fresh guest. Not counted as failed, and not to be trusted either." },
    { name = "passed", glyph = "✓", label = "passed", says = "Passed at the first attempt." },
    { name = "xfail", glyph = "x", label = "failed as expected",
        says = "Failed, as the test said it would: counted as passed." },
    { name = "skipped", glyph = "–", label = "skipped", says = "Did not run; the reason stands beside each." },
}

---@type table<string, integer>
M.rank = {}
for rank, outcome in ipairs(M.outcomes) do
    M.rank[outcome.name] = rank
end

local function text_of(value)
    return value == nil and "—" or tostring(value)
end

-- The axes of a matrix: those it names, then any that cells have besides; values likewise.
local function new_axes(matrix)
    local axes, by_name = {}, {}
    local function axis(name)
        local found = by_name[name]
        if not found then
            found = { name = name, values = {}, index = {} }
            by_name[name] = found
            axes[#axes + 1] = found
        end
        return found
    end
    for _, given in ipairs(matrix.axes or {}) do
        local at = axis(text_of(given.name or given[1]))
        for _, value in ipairs(given.values or {}) do
            M.value(at, type(value) == "table" and value.name or value)
        end
    end
    return axes, axis
end

---The number of a value on an axis; one that is new is added at the end.
---@param axis { values: string[], index: table<string, integer> }
---@param value any
---@return integer
function M.value(axis, value)
    local text = text_of(value)
    if not axis.index[text] then
        axis.values[#axis.values + 1] = text
        axis.index[text] = #axis.values
    end
    return axis.index[text]
end

-- Values that no cell has would be empty rows: they are left out.
local function drop_unused(matrix)
    for a, axis in ipairs(matrix.axes) do
        local used, values, moved = {}, {}, {}
        for _, cell in ipairs(matrix.cells) do
            used[cell.at[a]] = true
        end
        for i, value in ipairs(axis.values) do
            if used[i] then
                values[#values + 1] = value
                moved[i] = #values
            end
        end
        axis.values = values
        for _, cell in ipairs(matrix.cells) do
            cell.at[a] = moved[cell.at[a]]
        end
    end
end

local function add_cell(matrix, axis_of, cell, id)
    local at = {}
    for _, pair in ipairs(cell.axes or {}) do
        local axis = axis_of(text_of(pair.name or pair[1]))
        local value = pair.value
        if value == nil then value = pair[2] end
        at[axis] = M.value(axis, value)
    end
    local out = { id = id, source = cell, matrix = matrix, axes_at = at, at = {}, tests = {} }
    matrix.cells[#matrix.cells + 1] = out
    return out
end

local function finish_axes(matrix)
    for _, cell in ipairs(matrix.cells) do
        for a, axis in ipairs(matrix.axes) do
            cell.at[a] = cell.axes_at[axis] or M.value(axis, nil)
        end
    end
    drop_unused(matrix)
    local tests = { name = "test", values = {}, index = {}, is_test = true }
    for _, cell in ipairs(matrix.cells) do
        for _, test in ipairs(cell.tests) do
            test.name_at = M.value(tests, test.source.name or "—")
            test.at = table.move(cell.at, 1, #cell.at, 1, {})
            test.at[#matrix.axes + 1] = test.name_at
        end
    end
    matrix.axes[#matrix.axes + 1] = tests
end

-- How much of a screen a grid takes, by the sizes of its fields in html.css: the larger of its sides,
-- where width counts more, since scrolling sideways is a nuisance.
local function extent(rows, columns)
    local dense = columns >= M.dense_from
    local width, height = columns * (dense and 21 or 94) / 1050, rows * (dense and 23 or 32) / 700
    return math.max(width > 1 and width * width or width, height)
end

-- Which axes are rows and which columns, so that the grid is compact. The last axes are the columns
-- unless another choice is much better. The tests of a cell are folded into one field.
local function choose_roles(matrix)
    local axes, count = matrix.axes, #matrix.axes - 1
    matrix.roles = {}
    for i = 1, #axes do matrix.roles[i] = "row" end
    if count < 2 then
        matrix.roles[#axes] = "column"
        return
    end
    local best, best_cost
    local considered = math.min(count, 12)
    for choice = 1, (1 << considered) - 2 do
        local rows, columns = 1, 1
        for i = 1, count do
            local values = math.max(1, #axes[i].values)
            local is_column = i <= considered and choice & 1 << (i - 1) ~= 0
            rows, columns = rows * (is_column and 1 or values), columns * (is_column and values or 1)
        end
        local inverted = (~choice & (1 << considered) - 1) + 1
        local natural = inverted & inverted - 1 == 0 and considered == count -- columns are the last ones
        local cost = extent(rows, columns) + (natural and 0 or 0.5)
        if not best or cost < best_cost then
            best, best_cost = choice, cost
        end
    end
    for i = 1, considered do
        if best & 1 << (i - 1) ~= 0 then matrix.roles[i] = "column" end
    end
    matrix.roles[#axes] = "fold"
end

local function cell_finder(model)
    local by_id = {}
    for _, cell in ipairs(model.cells or {}) do
        by_id[cell.id] = cell
    end
    return function(test)
        if type(test.cell) == "table" then
            return test.cell
        end
        local id = text_of(test.cell)
        by_id[id] = by_id[id] or { id = id, axes = {}, matrix = 1 }
        return by_id[id]
    end
end

local function matrix_index(model, cell)
    if type(cell.matrix) == "number" then
        return cell.matrix
    end
    local name = type(cell.matrix) == "table" and cell.matrix.name or cell.matrix
    for i, matrix in ipairs(model.matrices or {}) do
        if matrix.name == name then
            return i
        end
    end
    return 1
end

-- A cell without tests (it was left out as a whole) stands for itself.
local function with_empty_cells(model, cell_of)
    local tests, seen = {}, {}
    for i, test in ipairs(model.tests or {}) do
        tests[i] = test
        seen[cell_of(test).id] = true
    end
    for _, cell in ipairs(model.cells or {}) do
        if not seen[cell.id] then
            tests[#tests + 1] = { id = cell.id, cell = cell, outcome = cell.outcome or "skipped",
                reason = cell.reason or cell.skip, attempts = {}, tags = {} }
        end
    end
    return tests
end

---@class vm.report.html.View
---@field matrices table[] { name, axes, roles, cells }
---@field tests table[] in the model's order: { index, source, cell, outcome, rank }
---@field groups table[] by outcome, worst first: { outcome, tests }
---@field by_id table<string, table>
---@field cell_ids table<string, table>

---Makes the view of a model.
---@param model table as vm.report.model makes it
---@return vm.report.html.View
function M.new(model)
    local view = { matrices = {}, cells = {}, tests = {}, groups = {}, by_id = {}, cell_ids = {} }
    local axis_of, cells, cell_of = {}, {}, cell_finder(model)
    for i, given in ipairs(model.matrices or {}) do
        local matrix = { name = given.name, cells = {} }
        matrix.axes, axis_of[i] = new_axes(given)
        view.matrices[i] = matrix
    end
    for _, test in ipairs(with_empty_cells(model, cell_of)) do
        local source = cell_of(test)
        local cell = cells[source.id]
        if not cell then
            local index = matrix_index(model, source)
            if not view.matrices[index] then
                view.matrices[index] = { name = nil, cells = {} }
                view.matrices[index].axes, axis_of[index] = new_axes {}
            end
            cell = add_cell(view.matrices[index], axis_of[index], source, text_of(source.id))
            cell.matrix_index = index
            cells[source.id] = cell
            view.cell_ids[cell.id] = cell
            view.cells[#view.cells + 1] = cell
            cell.index = #view.cells
        end
        local rank = M.rank[test.outcome] or M.rank.lost
        local entry = { index = #view.tests + 1, source = test, cell = cell, rank = rank, outcome = M.outcomes[rank] }
        view.tests[entry.index] = entry
        cell.tests[#cell.tests + 1] = entry
        view.by_id[text_of(test.id)] = entry
    end
    for _, matrix in ipairs(view.matrices) do
        finish_axes(matrix)
        choose_roles(matrix)
    end
    for rank, outcome in ipairs(M.outcomes) do
        local group = { outcome = outcome, tests = {} }
        for _, entry in ipairs(view.tests) do
            if entry.rank == rank then
                group.tests[#group.tests + 1] = entry
            end
        end
        if #group.tests > 0 then
            view.groups[#view.groups + 1] = group
        end
    end
    return view
end

return M
