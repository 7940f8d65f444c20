-- Reading ELF files: which shared libraries a program wants.
local M = {}

local PT_LOAD, PT_DYNAMIC, PT_INTERP = 1, 2, 3
local DT_NEEDED, DT_STRTAB = 1, 5

-- The formats of one program header and one dynamic entry, by class (1: 32 bits, 2: 64 bits) and
-- byte order; the fields come out in the order type, offset, address, size in the file.
local function header(data, at, wide, order)
    if wide then
        local kind, _, offset, address, _, size = string.unpack(order .. "I4I4I8I8I8I8", data, at)
        return kind, offset, address, size
    end
    return string.unpack(order .. "I4I4I4xxxxI4", data, at)
end

local function segments(data)
    local wide = data:byte(5) == 2
    local order = data:byte(6) == 1 and "<" or ">"
    local start = string.unpack(order .. (wide and "I8" or "I4"), data, wide and 33 or 29)
    local size, count = string.unpack(order .. "I2I2", data, wide and 55 or 43)
    local found = {}
    for i = 0, count - 1 do
        local kind, offset, address, length = header(data, start + i * size + 1, wide, order)
        found[#found + 1] = { kind = kind, offset = offset, address = address, length = length }
    end
    return found, wide, order
end

local function find(list, kind)
    for _, segment in ipairs(list) do
        if segment.kind == kind then
            return segment
        end
    end
end

local function file_offset(list, address)
    for _, segment in ipairs(list) do
        if segment.kind == PT_LOAD and address >= segment.address and address < segment.address + segment.length then
            return segment.offset + address - segment.address
        end
    end
end

---The names of the shared libraries in an ELF file's dynamic section, and the path of its dynamic
---linker. Empty for what is not ELF or not dynamic.
---@param data string the file's content
---@return string[] needed, string|nil linker
function M.needed(data)
    if data:sub(1, 4) ~= "\127ELF" then
        return {}
    end
    local list, wide, order = segments(data)
    local dynamic, interp = find(list, PT_DYNAMIC), find(list, PT_INTERP)
    local linker = interp and string.unpack("z", data, interp.offset + 1)
    local names, strings = {}, nil
    if not dynamic then
        return {}, linker
    end
    local format = order .. (wide and "I8I8" or "I4I4")
    local step = string.packsize(format)
    for at = dynamic.offset + 1, dynamic.offset + dynamic.length - step + 1, step do
        local tag, value = string.unpack(format, data, at)
        if tag == DT_NEEDED then
            names[#names + 1] = value
        elseif tag == DT_STRTAB then
            strings = file_offset(list, value)
        elseif tag == 0 then
            break
        end
    end
    for i, offset in ipairs(names) do
        names[i] = string.unpack("z", data, strings + offset + 1)
    end
    return names, linker
end

return M
