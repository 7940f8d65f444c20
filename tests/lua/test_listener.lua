-- Sockets of this host that somebody else connects to: vm.raw.channel.listen.
local vm = require "vm"
local t = require "harness"

local raw = vm.raw

local folder = assert(raw.fs.mkdtemp "/tmp/vmt-")
local path = folder .. "/socket"

local function listen()
    return assert(raw.channel.listen(path))
end

t.test("what_is_said_reaches_the_other_side_both_ways_and_the_end_too", function()
    local listener <close> = listen()
    local there <close> = assert(raw.channel.open(path))
    assert(there:queue "hello")
    local here <close> = assert(listener:accept(5))
    t.equal(here:read(5), "hello")
    assert(here:queue(("x"):rep(100000)))
    local got = 0
    while got < 100000 do
        got = got + #assert(there:read(5))
    end
    there:close()
    t.equal(here:read(5), nil)
end)

t.test("those_who_connect_at_once_all_get_a_channel_of_their_own", function()
    local listener <close> = listen()
    local clients, seen = {}, {}
    for i = 1, 20 do
        clients[i] = assert(raw.channel.open(path))
        clients[i]:queue(tostring(i))
    end
    for _ = 1, 20 do
        local channel <close> = assert(listener:accept(5))
        seen[assert(channel:read(5))] = true
    end
    for i = 1, 20 do
        t.check(seen[tostring(i)], "client " .. i)
        clients[i]:close()
    end
end)

t.test("nobody_comes_and_the_time_limit_says_so", function()
    local listener <close> = listen()
    local channel, err = listener:accept(0.05)
    t.equal({ channel, err.kind }, { nil, "timeout" })
end)

t.test("closing_wakes_who_waits_and_removes_the_socket", function()
    local listener = listen()
    local waiting = vm.spawn(function()
        local _, err = listener:accept()
        return err.kind
    end)
    vm.sleep(0.05)
    listener:close()
    t.equal(waiting:join(), "closed")
    t.equal(select(2, listener:accept()).kind, "closed")
    t.check(not raw.fs.exists(path))
    listener:close()
end)

t.test("a_cancelled_wait_leaves_the_listener_for_the_next", function()
    local listener <close> = listen()
    t.raises(function() vm.timeout(0.05, listener.accept, listener) end, "timeout")
    local there <close> = assert(raw.channel.open(path)) -- luacheck: ignore 211
    local here <close> = assert(listener:accept(5)) -- luacheck: ignore 211
end)

t.test("a_path_that_is_taken_or_too_long_is_refused", function()
    local listener <close> = listen() -- luacheck: ignore 211
    t.check(raw.channel.listen(path) == nil)
    local _, err = raw.channel.listen(folder .. "/" .. ("x"):rep(200))
    t.equal(err.kind, "limit")
end)

t.test("one_task_waits_at_a_time", function()
    local listener <close> = listen()
    local first = vm.spawn(pcall, listener.accept, listener, 1)
    vm.sleep(0.02)
    t.raises(function() listener:accept(1) end, "usage", "another task")
    first:cancel()
    first:ended()
end)

assert(raw.fs.remove_tree(folder))
t.finish()
