-- Builds a folder in several guests at once and collects what each made.
-- Run: vmatrix scripts/examples/parallel-build.lua [FOLDER]
local vm = require "vm"

local folder = arg[1] or "output/parallel-build" -- relative paths start at this script's folder

local results = vm.parallel({ "x86_64", "aarch64", "riscv64" }, function(arch)
    local guest <close> = vm.boot { image = "seed", arch = arch, memory = "256MiB" }
    guest:copy_in("parallel-build", "/root/build")
    local result = guest:run("./build.sh", { cwd = "/root/build", timeout = "5m" })
    guest:copy_out("/root/build/out", ("%s/%s"):format(folder, arch))
    return { arch = arch, seconds = result.duration, says = guest:output "cat /root/build/out/program.txt" }
end, { limit = 2 })

for _, result in ipairs(results) do
    print(("%-8s built in %5.2f s: %s"):format(result.arch, result.seconds, result.says))
end
