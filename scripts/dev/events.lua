-- Writes the manual's chapter on the event log from the schema that the runtime checks events against.
-- Run: vmatrix scripts/dev/events.lua > docs/manual/events.md
local schema = require "vm.report.schema"

local out = {}

local function say(text)
    out[#out + 1] = text
end

say(([[
# Events

Made from the schema by `scripts/dev/events.lua`. This is version %d of the format; `run_started` says which
one a log is in. New fields and events may be added without a new version: a reader leaves alone what it
does not know.

`events.jsonl` in a [run's folder](reports.md#the-folder-of-a-run) holds one JSON object a line, written as
things happen. Every line begins with `t`, seconds since 1970 with their fraction, and `event`, its name:

<!-- not run: it shows what a line looks like; tests/lua/test_report_schema.lua checks them all -->

    {"t":1764000009.940000,"event":"test_ended","attempt":1,"duration":9.69,"final":"passed","outcome":"passed", ...}

* Text that came from guests is valid UTF-8 without NUL (what was not is U+FFFD) and 4 KiB a field at most; what
  is missing is said. It may hold control characters, escaped as JSON has them: whoever shows it is to
  escape it.
* A line that is not whole (the last one of a run that was killed) is to be left out.
* An outcome is one of %s.
* No verdict depends on this log: verdicts are in `results/`.
]]):format(schema.VERSION, table.concat(schema.OUTCOMES, ", ")))

for _, event in ipairs(schema.events) do
    say(("\n## %s\n"):format(event[1]))
    if event[2] ~= "" then
        say(event[2]:sub(1, 1):upper() .. event[2]:sub(2) .. ".\n")
    end
    if #event[3] == 0 then
        say "No fields.\n"
    else
        say "| field | type | |\n|---|---|---|"
    end
    for _, field in ipairs(event[3]) do
        local kind = field[2]:gsub("|", " or ") .. (field[3] and "" or ", may be absent")
        say(("| `%s` | %s | %s |"):format(field[1], kind, field[4]))
    end
end

io.stdout:write(table.concat(out, "\n"):gsub("\n\n\n+", "\n\n"), "\n")
