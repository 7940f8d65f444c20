-- Makes folders of runs for the tests of reports, without any guest: as many cells and tests as are
-- wanted, of all outcomes, with texts that hostile guests would print. The same seed gives the same run.
local raw = require "vm.raw"
local store = require "vm.report.store"

local M = {}

-- What a guest may print to break the one who shows it.
M.hostile = {
    "\27[2J\27[31mred\27[0m and \27]0;a title\7 gone",
    "]]> <script>alert(1)</script> & \"quotes\" 'too'",
    "not UTF-8: \xff\xfe\xc0\x80 \xed\xa0\x80 \xf5\x80\x80\x80 end",
    "bidi \u{202e}txt.exe\u{202c} \u{2066}x\u{2069} and C1 \u{9b}31m",
    "controls \0 \1 \7 \8 \11 \12 \14 \127 \r over",
    "# SKIP not really\nok 1 - fake\nnot ok 2\n1..0\nBail out!",
    "| a | b |\n|---|---|\n``` \n~~~~\n![x](http://x/) @someone #1 <img src=x onerror=alert(1)>",
    "::error file=a::b%0A%\r\n::stop-commands::x",
    "--- \n...\n{\"json\": \"\\u0000\"}\n</testsuites>",
    ("x"):rep(3000) .. "\u{1F469}\u{200D}\u{1F4BB} \u{FFFE} \u{FEFF} \u{2028}",
}

local images <const> = { "debian-12", "debian-13", "fedora-42", "alpine-3.20", "ubuntu-24.04" }
local arches <const> = { "x86_64", "aarch64", "riscv64" }
local names <const> = { "build", "check", "install", "lint", "bench", "package", "upgrade", "remove" }

-- A plan as the matrix's expansion makes it, with its shared tables.
function M.plan(opts)
    local count, per_cell = opts.cells or 12, opts.tests or 4
    local runs = math.max(1, math.ceil(count / (#images * #arches)))
    local numbers = {}
    for at = 1, runs do
        numbers[at] = { name = ("r%d"):format(at), value = at }
    end
    local function axis(name, values)
        local out = {}
        for at, value in ipairs(values) do
            out[at] = type(value) == "table" and value or { name = value, value = value }
        end
        return { name = name, values = out }
    end
    local matrix = { name = opts.name or "main", file = "matrix.lua", line = 3,
        axes = { axis("image", images), axis("arch", arches), axis("round", numbers) } }
    local plan = { matrices = { matrix }, cells = {}, tests = {}, params = { release = "1.2" }, seed = 4711,
        warnings = {}, skipped = { { id = "fedora-42/riscv64/r1", reason = "there is no such image",
            rule = "exclude[1]" } } }
    for at = 0, count - 1 do
        local image, arch = images[at % #images + 1], arches[at // #images % #arches + 1]
        local round = numbers[at // (#images * #arches) + 1].name
        local cell = { id = ("%s/%s/%s"):format(image, arch, round), matrix = matrix,
            axes = { { "image", image }, { "arch", arch }, { "round", round } },
            values = { image = image, arch = arch, round = round } }
        plan.cells[#plan.cells + 1] = cell
        for i = 1, per_cell do
            local name = names[i] or ("test-%d"):format(i)
            plan.tests[#plan.tests + 1] = { id = cell.id .. ":" .. name, name = name, cell = cell, def = {},
                from = name == "check" and cell.id .. ":build" or nil, tags = i % 3 == 0 and { "slow" } or {},
                estimate = i, skip = name == "upgrade" and "there is no older version" or nil }
        end
    end
    return plan
end

-- Which outcome the n-th test has: mostly passed, each of the others now and then.
local others <const> = { "failed", "flaky", "skipped", "error", "lost", "interrupted", "xfail", "xpass" }

local function outcome_of(n, opts)
    if opts.outcome then
        return opts.outcome
    end
    return n % 5 == 2 and others[(n // 5 + n // 40) % #others + 1] or "passed"
end

local function attempt_of(run, test, number, one)
    local _, below = run:log_file(test, number)
    local text = M.hostile[(one.n + number) % #M.hostile + 1]
    local outcome = one.outcome
    if outcome == "flaky" then
        outcome = number == 1 and "failed" or "passed"
    end
    local out = { outcome = outcome, duration = one.duration, started = one.started, how = "live", slot = one.slot,
        tail = "compiling\n" .. text .. "\n", log = below }
    if outcome == "failed" or outcome == "error" then
        out.error = { kind = outcome == "error" and "connection" or "exit", message = "guest " .. test.cell.id
            .. ": `make check` ended with status 2: " .. text }
        out.artifacts = { { path = ("artifacts/%s/%d/report.txt"):format(run:name(test), number), size = #text,
            kind = "collected" } }
    end
    return out
end

local function result_of(run, test, one)
    local result = { outcome = one.outcome, duration = one.duration, started = one.started, attempts = {},
        checks = { { ok = true, message = "the file is there" } },
        records = { version = { text = one.n % 11 == 0 and "2.37" or "2.36" } },
        sections = { { name = "configure", depth = 1, duration = one.duration / 2, ok = true } } }
    for number = 1, one.outcome == "flaky" and 2 or 1 do
        result.attempts[number] = attempt_of(run, test, number, one)
    end
    if one.outcome == "skipped" or one.outcome == "xfail" or one.outcome == "xpass" then
        result.reason = "known: " .. M.hostile[one.n % #M.hostile + 1]
    end
    return result
end

local function say(run, test, one, result)
    local id = test.id
    run:event { t = one.started, event = "test_started", test = id, attempt = 1, slot = one.slot, how = "live" }
    run:event { t = one.started + one.duration / 2, event = "output", test = id, attempt = 1, stream = "stdout",
        text = M.hostile[one.n % #M.hostile + 1] }
    run:event { t = one.started + one.duration, event = "test_ended", test = id, attempt = 1, final = one.outcome,
        outcome = result.attempts[1].outcome, duration = one.duration, error = result.attempts[1].error,
        tail = result.attempts[1].tail }
end

local function write_file(path, text)
    local file = assert(io.open(path, "wb"))
    assert(file:write(text))
    file:close()
end

local function write_files(run, test, result)
    for number, attempt in ipairs(result.attempts) do
        write_file(run:log_file(test, number), attempt.tail)
        if attempt.artifacts then
            write_file(run:artifact_dir(test, number) .. "/report.txt", attempt.tail)
        end
    end
end

-- The time of the run's clock, not of ours.
local function set_times(run, from, upto)
    run.info.started, run.info.ended, run.info.duration = from, upto, upto - from
    write_file(run.path .. "/run.json", assert(raw.json.encode(run.info)))
end

-- Writes the file of a cell without waiting for the disk, once all its tests are in.
local function save_quickly(run)
    run.saver.save = function() end
    return function(cell)
        if run.results[cell] then
            local path, text = run.saver.make(cell)
            write_file(path, text)
        end
    end
end

---Makes a run below `folder`, which it returns closed: { path =, id =, plan = }. Options: cells (12), tests a cell (4),
---slots (4), start (a time), outcome (one for all), events = false, logs = false, plan, change = fn(test, one, result)
---that may alter one.outcome and one.duration (result is nil then), and the result.
function M.make(folder, opts)
    opts = opts or {}
    local plan = opts.plan or M.plan(opts)
    local run <close> = store.create(folder, { plan = plan, argv = { "vmatrix", "test" }, seed = plan.seed,
        slots = opts.slots or 4 })
    local save = save_quickly(run)
    local clock, last = opts.start or 1764000000.25, nil
    local free, over = {}, clock
    for slot = 1, opts.slots or 4 do
        free[slot] = clock
    end
    for n, test in ipairs(plan.tests) do
        local slot = n % #free + 1
        local one = { n = n, slot = slot, started = free[slot], duration = 0.5 + n * 7919 % 1000 / 100,
            outcome = outcome_of(n, opts) }
        if opts.change then
            opts.change(test, one)
        end
        free[slot] = one.started + one.duration
        over = math.max(over, free[slot])
        if last and last ~= test.cell.id then
            save(last)
        end
        last = test.cell.id
        if one.outcome ~= "lost" and not test.skip then
            local result = result_of(run, test, one)
            if opts.change then
                opts.change(test, one, result)
            end
            run:result(test, result)
            if opts.events ~= false then
                say(run, test, one, result)
            end
            if opts.logs ~= false then
                write_files(run, test, result)
            end
        end
    end
    save(last)
    local counts, exit = run:finish()
    set_times(run, clock, over)
    return { path = run.path, id = run.id, plan = plan, counts = counts, exit = exit }
end

---A folder for a test file's runs, removed when it is closed.
function M.folder()
    local path = assert(raw.fs.mkdtemp "vmt-report-")
    return setmetatable({ path = path }, { __close = function()
        assert(raw.fs.remove_tree(path))
    end })
end

return M
