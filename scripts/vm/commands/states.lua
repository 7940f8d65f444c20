-- `vmatrix states`: the prepared states in the cache: which, why, how big, and whether they are whole.
local raw = require "vm.raw"
local command = require "vm.cli.command"
local errors = require "vm.errors"
local evict = require "vm.state.evict"
local progress = require "vm.terminal.progress"
local store = require "vm.state.store"
local width = require "vm.terminal.width"

local M = {}

local bytes, shown <const> = progress.bytes, width.plain

local function ago(seconds)
    for _, unit in ipairs { { 86400, "days" }, { 3600, "hours" }, { 60, "minutes" } } do
        if seconds >= 2 * unit[1] then
            return ("%d %s ago"):format(seconds // unit[1], unit[2])
        end
    end
    return "just now"
end

local function short(key)
    return key:sub(1, 12)
end

-- What programs are told of a state.
local function as_data(entry)
    local record = entry.record or {}
    return { key = entry.key, name = record.name, guest = record.guest, cell = record.cell, steps = record.steps,
        parent = record.parent, path = entry.path, bytes = entry.bytes, used = entry.used, created = record.created,
        seconds = record.seconds, cold = record.cold, why = record.why, whole = entry.record ~= nil,
        children = raw.json.list(entry.children) }
end

local function newest_first()
    local entries, out = store.list(), {}
    for i = #entries, 1, -1 do
        out[#out + 1] = entries[i]
    end
    return out
end

local function print_why(record, indent)
    for _, reason in ipairs(record and record.why or {}) do
        print(indent .. shown(reason))
    end
end

local function list(flags)
    local entries = newest_first()
    if flags.json then
        local data, total = {}, 0
        for i, entry in ipairs(entries) do
            data[i], total = as_data(entry), total + entry.bytes
        end
        print(raw.json.encode { count = #data, bytes = total, limit = evict.limit(),
            states = raw.json.list(data) })
        return 0
    end
    local rows, total = { { "KEY", "STATE", "GUEST", "CELL", "SIZE", "LAST USED" } }, 0
    for _, entry in ipairs(entries) do
        local record = entry.record or { name = "(not whole)", guest = "", cell = "" }
        rows[#rows + 1] = { short(entry.key), shown(record.name), shown(record.guest), shown(record.cell),
            bytes(entry.bytes), ago(os.time() - entry.used) }
        total = total + entry.bytes
    end
    if flags.why then
        for i, entry in ipairs(entries) do
            print(("%s  %s"):format(rows[i + 1][1], rows[i + 1][2]))
            print_why(entry.record, "    ")
        end
    elseif #entries > 0 then
        print(width.table(rows))
    end
    print(("%d states, %s of at most %s, in %s"):format(#entries, bytes(total), bytes(evict.limit()), store.folder()))
    return 0
end

-- The one entry that a shortened key means.
local function find(word)
    local found
    word = word:lower()
    for _, entry in ipairs(store.list()) do
        if entry.key:sub(1, #word) == word then
            if found then
                errors.fail("usage", "states: several keys begin with %s; say more of it", shown(word))
            end
            found = entry
        end
    end
    return found or errors.fail("notfound", "states: no state has a key that begins with %s; "
        .. "`vmatrix states list` shows them", shown(word))
end

local function show(flags, operands)
    local entry = find(operands.key)
    local record = entry.record
    if flags.json then
        local data = as_data(entry)
        data.parts = record and record.parts
        print(raw.json.encode(data))
        return 0
    end
    print("key       " .. entry.key)
    print("path      " .. entry.path)
    print("size      " .. bytes(entry.bytes))
    print("last used " .. ago(os.time() - entry.used))
    if not record then
        print "It is not whole: the next use builds it anew."
        return 0
    end
    print("guest     " .. shown(record.guest))
    print("steps     " .. shown(table.concat(record.steps or {}, ", ")))
    print("cell      " .. shown(record.cell))
    print("made from " .. (record.parent and short(record.parent) or "a boot"))
    print(("built in  %.1f s, %.1f s from nothing"):format(record.seconds or 0, record.cold or 0))
    local times = store.times(entry.key)
    if #times > 0 then
        table.sort(times)
        print(("fork      %.2f s to its first command"):format(times[(#times + 1) // 2]))
    end
    print "built because"
    print_why(record, "    ")
    print "parts of its key"
    for _, part in ipairs(record.parts) do
        print(("    %s: %s"):format(shown(part[1]), shown(part[2])))
    end
    return 0
end

local function tree(flags)
    local entries, by_key = newest_first(), {}
    for _, entry in ipairs(entries) do
        by_key[entry.key] = entry
    end
    local function data_of(entry)
        local data, children = as_data(entry), {}
        for i, key in ipairs(entry.children) do
            children[i] = data_of(by_key[key])
        end
        data.children = raw.json.list(children)
        return data
    end
    local function walk(entry, indent)
        local record = entry.record
        print(("%s%s  %s%s  %s"):format(indent, short(entry.key), shown(record and record.name or "(not whole)"),
            record and record.cell ~= "" and " (" .. shown(record.cell) .. ")" or "", bytes(entry.bytes)))
        for _, key in ipairs(entry.children) do
            walk(by_key[key], indent .. "  ")
        end
    end
    local roots = {}
    for _, entry in ipairs(entries) do
        if not (entry.record and by_key[entry.record.parent]) then
            roots[#roots + 1] = entry
        end
    end
    if flags.json then
        for i, entry in ipairs(roots) do
            roots[i] = data_of(entry)
        end
        print(raw.json.encode(raw.json.list(roots)))
        return
    end
    for _, entry in ipairs(roots) do
        if entry.record then
            print(shown(entry.record.guest))
        end
        walk(entry, "  ")
    end
end

-- What is wrong with a state; nil for nothing.
local function problem_of(entry, fork)
    if not entry.record then
        return "it is not whole"
    end
    local ok, problem = pcall(function()
        local template <close> = require("vm.template").open(entry.path)
        for _, item in ipairs(template.info.desc.disks) do
            if item.format == "qcow2" and not item.cdrom then
                require("vm.images.disk").check(item.path, ("disk %s"):format(item.path))
            end
        end
        if fork then
            template:fork():close()
        end
    end)
    return not ok and tostring(problem) or nil
end

local function verify(flags, operands)
    local words, entries = operands.keys, {}
    for i, word in ipairs(words) do
        entries[i] = find(word)
    end
    if #words == 0 then
        entries = newest_first()
    end
    local data, bad = {}, 0
    for i, entry in ipairs(entries) do
        local bar <close> = progress.start("verify " .. short(entry.key))
        local problem = problem_of(entry, flags.fork)
        bar:close()
        bad = bad + (problem and 1 or 0)
        data[i] = { key = entry.key, ok = problem == nil, problem = problem }
        if not flags.json then
            print(("%s  %s  %s"):format(problem and "NO" or "ok", short(entry.key),
                shown(entry.record and entry.record.name or "?") .. (problem and ": " .. shown(problem) or "")))
        end
    end
    if flags.json then
        print(raw.json.encode { count = #data, bad = bad, states = raw.json.list(data) })
    elseif bad > 0 then
        print "what is not ok is built anew when it is next needed"
    end
    return bad > 0 and 1 or 0
end

local WHY <const> = { name = "--why", help = "what had changed when each was built" }
local JSON <const> = { name = "--json", help = "say it as JSON" }

M.list = command.define {
    name = "states list",
    help = "all of them, the last used first",
    options = { WHY, JSON },
    handler = list,
}

M.show = command.define {
    name = "states show",
    help = "one: its guest, steps and cell, why it was built, and every part of its key",
    operands = { { name = "KEY", complete = { "state" } } },
    options = { JSON },
    text = "A KEY may be shortened.",
    handler = show,
}

M.tree = command.define {
    name = "states tree",
    help = "which was made from which",
    options = { JSON },
    handler = tree,
}

M.verify = command.define {
    name = "states verify",
    help = "checks that each can be opened",
    operands = { { name = "KEY", key = "keys", many = true, optional = true, complete = { "state" } } },
    options = { { name = "--fork", help = "also make a guest of each, which must answer" }, JSON },
    text = [[
Its description, the sizes of its files, its disks, and the version of QEMU it was made by. The exit status is
1 when one cannot be opened. Without keys all of them.]],
    handler = verify,
}

local group = require("vm.cli.group").define {
    name = "states",
    text = [[
The prepared states in the cache. They are removed by `vmatrix prune --states`, and may be deleted at any time;
what is missing is built again when it is needed.]],
    commands = {
        { name = "list", module = "vm.commands.states", field = "list" },
        { name = "show", module = "vm.commands.states", field = "show" },
        { name = "tree", module = "vm.commands.states", field = "tree" },
        { name = "verify", module = "vm.commands.states", field = "verify" },
    },
}
M.commands, M.main = group.commands, group.main

return M
