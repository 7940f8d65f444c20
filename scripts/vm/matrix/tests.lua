-- The tests of a matrix: checked, completed by what the matrix says for all, in order.
local options = require "vm.options"
local names = require "vm.matrix.names"
local places = require "vm.matrix.problems"

local M = {}

local DEFAULT_TIMEOUT <const> = 600

local spec = {
    name = "string",
    run = "function",
    when = "function",
    from = "string",
    tags = "string|table",
    timeout = { "time", min = 0.001 },
    retries = { "integer", min = 0, max = 100 },
    env = "table",
    artifacts = "string|table",
    secrets = "string|table",
    variants = "table",
    expect_fail = "boolean|string|function",
    priority = "integer",
}

local function join(path, key)
    local out = table.move(path, 1, #path, 1, {})
    out[#out + 1] = key
    return out
end

-- A list of strings from a string or a list; `check` says what is wrong with one, or nil.
local function strings(problems, matrix, path, what, given, check)
    local out = {}
    if type(given) == "string" then
        given = { given }
    end
    for key, item in pairs(given or {}) do
        if math.type(key) ~= "integer" or key < 1 or key > #given then
            problems:add(matrix, join(path, key), "%s: a list of strings expected, and it has the key %s", what,
                options.show(key))
        elseif type(item) ~= "string" then
            problems:add(matrix, join(path, key), "%s: strings expected, got %s", what, options.show(item))
        end
    end
    for i, item in ipairs(given or {}) do
        local why = type(item) == "string" and check and check(item)
        if why then
            problems:add(matrix, join(path, i), "%s: %s %s", what, options.show(item), why)
        elseif type(item) == "string" then
            out[#out + 1] = item
        end
    end
    return out
end

local function bad_tag(tag)
    if not tag:find "^[%w._+-]+$" then
        return "is no tag: letters, digits, '.', '_', '+' and '-' expected"
    end
end

local function bad_path(path)
    if type(path) ~= "string" then
        return "is no path"
    elseif path:sub(1, 1) ~= "/" then
        return "is not absolute; a guest's path such as '/w/tests/*.log' expected"
    elseif ("/" .. path .. "/"):find("/../", 1, true) then
        return "escapes: '..' may not stand in it"
    elseif path:find "[%z\n]" then
        return "has a control character in it"
    end
end

local artifact_spec = {
    path = { "string", required = true },
    guest = "string",
    when = { "string", default = "always", one_of = { "always", "failed" } },
}

-- Paths of the guest, or { path =, guest =, when = } where there is more to say.
local function check_artifacts(problems, matrix, path, what, given)
    local out = {}
    if type(given) == "string" or (type(given) == "table" and given.path ~= nil) then
        given = { given }
    end
    for key in pairs(given or {}) do
        if math.type(key) ~= "integer" or key < 1 or key > #given then
            problems:add(matrix, join(path, key), "%s: a list of paths expected, and it has the key %s", what,
                options.show(key))
        end
    end
    for i, item in ipairs(given or {}) do
        local at, label = join(path, i), ("%s[%d]"):format(what, i)
        local one = item
        if type(item) == "table" then
            one = problems:try(matrix, at, options.check, label, item, artifact_spec)
        end
        local where = type(one) == "table" and one.path or one
        local why = one ~= nil and bad_path(where)
        if why then
            problems:add(matrix, at, "%s: %s %s", label, options.show(where), why)
        elseif one ~= nil then
            out[#out + 1] = one
        end
    end
    return out
end

local function bad_secret(text)
    if #text < 4 then
        return "is too short to be masked: at least 4 characters"
    end
end

local function check_env(problems, matrix, path, what, given)
    local out = {}
    for name, value in pairs(given or {}) do
        if type(name) ~= "string" or not name:find "^[%a_][%w_]*$" then
            problems:add(matrix, join(path, name), "%s: env: %s is not the name of an environment variable", what,
                options.show(name))
        elseif type(value) ~= "string" and type(value) ~= "number" then
            problems:add(matrix, join(path, name), "%s: env: %s: a string expected, got %s", what, name,
                options.show(value))
        else
            out[name] = tostring(value)
        end
    end
    return out
end

---What both a matrix and its tests may say: tags, artifacts, secrets and env, checked.
---@param problems vm.matrix.Problems
---@param matrix table
---@param path any[]
---@param what string
---@param given table
---@return table
local function common(problems, matrix, path, what, given)
    return {
        tags = strings(problems, matrix, join(path, "tags"), what .. ": tags", given.tags, bad_tag),
        artifacts = check_artifacts(problems, matrix, join(path, "artifacts"), what .. ": artifacts",
            given.artifacts),
        secrets = strings(problems, matrix, join(path, "secrets"), what .. ": secrets", given.secrets, bad_secret),
        env = check_env(problems, matrix, join(path, "env"), what, given.env),
    }
end

-- What the matrix says, and then what the test says, each once.
local function both(first, second)
    local out, there = {}, {}
    for _, list in ipairs { first, second } do
        for _, item in ipairs(list) do
            if not there[item] then
                there[item] = true
                out[#out + 1] = item
            end
        end
    end
    return out
end

local function merged(first, second)
    local out = {}
    for _, map in ipairs { first, second } do
        for key, value in pairs(map) do
            out[key] = value
        end
    end
    return out
end

-- The definitions in order: { key, given, path }. Of names, the order is that of the file where it is
-- known, and else that of the alphabet.
local function ordered(problems, matrix, given)
    local out = {}
    if #given > 0 then
        for i, item in ipairs(given) do
            out[i] = { given = item, path = { "tests", i } }
        end
    end
    local node = matrix.places and matrix.places.below and matrix.places.below.tests
    local where = {}
    for i, key in ipairs(node and node.keys or {}) do
        where[key] = i
    end
    local named = {}
    for key, item in pairs(given) do
        if type(key) == "string" then
            named[#named + 1] = { key = key, given = item, path = { "tests", key } }
        elseif math.type(key) ~= "integer" or key < 1 or key > #given then
            problems:add(matrix, { "tests", key }, "vm.matrix: tests: names or a list expected, and it has the key %s",
                options.show(key))
        end
    end
    local written = true
    for _, item in ipairs(named) do
        written = written and where[item.key] ~= nil
    end
    table.sort(named, function(a, b)
        if written then
            return where[a.key] < where[b.key]
        end
        return a.key < b.key
    end)
    return table.move(named, 1, #named, #out + 1, out)
end

local function check_one(problems, matrix, shared, item, check)
    local given, path = item.given, item.path
    if type(given) == "function" then
        given = { run = given }
    elseif type(given) ~= "table" then
        problems:add(matrix, path, "vm.matrix: test %s: a function or a table expected, got %s",
            options.show(item.key or path[2]), options.show(given))
        return nil
    end
    local title = item.key or given.name
    if type(title) ~= "string" or names.clean(title) == "" then
        problems:add(matrix, path, "vm.matrix: tests[%s]: a test in a list needs a name", tostring(path[2]))
        return nil
    end
    local what = ("test '%s'"):format(title)
    local def = check.keys(problems, matrix, path, what, given, spec)
    if given.run == nil then
        problems:add(matrix, path, "%s: 'run' is missing", what)
    end
    if item.key and given.name ~= nil then
        problems:add(matrix, join(path, "name"), "%s: its key is its name already", what)
    end
    local own = common(problems, matrix, path, what, def)
    local out = {
        name = names.clean(title),
        title = title,
        run = def.run,
        when = def.when,
        from = def.from and names.clean(def.from:match "^[^@]*") .. (def.from:match "@.*$" or ""),
        from_given = def.from,
        expected = def.expect_fail,
        timeout = def.timeout or matrix.timeout or math.min(DEFAULT_TIMEOUT, matrix.cell_timeout or DEFAULT_TIMEOUT),
        retries = def.retries or matrix.retries or 0,
        priority = def.priority or matrix.priority,
        env = merged(shared.env, own.env),
        artifacts = both(shared.artifacts, own.artifacts),
        secrets = both(shared.secrets, own.secrets),
        tags = both(shared.tags, own.tags),
        path = path,
    }
    out.file, out.line = places.place(matrix, path)
    if def.run and out.line == matrix.line then
        out.file, out.line = places.place(matrix, { def.run })
    end
    if def.variants then
        out.variants = check.values(problems, matrix, join(path, "variants"), what .. ": variants", "variant",
            def.variants)
    end
    return out
end

-- Each name of a test that a `from` may say: the test itself, and each of its variants.
local function targets(list)
    local known = {}
    for _, def in ipairs(list) do
        known[def.name] = def
        for _, variant in ipairs(def.variants or {}) do
            known[def.name .. "@" .. variant.part] = def
        end
    end
    return known
end

local function has_variant(def, part)
    for _, variant in ipairs(def.variants or {}) do
        if variant.part == part then
            return true
        end
    end
    return false
end

local function check_from(problems, matrix, list)
    local known = targets(list)
    for _, def in ipairs(list) do
        local at = join(def.path, "from")
        local start = def.from and known[def.from]
        if def.from and not start then
            local all = {}
            for name in pairs(known) do
                all[#all + 1] = name
            end
            local near = options.nearest(def.from, all)
            problems:add(matrix, at, "test '%s': from: there is no test '%s'%s", def.title, def.from_given,
                near and ("; did you mean '%s'?"):format(near) or "")
            def.from = nil
        elseif start and matrix.isolation == "boot" then
            problems:add(matrix, at, "test '%s': from: with isolation = \"boot\" every test boots, and nothing of "
                .. "another test is left", def.title)
            def.from = nil
        elseif start and start.variants and def.from == start.name then
            for _, variant in ipairs(def.variants or { { part = false } }) do
                if not has_variant(start, variant.part) then
                    problems:add(matrix, at, "test '%s': from: '%s' has variants; say which: '%s@%s'", def.title,
                        start.name, start.name, start.variants[1] and start.variants[1].part or "...")
                    def.from = nil
                    break
                end
            end
        end
    end
    for _, def in ipairs(list) do
        local chain, seen, at = { def.name }, { [def] = true }, def
        while at.from do
            at = known[at.from]
            chain[#chain + 1] = at.name
            if at == def then
                problems:add(matrix, join(def.path, "from"), "test '%s': from goes round in a circle: %s", def.title,
                    table.concat(chain, " <- "))
                def.from = nil -- nobody else goes round in it
                break
            elseif seen[at] then
                break -- another's circle
            end
            seen[at] = true
        end
    end
end

---Checks the tests of a matrix: sets matrix.test_list, and its own tags, artifacts, secrets and env.
---@param problems vm.matrix.Problems
---@param matrix table
---@param check table the module vm.matrix.check
function M.check(problems, matrix, check)
    local shared = common(problems, matrix, {}, "vm.matrix", matrix)
    for key, value in pairs(shared) do
        matrix[key] = value
    end
    matrix.inputs = strings(problems, matrix, { "inputs" }, "vm.matrix: inputs", matrix.inputs)
    local list, by_name = {}, {}
    if matrix.def.tests == nil then
        problems:add(matrix, nil, "vm.matrix: 'tests' is missing")
    elseif type(matrix.tests) == "table" and next(matrix.tests) == nil then
        problems:add(matrix, { "tests" }, "vm.matrix: tests: it is empty, so nothing would be tested")
    end
    for _, item in ipairs(ordered(problems, matrix, matrix.tests or {})) do
        local def = check_one(problems, matrix, shared, item, check)
        if def and by_name[def.name] then
            problems:add(matrix, def.path, "test '%s': another has the same name", def.title)
        elseif def then
            by_name[def.name] = def
            list[#list + 1] = def
            if matrix.cell_timeout and def.timeout > matrix.cell_timeout then
                problems:add(matrix, join(def.path, "timeout"),
                    "test '%s': its timeout of %g s is more than the cell's, %g s", def.title, def.timeout,
                    matrix.cell_timeout)
            end
        end
    end
    check_from(problems, matrix, list)
    matrix.test_list = list
end

return M
