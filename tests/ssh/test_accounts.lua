-- Accounts other than ours: log-in by password, and commands as another user by sudo without one. The
-- server stands in a mount namespace of its own with accounts of its own; the machine's are not touched.
local t = require "harness"
local vm = require "vm"
local raw = require "vm.raw"
local sshd = require "ssh.sshd"

if raw.fs.uid() ~= 0 then
    t.test("accounts", function() t.skip "only root may give a server accounts of its own" end)
    t.finish()
end

local server <close> = sshd.start { accounts = true, config = "PasswordAuthentication yes" }
t.baseline()

local function connect(more)
    return vm.ssh(server:options(more))
end

local function by_password(password)
    return connect { user = server.account, key = false, password = password }
end

t.test("a password logs in", function()
    local there <close> = by_password(server.password)
    t.equal(there:output "id -un", server.account)
end)

t.test("a wrong password is kind auth, and is not told", function()
    local there <close> = by_password "a wrong one"
    local err = t.raises(function() there:run "true" end, "auth", "password")
    t.check(not tostring(err):find("a wrong one", 1, true))
end)

t.test("a server that asks questions instead is answered with the password", function()
    local asking <close> = sshd.start { accounts = true, config = "UsePAM yes\nPasswordAuthentication no" }
    local there <close> = vm.ssh(asking:options { user = asking.account, key = false, password = asking.password })
    t.equal(there:exec("exit 3").status, 3)
end)

t.test("an ordinary user's command runs as another one by sudo, with words, env and cwd as they are", function()
    local there <close> = connect { user = server.account }
    t.equal(there:output("id -un", { user = server.other }), server.other)
    t.equal(there:output({ "printf", "%s|", "a b", "it's", "$HOME" }, { user = server.other }), "a b|it's|$HOME|")
    t.equal(there:output('echo "$V"; pwd', { user = server.other, env = { V = "x y" }, cwd = "/usr" }), "x y\n/usr")
    t.equal(there:exec("cat; exit 5", { user = server.other, stdin = "in" }).stdout, "in")
    t.equal(there:exec("exit 5", { user = server.other }).status, 5)
end)

t.test("a user that sudo does not allow is kind denied and says so", function()
    local there <close> = connect { user = server.account }
    t.raises(function() there:exec("id -un", { user = "root" }) end, "denied", "sudo without a password")
end)

t.test("a timeout kills what sudo started", function()
    local there <close> = connect { user = server.account }
    local seconds = ("%d.%06d"):format(4000, math.random(0, 999999))
    t.raises(function()
        there:exec("sleep " .. seconds .. " & sleep " .. seconds, { user = server.other, timeout = 1 })
    end, "timeout")
    t.equal(there:exec("ps -eo args | grep '[s]leep " .. seconds .. "'").stdout, "")
end)

server:close()
t.finish()
