-- How QEMU reads and writes the files of disks: by the kernel's io_uring where it can. The memory of a
-- snapshot is read in thousands of small pieces; a thread that is woken for each makes a revert take four
-- times as long (tests/bench/revert.lua).
local errors = require "vm.errors"
local probe = require "vm.host.probe"

local M = {}

---What `io` of the disks of a guest is; VMATRIX_DISK_IO says otherwise.
---@param arch string
---@param emulator string absolute path
---@return "io_uring"|"threads"
function M.choose(arch, emulator)
    local wanted = os.getenv "VMATRIX_DISK_IO"
    if wanted == "io_uring" or wanted == "threads" then
        return wanted
    elseif wanted and wanted ~= "" then
        errors.fail("usage", "VMATRIX_DISK_IO=%s: \"io_uring\" or \"threads\" expected", wanted)
    end
    -- QEMU may be built without it, the kernel too old, or it is forbidden here: opening a file shows it.
    local refusal = probe.refusal("io_uring-" .. arch, emulator, { "-machine", "none", "-blockdev",
        "driver=file,node-name=probe,read-only=on,aio=io_uring,filename=" .. emulator:gsub(",", ",,") })
    return refusal and "threads" or "io_uring"
end

return M
