-- Choosing some cells of many: a sample, a set that has every pair of values, a share for one of several
-- machines. All of it is decided by ids alone, so that every machine comes to the same.
local raw = require("vm.raw").data

local M = {}

-- 48 bits of a digest: a number that any id has, everywhere.
local function rank(text)
    return tonumber(raw.sha256(text):sub(1, 12), 16)
end

local function by_rank(list, salt, id_of)
    local ranks, order = {}, {}
    for i, item in ipairs(list) do
        ranks[item] = rank(salt .. id_of(item))
        order[i] = item
    end
    table.sort(order, function(a, b)
        if ranks[a] ~= ranks[b] then
            return ranks[a] < ranks[b]
        end
        return id_of(a) < id_of(b)
    end)
    return order
end

local function cell_id(cell)
    return cell.id
end

---`count` of the cells, by chance; a larger sample with the same seed has all of a smaller one.
---@param cells table[]
---@param count integer
---@param seed integer
---@return table<table, boolean> chosen
function M.sample(cells, count, seed)
    local chosen = {}
    for i, cell in ipairs(by_rank(cells, seed .. "\0", cell_id)) do
        if i > count then
            break
        end
        chosen[cell] = true
    end
    return chosen
end

---The share of machine `index` of `count`: units in the order of their digests, cut into pieces of the same
---weight. A unit that is added moves at most one unit at each cut.
---@param units { id: string, weight: integer }[]
---@param index integer 1 and up
---@param count integer
---@return table<table, boolean> chosen
function M.shard(units, index, count)
    local chosen, total, before = {}, 0, 0
    for _, unit in ipairs(units) do
        total = total + unit.weight
    end
    for _, unit in ipairs(by_rank(units, "", function(unit) return unit.id end)) do
        -- Where its middle lies decides; the weights are whole, so this is exact.
        local piece = (2 * before + unit.weight) * count // (2 * total) + 1
        if math.min(piece, count) == index then
            chosen[unit] = true
        end
        before = before + unit.weight
    end
    return chosen
end

-- The pairs of values that each cell has, as numbers. With one axis a value alone counts as a pair, with
-- none the cell itself.
local function pairs_of(cells)
    local numbers, count, out = {}, 0, {}
    local function number_of(a, b)
        local row = numbers[a]
        if not row then
            row = {}
            numbers[a] = row
        end
        if not row[b] then
            count = count + 1
            row[b] = count
        end
        return row[b]
    end
    for i, cell in ipairs(cells) do
        local axes, list = cell.axes, {}
        for x = 1, #axes do
            for y = x + 1, #axes do
                list[#list + 1] = number_of(axes[x], axes[y])
            end
        end
        if #axes < 2 then
            list[1] = number_of(axes[1] or cell.matrix, axes[1] or cell.matrix)
        end
        out[i] = list
    end
    return out, count
end

local function gain(list, covered)
    local sum = 0
    for i = 1, #list do
        if not covered[list[i]] then
            sum = sum + 1
        end
    end
    return sum
end

-- The greedy cover that takes the cells of equal gain in this order. What a cell would add can only get
-- less, so a cell is looked at again only when its turn comes.
local function greedy(lists, order, wanted, limit)
    local buckets, top = {}, 0
    for _, at in ipairs(order) do
        local n = #lists[at]
        top = math.max(top, n)
        buckets[n] = buckets[n] or {}
        table.insert(buckets[n], at)
    end
    local covered, taken, left = {}, {}, wanted
    while left > 0 and top > 0 and #taken < limit do
        local bucket = buckets[top]
        local heads = {}
        for _, at in ipairs(bucket or {}) do
            local now = gain(lists[at], covered)
            if now == top and #taken < limit then
                taken[#taken + 1] = at
                for _, pair in ipairs(lists[at]) do
                    if not covered[pair] then
                        covered[pair], left = true, left - 1
                    end
                end
            elseif now > 0 then
                heads[now] = heads[now] or {}
                table.insert(heads[now], at)
            end
        end
        for n, list in pairs(heads) do
            local target = buckets[n]
            if target then
                table.move(list, 1, #list, #target + 1, target)
            else
                buckets[n] = list
            end
        end
        buckets[top] = nil
        top = top - 1
    end
    return left == 0 and taken or nil
end

-- Takes out what the others cover already, the last first.
local function thin(lists, taken)
    local times = {}
    for _, at in ipairs(taken) do
        for _, pair in ipairs(lists[at]) do
            times[pair] = (times[pair] or 0) + 1
        end
    end
    local kept = {}
    for i = #taken, 1, -1 do
        local needed = false
        for _, pair in ipairs(lists[taken[i]]) do
            needed = needed or times[pair] == 1
        end
        if needed then
            table.insert(kept, 1, taken[i])
        else
            for _, pair in ipairs(lists[taken[i]]) do
                times[pair] = times[pair] - 1
            end
        end
    end
    return kept
end

-- How often another order is tried: few enough for 100,000 cells to take no time that matters.
local WORK <const>, TRIES <const> = 400000, 60

-- Another order of the same numbers, the same on every machine.
local function shuffled(order, seed)
    local out, state = table.move(order, 1, #order, 1, {}), seed * 2654435761 % 2 ^ 32 // 1 | 0
    for i = #out, 2, -1 do
        state = (state * 1664525 + 1013904223) & 0xffffffff
        local j = (state >> 8) % i + 1
        out[i], out[j] = out[j], out[i]
    end
    return out
end

---Few cells that have, between them, every pair of values of two axes that any of the cells has.
---@param cells table[] of one matrix
---@return table<table, boolean> chosen
function M.pairwise(cells)
    local lists, wanted = pairs_of(cells)
    local order, best = {}, nil
    for i in ipairs(cells) do
        order[i] = i
    end
    table.sort(order, function(a, b) return cells[a].id < cells[b].id end)
    for try = 1, math.max(1, math.min(TRIES, WORK // math.max(1, #cells))) do
        local taken = greedy(lists, shuffled(order, try), wanted, best and #best or math.huge)
        taken = taken and thin(lists, taken)
        if taken and (not best or #taken < #best) then
            best = taken
        end
    end
    local chosen = {}
    for _, at in ipairs(best or {}) do
        chosen[cells[at]] = true
    end
    return chosen
end

return M
