-- Which of all tests a command line chooses, and why each of the others is out.
local errors = require "vm.errors"
local filter = require "vm.matrix.filter"
local subset = require "vm.matrix.subset"

local M = {}

---What chooses among tests.
---@class vm.matrix.Choice
---@field words? string[] filters
---@field earlier? fun(test: table): boolean, string whether an earlier run chooses it, and why (not)
---@field changed? fun(test: table): boolean, string whether it is to be run anew, and why (not)
---@field sample? integer
---@field pairwise? boolean
---@field shard? { index: integer, count: integer }
---@field seed? integer of the sample

local function axes_of(all)
    local axes = {}
    for _, matrix in ipairs(all.matrices) do
        for _, axis in ipairs(matrix.axes) do
            axes[axis.name] = true
        end
    end
    return axes
end

---The filters of a command line, or everything that is wrong with them.
---@param all table from vm.matrix.plan
---@param words string[]
---@return table[] filters
---@return string[] complaints
function M.filters(all, words)
    local axes, filters, complaints = axes_of(all), {}, {}
    for _, word in ipairs(words) do
        local one, why = filter.parse(word, axes)
        why = why or filter.in_vain(one, all.tests)
        if why then
            complaints[#complaints + 1] = why
        end
        filters[#filters + 1] = one
    end
    return filters, complaints
end

local function quoted(group)
    local list = {}
    for i, one in ipairs(group) do
        list[i] = "'" .. one.text .. "'"
    end
    return table.concat(list, ", ")
end

-- Keeps those of a list that `keep` says, and notes why the others are out.
local function narrow(state, tests, keep)
    local left = {}
    for _, test in ipairs(tests) do
        local chosen, why = keep(test)
        if chosen then
            left[#left + 1] = test
            if why then
                state.why[test] = why
            end
        else
            state.out[test] = why
        end
    end
    return left
end

local function cells_of(tests)
    local cells, seen, runnable = {}, {}, {}
    for _, test in ipairs(tests) do
        local cell = test.cell
        if not seen[cell] then
            seen[cell] = true
            cells[#cells + 1] = cell
        end
        runnable[cell] = runnable[cell] or not test.skip
    end
    return cells, runnable
end

-- The cells of each matrix that has something to run: what is skipped covers nothing.
local function by_matrix(tests)
    local cells, runnable = cells_of(tests)
    local lists, order = {}, {}
    for _, cell in ipairs(cells) do
        if runnable[cell] then
            if not lists[cell.matrix] then
                lists[cell.matrix] = {}
                order[#order + 1] = lists[cell.matrix]
            end
            table.insert(lists[cell.matrix], cell)
        end
    end
    return order
end

local function pairwise(state, tests)
    local chosen = {}
    for _, cells in ipairs(by_matrix(tests)) do
        for cell in pairs(subset.pairwise(cells)) do
            chosen[cell] = true
        end
    end
    return narrow(state, tests, function(test)
        return chosen[test.cell], not chosen[test.cell] and "--pairwise: others have each pair of its values" or nil
    end)
end

local function sample(state, tests, count, seed)
    local runnable = {}
    for _, cells in ipairs(by_matrix(tests)) do
        table.move(cells, 1, #cells, #runnable + 1, runnable)
    end
    local chosen = subset.sample(runnable, count, seed)
    return narrow(state, tests, function(test)
        return chosen[test.cell], not chosen[test.cell]
            and ("--sample %d: it was not drawn with --seed %d"):format(count, seed) or nil
    end)
end

-- What a shard gets whole: a cell; or, when there are fewer cells than shards, a test with all that
-- start from it.
local function units_of(all, tests, count)
    local cells = cells_of(tests)
    local units, by, of = {}, {}, {}
    for _, test in ipairs(tests) do
        local owner = test.cell
        if #cells < count then
            owner = test
            while owner.from do
                owner = all.tests_by_id[owner.from]
            end
        end
        local unit = by[owner]
        if not unit then
            unit = { id = owner.id, weight = 0 }
            by[owner] = unit
            units[#units + 1] = unit
        end
        unit.weight = unit.weight + 1
        of[test] = unit
    end
    return units, of
end

local function shard(state, all, tests, index, count)
    local units, of = units_of(all, tests, count)
    local chosen = subset.shard(units, index, count)
    return narrow(state, tests, function(test)
        return chosen[of[test]], not chosen[of[test]]
            and ("--shard %d/%d: it is in another machine's share"):format(index, count) or nil
    end)
end

-- What the chosen ones start from is chosen too.
local function pull_in(state, all, tests)
    local wanted, pulled = {}, {}
    for _, test in ipairs(tests) do
        wanted[test] = true
    end
    for _, test in ipairs(tests) do
        local at = test.from and all.tests_by_id[test.from]
        while at and not wanted[at] do
            wanted[at], pulled[at] = true, test
            at = at.from and all.tests_by_id[at.from]
        end
    end
    if next(pulled) == nil then
        return tests, pulled
    end
    local out = {}
    for _, test in ipairs(all.tests) do
        if wanted[test] then
            out[#out + 1] = test
            state.out[test] = nil
        end
    end
    return out, pulled
end

---Chooses. The filters must be free of complaints.
---@param all table from vm.matrix.plan
---@param choice vm.matrix.Choice
---@return table selection { tests, filters, matched = how many the filters left, out = why each of the others is out,
---  why = what an earlier run said for it, pulled = test -> the chosen one that starts from it }
function M.choose(all, choice)
    local filters, complaints = M.filters(all, choice.words or {})
    if #complaints > 0 then
        errors.fail("usage", "%s", table.concat(complaints, "\n"))
    end
    local state = { filters = filters, out = {}, why = {} }
    local groups = filter.groups(filters)
    local tests = narrow(state, all.tests, function(test)
        local group, negated = filter.failing(groups, test)
        if negated then
            return false, ("the filter '%s' leaves it out"):format(negated.text)
        elseif group then
            return false, ("it does not match %s%s"):format(#group > 1 and "any of " or "", quoted(group))
        end
        return true
    end)
    state.matched = #tests
    if choice.earlier then
        tests = narrow(state, tests, choice.earlier)
    end
    if choice.changed then
        tests = narrow(state, tests, choice.changed)
    end
    if choice.pairwise then
        tests = pairwise(state, tests)
    end
    if choice.sample then
        tests = sample(state, tests, choice.sample, choice.seed)
    end
    if choice.shard then
        tests = shard(state, all, tests, choice.shard.index, choice.shard.count)
    end
    state.tests, state.pulled = pull_in(state, all, tests)
    return state
end

return M
