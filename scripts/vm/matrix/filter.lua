-- The words that choose tests: patterns of ids, axis=value, axis!=value, tags.
local options = require "vm.options"
local names = require "vm.matrix.names"

local M = {}

-- What a filter may name besides axes, and what of a test it looks at.
local special = {
    matrix = function(test) return test.cell.matrix.name or "" end,
    test = function(test) return test.def.name end,
    variant = function(test) return test.variant or "" end,
}

-- A function that says whether a text is one of several values or globs.
local function one_of(words)
    local plain, patterns = {}, {}
    for word in words:gmatch "[^,]+" do
        if names.is_glob(word) then
            patterns[#patterns + 1] = names.pattern(word)
        else
            plain[word] = true
        end
    end
    return function(text)
        if plain[text] then
            return true
        end
        for _, pattern in ipairs(patterns) do
            if text:find(pattern) then
                return true
            end
        end
        return false
    end
end

local function axis_matcher(axis, words)
    local matches = one_of(words)
    return function(test)
        local cell = test.cell
        for i = 1, #cell.axes do
            local pair = cell.axes[i]
            if pair[1] == axis then
                return matches(pair[2]) or matches(cell.parts and cell.parts[i] or names.clean(pair[2]))
            end
        end
        return false
    end
end

local function tag_matcher(words)
    local matches = one_of(words)
    return function(test)
        for _, tag in ipairs(test.tags) do
            if matches(tag) then
                return true
            end
        end
        return false
    end
end

-- Whether a test's name, or that without its variant, is like a pattern.
local function name_matches(test, pattern)
    return test.name:find(pattern) ~= nil or test.def.name:find(pattern) ~= nil
end

-- "cell:test": the cell from its beginning, up to a "/"; either side may be empty.
local function id_matcher(word)
    local cell, test = word:match "^([^:]*):?(.*)$"
    cell = cell:gsub("/+$", "")
    local whole = names.pattern(cell)
    local beginning = whole:gsub("%$$", "/")
    local test_pattern = test ~= "" and names.pattern(test)
    return function(one)
        return (cell == "" or one.cell.id:find(whole) ~= nil or one.cell.id:find(beginning) ~= nil)
            and (not test_pattern or name_matches(one, test_pattern))
    end
end

-- A word without "/" and ":": any part of an id.
local function part_matcher(word)
    local pattern = names.pattern(word)
    local seen, answer
    return function(test)
        local cell = test.cell
        if cell ~= seen then
            seen, answer = cell, false
            for part in cell.id:gmatch "[^/]+" do
                answer = answer or part:find(pattern) ~= nil
            end
            for i = 1, #cell.axes do
                answer = answer or cell.axes[i][2]:find(pattern) ~= nil
            end
        end
        return answer or name_matches(test, pattern)
    end
end

---Reads one word of the command line. A filter has `text`, `key` ("id", "tag", an axis ...), `negated`
---and `matches(test)`.
---@param word string
---@param axes table<string, boolean> the axes there are
---@return table|nil filter
---@return string|nil why
function M.parse(word, axes)
    local bang, tag = word:match "^(!?)@(.*)$"
    local key, operator, words = word:match "^([%a_][%w_]*)(!?=)(.*)$"
    if tag then
        key, operator, words = "tag", bang == "!" and "!=" or "=", tag
    end
    if not key then
        if word:find "^!" or word:find "=" and word:find "^[^/:]*!=" then
            return nil, ("'%s' is no filter; what is to be left out is said as AXIS!=VALUE or tag!=TAG"):format(word)
        end
        local make = word:find "[/:]" and id_matcher or part_matcher
        return { text = word, key = "id", negated = false, matches = make(word) }
    end
    if words == "" then
        return nil, ("filter '%s': a value is missing after '%s'"):format(word, operator)
    end
    local filter = { text = word, key = key, negated = operator == "!=", words = words }
    if key == "tag" then
        filter.matches = tag_matcher(words)
    elseif special[key] then
        local matches, get = one_of(words), special[key]
        filter.matches = function(test) return matches(get(test)) end
    elseif axes[key] then
        filter.matches = axis_matcher(key, words)
    else
        local known = { "tag", "test", "matrix", "variant" }
        for name in pairs(axes) do
            known[#known + 1] = name
        end
        table.sort(known)
        local near = options.nearest(key, known)
        return nil, ("filter '%s': there is no axis '%s'; %s"):format(word, key,
            near and ("did you mean '%s'?"):format(near) or "known are " .. table.concat(known, ", "))
    end
    return filter
end

---The filters that a test is held against, by what they are about: it must match one of those of each
---key, and none that is negated.
---@param filters table[]
---@return table[] groups { key, filters }, in the order of the command line
function M.groups(filters)
    local out, by_key = {}, {}
    for _, filter in ipairs(filters) do
        local key = filter.negated and "!" or filter.key
        if not by_key[key] then
            by_key[key] = { key = key }
            out[#out + 1] = by_key[key]
        end
        table.insert(by_key[key], filter)
    end
    return out
end

---The group of filters that a test fails, or nil: it is chosen.
---@param groups table[] from M.groups
---@param test table
---@return table|nil group
---@return table|nil filter the negated one that it matches
function M.failing(groups, test)
    for _, group in ipairs(groups) do
        local any = false
        for _, filter in ipairs(group) do
            any = filter.matches(test)
            if any then
                if group.key == "!" then
                    return group, filter
                end
                break
            end
        end
        if not any and group.key ~= "!" then
            return group
        end
    end
    return nil
end

-- As much of a cell's id as a word has parts.
local function beginning(id, word)
    local _, slashes = word:gsub("/*$", ""):gsub("/", "")
    return id:match("^" .. ("[^/]*/"):rep(slashes) .. "[^/]*") or id
end

-- The words that a filter might have meant: ids, their parts, values of the axis.
local function candidates(filter, tests)
    local seen, out = {}, {}
    local function add(text)
        if not seen[text] and #out < 5000 then
            seen[text] = true
            out[#out + 1] = text
        end
    end
    for _, test in ipairs(tests) do
        if filter.key == "id" then
            local word = filter.text
            local cell, name = word:match "^([^:]*):(.*)$"
            if cell then
                add(("%s:%s"):format(cell ~= "" and beginning(test.cell.id, cell) or "", name:find "@" and test.name
                    or test.def.name))
            elseif word:find "/" then
                add(beginning(test.cell.id, word))
            else
                for part in test.cell.id:gmatch "[^/]+" do
                    add(part)
                end
                add(test.def.name)
            end
        elseif filter.key == "tag" then
            for _, tag in ipairs(test.tags) do
                add(tag)
            end
        elseif special[filter.key] then
            add(special[filter.key](test))
        else
            for _, pair in ipairs(test.cell.axes) do
                if pair[1] == filter.key then
                    add(pair[2])
                end
            end
        end
    end
    return out
end

---Why a filter matches nothing at all, or nil.
---@param filter table
---@param tests table[]
---@return string|nil
function M.in_vain(filter, tests)
    for _, test in ipairs(tests) do
        if filter.matches(test) then
            return nil
        end
    end
    local list = candidates(filter, tests)
    local word = filter.key == "id" and filter.text or filter.words
    local near = options.nearest(word, list)
    if filter.key == "id" then
        return ("nothing matches '%s'%s"):format(filter.text, near and ("; did you mean '%s'?"):format(near) or "")
    end
    table.sort(list)
    local shown = table.concat(list, ", ", 1, math.min(#list, 8)) .. (#list > 8 and ", ..." or "")
    return ("nothing matches '%s'; %s"):format(filter.text, near and ("did you mean '%s'?"):format(near)
        or #list > 0 and ("known are %s"):format(shown) or ("no test has a %s"):format(filter.key))
end

return M
