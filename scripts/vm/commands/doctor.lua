-- `vmatrix doctor`: what this machine can do, what it lacks, and the remedy of each.
local raw = require "vm.raw"
local command = require "vm.cli.command"
local checks = require "vm.cli.doctor"

local M = {}

local USAGE = [[
usage: vmatrix doctor [--json]

Says what this machine has for running guests and what it lacks, each with its remedy. The exit
status is 0 when a guest can run, 1 otherwise.

  --json   say it as JSON
]]

local signs = { ok = "ok", warn = "--", fail = "NO" }

local function report(found, usable)
    for _, check in ipairs(found) do
        print(("%-4s %-14s %s"):format(signs[check.status], check.name, check.text))
        if check.remedy then
            print(("%19s %s"):format("", check.remedy))
        end
    end
    print(usable and "\nguests can run here" or "\nno guest can run here: see NO above")
end

---Runs `vmatrix doctor ARGS`; returns the exit code.
---@param args string[]
---@return integer
function M.main(args)
    local flags, code = command.flags("doctor", USAGE, args, { "--json" })
    if not flags then
        return code
    end
    local found = checks.all()
    local usable = true
    for _, check in ipairs(found) do
        usable = usable and check.status ~= "fail"
    end
    if flags.json then
        print(raw.json.encode {
            version = _G._VMATRIX,
            libraries = raw.version.libraries(),
            checks = found,
            usable = usable,
        })
    else
        report(found, usable)
    end
    return usable and 0 or 1
end

return M
