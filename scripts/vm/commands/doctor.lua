-- `vmatrix doctor`: what this machine can do, what it lacks, and the remedy of each.
local raw = require "vm.raw"
local command = require "vm.cli.command"
local checks = require "vm.cli.doctor"

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

local function handler(opts)
    local found = checks.all()
    local usable = true
    for _, check in ipairs(found) do
        usable = usable and check.status ~= "fail"
    end
    if opts.json then
        print(raw.json.encode {
            version = _G._VMATRIX,
            libraries = raw.version.libraries(),
            checks = found,
            usable = usable,
        })
    else
        report(found, usable)
    end
    return usable and command.OK or command.FAILED
end

return command.define {
    name = "doctor",
    help = "what this machine can do, and what it lacks",
    options = { { name = "--json", help = "say it as JSON" } },
    text = "What is missing comes with its remedy. The exit status is 0 when a guest can run, 1 otherwise.",
    handler = handler,
}
