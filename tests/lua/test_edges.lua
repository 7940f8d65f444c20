-- Processes and JSON where things do not go as they usually do.
local vm = require "vm"
local t = require "harness"
local raw = vm.raw

local function number_in(text)
    return tonumber((text:gsub("%s", "")))
end

t.test("ending_a_processs_input_twice_drops_nothing_and_nothing_can_be_written_after", function()
    local process <close> = raw.process.start { argv = { "sh", "-c", "sleep 0.1; wc -c" }, stdin = true }
    process:queue(("x"):rep(1000000))
    process:close_stdin()
    process:close_stdin()
    local ok, err = process:write "more"
    t.equal(ok, nil)
    t.equal(err.kind, "closed")
    local _, text = process:read(30)
    t.equal(number_in(text), 1000000)
    t.equal(process:wait(30), 0)
end)

t.test("closing_a_process_ends_those_that_hold_its_output_after_its_own_end", function()
    local process <close> = raw.process.start { argv = { "sh", "-c", "sleep 300 & echo $!" } }
    local _, text = process:read(30)
    local path = ("/proc/%d/stat"):format(number_in(text))
    local status, err = process:wait(0.2)
    t.equal(status, nil)
    t.equal(err.kind, "timeout")
    process:close()
    vm.timeout(10, function()
        while true do
            local stat = raw.fs.read(path, 1000)
            if not stat or stat:find(") Z", 1, true) then -- gone, or nobody has taken note yet
                return
            end
            vm.sleep(0.01)
        end
    end)
end)

t.test("three_hundred_processes_at_once_all_end", function()
    local count = raw.build.gc_eager and 20 or 300
    local tasks = {}
    for i = 1, count do
        tasks[i] = vm.spawn(function()
            local process <close> = raw.process.start { argv = { "echo", tostring(i) } }
            local _, text = process:read(60)
            t.equal(process:wait(60), 0)
            return number_in(text)
        end)
    end
    for i = 1, count do
        t.equal(tasks[i]:join(), i)
    end
end)

t.test("json_refuses_what_it_would_have_to_drop", function()
    t.equal(raw.json.encode { 1, { a = true }, "x" }, '[1,{"a":true},"x"]')
    t.equal(raw.json.encode { {}, raw.json.list {}, raw.json.list { 1 } }, "[{},[],[1]]")
    t.equal(raw.json.encode(raw.json.list { a = 1 }), nil)
    for _, value in ipairs { { 1, x = 2 }, { [1] = 1, [3] = 3, [2.5] = 2 }, { [2] = 1, [1.5] = 1 } } do
        local text, err = raw.json.encode(value)
        t.equal(text, nil)
        t.equal(err.kind, "format")
    end
end)

t.finish()
