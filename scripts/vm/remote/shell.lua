-- Command lines for the shell on the other side: exact quoting, and the wrapper that gives a command
-- its own process group and reports it.
local errors = require "vm.errors"
local options = require "vm.options"

local M = {}

-- Dropbear takes no longer line (MAX_CMD_LEN is 9000); longer commands go ahead of the input.
local LINE_MAX <const> = 8500
-- Linux takes no single argument beyond 128 KiB, and su and sudo get the command as one.
local ARGUMENT_MAX <const> = 120000
-- Nobody means more than this.
local COMMAND_MAX <const> = 1024 * 1024
-- Above this the command stands in the line once, at the price of a fork.
local TWICE_MAX <const> = 3500

---A text as one word of a POSIX shell.
---@param text string any bytes but NUL
---@return string
function M.quote(text)
    if text:find("\0", 1, true) then
        errors.fail("usage", "a command cannot hold a NUL byte: %s", options.show(text))
    end
    if text:find("^[%w_/.,:=@%%+-]+$") then
        return text
    end
    if text:find("'", 1, true) then
        text = text:gsub("'", "'\\''")
    end
    return "'" .. text .. "'"
end

---What the shell runs for a command: a string as it is, a list quoted word by word.
---@param what string for messages
---@param command string|string[]
---@return string
function M.payload(what, command)
    if type(command) == "string" then
        if command:find("\0", 1, true) then
            errors.fail("usage", "%s: a command cannot hold a NUL byte", what)
        end
        return command
    elseif type(command) ~= "table" or #command == 0 then
        errors.fail("usage", "%s: a command expected (a string or a list of words), got %s", what,
            options.show(command))
    end
    local words = {}
    for i, word in ipairs(command) do
        if type(word) == "number" then
            word = tostring(word)
        elseif type(word) ~= "string" then
            errors.fail("usage", "%s: word %d of the command must be a string, got %s", what, i,
                options.show(word))
        end
        words[i] = M.quote(word)
    end
    if words[1]:find("^[-]") then
        -- The shell would take it for an option of exec.
        return "exec env -- " .. table.concat(words, " ")
    end
    return "exec " .. table.concat(words, " ")
end

---A command as messages show it: one line, no controls, not too long.
---@param command string|string[]
---@return string
function M.show(command)
    local text = command
    if type(command) == "table" then
        local words = {}
        for i, word in ipairs(command) do
            words[i] = M.quote(tostring(word))
        end
        text = table.concat(words, " ")
    end
    text = text:gsub("%c", " ")
    return #text > 120 and text:sub(1, 117) .. "..." or text
end

local function exports(what, env)
    local names = {}
    for name, value in pairs(env) do
        if type(name) ~= "string" or not name:find("^[%a_][%w_]*$") then
            errors.fail("usage", "%s: env: %s is not a name for a variable", what, options.show(name))
        elseif type(value) ~= "string" and type(value) ~= "number" then
            errors.fail("usage", "%s: env: %s must be a string, got %s", what, name, options.show(value))
        end
        names[#names + 1] = name
    end
    table.sort(names)
    local parts = {}
    for i, name in ipairs(names) do
        parts[i] = ("export %s=%s;"):format(name, M.quote(tostring(env[name])))
    end
    return table.concat(parts)
end

-- The shell runs `inner` as the leader of a process group. OpenSSH's shells are leaders already;
-- dropbear's are not, and are replaced by one that is: no further process either way.
local function led(inner)
    local guard = "kill -0 -$$ 2>/dev/null||! command -v setsid >/dev/null 2>&1||"
    if #inner <= TWICE_MAX then
        return guard .. "exec setsid sh -c " .. M.quote(inner) .. ";" .. inner
    end
    return "vx=" .. M.quote(inner) .. ";" .. guard .. "exec setsid sh -c \"$vx\";eval \"$vx\""
end

---A line that runs a line as another user, by su or sudo.
---@param user string
---@param line string
---@return string
function M.as_user(user, line)
    local quoted, name = M.quote(line), M.quote(user)
    return ("case $(id -un) in %s) exec sh -c %s;; esac;"):format(name, quoted) ..
        ("if [ \"$(id -u)\" = 0 ]; then exec su -s /bin/sh %s -c %s; fi;"):format(name, quoted) ..
        ("exec sudo -n -u %s -- sh -c %s"):format(name, quoted)
end

---A line that runs another one, which stands ahead of its input.
---@param line string
---@return string
function M.loader(line)
    -- dd takes these bytes and no further one from the input; the x keeps newlines at the end.
    return ("vx=$(dd bs=1 count=%d 2>/dev/null&&echo x);eval \"${vx%%x}\""):format(#line)
end

---Raises unless the text may be the name of a user.
---@param what string
---@param user string
function M.check_user(what, user)
    if not user:find("^[%w_][%w_.$-]*$") then
        errors.fail("usage", "%s: %s is not a name of a user", what, options.show(user))
    end
end

---The whole line: the command in its folder, with its environment, as its user, in its own process
---group, whose id it reports on a line that starts with the marker (stderr, or stdout with pty).
---A folder that is not there ends it with status 125 before it reports.
---@param what string for messages
---@param command string|string[]
---@param opts vm.ExecOptions with shell, a path, and stdin_unused: it reads nothing
---@param marker string
---@return string line
---@return string|nil ahead what must go ahead of the input, for a command too long for a line
function M.line(what, command, opts, marker)
    local before = ""
    if opts.cwd then
        local dir = opts.cwd:find("^[-]") and "./" .. opts.cwd or opts.cwd
        before = ("cd %s||exit 125;"):format(M.quote(dir))
    end
    if opts.env then
        before = before .. exports(what, opts.env)
    end
    local line = led(before .. "echo " .. marker .. (opts.pty and "$$;" or "$$ >&2;") ..
        (opts.stdin_unused and "exec </dev/null;" or "") .. M.payload(what, command))
    if opts.user then
        M.check_user(what, opts.user)
        line = M.as_user(opts.user, line)
    end
    local first = opts.shell and "exec " .. M.quote(opts.shell) .. " -c " or nil
    if #line <= LINE_MAX and not first then
        return line
    elseif first and #line * 2 <= LINE_MAX then
        return first .. M.quote(line)
    elseif opts.pty or #line > (opts.user and ARGUMENT_MAX or COMMAND_MAX) then
        errors.fail("usage", "%s: the command is too long (%d bytes, quoted); give it as a script on stdin",
            what, #line)
    end
    local loader = M.loader(line)
    return first and first .. M.quote(loader) or loader, line
end

---A line that ends a process group: SIGTERM, and SIGKILL after a grace.
---@param group integer
---@param user? string whose processes they are
---@param grace? number seconds, 2 if not given
---@return string
function M.kill_line(group, user, grace)
    local line = ([[k() { kill -$1 -%d 2>/dev/null||kill -$1 %d 2>/dev/null; }
k TERM; n=0
while k 0; do n=$((n+1)); [ $n -gt %d ] && { k KILL; exit 0; }; sleep 0.1 2>/dev/null||sleep 1; done]])
        :format(group, group, math.ceil((grace or 2) * 10))
    return user and M.as_user(user, line) or line
end

---A line that sends a signal to a process group.
---@param group integer
---@param signal string a name without SIG, or a number
---@param user? string
---@return string
function M.signal_line(group, signal, user)
    local line = ("kill -%s -%d 2>/dev/null||kill -%s %d"):format(signal, group, signal, group)
    return user and M.as_user(user, line) or line
end

return M
