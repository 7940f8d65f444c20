-- A real terminal for the tests: tmux, on a server of its own, with keys that are typed and a screen that
-- is read.
local host = require "vm.host"
local vm = require "vm"
local t = require "harness"
local cli = require "cli.cli"

local M = {}

local Terminal = {}
Terminal.__index = Terminal

local count = 0

local function argv(self, env, ...)
    local list = { "env", "-u", "TMUX", "LC_ALL=C.UTF-8", "TMUX_TMPDIR=" .. cli.folder }
    table.move(env, 1, #env, #list + 1, list)
    local words = { "tmux", "-u", "-L", self.name, "-f", "/dev/null", ... }
    return table.move(words, 1, #words, #list + 1, list)
end

-- tmux has failed, or its server is gone: that is an error, and no empty screen.
local function run(self, ...)
    local result = host.run(argv(self, {}, ...), { check = false, timeout = 30 })
    if result.status ~= 0 then
        error(("tmux %s: status %s: %s"):format((...), tostring(result.status), result.stderr), 0)
    end
    return result
end

---Starts a line of sh on a terminal; opts: cols, rows, env (NAME=VALUE strings). Skips the test without tmux.
function M.start(line, opts)
    opts = opts or {}
    t.need "tmux"
    count = count + 1
    local self = setmetatable({ name = ("vmatrix-%d-%d"):format(vm.raw.fs.pid(), count) }, Terminal)
    local cols, rows = tostring(opts.cols or 80), tostring(opts.rows or 24)
    -- A Ctrl-C is sh's, too: without the trap it ends with what it runs, and tmux with it.
    host.run(argv(self, opts.env or {}, "new-session", "-d", "-x", cols, "-y", rows, "sh", "-c",
        "trap : INT; " .. line .. "; status=$?; echo; echo ended $status; sleep 1000"), { timeout = 30 })
    return self
end

function Terminal:__close()
    host.run(argv(self, {}, "kill-server"), { check = false, timeout = 30 })
end

---Starts bash, which knows jobs, on a terminal, with the prompt "sh> ". Skips the test without it.
function M.shell(opts)
    t.need "bash"
    local self = M.start("env PS1='sh> ' HISTFILE= bash --norc --noprofile -i", opts)
    self:expect "sh>$"
    return self
end

---Types a text, as it is.
function Terminal:type(text)
    run(self, "send-keys", "-l", "--", text)
end

---Presses keys: "Enter", "C-c", "Left", "Tab".
function Terminal:press(...)
    run(self, "send-keys", ...)
end

---Types a text and enters it.
function Terminal:enter(text)
    self:type(text)
    self:press "Enter"
end

---What is on the screen, with its history: lines without blanks at their ends.
function Terminal:screen()
    local out = run(self, "capture-pane", "-p", "-J", "-S", "-2000").stdout
    return (out:gsub("[ \t]+\n", "\n"):gsub("%s+$", ""))
end

---Waits until the screen has this pattern; returns what it captures.
function Terminal:expect(pattern, seconds)
    local deadline = vm.now() + (seconds or 30)
    while true do
        local screen = self:screen()
        local found = table.pack(screen:match(pattern))
        if found[1] then
            return table.unpack(found, 1, found.n)
        elseif vm.now() > deadline then
            error(("%q is not on the screen:\n%s"):format(pattern, screen), 2)
        end
        vm.sleep(0.1)
    end
end

function Terminal:resize(cols, rows)
    run(self, "resize-window", "-x", tostring(cols), "-y", tostring(rows))
end

return M
