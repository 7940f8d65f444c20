-- `vmatrix reopen`: the prompt with what was kept of a test: its guest as the test left it, its cell, and
-- what its console had said.
local raw = require "vm.raw"
local command = require "vm.cli.command"
local errors = require "vm.errors"
local kept = require "vm.test.kept"
local terminal = require "vm.terminal"

local CONSOLE_MAX <const> = 16 * 1024 * 1024

-- What the run says of a test: its cell as a table of axes, and its console.
local function about(id, found)
    local run = require("vm.report.read").open(found.run)
    local cell, console
    for _, test in ipairs(run.plan.tests) do
        if test.id == id then
            local cell_id = type(test.cell) == "table" and test.cell.id or test.cell
            cell = { id = cell_id }
            for _, one in ipairs(run.plan.cells) do
                for _, axis in ipairs(one.id == cell_id and one.axes or {}) do
                    cell[axis[1]] = axis[2]
                end
            end
            local result = (run.results[cell_id] or { tests = {} }).tests[test.name]
            for at, attempt in ipairs(result and result.attempts or {}) do
                if at == found.attempt then
                    console = attempt.console
                end
            end
            console = console or result and result.console
        end
    end
    local path = type(console) == "string" and not console:find("..", 1, true) and found.run .. "/" .. console
    return cell or {}, path and raw.fs.read(path, CONSOLE_MAX) or ""
end

local function handler(_, operands)
    local why = terminal.problem()
    if why then
        errors.fail("usage", "reopen: %s", why)
    end
    local id = operands.test
    local found = kept.find(id, operands.run)
    return require("vm.repl").run {
        greeting = ("%s as it was left; 'guest', 'cell' and 'console' are set, and what is kept stays as it is")
            :format((id:gsub("%c", "?"))),
        before = function()
            local guests = kept.wake(found)
            for i, name in ipairs(found.guests) do
                _G[name] = guests[i]
            end
            _G.guest = guests[1]
            _G.cell, _G.console = about(id, found)
        end,
    }
end

return command.define {
    name = "reopen",
    help = "a prompt with the guest that was kept of a test",
    operands = { { name = "TEST" }, { name = "RUN", optional = true } },
    text = [[
Starts a copy of what `vmatrix test --keep` has kept of a test and opens the prompt: `guest` is the guest in
the state that the test left, `cell` has its axes, and `console` is what its console had said. Without a
RUN it is the last one. The copy is gone with the prompt; `vmatrix test --discard` deletes what is kept.]],
    examples = { "vmatrix reopen x86_64:check", "vmatrix reopen x86_64:check 20250102-1504" },
    handler = handler,
}
