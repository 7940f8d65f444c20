-- What a qcow2 file says in its header, and whether one from outside may be used: it must stand on no
-- other file, since QEMU would open that, whatever it is, and a guest could read it.
-- The fields are those of QEMU's docs/interop/qcow2.
local errors = require "vm.errors"

local M = {}

local MAGIC <const> = "QFI\xfb"
local EXTERNAL_DATA <const> = 1 << 2
local CORRUPT <const> = 1 << 1
local KNOWN <const> = 0x1f -- dirty, corrupt, external data, compression type, extended L2
local DATA_FILE_NAME <const> = 0x44415441
local MAX_SIZE <const> = 1 << 44 -- 16 TiB as the guest sees it

---@class vm.Qcow2Header
---@field version integer
---@field size integer bytes as the guest sees them
---@field cluster integer bytes
---@field backing boolean whether it names a backing file
---@field data_file boolean whether its data is in another file
---@field encrypted boolean
---@field snapshots integer

local function extensions(bytes, at, header)
    while at + 8 <= #bytes + 1 do
        local kind, length = string.unpack(">I4I4", bytes, at)
        if kind == 0 then
            return
        elseif length > 65536 then
            return "a header extension is too long"
        elseif kind == DATA_FILE_NAME then
            header.data_file = true
        end
        at = at + 8 + (length + 7 & ~7)
    end
end

local function version_3(bytes, header)
    if #bytes < 104 then
        return "its header is cut off"
    end
    local incompatible = string.unpack(">I8", bytes, 73)
    local length = string.unpack(">I4", bytes, 101)
    if incompatible & ~KNOWN ~= 0 then
        return "it needs features that are not known here"
    elseif incompatible & CORRUPT ~= 0 then
        return "it is marked corrupt"
    elseif length < 104 or length > 4096 or length % 8 ~= 0 then
        return "its header's length is wrong"
    end
    header.data_file = incompatible & EXTERNAL_DATA ~= 0
    return extensions(bytes, length + 1, header)
end

-- That the tables the header points to are inside the file and of a size that fits.
local function tables(bytes, header, file_size)
    local l1_size, l1_at, refcount_at, refcount_clusters = string.unpack(">I4I8I8I4", bytes, 37)
    local per_entry = header.cluster // 8 * header.cluster -- what one entry of the L1 table stands for
    local needed = (header.size + per_entry - 1) // per_entry
    if l1_size < needed or l1_size > 1 << 22 then
        return "its L1 table has a wrong size"
    elseif l1_size > 0 and (l1_at % header.cluster ~= 0 or l1_at < 0 or l1_at + l1_size * 8 > file_size) then
        return "its L1 table is not inside the file"
    elseif refcount_at % header.cluster ~= 0 or refcount_at <= 0
        or refcount_at + refcount_clusters * header.cluster > file_size + header.cluster then
        return "its refcount table is not inside the file"
    end
end

---Reads a qcow2 header.
---@param bytes string the first 64 KiB of the file
---@param file_size integer
---@return vm.Qcow2Header|nil header nil when it is not to be used
---@return string|nil problem why not
function M.header(bytes, file_size)
    if bytes:sub(1, 4) ~= MAGIC then
        return nil, "it is not a qcow2 file"
    elseif #bytes < 72 then
        return nil, "its header is cut off"
    end
    local version, backing_at, backing_length, cluster_bits, size, crypt = string.unpack(">I4I8I4I4I8I4", bytes, 5)
    local header = { version = version, size = size, backing = backing_at ~= 0 or backing_length ~= 0,
        encrypted = crypt ~= 0, snapshots = (string.unpack(">I4", bytes, 61)) }
    if version ~= 2 and version ~= 3 then
        return nil, ("it is qcow2 version %d, which is not known here"):format(version)
    elseif cluster_bits < 9 or cluster_bits > 21 then
        return nil, "its clusters have a size that no qcow2 file has"
    elseif size < 0 or size > MAX_SIZE then
        return nil, "it claims to be larger than 16 TiB"
    end
    header.cluster = 1 << cluster_bits
    local problem = version == 3 and version_3(bytes, header) or nil
    problem = problem or tables(bytes, header, file_size)
    if problem then
        return nil, problem
    end
    return header
end

---Why an image from outside must not be used, or nil.
---@param bytes string its first 64 KiB
---@param file_size integer
---@param format string "qcow2" or "raw", what it is said to be
---@return string|nil problem
---@return string|nil kind of the error
function M.problem(bytes, file_size, format)
    if format == "raw" then
        if bytes:sub(1, 4) == MAGIC then
            return "it is said to be raw and is a qcow2 file", "unsafe"
        end
        return file_size == 0 and "it is empty" or nil, "format"
    end
    local header, problem = M.header(bytes, file_size)
    if not header then
        return problem, "format"
    elseif header.backing then
        return "it stands on another file (a backing file); flatten it with `qemu-img convert`", "unsafe"
    elseif header.data_file then
        return "its data is in another file (an external data file); flatten it with `qemu-img convert`", "unsafe"
    elseif header.encrypted then
        return "it is encrypted", "unsupported"
    end
end

---Raises unless a file is an image that stands on its own.
---@param path string
---@param format string
---@param what string for messages
---@param shown? string what the message calls the file
function M.check_file(path, format, what, shown)
    local file, why = io.open(path, "rb")
    if not file then
        errors.fail("notfound", "%s: %s", what, why)
    end
    local bytes = file:read(65536) or ""
    local size = file:seek "end"
    file:close()
    if not size then
        errors.fail("format", "%s: %s is no file", what, path)
    end
    local problem, kind = M.problem(bytes, size, format)
    if problem then
        errors.fail(kind, "%s: %s: %s", what, shown or path, problem)
    end
end

return M
