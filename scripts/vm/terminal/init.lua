-- This terminal given to a shell on a machine, or to a guest's serial console: keys go there as they are
-- typed, and what it says comes here as it is. "~." at the beginning of a line leaves, "~" and Ctrl-Z stops
-- this program.
local raw = require "vm.raw"
local errors = require "vm.errors"
local options = require "vm.options"
local shell = require "vm.remote.shell"
local task = require "vm.task"

local M = { methods = {} }

---@class vm.Guest
local Guest = M.methods

local terminal = raw.terminal

-- How often the terminal's size is looked at, in seconds.
local LOOK <const> = 0.3

local SUSPEND <const> = "\26" -- Ctrl-Z

local LOGIN <const> = 'exec "${SHELL:-/bin/sh}" -l'

---Why the program's terminal cannot be given away; nil when it can.
---@return string|nil
function M.problem()
    if not raw.fs.is_tty(0) or not raw.fs.is_tty(1) then
        return "standard input and output are no terminal"
    end
end

local function size()
    local rows, cols = terminal.size(1)
    if rows and rows > 0 and cols > 0 then
        return cols, rows
    end
    return 80, 24
end

-- Whether a byte is part of an escape sequence: a key such as an arrow, or the terminal's answer to a
-- question of the program on the other side. They are not text of the line.
local function in_sequence(state, c)
    if c == "\27" then
        state.escape = "begun"
    elseif state.escape == "begun" then
        state.escape = (c == "[" or c == "O") and c or nil
    elseif state.escape == "[" then
        state.escape = not c:find "[@-~]" and "[" or nil
    elseif state.escape == "O" then
        state.escape = nil
    else
        return false
    end
    return true
end

---What is typed, without the keys that are ours at the beginning of a line: "~." leaves, "~" and Ctrl-Z stops
---this program; "~~" there is one "~".
---@param state table of the keys before; {} at first
---@param bytes string
---@return string pass what goes to the machine
---@return "leave"|"stop"|nil wish
---@return string|nil rest what was typed behind it
function M.keys(state, bytes)
    local out = {}
    for at = 1, #bytes do
        local c = bytes:sub(at, at)
        if in_sequence(state, c) then
            out[#out + 1] = (state.held and "~" or "") .. c
            state.held = nil
        elseif state.held then
            state.held = nil
            if c == "." or c == SUSPEND then
                return table.concat(out), c == "." and "leave" or "stop", bytes:sub(at + 1)
            end
            out[#out + 1] = c == "~" and "~" or "~" .. c
            state.middle = c ~= "\r" and c ~= "\n"
        elseif c == "~" and not state.middle then
            state.held = true
        else
            out[#out + 1] = c
            state.middle = c ~= "\r" and c ~= "\n"
        end
    end
    return table.concat(out)
end

-- Hands on what is typed until the keys end or leave; true when they leave. `write` returns false when
-- the other side has ended.
local function type_in(input, mode, write, look)
    local state, bytes = {}, nil
    while true do
        bytes = bytes or errors.raise(input:read(LOOK))
        look()
        if bytes == "" then
            return false
        end
        local pass, wish, rest = M.keys(state, bytes or "")
        if pass ~= "" and not write(pass) then
            return false -- it has ended, which whoever reads it sees
        elseif wish == "leave" then
            return true
        elseif wish == "stop" then
            io.stdout:write "~^Z\r\n"
            io.stdout:flush()
            mode:suspend()
        end
        bytes = rest ~= "" and rest or nil
    end
end

-- What a program on the other side may have left the terminal in, when it could not end itself: a hidden
-- cursor, colours, keys of its own; and the alternate screen. Leaving that moves the cursor also where it was
-- not entered.
local RESET <const> = "\27[?25h\27[?1l\27>\27[?1000l\27[?2004l\27[0m\r\n"
local LEAVE_ALTERNATE <const> = "\27[?1049l"
local alternate <const> = { ["47"] = true, ["1047"] = true, ["1049"] = true }

---Follows whether what is said leaves a terminal on its alternate screen.
---@param state { alternate?: boolean, rest?: string } {} at first
---@param text string
function M.follow_screen(state, text)
    text = (state.rest or "") .. text
    for modes, how in text:gmatch "\27%[%?([%d;]+)([hl])" do
        for mode in modes:gmatch "%d+" do
            if alternate[mode] then
                state.alternate = how == "h"
            end
        end
    end
    local rest = text:match "\27%[?%??[%d;]*$" or ""
    state.rest = #rest < 32 and rest or ""
end

-- A program's question to the terminal (where the cursor is, what the terminal is) is answered as if by
-- keys: an answer that comes when the program is gone is not for whoever reads next. QUESTION is of
-- ECMA-48's DSR and DA; seconds that a question is remembered for, and that its answer may take.
local QUESTION <const>, REMEMBERED <const>, ANSWER <const> = "\27%[[%d;>=?]*[cn]", 1, 0.1
local asked = -math.huge
local screen = {}

local function say(text)
    M.follow_screen(screen, text)
    if text:find(QUESTION) then
        asked = raw.task.now()
    end
    io.stdout:write(text)
    io.stdout:flush()
end

local function drop_answers(input)
    local until_then = raw.task.now() + ANSWER
    while raw.task.now() - asked < REMEMBERED do
        local left = until_then - raw.task.now()
        if left <= 0 or input:read(left) == "" then
            return
        end
    end
end

-- Runs `listen` while keys go to `write`; what it returned, or nil when the keys left.
local function with_terminal(listen, write, look, ended)
    local mode <close> = errors.raise(terminal.raw(0))
    local input <close> = errors.raise(terminal.input(0))
    local left, done = false, false
    screen = {}
    -- However it is left, but by the other side's own end, the terminal is set right.
    local _ <close> = setmetatable({}, { __close = function()
        if not done then
            say((screen.alternate and LEAVE_ALTERNATE or "") .. RESET)
        end
    end })
    local listening = task.spawn(listen)
    local typist = task.spawn(function()
        left = type_in(input, mode, write, look)
        if left then
            listening:cancel(errors.new("cancelled", "left by ~."))
        elseif ended then
            ended()
        end
    end)
    local typing <close> = task.closing(typist) -- luacheck: ignore 211
    local ok, results = pcall(function()
        return table.pack(listening:join())
    end)
    if left or ok then
        typist:cancel()
        typist:ended()
        drop_answers(input)
    end
    if left then
        return nil
    elseif not ok then
        error(results, 0)
    end
    done = true
    return table.unpack(results, 1, results.n)
end

local function check(what, why)
    if why then
        errors.fail("usage", "%s: %s", what, why)
    end
end

---Runs a command on a machine with this program's terminal as its own, until it ends. Waits.
---@param machine vm.Guest|vm.Ssh
---@param command? string the user's login shell when absent
---@return integer|nil status nil when it was left by "~.", or a signal ended it
---@return string|nil signal
function M.attach(machine, command)
    local what = machine:what "shell"
    check(what, M.problem())
    local conn = machine:transport("shell", nil, "a terminal")
    local cols, rows = size()
    local handle = conn:raise(what, conn:session(what):start {
        command = command or LOGIN,
        pty = true,
        cols = cols,
        rows = rows,
        term = (os.getenv "TERM" or "xterm"):match "^[%w._+-]+$" or "xterm",
        stdin = true,
    })
    -- Closing ends it: the server hangs up the terminal.
    local _ <close> = setmetatable({}, { __close = function() handle:close() end })
    return with_terminal(function()
        while true do
            local stream, chunk = conn:raise(what, handle:read())
            if not stream then
                return handle:result()
            end
            say(chunk)
        end
    end, function(bytes)
        return handle:write(bytes)
    end, function()
        local new_cols, new_rows = size()
        if new_cols ~= cols or new_rows ~= rows then
            cols, rows = new_cols, new_rows
            handle:resize(cols, rows)
        end
    end, function()
        handle:close_stdin()
    end)
end

---@class vm.ShellOptions
---@field command? string what is run on the terminal; the user's login shell when absent
---@field user? string whom it runs as, by su or sudo -n

local shell_spec = { command = "string", user = "string" }

---A shell, or another command, with this program's terminal as its own: it takes every key, Ctrl-C too,
---and the terminal's size. Ends with the shell, or by "~." at the beginning of a line.
---@param opts? vm.ShellOptions
---@return integer|nil status nil when it was left by "~.", or a signal ended it
---@return string|nil signal
function Guest:shell(opts)
    local what = self:what "shell"
    opts = options.check(what, opts, shell_spec)
    local command = opts.command
    if opts.user then
        shell.check_user(what, opts.user)
        command = shell.as_user(opts.user, command or "cd; " .. LOGIN)
    end
    return M.attach(self, command)
end

---This program's terminal on a guest's serial console, until "~." at the beginning of a line or the
---guest's end. Waits.
---@param guest vm.Guest
function M.attach_console(guest)
    guest:check_alive "console"
    local what = guest:what "console"
    check(what, M.problem())
    local xml = guest:raise("console", guest.domain:xml(false))
    local path = xml:match "<source path=['\"](/dev/[^'\"]+)['\"]"
    if not path or not raw.fs.exists(path) then
        guest:fail("unsupported", "console", "its serial console has no terminal on this host")
    end
    local pty <close> = guest:raise("console", terminal.open(path))
    say(guest.console_log:tail(10):gsub("\n", "\r\n") .. "\r\n[the console of " .. guest.name
        .. "; ~. at the beginning of a line leaves]\r\n")
    with_terminal(function()
        while true do
            local bytes = guest:raise("console", pty:read(LOOK))
            if bytes then
                say(bytes)
            end
            if bytes == "" or guest.failure or guest.closed or guest.last_state == "stopped" then
                guest:check_alive "console"
                return
            end
        end
    end, function(bytes)
        while bytes ~= "" do
            local count = pty:write(bytes)
            if not count then
                return false
            end
            bytes = bytes:sub(count + 1)
            if bytes ~= "" then
                raw.task.sleep(0.01) -- the guest does not read as fast as somebody pastes
            end
        end
        return true
    end, function() end)
end

return M
