-- `vmatrix --version`.
local raw = require "vm.raw"

local M = {}

---Prints the version and those of the libraries, as they run where they say it; returns the exit code.
---@return integer
function M.print()
    print("vmatrix " .. _G._VMATRIX)
    for _, library in ipairs(raw.version.libraries()) do
        print(("  %-10s %s"):format(library.name, library.version))
    end
    print(("  %-10s %s"):format("libedit", require("vm.raw.line").version()))
    return 0
end

return M
