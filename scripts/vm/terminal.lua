-- This terminal given to a shell on a machine: keys go there as they are typed, and what it says comes
-- here as it is.
local raw = require "vm.raw"
local errors = require "vm.errors"
local task = require "vm.task"

local M = {}

local terminal = raw.terminal

-- How often the terminal's size is looked at, in seconds.
local LOOK <const> = 0.3

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

-- Hands on what is typed, and the terminal's size when it changes.
local function type_in(handle, input, cols, rows)
    while true do
        local bytes = errors.raise(input:read(LOOK))
        local new_cols, new_rows = size()
        if new_cols ~= cols or new_rows ~= rows then
            cols, rows = new_cols, new_rows
            handle:resize(cols, rows)
        end
        if bytes == "" then
            handle:close_stdin()
            return
        elseif bytes and not handle:write(bytes) then
            return -- it has ended, which whoever reads it sees
        end
    end
end

---Runs a command on a machine with this program's terminal as its own, until it ends. Waits.
---@param machine vm.Guest|vm.Ssh
---@param command? string the user's login shell when absent
---@return integer|nil status
---@return string|nil signal
function M.attach(machine, command)
    local what = machine:what "shell"
    local why = M.problem()
    if why then
        errors.fail("usage", "%s: %s", what, why)
    end
    local conn = machine:transport "shell"
    local cols, rows = size()
    local handle = conn:raise(what, conn:session(what):start {
        command = command or 'exec "${SHELL:-/bin/sh}" -l',
        pty = true,
        cols = cols,
        rows = rows,
        term = (os.getenv "TERM" or "xterm"):match "^[%w._+-]+$" or "xterm",
        stdin = true,
    })
    -- Closing ends it: the server hangs up the terminal.
    local _ <close> = setmetatable({}, { __close = function() handle:close() end })
    local mode <close> = errors.raise(terminal.raw(0)) -- luacheck: ignore 211
    local input <close> = errors.raise(terminal.input(0))
    local typing <close> = task.closing(task.spawn(type_in, handle, input, cols, rows)) -- luacheck: ignore 211
    while true do
        local stream, chunk = conn:raise(what, handle:read())
        if not stream then
            break
        end
        io.stdout:write(chunk)
        io.stdout:flush()
    end
    return handle:result()
end

return M
