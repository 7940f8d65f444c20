-- The command line of `vmatrix test`: one table says what there is, reads it and is the help.
local options = require "vm.options"
local fs = require("vm.raw").fs

local M = {}

local function whole(least)
    return function(what, text)
        local number = math.tointeger(tonumber(text))
        if not number or number < least then
            return nil, ("%s: a whole number of at least %d expected, got '%s'"):format(what, least, text)
        end
        return number
    end
end

local words_of = {} -- by reader: the words that it takes

local function one_of(...)
    local words = { ... }
    local function read(what, text)
        for _, word in ipairs(words) do
            if word == text then
                return text
            end
        end
        local near = options.nearest(text, words)
        return nil, ("%s: one of %s expected, got '%s'%s"):format(what, table.concat(words, ", "), text,
            near and ("; did you mean '%s'?"):format(near) or "")
    end
    words_of[read] = words
    return read
end

local function time(what, text)
    local ok, value = pcall(options.time, what, text)
    if not ok then
        return nil, value.message
    elseif value <= 0 then
        return nil, ("%s: a time of more than 0 s expected, got '%s'"):format(what, text)
    end
    return value
end

local function size(what, text)
    local ok, value = pcall(options.size, what, text)
    if not ok then
        return nil, value.message
    end
    return value
end

local function jobs(what, text)
    if text == "auto" then
        return text
    end
    local number = whole(1)(what, text)
    if not number then
        return nil, ("%s: 'auto' or a whole number of at least 1 expected, got '%s'"):format(what, text)
    end
    return number
end

local function shard(what, text)
    local index, count = text:match "^(%d+)/(%d+)$"
    index, count = math.tointeger(tonumber(index)), math.tointeger(tonumber(count))
    if not index or index < 1 or index > count then
        return nil, ("%s: I/N with I from 1 to N expected, such as 2/4, got '%s'"):format(what, text)
    end
    return { index = index, count = count }
end

local function setting(what, text)
    local name, value = text:match "^([%a_][%w_-]*)=(.*)$"
    if not name then
        return nil, ("%s: NAME=VALUE expected, got '%s'"):format(what, text)
    end
    return { name = name, value = value }
end

M.FORMATS = { "junit", "tap", "json", "markdown", "github", "html" }

local known_format <const> = one_of(table.unpack(M.FORMATS))

local function format(what, text)
    local name, path = text:match "^([^=]*)=(.+)$"
    local known, why = known_format(what, name or text)
    return known and { name = known, path = path }, why
end
words_of[format] = M.FORMATS

local function text_of(_, text)
    return text
end

-- { names, what the value is called or nil, reader, what it does }; a name ending in "*" may be repeated.
M.list = {
    { "choosing" },
    { "rerun", "MODE [RUN]", one_of("failed", "all", "missing"),
        "what failed in an earlier run (the last one), all of\nit, or 'missing': goes on with what has no verdict" },
    { "changed", nil, nil, "what changed since it last passed: the matrix file, what steps copy in" },
    { "sample", "N", whole(1), "N cells, by chance (see --seed)" },
    { "pairwise", nil, nil, "few cells that have every pair of values of two axes" },
    { "shard", "I/N", shard, "the share of the I-th of N machines" },
    { "showing" },
    { "list", nil, nil, "what would be run, and how long it may take; nothing is run" },
    { "explain", "ID", text_of, "why a cell or a test is in or out, and which line says so" },
    { "json", nil, nil, "--list as JSON" },
    { "running" },
    { "D*", "NAME=VALUE", setting, "a parameter of the matrix, see vm.params" },
    { "jobs,j", "N", jobs, "tests at once: 'auto', what the host's cpus and memory carry, or a number" },
    { "memory", "SIZE", size, "what the guests of all runs on this host may have together, such as 4GiB" },
    { "seed", "N", whole(0), "of the running order and of --sample; else by chance, and printed" },
    { "retries", "N", whole(0), "of a test that fails, each on a fresh guest; else what the matrix says" },
    { "repeat", "N", whole(1), "runs each test N times, and says how often it fails" },
    { "fail-fast", nil, nil, "starts nothing more after the first failure" },
    { "isolation", "WHAT", one_of("test", "cell", "revert", "boot"),
        "whether each test or each cell gets a guest of its own; revert,\nboot: each test, by that way and no fork" },
    { "timeout", "TIME", time, "of the whole run" },
    { "locked", nil, nil, "refuses images that are not in the vmatrix.lock beside the matrix" },
    { "test-timeout", "TIME", time, "of each test, instead of what the matrix says" },
    { "keep", "WHEN", one_of("never", "failed", "always"),
        "whether the guests of tests are kept: never (default), failed, always" },
    { "shell", nil, nil, "stops at the first failure and opens the guest's shell" },
    { "reopen", "ID [RUN]", text_of, "opens the shell of the guest that was kept of a test" },
    { "discard", "ID [RUN]", text_of, "deletes the guest that was kept of a test" },
    { "saying" },
    { "output", "DIR", text_of, "the folder of runs; .vmatrix/runs beside the matrix file unless told otherwise" },
    { "format*", "NAME[=FILE]", format, "a report besides: junit, tap, json, markdown, github or html" },
    { "verbose,v", nil, nil, "the tests' output as it comes; twice: debug" },
    { "quiet,q", nil, nil, "only what failed" },
    { "help,h", nil, nil, "this text" },
}

---The words that options take, for completion: by option.
---@type table<string, string[]>
M.values = {}

local by_name, order = {}, {}
for _, item in ipairs(M.list) do
    if item[4] then
        local option = { value = item[2], read = item[3], many = item[1]:find "%*$" ~= nil,
            optional = item[2] and item[2]:find " %[RUN%]" ~= nil }
        for name in item[1]:gsub("%*", ""):gmatch "[^,]+" do
            local dashed = (#name == 1 and "-" or "--") .. name
            option.name = option.name or name
            option.shown = option.shown or dashed
            by_name[dashed] = option
            order[#order + 1] = dashed
            M.values[dashed] = words_of[item[3]]
        end
    end
end

---The help text.
---@return string
function M.usage()
    local out = { [[
usage: vmatrix test [OPTION...] [FILE...] [FILTER...]

Runs the tests of the matrices that Lua files return, ./matrix.lua unless told otherwise, and writes
the reports. A FILE ends in ".lua", or in "/": the matrix.lua of that folder. Of several FILTERs those
about the same thing are alternatives, and a test must pass each kind:

  debian-12/*/gcc:check   a cell, from its beginning, and a test; '*' stays between '/', '**' does not
  gcc, check              a word without '/' and ':' is any part of an id
  arch=x86_64,riscv64     the value of an axis; also test=, tag=, variant=, matrix=
  arch!=riscv64           leaves them out
  @slow, tag!=slow        tests with a tag, and those without it
]] }
    for _, item in ipairs(M.list) do
        if not item[4] then
            out[#out + 1] = ("\n%s:\n"):format(item[1])
        else
            local names = {}
            for name in item[1]:gsub("%*", ""):gmatch "[^,]+" do
                table.insert(names, 1, (#name == 1 and "-" or "--") .. name)
            end
            local left = table.concat(names, ", ") .. (item[2] and " " .. item[2] or "")
            out[#out + 1] = ("  %-21s %s\n"):format(left, (item[4]:gsub("\n", "\n" .. (" "):rep(24))))
        end
    end
    out[#out + 1] = [[

exit status: 0 all passed, 1 tests failed, 2 wrong usage or nothing chosen, 3 only the host's or the
guests' errors, 130 interrupted
]]
    return table.concat(out)
end

-- What a word that begins with a dash asks for: its option and value, or why not.
local function split(word)
    local name, value = word:match "^(%-%-[%w-]+)=(.*)$"
    if not name and word:find "^%-[Dj]." then
        name, value = word:sub(1, 2), word:sub(3)
    end
    name = name or word
    local option = by_name[name]
    if not option then
        local near = options.nearest(name, order)
        return nil, ("unknown option '%s'%s"):format(name, near and ("; did you mean '%s'?"):format(near) or "")
    elseif value and not option.value then
        return nil, ("option '%s' takes no value"):format(name)
    end
    return option, nil, value
end

-- A folder is one that is written as such: "debian-12/" may be the beginning of an id.
local function is_file(word)
    return word:find "%.lua$" ~= nil
        or (word:find "/$" ~= nil and (word:find "^[./]" ~= nil or fs.exists(word .. "matrix.lua")))
end

---Reads a command line. What is not an option is in `files` and `filters`; `is_run` says whether the word
---after an option that may name a run does.
---@param args string[]
---@param is_run fun(word: string): boolean
---@return table|nil given values by the options' long names; those that may be repeated are lists
---@return string|nil complaint
function M.parse(args, is_run)
    local given = { files = {}, filters = {}, verbose = 0 }
    local at, only_words = 1, false
    while args[at] do
        local word = args[at]
        if only_words or word == "-" or word:sub(1, 1) ~= "-" then
            if is_file(word) then
                table.insert(given.files, word:sub(-1) == "/" and word .. "matrix.lua" or word)
            else
                table.insert(given.filters, word)
            end
        elseif word == "--" then
            only_words = true
        else
            if word == "-vv" then
                word, given.verbose = "-v", given.verbose + 1
            end
            local option, complaint, value = split(word)
            if not option then
                return nil, complaint
            end
            if option.value and value == nil then
                at = at + 1
                value = args[at]
                if value == nil then
                    return nil, ("%s wants a value: %s %s"):format(word, word, option.value)
                end
            end
            local result = true
            if option.value then
                result, complaint = option.read(option.shown, value)
                if result == nil then
                    return nil, complaint
                end
            end
            if option.name == "verbose" then
                given.verbose = given.verbose + 1
            elseif option.many then
                given[option.name] = given[option.name] or {}
                table.insert(given[option.name], result)
            elseif option.value and given[option.name] ~= nil then
                return nil, ("option '%s' is there twice"):format(option.shown)
            else
                given[option.name] = result
            end
            if option.optional and args[at + 1] and is_run(args[at + 1]) then
                at = at + 1
                given.run = args[at]
            end
        end
        at = at + 1
    end
    return given
end

---What does not go together, or nil.
---@param given table from M.parse
---@return string|nil complaint
function M.conflict(given)
    local function both(a, b)
        return given[a] and given[b] and ("--%s and --%s do not go together"):format(a, b)
    end
    return both("list", "explain") or both("rerun", "changed") or both("sample", "pairwise")
        or both("reopen", "discard") or both("quiet", "shell")
        or (given.json and not given.list and "--json goes with --list")
        or (given.quiet and given.verbose > 0 and "--quiet and --verbose do not go together") or nil
end

return M
