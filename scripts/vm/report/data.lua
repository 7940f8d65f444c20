-- The run as JSON: the model without its cycles, for programs.
local raw = require "vm.raw"
local errors = require "vm.errors"
local escape = require "vm.report.escape"

local M = {}

M.FORMAT = 1

-- An empty list would be written as an empty object: it is left out.
local function list(values)
    return values and #values > 0 and values or nil
end

local function test_of(test)
    return { id = test.id, name = test.name, cell = test.cell.id, outcome = test.outcome, reason = test.reason,
        duration = test.duration, started = test.started, attempts = list(test.attempts), checks = test.checks,
        records = test.records, sections = list(test.sections), tags = list(test.tags), from = test.from,
        variant = test.variant, rate = test.rate, estimate = test.estimate }
end

local function encode(value)
    return escape.json(errors.raise(raw.json.encode(value)))
end

-- One a line, so that tools that work by lines can be used, too.
local function lines(out, name, values, convert)
    out[#out + 1] = (',\n"%s":['):format(name)
    for at, value in ipairs(values) do
        out[#out + 1] = (at == 1 and "\n" or ",\n") .. encode(convert and convert(value) or value)
    end
    out[#out + 1] = "]"
end

---The run as JSON. What cannot be seen is escaped, so that it may go to a terminal.
---@param model vm.report.Model
---@return string
function M.render(model)
    local out = { ('{"format":%d,\n"run":%s,\n"counts":%s,\n"exit":%d'):format(M.FORMAT, encode(model.run),
        encode(model.counts), model.exit) }
    lines(out, "matrices", model.matrices)
    lines(out, "cells", model.cells, function(cell)
        return { id = cell.id, matrix = cell.matrix, axes = list(cell.axes), values = cell.values,
            outcome = cell.outcome }
    end)
    lines(out, "tests", model.tests, test_of)
    lines(out, "records", model.records)
    lines(out, "warnings", model.warnings)
    lines(out, "skipped", model.skipped)
    lines(out, "problems", model.problems)
    out[#out + 1] = "}\n"
    return table.concat(out)
end

return M
