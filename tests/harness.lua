-- What every Lua test file uses: sentences as names, one line each, and a check after each test that
-- nothing is left behind.
local raw = require "vm.raw"

local M = {}

local passed, failed, skipped = 0, 0, 0
local baseline_handles = raw.task.handles()

local function show(value)
    if type(value) == "string" then
        return ("%q"):format(value)
    elseif type(value) == "table" and getmetatable(value) == nil then
        local parts = {}
        for k, v in pairs(value) do
            parts[#parts + 1] = ("%s=%s"):format(tostring(k), show(v))
        end
        table.sort(parts)
        return "{" .. table.concat(parts, ", ") .. "}"
    end
    return tostring(value)
end

local function same(a, b)
    if type(a) ~= "table" or type(b) ~= "table" then
        return a == b
    end
    for k, v in pairs(a) do
        if not same(v, b[k]) then
            return false
        end
    end
    for k in pairs(b) do
        if a[k] == nil then
            return false
        end
    end
    return true
end

function M.check(condition, message)
    if not condition then
        error(message or "the check failed", 2)
    end
    return condition
end

function M.equal(got, wanted, message)
    if not same(got, wanted) then
        error(("%sgot %s, wanted %s"):format(message and message .. ": " or "", show(got), show(wanted)), 2)
    end
end

function M.match(text, pattern)
    if type(text) ~= "string" or not text:find(pattern) then
        error(("%s does not match %s"):format(show(text), show(pattern)), 2)
    end
end

-- fn must raise an error object of this kind whose message matches; returns it.
function M.raises(fn, kind, pattern)
    local ok, err = pcall(fn)
    if ok then
        error("no error was raised", 2)
    end
    if kind and not (raw.error.is(err) and err.kind == kind) then
        local got = raw.error.is(err) and err.kind or type(err)
        error(("an error of kind %s expected, got %s: %s"):format(kind, got, tostring(err)), 2)
    end
    if pattern and not tostring(err):find(pattern) then
        error(("the message %s does not match %s"):format(show(tostring(err)), show(pattern)), 2)
    end
    return err
end

local Skip = {}

function M.skip(reason)
    error(setmetatable({ reason = reason }, Skip), 0)
end

-- Skips the running test when a program is absent; in CI, which has all of them, its absence is a failure. Whether
-- it is there may be told, for what is no program on the path.
function M.need(program, there)
    if there == nil then
        there = require("vm.host").which(program) ~= nil
    end
    if there then
        return
    elseif os.getenv "CI" == "true" then
        error(program .. " is not installed; scripts/dev/deps test installs it", 0)
    end
    M.skip(program .. " is not installed")
end

-- Runs fn with a new folder, which is gone afterwards with all that is in it; returns what fn returns.
function M.with_folder(fn)
    local folder = assert(raw.fs.mkdtemp())
    local _ <close> = setmetatable({}, { __close = function() assert(raw.fs.remove_tree(folder)) end })
    return fn(folder)
end

-- Closed objects let go of their handles at the loop's next turn.
local function leftovers()
    collectgarbage()
    local deadline = raw.task.now() + 1
    local tasks, handles
    -- Some go a moment later: what a connection sends in the background, for one.
    repeat
        raw.task.sleep(0)
        tasks, handles = #raw.task.children(), raw.task.handles() - baseline_handles
    until (tasks == 0 and handles <= 0) or raw.task.now() > deadline
    if tasks > 0 or handles > 0 then
        return ("left behind: %d tasks, %d handles of the loop"):format(tasks, handles)
    end
end

-- A file whose tests share something (a connection, a guest) calls this once it is there.
function M.baseline()
    collectgarbage()
    raw.task.sleep(0.01)
    baseline_handles = raw.task.handles()
end

function M.test(name, fn)
    local started = raw.task.now()
    -- A task of its own: what a test leaves running is ended with it, and seen.
    local ok, err = xpcall(function()
        fn()
        local left = leftovers()
        if left then
            error(left, 0)
        end
    end, function(err)
        if getmetatable(err) == Skip then
            return err
        end
        return { text = tostring(err), trace = raw.error.is(err) and err.traceback or debug.traceback(nil, 2) }
    end)
    local time = ("%.2f s"):format(raw.task.now() - started)
    if ok then
        passed = passed + 1
        print(("ok    %s (%s)"):format(name, time))
    elseif getmetatable(err) == Skip then
        skipped = skipped + 1
        print(("skip  %s: %s"):format(name, err.reason))
    else
        failed = failed + 1
        print(("FAIL  %s (%s)\n      %s\n%s"):format(name, time, err.text, err.trace))
    end
    io.stdout:flush()
end

function M.finish()
    print(("%d passed, %d failed, %d skipped"):format(passed, failed, skipped))
    if failed > 0 or passed + skipped == 0 then
        os.exit(1)
    elseif passed == 0 then
        os.exit(77)
    end
end

return M
