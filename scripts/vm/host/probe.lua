-- What QEMU can do on this host, found by asking it once a boot of the host.
local raw = require "vm.raw"
local host = require "vm.host"
local paths = require "vm.host.paths"

local M = {}

-- What an answer depends on: the machine's boot, the user, and the emulator.
local function key_of(emulator)
    local boot = raw.fs.read("/proc/sys/kernel/random/boot_id", 100) or ""
    local stat = raw.fs.stat(emulator)
    return ("%s %d %d %s"):format(boot:gsub("%s", ""), raw.fs.uid(), stat and stat.mtime // 1 or 0, emulator)
end

---Whether QEMU starts with some arguments. The answer is kept in the cache.
---@param name string of the question, unique for the emulator and its arguments
---@param emulator string absolute path
---@param arguments string[]
---@return string|nil why it does not, or nil when it does
function M.refusal(name, emulator, arguments)
    local folder = paths.cache() .. "/qemu"
    local file = ("%s/%s"):format(folder, name)
    local key = key_of(emulator)
    local known = raw.fs.read(file, 4096)
    if known and known:sub(1, #key + 1) == key .. "\n" then
        local reason = known:sub(#key + 2)
        return reason ~= "" and reason or nil
    end
    local argv = { emulator, "-nodefaults", "-display", "none", "-S", "-monitor", "stdio" }
    local ok, result = pcall(host.run, table.move(arguments, 1, #arguments, #argv + 1, argv),
        { stdin = "quit\n", timeout = 20, check = false })
    local reason
    if not ok then
        reason = tostring(result)
    elseif result.status ~= 0 or result.signal ~= 0 then
        reason = result.stderr:match("error: ([^\n]*)") or result.stderr:match("^([^\n]*)") or ""
        reason = "QEMU cannot use it: " .. (reason ~= "" and reason or ("signal %d"):format(result.signal))
    end
    raw.fs.mkdir_p(folder, 448) -- 0700
    raw.fs.write_atomic(file, key .. "\n" .. (reason or ""))
    return reason
end

return M
