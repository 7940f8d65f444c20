-- The command line: what `vmatrix ARGS` does, and how an error looks at the end.
local task = require "vm.task"
local errors = require "vm.errors"
local options = require "vm.options"
local raw = require "vm.raw"
local script = require "vm.script"

local M = {}

local usage = [[
usage: vmatrix [OPTION...] SCRIPT [ARG...]   run a Lua script ('-': from standard input)
       vmatrix [OPTION...]                   a prompt for Lua; a script when standard input is no terminal
       vmatrix [OPTION...] -i SCRIPT [ARG...]  run a script, then stay at the prompt
       vmatrix [OPTION...] -e CODE [ARG...]  run a line of Lua
       vmatrix COMMAND [ARG...]              see below

options:
  -e CODE        run CODE; 'vm' is loaded already
  -i             stay at the prompt when the script has ended
  -v, --verbose  say more on stderr (twice: debug)
  -q, --quiet    only errors on stderr
  -h, --help     this text
  --version      the version, and those of the libraries in use

commands:
]]

-- Commands in the order of the help text: name, what it does, the module with its `main(args)`.
M.commands = {
    { name = "boot", help = "make a guest that is kept, and start it", module = "vm.commands.boot" },
    { name = "list", help = "the kept guests", module = "vm.commands.list" },
    { name = "info", help = "what is known of a kept guest", module = "vm.commands.info" },
    { name = "shell", help = "open a shell in a guest, or in a new one of an image", module = "vm.commands.shell" },
    { name = "exec", help = "run a command in a guest, or in a new one of an image", module = "vm.commands.exec" },
    { name = "copy", help = "copy files and folders into a guest, or out of it", module = "vm.commands.copy" },
    { name = "ssh-config", help = "what ssh, scp, rsync and editors need to reach guests by name",
        module = "vm.commands.ssh_config" },
    { name = "console", help = "what a guest's serial console has said", module = "vm.commands.console" },
    { name = "forward", help = "reach a port of a guest from this host", module = "vm.commands.forward" },
    { name = "snapshot", help = "keep the present state of a guest", module = "vm.commands.snapshot" },
    { name = "revert", help = "take a guest back to a snapshot", module = "vm.commands.revert" },
    { name = "fork", help = "make a copy of a guest that runs", module = "vm.commands.fork" },
    { name = "stop", help = "power kept guests off", module = "vm.commands.stop" },
    { name = "start", help = "start kept guests", module = "vm.commands.start" },
    { name = "kill", help = "pull the plug of kept guests", module = "vm.commands.kill" },
    { name = "delete", help = "delete kept guests with their disks", module = "vm.commands.delete" },
    { name = "doctor", help = "what this machine can do, and what it lacks", module = "vm.commands.doctor" },
    { name = "images", help = "images of distributions: what there is, pull, build, lock",
        module = "vm.commands.images" },
    { name = "test", help = "run a test matrix, write the reports", module = "vm.commands.test" },
    { name = "reopen", help = "a prompt with the guest that was kept of a test", module = "vm.commands.reopen" },
    { name = "report", help = "the reports of a run, comparing two, the runs there are",
        module = "vm.commands.report" },
    { name = "prune", help = "remove what killed runs have left, and what exceeds a cache",
        module = "vm.commands.prune" },
    { name = "states", help = "the prepared states in the cache", module = "vm.commands.states" },
    { name = "init", help = "write a first matrix.lua for the project in this folder",
        module = "vm.commands.init_matrix" },
    { name = "types", help = "the types of the library, for editors", module = "vm.commands.types" },
    { name = "completion", help = "completion for bash, zsh and fish", module = "vm.commands.completion" },
    { name = "help", help = "this text, or that of a command", module = "vm.commands.help" },
}

local function find_command(name)
    for _, command in ipairs(M.commands) do
        if command.name == name then
            return command
        end
    end
end

---The text of `vmatrix --help`.
---@return string
function M.usage()
    local lines = { usage }
    for _, command in ipairs(M.commands) do
        lines[#lines + 1] = ("  %-14s %s\n"):format(command.name, command.help)
    end
    lines[#lines + 1] = "\nexit status: 0 ok, 1 failed, 2 wrong usage, 3 no such guest, 130 interrupted\n"
    return table.concat(lines)
end

local function complain(text)
    io.stderr:write("vmatrix: ", text, "\nvmatrix: `vmatrix --help` shows what can be said\n")
    return 2
end

local function script_folder(path)
    return path:match("^(.*)/[^/]*$") or "."
end

-- Sets `arg` as Lua's own interpreter does: [0] is the script, negative numbers what stood before.
local function set_arg(args, at)
    local arg = {}
    for i = 0, #args do
        arg[i - at] = args[i]
    end
    _G.arg = arg
end

local function run_chunk(chunk, args, at)
    set_arg(args, at)
    local results = table.pack(chunk(table.unpack(args, at + 1)))
    local first = results[1]
    local define = package.loaded["vm.matrix.define"] -- loaded only where a script made a matrix
    if define and define.of(first) then
        errors.fail("usage", "%s returned a matrix; run it with `vmatrix test %s`", args[at], args[at])
    end
    return 0
end

-- Why there is no script at this path, with what may have been meant; returns the exit code.
local function no_script(path, why)
    io.stderr:write(("vmatrix: cannot open script %s\n"):format(why))
    local names = {}
    for _, command in ipairs(M.commands) do
        names[#names + 1] = command.name
    end
    local near = not path:find("[/.]") and options.nearest(path, names)
    if near then
        io.stderr:write(("vmatrix: did you mean `vmatrix %s`?\n"):format(near))
    end
    return 2
end

-- What runs a script, or the exit code when there is none to run.
local function script_runner(args, at)
    local path = args[at]
    local text, name
    if path == "-" then
        text, name = io.read("a"), "=stdin"
    else
        local file, why = io.open(path, "rb")
        if not file then
            return nil, no_script(path, why)
        end
        text, why = file:read("a")
        file:close()
        if not text then -- a folder can be opened, but not read
            return nil, no_script(path, ("%s: %s"):format(path, why))
        end
        package.path = script_folder(path) .. "/?.lua;" .. package.path
        name = "@" .. path
    end
    local chunk = script.compile(text, name)
    script.set(path)
    return function()
        return run_chunk(chunk, args, at)
    end
end

-- What takes a while in a script shows how far it is, on a terminal.
local function show_calls(level)
    if level > 1 and raw.fs.is_tty(2) and require("vm.terminal.progress").show_calls() then
        require("vm.repl.output").watch(require("vm.terminal.progress").wrote)
    end
end

local function run_script(args, at, level)
    local runner, code = script_runner(args, at)
    if runner then
        show_calls(level)
    end
    return runner and runner() or code
end

-- The prompt, after the script if there is one.
local function run_prompt(args, at)
    local terminal = require "vm.terminal"
    local why = terminal.problem()
    if why then
        return complain("the prompt needs a terminal: " .. why)
    end
    local runner, code
    if args[at] then
        runner, code = script_runner(args, at)
        if not runner then
            return code
        end
    end
    return require("vm.repl").run { before = runner }
end

local function run_code(args, at, level)
    if not args[at] then
        return complain("-e wants a line of Lua")
    end
    show_calls(level)
    local chunk = script.compile(args[at], "=(command line)")
    _G.vm = require "vm"
    return run_chunk(chunk, args, at)
end

---Runs a command line; args[0] is the program. Returns the exit code.
---@param args string[]
---@return integer
function M.main(args)
    local level = 2
    local at = 1
    local interactive = false
    while args[at] do
        local word = args[at]
        if word == "-h" or word == "--help" then
            io.stdout:write(M.usage())
            return 0
        elseif word == "--version" then
            return require("vm.cli.version").print()
        elseif word == "-v" or word == "--verbose" then
            level = math.min(level + 1, 4)
        elseif word == "-q" or word == "--quiet" then
            level = 1
        elseif word == "--own" and at == 1 then -- what starts kept guests' owner says; it is in the background then
            raw.log.level "info"
            return require("vm.owner.main").main(args[2])
        elseif word == "-e" then
            raw.log.level(({ "error", "warn", "info", "debug" })[level])
            return run_code(args, at + 1, level)
        elseif word == "-i" then
            interactive = true
        elseif word == "--" then
            at = at + 1
            break
        elseif word ~= "-" and word:sub(1, 1) == "-" then
            local near = options.nearest(word, { "--help", "--version", "--verbose", "--quiet" })
            local hint = near and ("; did you mean '%s'?"):format(near) or ""
            return complain(("unknown option '%s'%s"):format(word, hint))
        else
            break
        end
        at = at + 1
    end
    raw.log.level(({ "error", "warn", "info", "debug" })[level])
    if interactive or not args[at] and raw.fs.is_tty(0) and raw.fs.is_tty(1) then
        return run_prompt(args, at)
    elseif not args[at] then
        if raw.fs.is_tty(0) then
            io.stderr:write(M.usage())
            return 2
        end
        args[at] = "-" -- as lua does
    end
    local command = find_command(args[at])
    if command then
        return require(command.module).main(table.move(args, at + 1, #args, 1, {}))
    end
    return run_script(args, at, level)
end

---Prints the error that ended the program, with the script's own lines of the traceback.
---@param err any
---@return integer exit code
function M.report(err)
    local text = tostring(err)
    if type(err) == "table" and not getmetatable(err) then
        text = "the error is a table without a message"
    end
    -- It may quote a guest: nothing of that may speak to the terminal.
    text = text:gsub("[\0-\8\11-\31\127]", function(c) return ("\\x%02x"):format(c:byte()) end)
    io.stderr:write("vmatrix: ", text, "\n")
    if errors.is(err) and err.traceback then
        local frames = errors.users_frames(err.traceback)
        if frames ~= "" then
            io.stderr:write(frames, "\n")
        end
    end
    return 1
end

---Ends what the library started, newest first. Returns 0, or 1 when something could not be ended.
---@return integer
function M.shutdown()
    return require("vm.task.shutdown").run() and 0 or 1
end

---Starts one of this module's functions as a task of the host.
---@param name string
---@param argument any
---@return vm.Task
function M.spawn(name, argument)
    return task.spawn_detached(name, M[name], argument)
end

return M
