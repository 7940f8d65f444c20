-- `vmatrix test`: reads matrices, chooses among their tests, lists them or has them run.
local load = require "vm.matrix.load"
local params = require "vm.matrix.params"
local plan = require "vm.matrix.plan"
local problems = require "vm.matrix.problems"

local M = {}

local USAGE = [[
usage: vmatrix test [FILE...]

Runs the test matrices that Lua files return: ./matrix.lua unless told otherwise.
]]

---Runs `vmatrix test ARGS`; returns the exit code.
---@param args string[]
---@return integer
function M.main(args)
    for _, word in ipairs(args) do
        if word == "-h" or word == "--help" then
            io.stdout:write(USAGE)
            return 0
        elseif word:sub(1, 1) == "-" then
            io.stderr:write(("vmatrix test: unknown option '%s'\n"):format(word), USAGE)
            return 2
        end
    end
    local found = problems.new()
    local files = #args > 0 and args or { "matrix.lua" }
    params.set {}
    local all = plan.all(load.files(files, found), { problems = found })
    if #found.list > 0 then
        for _, line in ipairs(found:lines()) do
            io.stderr:write(line, "\n")
        end
        return 2
    end
    return require("vm.test").run(plan.of(all, all.tests, { params = params.values() }), { argv = args })
end

return M
