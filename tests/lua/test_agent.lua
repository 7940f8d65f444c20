-- The link to a guest agent, against a stand-in that misbehaves in every way that was thought of.
local t = require "harness"
local vm = require "vm"
local host = require "vm.host"
local link_of = require "vm.remote.agent_link"

local raw = vm.raw
local fs = raw.fs

local perl = host.which "perl"
local folder = assert(fs.mkdtemp())
local stand_in, path

if perl then
    path = folder .. "/agent"
    local program = os.getenv "VMATRIX_SOURCE" .. "/tests/lua/stand_in_agent.pl"
    stand_in = assert(raw.process.start { argv = { perl, program, path } })
    local _, line = stand_in:read(30)
    assert(line == "ready\n", "the stand-in did not start")
end
t.baseline()

local function test(name, fn)
    t.test(name, function()
        if not perl then
            t.skip "perl is not on this machine"
        end
        local link <close> = setmetatable({ link = link_of.new(path, "stand-in") }, { __close = function(self)
            self.link:close()
        end })
        fn(link.link)
    end)
end

local function echo(link, text, seconds)
    return link:call("echo", { text = text }, seconds or 10)
end

test("an answer comes back, and what was left from before does not", function(link)
    t.equal(echo(link, "one"), "one")
    t.equal(echo(link, "two"), "two")
end)

test("many tasks get each their own answer", function(link)
    local numbers = {}
    for i = 1, 30 do
        numbers[i] = i
    end
    vm.parallel(numbers, function(i)
        t.equal(echo(link, "text " .. i), "text " .. i)
    end)
end)

test("an agent that hangs is a timeout, and the next request finds it again", function(link)
    t.equal(echo(link, "before"), "before")
    local err = t.raises(function()
        link:call("hang", nil, 0.3)
    end, "timeout", "did not answer hang within 0.3 s")
    t.check(err and not link.synced)
    t.equal(echo(link, "after"), "after")
end)

test("an answer that comes too late is not taken for the next one", function(link)
    t.equal(echo(link, "before"), "before")
    t.raises(function()
        link:call("late", nil, 0.2)
    end, "timeout")
    t.equal(echo(link, "mine"), "mine")
    t.equal(echo(link, "mine too"), "mine too")
end)

test("an answer with another's number is passed over, and one without a number is taken", function(link)
    t.equal(link:call("other", nil, 5), "yours")
    t.equal(link:call("old", nil, 5), "no number")
end)

test("a sync that is lost is sent again", function(link)
    pcall(link.call, link, "deaf", nil, 0.2)
    t.equal(echo(link, "found"), "found")
end)

test("what the agent says of syncs that were sent twice is not taken for an answer", function(link)
    pcall(link.call, link, "slow", nil, 0.2)
    t.equal(echo(link, "mine"), "mine")
    t.equal(echo(link, "mine too"), "mine too")
end)

test("garbage before an answer does no harm", function(link)
    t.equal(link:call("garbage", nil, 5), "after garbage")
    t.equal(echo(link, "next"), "next")
end)

test("nothing but garbage is an error at once, which shows some of it", function(link)
    local started = vm.now()
    t.raises(function()
        link:call("flood", nil, 20)
    end, "format", "garbage")
    t.check(vm.now() - started < 10)
    t.equal(echo(link, "next"), "next")
end)

test("an answer without end is cut off, and the next one is read", function(link)
    t.raises(function()
        link:call("oversize", nil, 60)
    end, "limit", "48 MiB")
    t.check(collectgarbage "count" < 200 * 1024)
    t.equal(echo(link, "next", 60), "next")
end)

test("answers about a command that make no sense are errors", function(link)
    link:close()
    local agent = require("vm.remote.agent").new { path = path, name = "stand-in" }
    local _ <close> = setmetatable({}, { __close = function() agent:close() end })
    local function run()
        local handle, err = agent:run { command = "true", timeout = 5 }
        if handle then
            handle, err = handle:wait()
        end
        return handle, err
    end
    local abouts = { "a new command", "a new command", "about a command makes", "a command's output", "base64" }
    for _, about in ipairs(abouts) do
        local result, err = run()
        t.equal(result, nil)
        t.equal(err.kind, "format")
        t.match(err.message, about)
    end
end)

test("an agent's error is raised with its kind, and without control characters", function(link)
    local err = t.raises(function()
        link:call("refuse", nil, 5)
    end, "unsupported", "refuses refuse: no")
    t.check(not err.message:find "%c")
end)

test("a channel that is closed fails what waits, and is opened again", function(link)
    t.raises(function()
        link:call("close", nil, 20)
    end, "connection", "closed its channel")
    t.equal(echo(link, "again"), "again")
end)

test("what waits fails at once when the guest is reset, and asks anew afterwards", function(link)
    echo(link, "up")
    local task = vm.spawn(function()
        return vm.try(link.call, link, "hang", nil, 60)
    end)
    vm.sleep(0.1)
    link:lose "it was taken back"
    local _, err = task:join()
    t.equal(err.kind, "connection")
    t.match(err.message, "taken back")
    t.equal(echo(link, "up again"), "up again")
end)

test("what ended the guest is what its waits raise", function(link)
    local task = vm.spawn(function()
        return vm.try(link.call, link, "hang", nil, 60)
    end)
    vm.sleep(0.1)
    link:fail(require("vm.errors").new("panic", "the kernel panicked"))
    local _, err = task:join()
    t.equal(err.kind, "panic")
    t.raises(function()
        echo(link, "x")
    end, "panic")
end)

test("a request that was cancelled leaves the link usable", function(link)
    t.raises(function()
        vm.timeout(0.2, link.call, link, "hang", nil, 60)
    end, "timeout")
    t.equal(echo(link, "next"), "next")
end)

t.test("no socket is an error at once, and so is one with too long a path", function()
    local link = link_of.new(folder .. "/nothing", "nobody")
    local started = vm.now()
    t.raises(function()
        link:call("guest-ping", nil, 30)
    end, "connection", "[Nn]o such file")
    t.check(vm.now() - started < 5)
    link:close()
    link = link_of.new(folder .. "/" .. ("x"):rep(200), "nobody")
    t.raises(function()
        link:call("guest-ping", nil, 30)
    end, "limit", "too long")
    link:close()
end)

t.test("bytes survive base64, and what is none is refused", function()
    for _, size in ipairs { 0, 1, 2, 3, 49151, 49152, 49153, 200000 } do
        local bytes = assert(fs.random(math.min(size, 60000))):rep(4):sub(1, size)
        t.check(raw.data.unbase64(raw.data.base64(bytes)) == bytes, size)
    end
    t.equal(raw.data.base64 "any carnal pleas", "YW55IGNhcm5hbCBwbGVhcw==")
    for _, text in ipairs { "YQ", "YQ=", "Y===", "YQ==YQ==", "Y Q=", "\255\255\255\255" } do
        local bytes, err = raw.data.unbase64(text)
        t.check(bytes == nil and err.kind == "format", text)
    end
end)

if stand_in then
    stand_in:kill(9)
    stand_in:wait(10)
    stand_in:close()
end
assert(fs.remove_tree(folder))
t.finish()
