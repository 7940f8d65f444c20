-- Copies a folder into a guest, works on it there and fetches the result.
-- Run: vmatrix scripts/examples/copy.lua [where to put it]
local vm = require "vm"

local where = arg[1] or "."
local guest <close> = vm.boot { image = "seed" }

local sent = guest:copy_in("parallel-build", "/w/")
print(("%d files, %d bytes in by %s"):format(sent.files, sent.bytes, sent.how))

guest:run("mkdir out; wc * >out/sizes 2>/dev/null; ls -l >out/list", { cwd = "/w/parallel-build", ok = { 0, 1 } })
guest:write("/w/parallel-build/out/note", "counted on " .. guest:output "uname -m" .. "\n")

guest:copy_out("/w/parallel-build/out", where .. "/copied")
print("out came " .. guest:output("echo *", { cwd = "/w/parallel-build/out" }))
print(guest:read "/w/parallel-build/out/note")
