-- Commands over a real SSH server: results, options, input and output.
-- timeout: 300
local t = require "harness"
local vm = require "vm"
local raw = require "vm.raw"
local sshd = require "ssh.sshd"

local server <close> = sshd.start()
local there <close> = vm.ssh(server:options())
there.conn:open()
t.baseline()

t.test("exec gives stdout, stderr, status and duration; any status is a result", function()
    local r = there:exec "echo out; echo err >&2; exit 3"
    t.equal({ r.ok, r.status, r.signal, r.stdout, r.stderr, r.truncated }, { false, 3, nil, "out\n", "err\n", 0 })
    t.check(r.duration > 0 and r.duration < 60)
    t.equal(there:exec("true").ok, true)
end)

t.test("run raises kind exit with the command and its last lines, unless the status is in ok", function()
    local err = t.raises(function()
        there:run "echo one; echo the reason >&2; exit 4"
    end, "exit", "echo one; .*ended with status 4.*the reason")
    t.equal({ err.status, err.stdout, err.stderr }, { 4, "one\n", "the reason\n" })
    t.equal(there:run("exit 77", { ok = { 0, 77 } }).status, 77)
    t.equal(there:run("exit 5", { ok = 5 }).status, 5)
    t.raises(function()
        there:run("exit 0", { ok = 5 })
    end, "exit")
end)

t.test("what a command says cannot move the terminal's cursor in a message", function()
    local err = t.raises(function()
        there:run "printf '\\033[2Jbad\\n' >&2; false"
    end, "exit")
    t.check(not err.message:find("\27", 1, true))
    t.equal(err.stderr, "\27[2Jbad\n")
end)

t.test("output is stdout without its last newline", function()
    t.equal(there:output "printf 'a\\nb\\n\\n'", "a\nb\n")
    t.equal(there:output { "printf", "%s", "x" }, "x")
end)

t.test("words of a list arrive exactly: blanks, quotes, newlines, any byte, nothing", function()
    local words = { "", " ", "a b", "it's", '"', "$HOME `id` \\", "new\nline", "*", "\xff\xfe", "-n", "~", "ü" }
    local command = { "printf", "%s\\0" }
    for _, word in ipairs(words) do
        command[#command + 1] = word
    end
    t.equal(there:exec(command).stdout, table.concat(words, "\0") .. "\0")
end)

t.test("a program whose name looks like an option or an assignment is still a program", function()
    local r = there:exec { "--nothing-of-that-name" }
    t.check(not r.ok)
    r = there:exec { "a=b" }
    t.check(not r.ok)
end)

t.test("a program that is not there gives status 127", function()
    t.equal(there:exec({ "/nonexistent/program" }).status, 127)
end)

t.test("NUL bytes and wrong types are refused", function()
    t.raises(function() there:exec "a\0b" end, "usage", "NUL")
    t.raises(function() there:exec { "a", "b\0" } end, "usage", "NUL")
    t.raises(function() there:exec {} end, "usage", "a command expected")
    t.raises(function() there:exec { "a", {} } end, "usage", "word 2")
    t.raises(function() there:exec("true", { timout = 3 }) end, "usage", "timeout")
    t.raises(function() there:exec("true", { env = { ["A B"] = "1" } }) end, "usage", "A B")
    t.raises(function() there:exec("true", { user = "-x; id" }) end, "usage", "user")
    t.raises(function() there:exec(("x"):rep(2000000)) end, "usage", "too long")
end)

t.test("env, cwd and their odd values reach the command", function()
    local r = there:exec("printf '%s|%s' \"$A\" \"$PWD\"", { env = { A = "it's $x\n" }, cwd = "/usr" })
    t.equal(r.stdout, "it's $x\n|/usr")
    r = there:exec({ "sh", "-c", "echo $B" }, { env = { B = 7 } })
    t.equal(r.stdout, "7\n")
end)

t.test("a folder that is not there raises kind notfound", function()
    t.raises(function()
        there:exec("true", { cwd = "/no/such/folder" })
    end, "notfound", "/no/such/folder")
    t.equal(there:exec("exit 125", { cwd = "/" }).status, 125)
end)

t.test("stdin is a string or what a function yields", function()
    t.equal(there:exec("cat", { stdin = "hello" }).stdout, "hello")
    t.equal(there:exec("cat", { stdin = "" }).stdout, "")
    local n = 0
    local r = there:exec("cat", { stdin = function()
        n = n + 1
        return n <= 3 and ("part %d\n"):format(n) or nil
    end })
    t.equal(r.stdout, "part 1\npart 2\npart 3\n")
    t.equal(there:exec("cat").stdout, "", "without stdin it is at its end")
end)

t.test("an error in the stdin function ends the command and is raised", function()
    local ok, err = pcall(there.exec, there, "cat", { stdin = function() error("no more of that", 0) end })
    t.equal({ ok, err }, { false, "no more of that" })
    t.raises(function()
        there:exec("cat", { stdin = function() return 5 end })
    end, "usage", "stdin function")
end)

t.test("ten megabytes go in and come back the same", function()
    local data = raw.fs.random(65536):rep(160)
    local r = there:exec("cat", { stdin = data, max_output = "16MiB" })
    t.check(r.stdout == data, "the bytes differ")
    local at = 1
    r = there:exec("cat", { max_output = "16MiB", stdin = function()
        local chunk = data:sub(at, at + 99999)
        at = at + 100000
        return chunk ~= "" and chunk or nil
    end })
    t.check(r.stdout == data, "the bytes differ")
end)

t.test("a command that does not read its input still ends", function()
    t.equal(there:exec("exit 6", { stdin = ("x"):rep(8 * 1024 * 1024) }).status, 6)
end)

t.test("on_output is given the output as it comes", function()
    local seen = { stdout = "", stderr = "" }
    local r = there:exec("echo a; echo b >&2; echo c", { on_output = function(stream, chunk)
        seen[stream] = seen[stream] .. chunk
    end })
    t.equal(seen, { stdout = "a\nc\n", stderr = "b\n" })
    t.equal(r.stdout, "a\nc\n")
end)

t.test("output beyond max_output is dropped and counted", function()
    local r = there:exec("head -c 100000 /dev/zero; echo x >&2", { max_output = 1000 })
    t.equal(#r.stdout + #r.stderr, 1000)
    t.equal(r.truncated, 100002 - 1000)
    r = there:exec("head -c 100000 /dev/zero", { max_output = 1000, on_output = function() end })
    t.equal({ #r.stdout, r.truncated }, { 1000, 99000 })
end)

t.test("a signal is a signal and not a status", function()
    local r = there:exec "kill -SEGV $$"
    t.equal({ r.ok, r.status, r.signal }, { false, nil, "SEGV" })
    t.raises(function() there:run "kill -TERM $$" end, "exit", "signal TERM")
end)

t.test("a terminal is one, and takes stderr along", function()
    local r = there:exec("test -t 0 && test -t 1 && echo yes; echo err >&2; stty size", { pty = true })
    t.equal(r.stdout, "yes\r\nerr\r\n24 80\r\n")
    t.equal(r.stderr, "")
    t.equal(there:exec("test -t 1 && echo yes").stdout, "")
end)

t.test("a command runs as another user, by su for root", function()
    if server.user ~= "root" then
        t.skip("only root can become another user here")
    end
    local r = there:exec("id -un; echo \"$1 $PWD\"", { user = "nobody", cwd = "/usr", env = { X = "1" } })
    t.equal(r.stdout, "nobody\n /usr\n")
    t.equal(there:exec({ "id", "-un" }, { user = "root" }).stdout, "root\n")
    t.raises(function() there:exec("true", { user = "no-such-user" }) end, "denied", "no%-such%-user")
end)

t.test("a hundred commands run at once on one session", function()
    local before = there.conn.session_count
    local tasks, begun = {}, vm.now()
    for i = 1, 100 do
        tasks[i] = vm.spawn(function()
            return there:exec(("sleep 0.5; echo %d; exit %d"):format(i, i))
        end)
    end
    for i, task in ipairs(tasks) do
        local r = task:join()
        t.equal({ r.stdout, r.status }, { i .. "\n", i })
    end
    t.check(vm.now() - begun < 45, "they did not run at once")
    t.equal(there.conn.session_count, before)
end)

t.test("ten channels carry ten megabytes each, intact, both ways at once", function()
    local tasks = {}
    for i = 1, 10 do
        tasks[i] = vm.spawn(function()
            local data = raw.fs.random(65536):rep(160)
            local r = there:exec("cat", { stdin = data, max_output = "16MiB" })
            t.check(r.stdout == data, "the bytes of channel " .. i .. " differ")
        end)
    end
    for _, task in ipairs(tasks) do
        task:join()
    end
end)

t.test("a long command works, as a string and as words, with input of its own", function()
    for _, size in ipairs { 10000, 20000, 100000 } do
        local word = ("y"):rep(size)
        t.equal(#there:exec({ "printf", "%s", word }).stdout, size)
        t.equal(#there:exec("printf %s " .. word).stdout, size)
        local r = there:exec("cat; : " .. word .. "\n", { stdin = "mine" })
        t.equal({ r.stdout, r.stderr, r.status }, { "mine", "", 0 })
        r = there:exec("cat; : " .. word, { on_output = function() end, stdin = "mine" })
        t.equal(r.stdout, "mine")
    end
end)

t.finish()
