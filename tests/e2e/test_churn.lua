-- timeout: 300
-- Guests that come and go leave nothing behind (tests/bench/churn.lua does a hundred).
local t = require "harness"
local host = require "vm.host"

t.test("ten_guests_in_a_row_leave_no_process_descriptor_or_file", function()
    local result = host.run({ os.getenv "VMATRIX", os.getenv "VMATRIX_SOURCE" .. "/tests/bench/churn.lua", "10", "5" },
        { check = false, timeout = 250 })
    for _, what in ipairs { "children", "descriptors", "files" } do
        local before, after = result.stdout:match(what .. "%s+(%d+) before,%s+(%d+) after")
        t.check(before and tonumber(after) <= tonumber(before), result.stdout .. result.stderr)
    end
    t.equal(result.status, 0, result.stdout .. result.stderr)
end)

t.finish()
