-- Runs whose QEMUs are stand-ins: a tail whose command line names the run's folders, as QEMU's does.
local raw = require "vm.raw"
local cli = require "cli.cli"

local fs, run = raw.fs, raw.run

local M = {}

-- Opens a run, starts stand-ins, says where and waits.
local HOLD <const> = [[
    local r = require "vm.run".open()
    require "vm.run".ram_file("guest.ram", 4 * 2^20 // 1)
    io.open(r.dir .. "/disk.qcow2", "w"):close()
    for _, folder in ipairs { r.root, r.dir } do
        os.execute("setsid tail -f /dev/null -- stand-in=" .. folder
            .. "/x,id=1 >/dev/null 2>&1 </dev/null &")
    end
    -- Not before they are what they stand in for: the shells that start them name the folder, too.
    local function ready(wanted, paths)
        for _, process in ipairs(vm.raw.run.processes(paths)) do
            wanted = process.name == "tail" and wanted - 1 or wanted
        end
        return wanted == 0
    end
    while not ready(2, { r.root, r.dir }) do vm.sleep(0.02) end
    print("up", r.id, r.root, r.dir, r.ram or r.dir, vm.raw.fs.pid())
    io.stdout:flush()
    vm.sleep(1000)
]]

---Starts a run with two stand-ins.
---@param first? string Lua that comes before
---@return table process
---@return table r { id, root, dir, ram, pid }
function M.start(first)
    local process = cli.start { "-e", (first or "") .. HOLD }
    local id, root, dir, ram, pid = process:expect(1, "up\t(%x+)\t(%S+)\t(%S+)\t(%S+)\t(%d+)\n")
    return process, { id = id, root = root, dir = dir, ram = ram, pid = tonumber(pid) }
end

---The processes that name a run's folders.
---@param r table
---@return table[]
function M.processes(r)
    return assert(run.processes { r.root, r.dir })
end

---Whether nothing of a run is left, neither processes nor files.
---@param r table
---@return boolean
function M.is_gone(r)
    return not (fs.exists(r.root) or fs.exists(r.dir) or fs.exists(r.ram) or fs.exists(r.root .. ".run"))
        and #M.processes(r) == 0
end

---Who has the record of a run open, and so may hold its lock: a process of its own, or a child that was
---forked and never became another program.
---@param r table
---@return string
function M.holders(r)
    local pipe <close> = assert(io.popen(([[for fd in $(find /proc/[0-9]*/fd -lname '%s.run*' 2>/dev/null); do
        pid=${fd#/proc/}; pid=${pid%%%%/*}
        echo "$pid, child of $(cut -d' ' -f4 /proc/$pid/stat): $(tr '\\000' ' ' </proc/$pid/cmdline)"
    done]]):format(r.root)))
    local text = pipe:read "a"
    return text ~= "" and text or "nobody now"
end

return M
