-- From matrices as scripts defined them to the plan of all their cells and tests, or to everything that
-- is wrong with them.
local check = require "vm.matrix.check"
local expand = require "vm.matrix.expand"
local problems = require "vm.matrix.problems"
local script = require "vm.script"
local validate = require "vm.matrix.validate"

local M = {}

local function place_of(cell)
    local file, line = problems.place(cell.matrix, cell.added and { "include", cell.added } or nil)
    return ("%s:%d"):format(file, line)
end

-- Two cells with one id: said once for each two matrices.
local function check_ids(cells, found)
    local by_id, said = {}, {}
    for _, cell in ipairs(cells) do
        local first = by_id[cell.id]
        local pair = first and (said[first.matrix] or {})
        if first and not pair[cell.matrix] then
            pair[cell.matrix] = true
            said[first.matrix] = pair
            found:add(cell.matrix, cell.added and { "include", cell.added } or nil,
                first.matrix == cell.matrix and "vm.matrix: the cell '%s' is there twice (also %s)"
                or "vm.matrix: the cell '%s' is also one of %s; give the matrices names: name = \"...\"",
                cell.id, place_of(first))
        end
        by_id[cell.id] = first or cell
    end
    return by_id
end

-- A test that starts from one that is skipped is skipped as well.
local function hand_on_skips(tests, by_id)
    local function resolve(test)
        local start = test.from and by_id[test.from]
        if start and not test.skip then
            local why = resolve(start)
            if why then
                test.skip = why:find("^it starts from ") and why
                    or ("it starts from %s, which is skipped: %s"):format(start.name, why)
                test.skip_rule = start.skip_rule
            end
        end
        return test.skip
    end
    for _, test in ipairs(tests) do
        resolve(test)
    end
end

-- Nearly all that expansion makes is kept, so the collector would go over it again and again in vain.
local function with_patient_collector()
    local pause = collectgarbage("setpause", 1000)
    return setmetatable({}, { __close = function() collectgarbage("setpause", pause) end })
end

---Everything that matrices define, expanded and checked: nothing is selected and nothing started.
---@param matrices vm.Matrix[]
---@param opts? { problems?: vm.matrix.Problems, guests?: boolean, excluded?: boolean, memory?: integer }
---  guests: false leaves the guests unchecked; excluded: keeps what exclude left out; memory: of the host
---@return table all { matrices, cells, tests, skipped, excluded, cells_by_id, tests_by_id, warnings }
---@return vm.matrix.Problems problems
function M.all(matrices, opts)
    opts = opts or {}
    local patience <close> = with_patient_collector() -- luacheck: ignore 211
    local found = opts.problems or problems.new()
    local all = { matrices = {}, cells = {}, tests = {}, skipped = {}, excluded = {}, warnings = {}, tests_by_id = {} }
    for i, given in ipairs(matrices) do
        local matrix = check.matrix(given, found)
        matrix.index = i
        script.use(matrix.script)
        local cells, excluded = expand.cells(matrix, found, opts)
        validate.steps(matrix, found)
        local tests = expand.tests(matrix, cells, found)
        if opts.guests ~= false then
            validate.guests(matrix, cells, found, opts.memory)
        end
        all.matrices[i] = matrix
        table.move(cells, 1, #cells, #all.cells + 1, all.cells)
        table.move(tests, 1, #tests, #all.tests + 1, all.tests)
        table.move(excluded, 1, #excluded, #all.excluded + 1, all.excluded)
    end
    script.use(nil)
    all.cells_by_id = check_ids(all.cells, found)
    for _, test in ipairs(all.tests) do
        all.tests_by_id[test.id] = all.tests_by_id[test.id] or test
    end
    hand_on_skips(all.tests, all.tests_by_id)
    return all, found
end

---The rule that skips a test, as "FILE:LINE: when".
---@param test table
---@return string
function M.rule_of(test)
    local matrix = test.cell.matrix
    local path = test.skip_rule
    local fn = path[1] == "when" and matrix.when or nil
    if not fn then
        for _, def in ipairs(matrix.test_list) do
            fn = fn or def.path[2] == path[2] and def.when or nil
        end
    end
    local file, line = problems.place(matrix, fn and { fn } or path)
    return ("%s:%d: when"):format(file, line)
end

---Checks the guests of chosen tests' cells: what this host can make, and has room for.
---@param tests table[]
---@param found vm.matrix.Problems
---@param memory? integer bytes that this host can give at most
function M.check_guests(tests, found, memory)
    local lists, order, seen = {}, {}, {}
    for _, test in ipairs(tests) do
        local cell = test.cell
        if not seen[cell] then
            seen[cell] = true
            if not lists[cell.matrix] then
                lists[cell.matrix] = {}
                order[#order + 1] = cell.matrix
            end
            table.insert(lists[cell.matrix], cell)
        end
    end
    for _, matrix in ipairs(order) do
        script.use(matrix.script)
        validate.guests(matrix, lists[matrix], found, memory)
    end
    script.use(nil)
end

---The plan of chosen tests, as the runner and the reports read it. Tests keep their order; those that a
---test starts from must be among them.
---@param all table from M.all
---@param tests table[]
---@param more? table further fields, such as seed and params
---@return table plan
function M.of(all, tests, more)
    local plan = { matrices = {}, cells = {}, tests = tests, skipped = {}, warnings = all.warnings, params = {} }
    local has = {}
    for _, test in ipairs(tests) do
        local cell = test.cell
        if not has[cell] then
            has[cell] = true
            plan.cells[#plan.cells + 1] = cell
        end
        if not has[cell.matrix] then
            has[cell.matrix] = true
            plan.matrices[#plan.matrices + 1] = cell.matrix
        end
        if test.skip then
            plan.skipped[#plan.skipped + 1] = { id = test.id, reason = test.skip, rule = M.rule_of(test) }
        end
    end
    for name, value in pairs(more or {}) do
        plan[name] = value
    end
    return plan
end

return M
