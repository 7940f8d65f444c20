-- The program's commands as data: what each is called with, what that means, and what runs. Reading a
-- command line, its help text and the shells' completion are all made of it.
local errors = require "vm.errors"
local options = require "vm.options"

local M = {}

---A command. What may stand where is named by kinds: "guest" (names of kept guests), "image", "arch",
---"snapshot" (of the guest that is named before), "file" (of this host), "path" (GUEST:PATH, or a file), "state"
---(the key of a prepared one), "run" (of tests), "command" (a command line of its own), or a list of words given
---in `words`.
---@class vm.Command
---@field name string
---@field help string one line for `vmatrix --help`
---@field operands? vm.CommandOperand[]
---@field options? vm.CommandOption[] without --help, which every command has
---@field text? string more for its own --help
---@field examples? string[]
---@field handler fun(opts: table, operands: table): integer|nil the exit code; 0 when nil

---@class vm.CommandOperand
---@field name string "GUEST"
---@field key? string under which the handler finds it; the name in lower case
---@field complete? string[] kinds
---@field words? string[] what else may be said
---@field optional? boolean
---@field many? boolean it and all that follow; a list
---@field rest? boolean everything from here on, options too, is its own: a list

---@class vm.CommandOption
---@field name string "--memory"
---@field short? string "-m"
---@field value? string "SIZE"; without it, it is a flag
---@field type? string "string", "size", "time" or "integer"
---@field zero? boolean a size may be 0, too
---@field help string
---@field complete? string[] kinds of its value
---@field words? string[] the values there are
---@field file? boolean "=FILE" may follow one of the words
---@field many? boolean may be given several times: a list

---What every command has.
---@type vm.CommandOption
M.HELP = { name = "--help", short = "-h", help = "this text" }

---Exit codes, the same for every command. exec and shell end with the status of what they ran.
M.OK, M.FAILED, M.USAGE, M.NO_GUEST, M.NOT_RUN = 0, 1, 2, 3, 125

local function key_of(option)
    return (option.name:gsub("^%-+", ""):gsub("-", "_"))
end

local function operand_key(operand)
    return operand.key or operand.name:lower()
end

local function signature(def)
    local words = { "usage: vmatrix " .. def.name }
    if #(def.options or {}) > 0 then
        words[#words + 1] = "[OPTION...]"
    end
    for _, operand in ipairs(def.operands or {}) do
        local word = operand.name .. ((operand.many or operand.rest) and "..." or "")
        if operand.rest then
            word = operand.optional and "[[--] " .. word .. "]" or "[--] " .. word
        elseif operand.optional then
            word = "[" .. word .. "]"
        end
        words[#words + 1] = word
    end
    return table.concat(words, " ")
end

---A command's help text.
---@param def vm.Command
---@return string
function M.usage(def)
    local lines = { signature(def), "" }
    lines[#lines + 1] = def.help:sub(1, 1):upper() .. def.help:sub(2) .. "."
    if def.text then
        lines[#lines + 1] = (def.text:gsub("%s+$", ""))
    end
    lines[#lines + 1] = ""
    local list = table.move(def.options or {}, 1, #(def.options or {}), 1, {})
    list[#list + 1] = M.HELP
    local left, longest = {}, 0
    for i, option in ipairs(list) do
        left[i] = (option.short and option.short .. ", " or "") .. option.name
            .. (option.value and " " .. option.value or "")
        longest = math.max(longest, #left[i])
    end
    for i, option in ipairs(list) do
        lines[#lines + 1] = ("  %-" .. longest .. "s  %s"):format(left[i], option.help)
    end
    for i, example in ipairs(def.examples or {}) do
        lines[#lines + 1] = (i == 1 and "\nexamples:\n  " or "  ") .. example
    end
    return table.concat(lines, "\n") .. "\n"
end

local function find_option(def, word)
    for _, option in ipairs(def.options or {}) do
        if option.name == word or option.short == word then
            return option
        end
    end
    local names = { "--help" }
    for _, option in ipairs(def.options or {}) do
        names[#names + 1] = option.name
    end
    options.unknown("vmatrix " .. def.name, "option", word, names)
end

local function convert(option, value)
    local label = ("option '%s'"):format(option.name)
    if option.zero and tonumber(value) == 0 then
        return 0
    elseif option.type == "size" then
        return options.size(label, tonumber(value) or value)
    elseif option.type == "time" then
        return options.time(label, tonumber(value) or value)
    elseif option.type == "integer" then
        local number = math.tointeger(tonumber(value))
        return number or errors.fail("usage", "%s: a whole number expected, got %s", label, options.show(value))
    end
    local said = option.file and value:match "^([^=]*)=" or value
    for _, word in ipairs(option.words or {}) do
        if word == said then
            return value
        end
    end
    return option.words and options.unknown(label, "value", said, option.words) or value
end

-- Takes the option at args[at]; returns where the next word is.
local function take_option(def, args, at, opts)
    local word = args[at]
    local name, given = word:match "^(%-%-[^=]+)=(.*)$"
    local option = find_option(def, name or word)
    local value = true
    if option.value then
        value = given
        if value == nil then
            at = at + 1
            value = args[at]
        end
        if value == nil then
            errors.fail("usage", "option '%s' wants a value: %s %s", option.name, option.name, option.value)
        end
        value = convert(option, value)
    elseif given then
        errors.fail("usage", "option '%s' takes no value", option.name)
    end
    local key = key_of(option)
    if option.many then
        opts[key] = opts[key] or {}
        table.insert(opts[key], value)
    else
        opts[key] = value
    end
    return at + 1
end

-- Gives the words their operands' names.
local function take_operands(def, words, rest, got)
    local at = 1
    for _, operand in ipairs(def.operands or {}) do
        local key = operand_key(operand)
        if operand.rest then
            got[key] = rest or {}
            if #got[key] == 0 and not operand.optional then
                errors.fail("usage", "%s is missing", operand.name)
            end
        elseif operand.many then
            got[key] = table.move(words, at, #words, 1, {})
            at = #words + 1
            if #got[key] == 0 and not operand.optional then
                errors.fail("usage", "%s is missing", operand.name)
            end
        elseif words[at] ~= nil then
            got[key] = words[at]
            at = at + 1
        elseif not operand.optional then
            errors.fail("usage", "%s is missing", operand.name)
        end
    end
    if words[at] ~= nil then
        errors.fail("usage", "'%s' is one word too many", words[at])
    end
end

-- How many words stand before the operand that takes the rest; nil when none does.
local function before_rest(def)
    for i, operand in ipairs(def.operands or {}) do
        if operand.rest then
            return i - 1
        end
    end
end

---Reads a command line; raises kind "usage".
---@param def vm.Command
---@param args string[]
---@return table|nil opts by name without dashes, '-' as '_'; nil when help was asked for
---@return table operands by key
function M.parse(def, args)
    local opts, words, got, rest = {}, {}, {}, nil
    local at, limit = 1, before_rest(def)
    while args[at] ~= nil do
        local word = args[at]
        if word == "--" then
            rest = table.move(args, at + 1, #args, 1, {})
            break
        elseif word == "-h" or word == "--help" then
            return nil, {}
        elseif word:find "^%-." then
            at = take_option(def, args, at, opts)
        elseif limit and #words == limit then
            rest = table.move(args, at, #args, 1, {})
            break
        else
            words[#words + 1] = word
            at = at + 1
        end
    end
    if rest and not limit then
        table.move(rest, 1, #rest, #words + 1, words)
    end
    take_operands(def, words, rest, got)
    return opts, got
end

-- What an error means to whoever called the program.
local function code_of(err)
    if errors.is(err, "usage") then
        return M.USAGE
    end
    return type(err) == "table" and err.no_guest and M.NO_GUEST or M.FAILED
end

---Runs a command line of this command. Waits.
---@param def vm.Command
---@param args string[]
---@return integer exit code
function M.run(def, args)
    local ok, opts, operands = pcall(M.parse, def, args)
    if not ok then
        io.stderr:write(("vmatrix %s: %s\n"):format(def.name, (tostring(opts):gsub("^vmatrix [%w-]+: ", ""))))
        io.stderr:write(("%s\nvmatrix: `vmatrix %s --help` says more\n"):format(signature(def), def.name))
        return M.USAGE
    elseif not opts then
        io.stdout:write(M.usage(def))
        return M.OK
    end
    local done, code = pcall(def.handler, opts, operands)
    if not done then
        require("vm.cli").report(code)
        return def.failed and errors.is(code) and def.failed(code) or code_of(code)
    end
    return code or M.OK
end

---Makes the module of a command: the data, and `main`, which runs it.
---@param def vm.Command
---@return { command: vm.Command, main: fun(args: string[]): integer }
function M.define(def)
    return {
        command = def,
        main = function(args)
            return M.run(def, args)
        end,
    }
end

return M
