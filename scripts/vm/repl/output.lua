-- What is printed while a line is typed, or while it is shown how far something is, goes above it: print,
-- io.write, and writes to stdout and stderr say so first.
local M = {}

---Has a function called before anything is written, with whether that will end its line, until the value that
---is returned is closed.
---@param before fun(ends_line: boolean)
---@return table
function M.watch(before)
    local raw_print, raw_io_write = print, io.write
    local methods = getmetatable(io.stdout).__index
    local raw_write = methods.write

    local function ends_line(...)
        local last = select("#", ...) > 0 and select(-1, ...) or ""
        return type(last) == "string" and last:sub(-1) == "\n"
    end

    print = function(...) -- luacheck: ignore 121
        before(true)
        return raw_print(...)
    end
    methods.write = function(file, ...)
        if file == io.stdout or file == io.stderr then
            before(ends_line(...))
        end
        return raw_write(file, ...)
    end
    io.write = function(...) -- luacheck: ignore 122
        if io.output() == io.stdout then
            before(ends_line(...))
        end
        return raw_io_write(...)
    end
    return setmetatable({}, { __close = function()
        print, io.write, methods.write = raw_print, raw_io_write, raw_write -- luacheck: ignore 121 122
    end })
end

return M
