-- Boots one guest and asks it who it is. Run: vmatrix scripts/examples/hello.lua
local vm = require "vm"

local guest <close> = vm.boot { image = "seed" }
print("Hello from " .. guest:output "uname -srm")
