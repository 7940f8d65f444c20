-- timeout: 300
-- Guests that come and go leave nothing behind (tests/bench/churn.lua does a hundred).
local t = require "harness"
local host = require "vm.host"

t.test("ten_guests_in_a_row_leave_no_process_descriptor_file_or_memory", function()
    local result = host.run({ os.getenv "VMATRIX", os.getenv "VMATRIX_SOURCE" .. "/tests/bench/churn.lua", "10" },
        { check = false, timeout = 250 })
    local sanitized = require("vm.raw").build.sanitized
    for _, what in ipairs { "children", "descriptors", "files" } do
        local before, after = result.stdout:match(what .. "%s+(%d+) before,%s+(%d+) after")
        t.check(before and tonumber(after) <= tonumber(before), result.stdout .. result.stderr)
    end
    if not sanitized then -- a sanitizer keeps freed memory for a while
        t.equal(result.status, 0, result.stdout .. result.stderr)
    end
end)

t.finish()
