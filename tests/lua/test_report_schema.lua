-- The events' schema: what the manual says, what the runtime checks, and that it can refuse.
local raw = require "vm.raw"
local host = require "vm.host"
local t = require "harness"
local fixture = require "lua.run_fixture"
local schema = require "vm.report.schema"
local store = require "vm.report.store"

t.test("the_chapter_on_events_is_what_the_schema_says", function()
    local root = os.getenv "VMATRIX_SOURCE"
    local made = host.run({ os.getenv "VMATRIX", root .. "/scripts/dev/events.lua" }).stdout
    t.check(raw.fs.read(root .. "/docs/manual/events.md") == made,
        "make it anew: vmatrix scripts/dev/events.lua > docs/manual/events.md")
end)

t.test("every_event_of_a_run_is_as_documented_when_it_is_read_back", function()
    local folder <close> = fixture.folder()
    local run = store.open(fixture.make(folder.path, { cells = 20 }).path)
    local seen = 0
    for event in run:events() do
        seen = seen + 1
        t.equal(schema.complaint(event), nil)
    end
    t.check(seen > 100)
end)

t.test("each_required_field_is_missed_and_each_type_is_checked", function()
    local samples = { string = "x", integer = 1, number = 1.5, boolean = true, table = {}, outcome = "passed" }
    for _, event in ipairs(schema.events) do
        local good = { event = event[1], t = 1.5 }
        for _, field in ipairs(event[3]) do
            good[field[1]] = samples[field[2]:match "^%a+"]
        end
        t.equal(schema.complaint(good), nil)
        for _, field in ipairs(event[3]) do
            local kept = good[field[1]]
            good[field[1]] = nil
            t.equal(schema.complaint(good) ~= nil, field[3], event[1] .. "." .. field[1])
            good[field[1]] = print
            t.match(schema.complaint(good), "expected, got function")
            good[field[1]] = kept
        end
    end
end)

t.finish()
