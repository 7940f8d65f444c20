-- A private SSH server on loopback: keys and files in a folder of its own, gone when it is closed.
local raw = require "vm.raw"
local t = require "harness"

local M = {}

---@class Sshd
local Sshd = {}
Sshd.__index = Sshd

local function sh(script, ...)
    local process <close> = assert(raw.process.start { argv = { "sh", "-c", script, "sh", ... }, inherit = false })
    local out = {}
    while true do
        local stream, chunk = process:read(60)
        if not stream then
            break
        end
        out[#out + 1] = chunk
    end
    local status = process:wait(60)
    if status ~= 0 then
        error(("%s: status %s: %s"):format(script, tostring(status), table.concat(out)), 2)
    end
    return (table.concat(out):gsub("%s+$", ""))
end
M.sh = sh

local function which(name)
    local path = os.getenv("PATH") .. ":/usr/sbin:/sbin"
    for dir in path:gmatch("[^:]+") do
        local file = io.open(dir .. "/" .. name)
        if file then
            file:close()
            return dir .. "/" .. name
        end
    end
end
M.which = which

local function read_file(path)
    local file <close> = assert(io.open(path, "rb"))
    return file:read("a")
end

local function listening(port)
    return read_file("/proc/net/tcp"):find((":%04X 00000000:0000 0A"):format(port), 1, true) ~= nil
end

-- Outside the range of outgoing connections; each test process has its own hundred, so that two that
-- run at once never take the same, and find each other's server there.
local last_port = 20000 + raw.fs.pid() % 120 * 100
local function free_port()
    repeat
        last_port = last_port + 1
    until not listening(last_port)
    return last_port
end

M.free_port = free_port

local function wait_listening(process, port)
    local deadline = raw.task.now() + 30
    while raw.task.now() < deadline do
        if listening(port) then
            return true
        end
        local stream, chunk = process:read(0.05)
        if stream == nil and chunk == nil then
            return false -- it ended: the port is taken, or its options are wrong
        end
    end
    return false
end

M.wait_listening = wait_listening

-- Runs "$@" where the accounts are copies with one more, which sudo lets become one other user.
local ACCOUNTS <const> = [[
set -e
dir=$1 user=$2 password=$3 other=$4
shift 4
mkdir -p "$dir/etc" "$dir/account"
cp /etc/passwd /etc/group /etc/shadow "$dir/etc/"
echo "$user:x:64321:64321::$dir/account:/bin/sh" >>"$dir/etc/passwd"
echo "$user:x:64321:" >>"$dir/etc/group"
echo "$user:$(openssl passwd -6 "$password"):19000:0:99999:7:::" >>"$dir/etc/shadow"
printf 'root ALL=(ALL:ALL) NOPASSWD: ALL\n%s ALL=(%s) NOPASSWD: ALL\n' "$user" "$other" >"$dir/etc/sudoers"
chmod 440 "$dir/etc/sudoers"
chmod 711 "$dir"
chmod 644 "$dir/authorized"
chown 64321:64321 "$dir/account"
mount --make-rprivate /
for name in passwd group shadow sudoers; do mount --bind "$dir/etc/$name" "/etc/$name"; done
exec "$@"
]]

-- The server's command line as its options want it.
local function dressed(self, opts, argv)
    if opts.accounts then
        self.account, self.password, self.other = "vxuser", "a password: it's so", "daemon"
        argv = {
            "unshare", "-m", "sh", "-c", ACCOUNTS, "sh", self.dir, self.account, self.password, self.other,
            table.unpack(argv),
        }
    end
    return { "timeout", "--foreground", "600", table.unpack(argv) }
end

---Starts sshd, or skips the test when there is none. accounts: with accounts of its own, for root only:
---`account`, with `password`, may become `other`. silent: a server that never says how a command ended.
---@param opts? { config?: string, server?: "openssh"|"dropbear", accounts?: boolean, silent?: boolean }
---@return Sshd
function M.start(opts)
    opts = opts or {}
    local dropbear = opts.server == "dropbear"
    local program = which(dropbear and "dropbear" or "sshd")
    if not program then
        t.skip((dropbear and "dropbear" or "sshd") .. " is not installed")
    end
    -- Debian's package makes this folder at boot only, and sshd does not start without it.
    local dir = sh("mkdir -p /run/sshd 2>/dev/null; mktemp -d /tmp/vx-sshd-XXXXXX")
    sh([[cd "$1" && ssh-keygen -qt ed25519 -N '' -f key && ssh-keygen -qt ed25519 -N '' -f other &&
        ssh-keygen -qt ed25519 -N '' -f host && ssh-keygen -qt ecdsa -N '' -f host2 &&
        ssh-keygen -qt rsa -b 2048 -N '' -f rsa && cat key.pub rsa.pub > authorized &&
        mkdir -p home/.ssh && cp authorized home/.ssh/authorized_keys && chmod 700 home home/.ssh]], dir)
    local self = setmetatable({
        dir = dir,
        key = dir .. "/key",
        user = sh("id -un"),
        host_key = read_file(dir .. "/host.pub"),
    }, Sshd)
    if opts.silent then
        -- The same program, with another name for what it says at the end.
        program = sh([[LC_ALL=C sed 's/exit-status/exit-nothin/;s/exit-signal/exit-nothin/' "$1" >"$2/sshd" &&
            chmod 755 "$2/sshd" && echo "$2/sshd"]], program, dir)
    end
    for _ = 1, 20 do
        self.port = free_port()
        local argv
        if dropbear then
            -- It looks for keys in the user's home only: give it another one, where that is allowed.
            self.host_key = sh([[cd "$1" && rm -f db && dropbearkey -t ed25519 -f db 2>/dev/null | grep ^ssh-]], dir)
            argv = { "unshare", "-m", "sh", "-c",
                ("mount --bind %s/home ~ && exec %s -F -E -r %s/db -p 127.0.0.1:%d -P %s/pid")
                    :format(dir, program, dir, self.port, dir) }
        else
            local file = assert(io.open(dir .. "/config", "w"))
            -- SHLVL keeps bash from reading this machine's ~/.bashrc.
            file:write(([[
%s
ListenAddress 127.0.0.1:%d
HostKey %s/host2
HostKey %s/host
AuthorizedKeysFile %s/authorized
PidFile none
UsePAM no
StrictModes no
PermitRootLogin yes
MaxStartups 2000
UseDNS no
PrintMotd no
SetEnv SHLVL=2
Subsystem sftp internal-sftp
]]):format(opts.config or "MaxSessions 2000", self.port, dir, dir, dir))
            file:close()
            argv = { program, "-D", "-e", "-f", dir .. "/config" }
        end
        self.process = assert(raw.process.start { argv = dressed(self, opts, argv) })
        if wait_listening(self.process, self.port) then
            return self
        end
        self.process:close()
    end
    sh("rm -rf \"$1\"", dir)
    t.skip("no SSH server could be started here")
end

---Options for vm.ssh.
---@param more? table
function Sshd:options(more)
    local opts = { host = "127.0.0.1", port = self.port, user = self.user, key = self.key, host_key = self.host_key }
    for name, value in pairs(more or {}) do
        opts[name] = value or nil
    end
    return opts
end

function Sshd:close()
    if self.process then
        self.process:close()
        self.process = nil
        sh("rm -rf \"$1\"", self.dir)
    end
end

Sshd.__close = Sshd.close

return M
