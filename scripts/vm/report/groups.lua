-- What tests recorded, compared across cells: equal values together, and which axis tells them apart.
local M = {}

local function by_size(a, b)
    if #a.tests ~= #b.tests then
        return #a.tests > #b.tests
    end
    return a.first < b.first
end

-- Every record of every test, by its name and the test's; in the order they are met.
local function gather(tests)
    local list, by_key, users = {}, {}, {}
    for at, test in ipairs(tests) do
        for name, record in pairs(test.records or {}) do
            local key = test.name .. "\0" .. name
            local entry = by_key[key]
            if not entry then
                entry = { record = name, test = test.name, groups = {}, by_digest = {}, members = {} }
                by_key[key] = entry
                list[#list + 1] = entry
                users[name] = (users[name] or 0) + 1
            end
            local digest = record.digest or record.text or ""
            local group = entry.by_digest[digest]
            if not group then
                group = { text = record.text, digest = record.digest, tests = {}, first = at }
                entry.by_digest[digest] = group
                entry.groups[#entry.groups + 1] = group
            end
            group.tests[#group.tests + 1] = test.id
            entry.members[#entry.members + 1] = { group = group, axes = test.cell.axes }
        end
    end
    return list, users
end

-- Whether the values of these axes say which group a member is in.
local function tells(members, axes)
    local seen, values = {}, 0
    for _, member in ipairs(members) do
        local words = {}
        for i, axis in ipairs(axes) do
            for _, pair in ipairs(member.axes) do
                if pair[1] == axis then
                    words[i] = pair[2]
                end
            end
            words[i] = words[i] or ""
        end
        local key = table.concat(words, "\0")
        if seen[key] == nil then
            seen[key] = member.group
            values = values + 1
        elseif seen[key] ~= member.group then
            return false
        end
    end
    return values < #members -- where each has its own values, that they tell apart says nothing
end

-- The one axis, or else the two, that explain the difference; nil when none does.
local function explain(entry)
    local names, known = {}, {}
    for _, member in ipairs(entry.members) do
        for _, pair in ipairs(member.axes) do
            if not known[pair[1]] then
                known[pair[1]] = true
                names[#names + 1] = pair[1]
            end
        end
    end
    for _, name in ipairs(names) do
        if tells(entry.members, { name }) then
            return { name }
        end
    end
    for i = 1, #names do
        for j = i + 1, #names do
            if tells(entry.members, { names[i], names[j] }) then
                return { names[i], names[j] }
            end
        end
    end
end

---The records of tests, each with its groups, the largest first; those that differ come before those
---that are alike everywhere. `by` names the axes that explain the difference, when one or two do.
---@param tests vm.report.Test[]
---@return table[]
function M.records(tests)
    local list, users = gather(tests)
    for _, entry in ipairs(list) do
        entry.name = users[entry.record] > 1 and ("%s: %s"):format(entry.test, entry.record) or entry.record
        table.sort(entry.groups, by_size)
        entry.by = #entry.groups > 1 and explain(entry) or nil
        entry.total = #entry.members
        entry.by_digest, entry.members = nil, nil
    end
    table.sort(list, function(a, b)
        if (#a.groups > 1) ~= (#b.groups > 1) then
            return #a.groups > 1
        end
        return a.name < b.name
    end)
    return list
end

---The records that did not come out alike everywhere.
---@param list table[] of M.records
---@param most integer
---@return table[]
function M.differing(list, most)
    local found = {}
    for _, entry in ipairs(list) do
        if #entry.groups > 1 and #found < most then
            found[#found + 1] = entry
        end
    end
    return found
end

---How a record came out, in words: "14 alike, 2 differ (by arch)".
---@param entry table one of M.records
---@return string
function M.words(entry)
    local alike = #entry.groups[1].tests
    if #entry.groups == 1 then
        return alike == 1 and "recorded once" or ("all %d alike"):format(alike)
    end
    local differ = entry.total - alike
    local text = ("%d alike, %d differ%s"):format(alike, differ, differ == 1 and "s" or "")
    if #entry.groups == entry.total then
        text = ("all %d differ"):format(entry.total)
    end
    return entry.by and ("%s, by %s"):format(text, table.concat(entry.by, " and ")) or text
end

return M
