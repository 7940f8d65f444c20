-- Models for the tests of the HTML report, as vm.report.model makes them: a few cells with everything
-- in them, thousands of cells, and one whose every text is hostile.
local M = {}

local START <const> = 1764086400 -- 2025-11-25 16:00 UTC

-- The same numbers each time, whatever else draws random ones.
local function generator(seed)
    local state = seed
    return function(n)
        state = (state * 1103515245 + 12345) & 0x7FFFFFFF
        return (state >> 8) % n
    end
end

local severity <const> = { "failed", "xpass", "error", "lost", "interrupted", "flaky", "passed", "xfail",
    "skipped" }

local function worst_of(tests)
    for _, outcome in ipairs(severity) do
        for _, test in ipairs(tests) do
            if test.outcome == outcome then return outcome end
        end
    end
end

-- Fills in what follows from the tests: counts, cells' outcomes and the timeline.
local function finish(model)
    local counts = { total = #model.tests }
    for _, outcome in ipairs(severity) do counts[outcome] = 0 end
    for _, test in ipairs(model.tests) do
        counts[test.outcome] = counts[test.outcome] + 1
        for i, attempt in ipairs(test.attempts) do
            if attempt.started then
                model.timeline[#model.timeline + 1] = { slot = attempt.slot, started = attempt.started,
                    duration = attempt.duration, what = "test", name = test.id, test = test.id, attempt = i,
                    outcome = attempt.outcome }
            end
        end
    end
    for _, cell in ipairs(model.cells) do
        cell.outcome = worst_of(cell.tests)
    end
    model.counts = counts
    return model
end

local function new_model(id, slots)
    return {
        run = { id = id, path = "/nowhere", started = START, state = "finished", seed = 4711, version = "0.3.0",
            argv = { "vmatrix", "test", "matrix.lua" }, files = { "matrix.lua" }, params = {}, slots = slots,
            host = { arch = "x86_64", cpus = 16, memory = 64 << 30 } },
        matrices = {}, cells = {}, tests = {}, records = {}, timeline = {}, warnings = {}, skipped = {}, problems = {},
    }
end

local function add_cell(model, matrix, axes)
    local values = {}
    for i, pair in ipairs(axes) do values[i] = pair[2] end
    local cell = { id = table.concat(values, "/"), matrix = matrix, axes = axes, tests = {} }
    model.cells[#model.cells + 1] = cell
    return cell
end

local function add_test(model, cell, name, fields)
    local test = { id = cell.id .. ":" .. name, name = name, cell = cell, attempts = {}, tags = {} }
    for key, value in pairs(fields) do test[key] = value end
    cell.tests[#cell.tests + 1] = test
    model.tests[#model.tests + 1] = test
    return test
end

-- Puts an attempt on the slot that is free first.
local function new_clock(slots)
    local free = {}
    for i = 1, slots do free[i] = START end
    return function(duration)
        local slot = 1
        for i = 2, slots do
            if free[i] < free[slot] then slot = i end
        end
        local started = free[slot]
        free[slot] = started + duration + 0.05
        return slot, started, free
    end
end

local problems <const> = {
    failed = { kind = "exit",
        message = "make check: ended with status 2: FAIL: test_socket (connection reset by peer)" },
    error = { kind = "boot", message = "guest fedora-42: boot: no commands after 120 s; last on the console: "
        .. "\"Failed to start systemd-udevd.service\"" },
}

local function attempts_for(outcome, clock, seconds)
    local list = {}
    local function attempt(result)
        local slot, started = clock(seconds)
        list[#list + 1] = { outcome = result, slot = slot, started = started, duration = seconds, how = "live fork",
            error = problems[result] }
    end
    if outcome == "flaky" then
        attempt "failed"
        attempt "passed"
    elseif outcome == "xfail" then
        attempt "failed"
    elseif outcome == "xpass" then
        attempt "passed"
    elseif outcome ~= "skipped" and outcome ~= "lost" then
        attempt(outcome)
    end
    return list
end

---A run with a few cells that shows everything the report can show.
function M.few()
    local model = new_model("2025-11-25-1600-k3vd", 4)
    local clock, random = new_clock(4), generator(7)
    local images, arches, ccs = { "debian-12", "debian-13", "fedora-42" }, { "x86_64", "aarch64", "riscv64" },
        { "gcc", "clang" }
    model.matrices[1] = { name = "library", axes = { { name = "image", values = images },
        { name = "arch", values = arches }, { name = "cc", values = ccs } } }
    local special = {
        ["debian-13/aarch64/clang:check"] = "failed", ["fedora-42/aarch64/gcc:check"] = "failed",
        ["fedora-42/x86_64/clang:build"] = "error", ["debian-12/riscv64/gcc:check"] = "flaky",
        ["debian-13/riscv64/clang:install"] = "lost", ["debian-12/riscv64/clang:bench"] = "xfail",
    }
    for _, image in ipairs(images) do
        for _, arch in ipairs(arches) do
            for _, cc in ipairs(ccs) do
                if image ~= "fedora-42" or arch ~= "riscv64" then
                    local cell = add_cell(model, 1, { { "image", image }, { "arch", arch }, { "cc", cc } })
                    for _, name in ipairs { "build", "check", "install", "bench" } do
                        local outcome = special[cell.id .. ":" .. name] or "passed"
                        if name == "bench" and arch == "aarch64" then outcome = "skipped" end
                        local seconds = (arch == "x86_64" and 2 or 9) + random(60) / 10
                        local attempts = attempts_for(outcome, clock, seconds)
                        local test = add_test(model, cell, name, { outcome = outcome, attempts = attempts,
                            duration = #attempts > 0 and seconds * #attempts or nil, started = attempts[1] and
                            attempts[1].started, from = name ~= "build" and cell.id .. ":build" or nil,
                            tags = name == "bench" and { "slow" } or {} })
                        if outcome == "skipped" then test.reason = "no cycle counter under emulation" end
                        if outcome == "lost" then test.reason = "the run ended before a verdict was written" end
                        if outcome == "xfail" then test.reason = "clang 14 lacks the vector extension here" end
                        if name == "check" and #attempts > 0 then
                            test.checks = { { ok = true, message = "the library loads" },
                                { ok = outcome ~= "failed", message = "32 of 32 tests pass" } }
                            test.sections = { { name = "unit", depth = 1, duration = seconds * 0.4, ok = true },
                                { name = "sockets", depth = 1, duration = seconds * 0.5, ok = outcome ~= "failed" },
                                { name = "ipv6", depth = 2, duration = seconds * 0.3, ok = outcome ~= "failed" } }
                            local version = arch == "riscv64" and "abi 4.1" or "abi 4.2"
                            test.records = { abi = { digest = version, text = version .. "\n" } }
                        end
                        for i, attempt in ipairs(attempts) do
                            attempt.log = ("logs/%s.%d.log"):format(test.id:gsub("/", "_"), i)
                            attempt.tail = "ok 31 - timers\nnot ok 32 - socket\n"
                            if attempt.outcome == "failed" then
                                attempt.console = ("consoles/%s.%d.log"):format(test.id:gsub("/", "_"), i)
                                local folder = ("artifacts/%s/%d"):format(test.id:gsub("/", "_"), i)
                                attempt.artifacts = { { path = folder .. "/test.log", size = 18200,
                                    kind = "collected" } }
                            end
                        end
                    end
                end
            end
        end
    end
    local groups = { ["abi 4.2"] = {}, ["abi 4.1"] = {} }
    for _, test in ipairs(model.tests) do
        if test.records then
            table.insert(groups[test.records.abi.digest], test.id)
        end
    end
    local total = #groups["abi 4.2"] + #groups["abi 4.1"]
    model.records[1] = { name = "abi", record = "abi", total = total, by = { "arch" }, groups = {
        { digest = "abi 4.2", text = "abi 4.2\n", tests = groups["abi 4.2"] },
        { digest = "abi 4.1", text = "abi 4.1\n", tests = groups["abi 4.1"] },
    } }
    model.run.duration = select(3, clock(0))[1] - START + 14
    model.exit = 1
    model.warnings[1] = { kind = "timeout", test = "debian-12/riscv64/gcc:check", text = "80 % of its 30 s are over" }
    model.skipped = { { id = "fedora-42/riscv64/gcc", reason = "there is no such image", rule = "exclude[1]" },
        { id = "fedora-42/riscv64/clang", reason = "there is no such image", rule = "exclude[1]" } }
    return finish(model)
end

---A run with about this many cells of one or two tests, 5,000 unless told otherwise.
function M.many(count)
    count = count or 5000
    local model = new_model("2025-11-25-1600-many", 8)
    local clock, random = new_clock(8), generator(11)
    local kernels = {}
    for i = 1, 25 do kernels[i] = ("6.%d"):format(i) end
    local values = { { "debian-12", "debian-13", "fedora-42", "alpine-3.22", "ubuntu-24.04" },
        { "x86_64", "aarch64", "riscv64", "s390x" }, kernels, {} }
    for i = 1, math.max(1, math.ceil(count / 500)) do values[4][i] = ("cfg%d"):format(i) end
    local names = { "image", "arch", "kernel", "config" }
    model.matrices[1] = { name = "kernels", axes = {} }
    for i, name in ipairs(names) do model.matrices[1].axes[i] = { name = name, values = values[i] } end
    local function fill(level, axes)
        if level > 4 then
            if #model.cells >= count then return end
            local cell = add_cell(model, 1, table.move(axes, 1, 4, 1, {}))
            local draw = random(1000)
            local outcome = draw < 12 and "failed" or draw < 16 and "error" or draw < 24 and "flaky" or draw < 60
                and "skipped" or "passed"
            if axes[2][2] == "s390x" and axes[3][2] == "6.13" then outcome = "failed" end
            local seconds = 0.4 + random(40) / 10
            local attempts = attempts_for(outcome, clock, seconds)
            local test = add_test(model, cell, "boot", { outcome = outcome, attempts = attempts,
                duration = #attempts > 0 and seconds * #attempts or nil,
                reason = outcome == "skipped" and "no such kernel here" or nil })
            for i, attempt in ipairs(attempts) do
                attempt.log = ("logs/%s.%d.log"):format(test.id:gsub("/", "_"), i)
            end
            return
        end
        for _, value in ipairs(values[level]) do
            axes[level] = { names[level], value }
            fill(level + 1, axes)
        end
    end
    fill(1, {})
    model.run.duration = select(3, clock(0))[1] - START
    model.exit = 1
    return finish(model)
end

---Texts that guests could write to break a report.
M.hostile = {
    "</script><script>window.owned = 1</script>", "<img src=x onerror=\"window.owned = 1\">", "]]>", "<!--", "-->",
    "\27[31mred\27[0m\27]0;title\7",
    "invalid \xff\xfe\xc0\xaf utf-8", "\u{202E}gnp.exe", "\0nul\1\127", "a\rb\r\nc",
    "\" onmouseover=\"window.owned = 1\" x=\"", "' onclick='window.owned = 1", "&lt;b&gt;&amp;",
    "\u{85}\u{FEFF}\u{FFFE}",
    "</style></title></textarea></noscript></svg></template>",
    "\u{1F600} ünï ‱", "javascript:window.owned=1",
}

---A run in which every text is hostile.
function M.nasty()
    local all = table.concat(M.hostile, "\n")
    local model = new_model(all, 1)
    model.run.argv, model.run.files = M.hostile, M.hostile
    model.run.version, model.run.params = all, { [all] = all }
    model.matrices[1] = { name = all, axes = { { name = all, values = M.hostile } } }
    for i, text in ipairs(M.hostile) do
        local cell = add_cell(model, 1, { { all, text } })
        local test = add_test(model, cell, text, { outcome = severity[i % 9 + 1], reason = text, duration = 1,
            tags = { text }, variant = text, from = text, checks = { { ok = false, message = text } },
            sections = { { name = text, depth = 1, duration = 1, ok = true } },
            records = { [all] = { digest = text, text = text } } })
        test.attempts = { { outcome = "failed", slot = 1, started = START + i, duration = 1, how = text, tail = text,
            error = { kind = text, message = text }, log = "logs/" .. text, console = text,
            artifacts = { { path = text, size = 1, kind = text },
                { path = "artifacts/" .. text, size = 1, kind = text },
                { path = "../" .. text, size = 1 }, { path = "/etc/passwd", size = 1 } } } }
        model.warnings[i] = { kind = "x", text = text, test = text }
        model.skipped[i] = { id = text, reason = text, rule = text }
        model.problems[i] = text
        model.records[1] = model.records[1]
            or { name = all, record = all, total = #M.hostile, groups = {} }
        table.insert(model.records[1].groups, { digest = text, text = text, tests = { test.id } })
    end
    return finish(model)
end

return M
