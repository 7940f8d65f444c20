-- What is printed while a line is typed goes above it: print, io.write and writes to stdout and stderr
-- take the input line away first.
local M = {}

---Lets the editor know of what is written, until the value that is returned is closed.
---@param editor userdata
---@return table
function M.watch(editor)
    local raw_print, raw_io_write = print, io.write
    local methods = getmetatable(io.stdout).__index
    local raw_write = methods.write

    local function ends_line(...)
        local last = select("#", ...) > 0 and select(-1, ...) or ""
        return type(last) == "string" and last:sub(-1) == "\n"
    end

    print = function(...) -- luacheck: ignore 121
        editor:hide(true)
        return raw_print(...)
    end
    methods.write = function(file, ...)
        if file == io.stdout or file == io.stderr then
            editor:hide(ends_line(...))
        end
        return raw_write(file, ...)
    end
    io.write = function(...) -- luacheck: ignore 122
        if io.output() == io.stdout then
            editor:hide(ends_line(...))
        end
        return raw_io_write(...)
    end
    return setmetatable({}, { __close = function()
        print, io.write, methods.write = raw_print, raw_io_write, raw_write -- luacheck: ignore 121 122
    end })
end

return M
