-- Error objects: made, raised and described here; the type itself is bindings/error.c.
local raw = require("vm.raw").error

local M = {}

---An error as every verb raises it.
---@class vm.Error
---@field kind string "timeout", "notfound", "connection", ...: the list is in the manual, chapter errors
---@field code integer the library's own number (errno, virErrorNumber, ...), or 0
---@field message string a whole sentence; also what tostring gives
---@field guest? string the name of the guest it is about
---@field console? string the console's last lines: of "panic", "crashed", and waits that took too long
---@field signal? integer|string that ended QEMU (a number) or a command (a name such as "KILL")
---@field status? integer|nil of a command: kind "exit"
---@field stdout? string what a command had written until it failed
---@field stderr? string
---@field truncated? integer bytes of output that were dropped
---@field seen? string what a wait that took too long has seen last
---@field value? any what was raised, when that was no error object: kind "script", from vm.try
---@field traceback? string where it was raised

---Makes an error object.
---@param kind string
---@param message string
---@param fields? table further fields
---@return vm.Error
function M.new(kind, message, fields)
    local err = { kind = kind, code = 0, message = message }
    for name, value in pairs(fields or {}) do
        err[name] = value
    end
    return raw.new(err)
end

---Raises an error of this kind; the rest is formatted as by string.format.
---@param kind string
---@param format string
---@param ... any
function M.fail(kind, format, ...)
    error(M.new(kind, string.format(format, ...)), 0)
end

---Hands through what a vm.raw function returned, or raises its error.
---@generic T
---@param value T
---@param err? vm.Error
---@param ... any
---@return T
function M.raise(value, err, ...)
    if value == nil and err ~= nil then
        error(err, 0)
    end
    return value, err, ...
end

---Whether a value is an error object, of this kind if one is given.
---@param value any
---@param kind? string
---@return boolean
function M.is(value, kind)
    return raw.is(value) and (kind == nil or value.kind == kind)
end

---Puts "<text>: " before an error's message; other values become an error of kind "script".
---@param err any
---@param text string
---@return vm.Error
function M.prefix(err, text)
    if not raw.is(err) then
        return M.new("script", text .. ": " .. tostring(err))
    end
    err.message = text .. ": " .. err.message
    return err
end

---A traceback without the library's own frames; "" when nothing of the user's is left.
---@param traceback string
---@return string
function M.users_frames(traceback)
    local kept, tail_call = {}, nil
    for line in traceback:gmatch("[^\n]+") do
        if line:find("^%s*%(%.%.%.tail calls%.%.%.%)") then
            tail_call = #kept > 1 and line or nil -- says something only between two of the user's frames
        elseif line:find("^%s*vmatrix/") or line:find("^%s*%[C%]") then
            tail_call = nil
        else
            kept[#kept + 1] = tail_call
            kept[#kept + 1] = (line:gsub("in local 'chunk'$", "in main chunk")) -- cli.lua's name of it
            tail_call = nil
        end
    end
    if #kept <= 1 then
        return ""
    end
    return table.concat(kept, "\n")
end

return M
