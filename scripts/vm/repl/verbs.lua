-- What the prompt offers besides the library: list, help, time, save, edit.
local raw = require "vm.raw"
local chunks = require "vm.repl.chunk"
local errors = require "vm.errors"
local shell = require "vm.remote.shell"
local show = require "vm.repl.show"
local width = require "vm.terminal.width"

local M = {}

---Prints the guests of this process, and those that are kept, one a line.
function M.list()
    local own = {}
    local connection = package.loaded["vm.guest.connection"]
    for _, guest in ipairs(connection and connection.guests() or {}) do
        own[guest.name] = guest
    end
    local rows = { { "NAME", "IMAGE", "ARCH", "STATE", "SSH", "MEMORY" } }
    for _, entry in ipairs(require("vm").list()) do
        local told = own[entry.name] and show.guest(own[entry.name]) or show.entry(entry)
        rows[#rows + 1] = { told.name, told.image, told.arch, told.state, told.address, told.memory }
    end
    if #rows == 1 then
        print "no guests; guest = vm.boot { image = \"seed\" } makes one"
    else
        print(width.table(rows))
    end
end

---Calls fn(...), prints how long it took, and returns its values.
---@param fn function
---@param ... any
---@return any ...
function M.time(fn, ...)
    if type(fn) ~= "function" then
        errors.fail("usage", "time: a function expected, such as time(function() ... end), got %s",
            require("vm.options").show(fn))
    end
    local begun = raw.task.now()
    local results = table.pack(fn(...))
    print(("%.6f s"):format(raw.task.now() - begun))
    return table.unpack(results, 1, results.n)
end

-- Lines that are for the prompt only, and those that give the terminal away.
local function is_for_prompt(session, line)
    if line:find ":shell%s*[%({]" or line:find ":console%s*%(?%s*[\"']attach" then
        return true
    end
    local name = line:match "^%s*=?%s*(%a+)%s*[%(\"'{]"
    return name and name ~= "time" and session.verbs[name] ~= nil and rawget(_G, name) == session.verbs[name]
end

local HEAD <const> = 'local vm = require "vm"\n'
local TIME <const> = "local function time(fn, ...) return fn(...) end\n"

local function saver(session)
    ---Writes the session's successful lines as a script that runs.
    ---@param path string
    return function(path)
        if type(path) ~= "string" or path == "" then
            errors.fail("usage", "save: the path of a file expected, such as save \"session.lua\"")
        end
        local kept, lines, uses_last = {}, {}, false
        for _, line in ipairs(session.lines) do
            if not is_for_prompt(session, line.text) then
                kept[#kept + 1] = line
                uses_last = uses_last or line.text:find "%f[%w_]_%f[^%w_]" ~= nil
            end
        end
        for i, line in ipairs(kept) do
            lines[i] = chunks.statement(line.text, uses_last and line.valued)
        end
        local text = table.concat(lines, "\n") .. "\n"
        local head = HEAD .. (text:find "%f[%w_]time%s*%(" and _G.time == M.time and TIME or "")
        errors.raise(raw.fs.write_atomic(path, head .. "\n" .. text, 420)) -- 0644
        print(("%d lines in %s; vmatrix %s runs them"):format(#lines, show.line(path), show.line(path)))
    end
end

local function editor_of(session)
    ---Edits a piece of Lua in $VISUAL or $EDITOR and runs it: the last one that was run, or the given text.
    ---@param text? string
    return function(text)
        local program = os.getenv "VISUAL" or os.getenv "EDITOR" or "vi"
        local folder = errors.raise(raw.fs.mkdtemp(raw.fs.tmpdir() .. "/vmatrix-edit-"))
        local _ <close> = setmetatable({}, { __close = function() raw.fs.remove_tree(folder) end })
        local path = folder .. "/line.lua"
        text = text or session.last or ""
        errors.raise(raw.fs.write_atomic(path, text .. "\n", 384)) -- 0600
        local status = errors.raise(require("vm.raw.line").run(program .. " " .. shell.quote(path)))
        if status ~= 0 then
            errors.fail("exit", "edit: %s ended with status %d; nothing is run", program,
                status > 255 and status // 256 or status)
        end
        local edited = errors.raise(raw.fs.read(path, 1 << 20)):gsub("%s+$", "")
        if edited == "" then
            return
        end
        if session.history:add(edited) then
            session.editor:remember(edited)
        end
        print(show.text(edited))
        local chunk, how = chunks.compile(edited)
        if not chunk then
            errors.fail("script", "%s", how == "unfinished" and "what was edited is not finished" or how)
        end
        local results = table.pack(chunk())
        session.lines[#session.lines + 1] = { text = edited, valued = how == "expression" and results.n > 0 }
        session.last = edited
        return table.unpack(results, 1, results.n)
    end
end

---Makes them globals, unless the user has such.
---@param session vm.repl.Session
---@return table<string, function>
function M.install(session)
    local verbs = { list = M.list, time = M.time, save = saver(session), edit = editor_of(session),
        help = function(...) return require("vm.repl.help").show(...) end }
    for name, verb in pairs(verbs) do
        if _G[name] == nil then
            _G[name] = verb
        end
    end
    if _G.vm == nil then
        _G.vm = require "vm"
    end
    return verbs
end

return M
