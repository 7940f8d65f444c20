-- Asking the owner of the kept guests, when the one that runs is another vmatrix. The owners here are stand-ins
-- behind a socket: real ones are in tests/e2e/test_kept_owner.lua.
local t = require "harness"
local client = require "vm.owner.client"
local progress = require "vm.terminal.progress"
local raw = require "vm.raw"
local task = require "vm.task"

-- Runs fn(place) while owners answer on the place's socket: each connection is given to the next of them, and
-- starting one starts nothing. Returns how often that was wanted.
local function with_owners(owners, fn)
    local starts, start <const> = 0, raw.process.start
    local _ <close> = setmetatable({}, { __close = function() raw.process.start = start end })
    function raw.process.start(opts)
        t.equal(opts.argv[2], "--own")
        starts = starts + 1
        return setmetatable({ read = function() end, wait = function() return 0 end }, { __close = function() end })
    end
    t.with_folder(function(folder)
        local place = { home = folder, root = folder, socket = folder .. "/owner" }
        local listener <close> = assert(raw.channel.listen(place.socket))
        local server <close> = task.closing(task.spawn(function() -- luacheck: ignore 211
            for _, owner in ipairs(owners) do
                local channel <close> = assert(listener:accept(10))
                owner(channel)
            end
        end))
        fn(place)
    end)
    return starts
end

local function greet(channel, version)
    channel:queue(('{"vmatrix":"%s","protocol":%d,"pid":7}\n'):format(version, client.PROTOCOL))
end

t.test("an_owner_of_another_version_is_asked_to_end_and_the_next_one_answers", function()
    local heard
    local shown, start <const> = {}, progress.start
    local _ <close> = setmetatable({}, { __close = function() progress.start = start end })
    function progress.start(what, opts)
        shown = { what, opts.expect }
        return start(what, { visible = false })
    end
    local starts = with_owners({
        function(channel)
            greet(channel, "0.0")
            heard = channel:read(10)
        end,
        function(channel)
            greet(channel, _G._VMATRIX)
            channel:read(10)
            channel:queue '{"result":"here"}\n'
            channel:read(10)
        end,
    }, function(place)
        t.equal(client.call("delete_snapshot", { guest = "dev" }, { place = place, expect = 3 }), "here")
    end)
    t.equal({ heard, starts }, { '{"verb":"retire"}\n', 1 })
    t.equal(shown, { "delete snapshot dev", 3 }, "what waits for the owner is shown: ")
end)

t.test("an_owner_of_another_version_that_does_not_end_is_named_with_the_remedy", function()
    local limit <close> = setmetatable({ was = client.RETIRE }, { __close = function(self) -- luacheck: ignore 211
        client.RETIRE = self.was
    end })
    client.RETIRE = 0.2
    with_owners({ function(channel)
        greet(channel, "0.0")
        channel:read(10)
        channel:read(10) -- until the caller has given up
    end }, function(place)
        t.raises(function() client.call("ping", nil, { place = place }) end, "timeout",
            "another vmatrix %(0%.0, process 7%) and does not end.*`kill 7` ends it")
    end)
end)

t.finish()
