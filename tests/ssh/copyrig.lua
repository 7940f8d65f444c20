-- What the copy tests share: a private sshd on loopback whose tools are ours to swap, and trees of files.
local raw = require "vm.raw"
local errors = require "vm.errors"
local raise = errors.raise

local M = {}

local TOOLS <const> = {
    "cat", "chmod", "dd", "du", "find", "id", "mkdir", "mv", "rm", "sh", "sleep", "stat", "tail", "touch", "wc",
    "xargs", "env",
}

function M.sh(line, ...)
    local ok, _, status = os.execute(line:format(...))
    if not ok then
        error(("%s: status %s"):format(line:format(...), tostring(status)), 2)
    end
end

function M.put(path, text)
    local file <close> = assert(io.open(path, "wb"))
    assert(file:write(text))
end

function M.get(path)
    local file <close> = assert(io.open(path, "rb"))
    return file:read "a"
end

local function free_port()
    -- Nothing in the library listens: sshd itself says whether a port was free.
    return 20000 + (string.unpack("<I2", raw.fs.random(2))) % 12000
end

local CONFIG <const> = [[
ListenAddress 127.0.0.1
Port %d
HostKey %s/host
AuthorizedKeysFile %s/authorized
PidFile none
StrictModes no
UsePAM no
PermitRootLogin prohibit-password
PasswordAuthentication no
MaxSessions 50
Subsystem sftp %s/bin/sftp-server
SetEnv PATH=%s/bin
]]

-- Starts a server, without SFTP when opts.sftp is false. Returns { dir, machine, port, close }; nil and
-- why when the machine cannot.
function M.start(opts)
    if not raw.fs.exists "/usr/sbin/sshd" then
        return nil, "no /usr/sbin/sshd"
    end
    local dir = raise(raw.fs.mkdtemp "vx-copy-")
    M.sh("mkdir -p %s/bin /run/sshd 2>/dev/null; ssh-keygen -q -t ed25519 -N '' -f %s/host && " ..
        "ssh-keygen -q -t ed25519 -N '' -f %s/key && cp %s/key.pub %s/authorized", dir, dir, dir, dir, dir)
    for _, tool in ipairs(TOOLS) do
        M.sh("ln -s \"$(command -v %s)\" %s/bin/%s", tool, dir, tool)
    end
    M.put(dir .. "/bin/sftp-server",
        "#!/bin/sh\nexec /usr/lib/openssh/sftp-server\n")
    M.sh("chmod 755 %s/bin/sftp-server", dir)
    local server
    local port
    for _ = 1, 20 do
        port = free_port()
        local config = CONFIG:format(port, dir, dir, dir, dir)
        if opts and opts.sftp == false then
            config = config:gsub("Subsystem[^\n]*", "")
        end
        M.put(dir .. "/config", config)
        server = raise(raw.process.start { argv = { "/usr/sbin/sshd", "-D", "-e", "-f", dir .. "/config" } })
        local text = ""
        repeat
            local _, chunk = server:read(10)
            text = text .. (chunk or "")
        until chunk == nil or text:find "Server listening"
        if text:find "Server listening" then
            break
        end
        server:close()
        server = nil
    end
    if server == nil then
        error "sshd did not start"
    end
    local rig = setmetatable({ dir = dir, port = port, server = server }, {
        __close = function(self) self:close() end,
    })
    function rig:tar(kind)
        os.remove(dir .. "/bin/tar")
        local lines = {
            gnu = "exec /usr/bin/tar \"$@\"", busybox = "exec /usr/bin/busybox tar \"$@\"",
            bsd = "exec /usr/bin/bsdtar \"$@\"",
            evil = ("case $* in *-cf*) exec cat %s/evil.tar;; esac; exec /usr/bin/tar \"$@\""):format(dir),
        }
        if kind ~= "none" then
            M.put(dir .. "/bin/tar", "#!/bin/sh\n" .. lines[kind] .. "\n")
            M.sh("chmod 755 %s/bin/tar", dir)
        end
    end
    -- A connection of its own, so that what was found out about the server is found out anew.
    function rig:connect()
        local user = os.getenv "USER"
        local pipe <close> = assert(io.popen "id -un")
        user = pipe:read "l" or user
        local host_key = M.get(dir .. "/host.pub")
        return require("vm.remote.ssh").open {
            host = "127.0.0.1", port = port, user = user, key = dir .. "/key", host_key = host_key,
        }
    end
    function rig:close()
        server:close()
        raise(raw.fs.remove_tree(dir))
    end
    rig:tar "gnu"
    return rig
end

-- A tree with what is hard about trees.
function M.tree(path)
    M.sh("mkdir -p %s/sub/deep %s/empty %s/closed", path, path, path)
    M.put(path .. "/plain", "hello\n")
    M.put(path .. "/with space", "a b")
    M.put(path .. "/new\nline", "newline")
    M.put(path .. "/\xff\xfe raw", "raw bytes")
    M.put(path .. "/-dash", "dash")
    M.put(path .. "/quote'\"$x", "quote")
    M.put(path .. "/.hidden", "hidden")
    M.put(path .. "/" .. ("n"):rep(200), "long")
    M.put(path .. "/sub/deep/script", "#!/bin/sh\n")
    M.put(path .. "/closed/inside", "x")
    M.put(path .. "/big", ("0123456789abcdef"):rep(80000))
    raise(raw.fs.symlink("../plain", path .. "/sub/link"))
    raise(raw.fs.symlink("nowhere", path .. "/broken"))
    raise(raw.fs.chmod(path .. "/sub/deep/script", tonumber("751", 8)))
    raise(raw.fs.chmod(path .. "/plain", tonumber("600", 8)))
    M.sh("find %s -exec touch -h -d @1234567890 {} +", path)
    raise(raw.fs.chmod(path .. "/closed", tonumber("555", 8)))
end

-- What a tree is, as text: the same text means the same tree.
-- loose: but for the times of links and of folders, which the simplest tools do not set.
function M.describe(path, loose)
    local lines = {}
    for _, item in ipairs(raise(raw.tree.walk(path, {}))) do
        local full = item.path == "" and path or path .. "/" .. item.path
        local digest = item.type == "file" and raise(raw.fs.sha256(full)) or item.target or ""
        lines[#lines + 1] = ("%s %s %o %d %s"):format(
            item.path, item.type, item.type == "link" and 0 or item.mode,
            loose and item.type ~= "file" and 0 or item.mtime, digest)
    end
    return table.concat(lines, "\n")
end

-- One ustar header and its content.
function M.entry(type, name, opts)
    opts = opts or {}
    local content = opts.content or ""
    local function field(text, size)
        return text .. ("\0"):rep(size - #text)
    end
    local head = field(name, 100) .. "0000644\0" .. "0000000\0" .. "0000000\0" ..
        ("%011o\0"):format(opts.size or #content) .. "07346545000\0" .. "        " .. type ..
        field(opts.target or "", 100) .. "ustar\0" .. "00" .. ("\0"):rep(247)
    local sum = 0
    for i = 1, #head do
        sum = sum + head:byte(i)
    end
    head = head:sub(1, 148) .. ("%06o\0 "):format(sum) .. head:sub(157)
    return head .. content .. ("\0"):rep(-#content % 512)
end

---What a file of copy tests begins with: a server, and two folders that are empty when a test starts.
---@param t table the harness
---@return table { rig, guest_dir, host_dir, test, g, h }
function M.suite(t)
    local rig, why = M.start()
    if not rig then
        t.test("file copy over SSH", function() t.skip(why) end)
        t.finish()
    end
    local self = { rig = rig, guest_dir = rig.dir .. "/guest", host_dir = rig.dir .. "/host-files" }
    function self.g(name) return self.guest_dir .. "/" .. name end
    function self.h(name) return self.host_dir .. "/" .. name end
    -- Each test has a fresh connection, and leaves no name of ours behind.
    function self.test(name, fn)
        t.test(name, function()
            M.sh("chmod -R u+rwx %s %s 2>/dev/null; rm -rf %s %s; mkdir %s %s", self.guest_dir, self.host_dir,
                self.guest_dir, self.host_dir, self.guest_dir, self.host_dir)
            rig:tar "gnu"
            local machine <close> = rig:connect()
            fn(machine)
            for _, dir in ipairs { self.guest_dir, self.host_dir } do
                for _, item in ipairs(raise(raw.tree.walk(dir, {}))) do
                    t.check(not item.path:find "%.vmatrix%-", "left behind: " .. item.path)
                end
            end
        end)
    end
    return self
end

return M
