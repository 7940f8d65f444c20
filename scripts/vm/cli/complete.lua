-- What could stand next on a command line: for the shells' completion. Everything is taken from the
-- commands' own descriptions and help, so a new command or option is completed as soon as it is there.
local cli = require "vm.cli"
local raw = require "vm.raw"
local usages = require "vm.cli.usage"

local M = {}

-- What a name in capitals stands for in help texts.
local kind_of = {
    ARCH = "arch", DIR = "file", FILE = "file", GUEST = "guest", IMAGE = "image", KEY = "state", PATH = "file",
    RUN = "run", SCRIPT = "file", SNAPSHOT = "snapshot",
}

---Values that the help has only in its sentences: by command, by option.
M.values = {
    test = function() return require("vm.matrix.arguments").values end,
}

local function try(fn)
    local ok, list = pcall(fn)
    return ok and list or {}
end

-- Lists of what there is on this machine, by kind; what cannot be known is nothing.
local there = {}

function there.arch()
    local list = {}
    for _, arch in ipairs(raw.virt.arches()) do
        list[#list + 1] = { arch.name }
    end
    return list
end

function there.image()
    local list = {}
    for i, name in ipairs(try(function() return require("vm.guest.named").names() end)) do
        list[i] = { name, name == "seed" and "the tiny guest" or nil }
    end
    return list
end

function there.guest()
    local list = {}
    for _, guest in ipairs(try(function() return require("vm").list() end)) do
        list[#list + 1] = { guest.name, guest.state }
    end
    return list
end

-- The snapshots of the guest that is named first. Only a running owner is asked, and not for long: nothing is
-- started because somebody pressed Tab.
function there.snapshot(words)
    local list = {}
    for _, snapshot in ipairs(try(function()
        return words[1] and require("vm.owner.client").running() and require("vm.task").timeout(2, function()
            return require("vm.cli.target").snapshots(require("vm").get(words[1]))
        end)
    end)) do
        list[#list + 1] = { snapshot.name, snapshot.description }
    end
    return list
end

function there.command()
    local list = {}
    for i, command in ipairs(cli.commands) do
        list[i] = { command.name, command.help }
    end
    return list
end

function there.state()
    local list = {}
    for _, state in ipairs(try(function() return require("vm.state.store").list() end)) do
        list[#list + 1] = { state.key:sub(1, 12), state.record and state.record.name }
    end
    return list
end

function there.run()
    local list = { { "last" } }
    for _, run in ipairs(try(function()
        local folder = require "vm.report.folder"
        return folder.list(folder.nearest())
    end)) do
        list[#list + 1] = { run }
    end
    return list
end

-- The operands in the ways to call a command: words of its own, and kinds by the names in capitals.
local function operands_of(usage, name, first)
    local kinds, seen = {}, {}
    for _, call in ipairs(usage.synopsis) do
        local rest = call:match("^vmatrix " .. name:gsub("%p", "%%%0") .. "%f[^%w](.*)$") or ""
        if not first or rest:find("%f[%w]" .. first:gsub("%p", "%%%0") .. "%f[^%w]") then
            -- A name behind an option is that option's value.
            for word in rest:gsub("%-%-?[%w-]+[ =]%[?=?%u+%]?", ""):gmatch "%f[%w]%u[%u-]+" do
                local kind = kind_of[word]
                if kind and not seen[kind] then
                    seen[kind] = true
                    kinds[#kinds + 1] = kind
                end
            end
        end
    end
    return kinds
end

-- A command as { options = { { names, value, text, complete, words } }, operand = fn(index, words) }.
local function describe(command)
    local def = usages.module(command).command
    local found = { options = {} }
    if def then
        for _, option in ipairs(def.options or {}) do
            found.options[#found.options + 1] = { names = { option.short or option.name, option.name },
                value = option.value, text = option.help, complete = option.complete, words = option.words }
        end
        function found.operand(index)
            local operands = def.operands or {}
            local last = operands[#operands] or {}
            local operand = operands[index] or (last.many and last or {})
            return operand.complete or {}, operand.words or {}, operand.rest
        end
    else
        local usage = usages.parse(usages.of(command))
        local subcommands = usages.subcommands(usage, command.name)
        for _, item in ipairs(usages.module(command).commands or {}) do
            subcommands[#subcommands + 1] = item.name
        end
        found.options = usage.options
        local values = M.values[command.name] and M.values[command.name]() or {}
        for _, option in ipairs(found.options) do
            option.words = values[option.names[#option.names]]
            option.complete = { kind_of[(option.value or ""):match "%u+"] }
        end
        function found.operand(index, words)
            if #subcommands == 0 then
                return operands_of(usage, command.name), {}
            elseif index == 1 then
                return {}, subcommands
            end
            return operands_of(usage, command.name, words[1]), {}
        end
    end
    table.insert(found.options, { names = { "--help" }, text = "this text" })
    return found
end

local Answer = {}
Answer.__index = Answer

function Answer:add(value, text)
    if value:sub(1, #self.partial) == self.partial and not self.seen[value] then
        self.seen[value] = true
        table.insert(self.list, { value = self.prefix .. value, text = text or "" })
    end
end

function Answer:add_kinds(kinds, words)
    for _, kind in ipairs(kinds or {}) do
        if kind == "file" or kind == "path" then
            self.files = true
        end
        local fn = kind == "path" and there.guest or there[kind] -- a path may be GUEST:PATH
        for _, item in ipairs(fn and fn(words) or {}) do
            self:add(kind == "path" and item[1] .. ":" or item[1], item[2])
        end
    end
end

local function option_named(found, name)
    for _, option in ipairs(found.options) do
        for _, one in ipairs(option.names) do
            if one == name then
                return option
            end
        end
    end
end

local function add_values(answer, option, words)
    for _, word in ipairs(option.words or {}) do
        answer:add(word)
    end
    answer:add_kinds(option.complete, words)
end

local function add_options(answer, options)
    for _, option in ipairs(options) do
        answer:add(option.names[#option.names], option.text)
    end
end

local function in_command(answer, command, words)
    for _, item in ipairs(usages.module(command).commands or {}) do
        if item.name == words[1] then
            return in_command(answer, item, table.move(words, 2, #words, 1, {}))
        end
    end
    local found = describe(command)
    local operands, at = {}, 1
    while words[at] do
        local option = option_named(found, words[at])
        if words[at] == "--" then
            return
        elseif option and option.value and not option.value:find "^%[" then
            at = at + 1
            if not words[at] then
                return add_values(answer, option, operands)
            end
        elseif words[at]:sub(1, 1) ~= "-" then
            operands[#operands + 1] = words[at]
        end
        at = at + 1
    end
    local name, given = answer.partial:match "^(%-%-[%w-]+)=(.*)$"
    local option = name and option_named(found, name)
    if option then
        answer.partial, answer.prefix = given, name .. "="
        return add_values(answer, option, operands)
    end
    local kinds, more, rest = found.operand(#operands + 1, operands)
    for _, word in ipairs(more) do
        answer:add(word)
    end
    answer:add_kinds(kinds, operands)
    if answer.partial:sub(1, 1) == "-" and not rest then
        add_options(answer, found.options)
    end
end

---@class vm.Completion
---@field list { value: string, text: string }[]
---@field files boolean whether files of this host could stand there, too

---What could stand in the place of the last of these words.
---@param words string[] of the command line, without the program; the last one is what was typed so far
---@return vm.Completion
function M.words(words)
    local before = table.move(words, 1, #words - 1, 1, {})
    local answer = setmetatable({ list = {}, seen = {}, partial = words[#words] or "", prefix = "", files = false },
        Answer)
    local at = 1
    while before[at] and before[at]:find "^%-" do
        if before[at] == "-e" or before[at] == "--" then
            answer.files = before[at] == "--"
            return answer
        end
        at = at + 1
    end
    if before[at] then
        for _, command in ipairs(cli.commands) do
            if command.name == before[at] then
                in_command(answer, command, table.move(before, at + 1, #before, 1, {}))
                return answer
            end
        end
        answer.files = true -- a script's arguments are its own
        return answer
    end
    if answer.partial:sub(1, 1) == "-" then
        add_options(answer, usages.parse(cli.usage()).options)
    else
        for _, command in ipairs(cli.commands) do
            answer:add(command.name, command.help)
        end
        answer.files = true
    end
    return answer
end

return M
