-- Starts the binary as a user would, with folders of its own for whatever it keeps.
local host = require "vm.host"
local raw = require "vm.raw"
local vm = require "vm"

local M = {}

M.binary = os.getenv "VMATRIX" or arg[-1]

-- Folders of this test file's own, so that it sees no run but its own ones. The path is short, since
-- sockets are made below it.
M.folder = assert(raw.fs.mkdtemp "/tmp/vmt-")
local env = { "env", "XDG_RUNTIME_DIR=" .. M.folder, "XDG_STATE_HOME=" .. M.folder .. "/state",
    "XDG_CACHE_HOME=" .. M.folder .. "/cache",
    "VMATRIX_RAM=" .. M.folder } -- in /dev/shm everybody's prune would look for it

---The argument list that starts the binary with these arguments. opts.env adds NAME=VALUE strings.
function M.argv(args, opts)
    local argv = table.move(env, 1, #env, 1, {})
    table.move(opts and opts.env or {}, 1, #(opts and opts.env or {}), #argv + 1, argv)
    argv[#argv + 1] = opts and opts.binary or M.binary
    return table.move(args, 1, #args, #argv + 1, argv)
end

---Runs it to its end; any status is a result.
function M.run(args, opts)
    return host.run(M.argv(args, opts), {
        check = false,
        stdin = opts and opts.stdin,
        timeout = opts and opts.timeout or 60,
        cwd = opts and opts.cwd,
    })
end

-- A process that was started and goes on; what it printed so far is in out and err.
local Process = {}
Process.__index = Process
M.Process = Process

---Starts it with these arguments and goes on. It is killed when it is closed.
function M.start(args, opts)
    local raw_process = assert(raw.process.start { argv = M.argv(args, opts), stdin = true })
    return setmetatable({ raw = raw_process, text = { "", "" } }, Process)
end

function Process:__close()
    self.raw:close()
end

---Waits until the pattern has been printed on stdout (1) or stderr (2); returns its captures.
function Process:expect(stream, pattern, seconds)
    local deadline = vm.now() + (seconds or 60)
    while true do
        local found = table.pack(self.text[stream]:match(pattern))
        if found[1] then
            return table.unpack(found, 1, found.n)
        end
        local from, chunk = self.raw:read(math.max(0, deadline - vm.now()))
        if not from then
            error(("%q did not come; stdout: %s; stderr: %s"):format(pattern, self.text[1], self.text[2]), 2)
        end
        self.text[from] = self.text[from] .. chunk
    end
end

---Reads to the end; returns its status and signal, and keeps what was printed.
function Process:finish(seconds)
    local deadline = vm.now() + (seconds or 60)
    while true do
        local from, chunk = self.raw:read(math.max(0, deadline - vm.now()))
        if not from then
            if chunk then
                error(("it did not end; stdout: %s; stderr: %s"):format(self.text[1], self.text[2]), 2)
            end
            break
        end
        self.text[from] = self.text[from] .. chunk
    end
    return assert(self.raw:wait(math.max(1, deadline - vm.now())))
end

function Process:kill(signal)
    self.raw:kill(signal)
end

---The pid of the guardian of the run with this id, or nil.
function M.guardian(id)
    for line in host.run({ "ps", "-eo", "pid=,args=" }).stdout:gmatch "[^\n]+" do
        if line:find("--guardian " .. id, 1, true) then
            return tonumber(line:match "%d+")
        end
    end
end

---Waits until fn returns something true and returns it; fails after that many seconds.
function M.wait_for(what, fn, seconds)
    local deadline = vm.now() + (seconds or 30)
    while true do
        local value = fn()
        if value then
            return value
        elseif vm.now() > deadline then
            error("waited in vain for " .. what, 2)
        end
        vm.sleep(0.05)
    end
end

---Writes a script below this file's folder; returns its path.
function M.script(name, text)
    local path = M.folder .. "/" .. name
    local file = assert(io.open(path, "wb"))
    file:write(text)
    file:close()
    return path
end

---Removes this file's folders. Call it before t.finish.
function M.clean()
    assert(raw.fs.remove_tree(M.folder))
end

return M
