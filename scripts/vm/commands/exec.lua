-- `vmatrix exec`: a command in a guest, with its input, output and status as if it ran here.
local command = require "vm.cli.command"
local errors = require "vm.errors"
local raw = require "vm.raw"
local target = require "vm.cli.target"
local task = require "vm.task"

local signals = { HUP = 1, INT = 2, QUIT = 3, ILL = 4, TRAP = 5, ABRT = 6, BUS = 7, FPE = 8, KILL = 9, USR1 = 10,
    SEGV = 11, USR2 = 12, PIPE = 13, ALRM = 14, TERM = 15 }

-- What stands on our standard input goes to the command's. A plain file cannot be waited for.
local function feed(process)
    local input <close> = raw.terminal.input(0)
    while true do
        local bytes
        if input then
            bytes = errors.raise(input:read())
        else
            bytes = io.stdin:read(65536) or ""
        end
        if bytes == "" then
            process:close_stdin()
            return
        elseif bytes and not pcall(process.write, process, bytes) then
            return -- it has ended, which whoever reads it sees
        end
    end
end

-- Hands on what it says; false when nobody reads that any more.
local function pour(process)
    while true do
        local chunk, stream = process:read()
        if not chunk then
            return true
        end
        local file = stream == "stderr" and io.stderr or io.stdout
        if not file:write(chunk) or not file:flush() then
            return false
        end
    end
end

local function run(guest, words, opts)
    local env = {}
    for _, each in ipairs(opts.env or {}) do
        local name, value = each:match "^([%a_][%w_]*)=(.*)$"
        if not name then
            errors.fail("usage", "option '--env': NAME=VALUE expected, got %s", each)
        end
        env[name] = value
    end
    local line = #words == 1 and words[1] or words
    local user = opts.as or (guest.kept and opts.user) or nil -- of a new guest, it is who logs in
    local process <close> = guest:spawn(line, { cwd = opts.cwd, user = user, env = env })
    local feeding <close> = task.closing(task.spawn(feed, process)) -- luacheck: ignore 211
    if not pour(process) then
        return 128 + signals.PIPE
    end
    local result = process:wait()
    return result.status or 128 + (signals[result.signal] or 0)
end

local function handler(opts, operands)
    local guest <close> = target.guest_or_image(operands.guest, opts)
    if opts.limit then
        return task.timeout(opts.limit, run, guest, operands.command, opts)
    end
    return run(guest, operands.command, opts)
end

return command.define {
    name = "exec",
    help = "run a command in a guest, or in a new one of an image",
    operands = {
        { name = "GUEST|IMAGE[@ARCH]", key = "guest", complete = { "guest", "image" } },
        { name = "COMMAND", rest = true },
    },
    options = target.options({
        { name = "--cwd", value = "FOLDER", help = "the folder it runs in" },
        { name = "--env", short = "-e", value = "NAME=VALUE", many = true, help = "further environment" },
        { name = "--as", value = "NAME", help = "whom it runs as" },
        { name = "--limit", value = "TIME", type = "time", help = "kill it after so long; no limit otherwise" },
    }, target.CREATE),
    text = [[
Standard input, output and status are the command's; 128 and its number stand for a signal that ended it, 125
says that it could not be run or not be seen to its end. A single word goes to the guest's shell, several are
taken exactly. A guest of an image is made for the command alone.]],
    examples = { "vmatrix exec dev -- make check", "echo hi | vmatrix exec dev -- cat",
        "vmatrix exec seed@aarch64 -- uname -m" },
    handler = handler,
    failed = function(err)
        return err.kind == "usage" and command.USAGE or command.NOT_RUN
    end,
}
