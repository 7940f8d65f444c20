-- From a plan to units for the scheduler: which tests are run, what waits for what. Pure.
local M = {}

---Which tests are to be run: those without a verdict, and those whose state one of these starts from.
---@param plan table
---@param results? table<string, table> by cell and test name: verdicts of an earlier run
---@return table<table, boolean> tests
---@return table<string, table> by_id
function M.wanted(plan, results)
    local by_id, wanted = {}, {}
    for _, test in ipairs(plan.tests) do
        by_id[test.id] = test
    end
    local function want(test)
        if test and not wanted[test] then
            wanted[test] = true
            if test.from and not test.skip then
                want(by_id[test.from])
            end
        end
    end
    for _, test in ipairs(plan.tests) do
        local cell = results and results[test.cell.id]
        if not (cell and cell.tests and cell.tests[test.name]) then
            want(test)
        end
    end
    return wanted, by_id
end

local function traits_of(test)
    local traits = { "test=" .. test.name }
    for _, axis in ipairs(test.cell.axes) do
        traits[#traits + 1] = ("%s=%s"):format(axis[1], tostring(axis[2]))
    end
    return traits
end

---The units of tests: one for each repetition. A unit has `test` and `number`.
---@param tests table[] in the plan's order
---@param opts table repeats, by_id, stand_of(cell), estimates: seconds by test id
---@return vm.test.Unit[] units
---@return table<table, vm.test.Unit[]> of each test
function M.units(tests, opts)
    local units, of, last_in_cell = {}, {}, {}
    for _, test in ipairs(tests) do
        local stand, matrix = opts.stand_of(test.cell), test.cell.matrix
        of[test] = {}
        for number = 1, opts.repeats do
            local unit = {
                id = opts.repeats > 1 and ("%s#%d"):format(test.id, number) or test.id,
                test = test,
                number = number,
                needs = stand.needs,
                estimate = test.estimate or opts.estimates[test.id],
                traits = traits_of(test),
                deps = {},
                limits = { stand.limit },
                group = stand.group,
                priority = test.def.priority or matrix.priority or 0,
            }
            if matrix.max_parallel then
                unit.limits[2] = "matrix:" .. (matrix.name or tostring(matrix))
                if stand.way == "machine" then
                    unit.limits = { unit.limits[2] } -- the matrix says how many use the machine at once
                end
            end
            of[test][number], units[#units + 1] = unit, unit
        end
    end
    local function wait_for(unit, other)
        for _, dep in ipairs(other and of[other] or {}) do
            unit.deps[#unit.deps + 1] = dep
        end
    end
    for _, test in ipairs(tests) do
        local before = last_in_cell[test.cell]
        for _, unit in ipairs(of[test]) do
            wait_for(unit, test.from and opts.by_id[test.from])
            if test.cell.matrix.isolation == "cell" and before and before.id ~= test.from then
                wait_for(unit, before)
            end
        end
        last_in_cell[test.cell] = test
    end
    return units, of
end

return M
