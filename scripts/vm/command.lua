-- What the program's commands share: reading their flags.
local options = require "vm.options"

local M = {}

---Reads a command's flags, which take no value. Prints the help or the complaint itself.
---@param name string as the user wrote it: "prune"
---@param usage string the help text
---@param args string[]
---@param known string[] such as { "--json" }
---@return table<string, boolean>|nil flags by name without dashes
---@return integer|nil code the exit code when there is nothing more to do
function M.flags(name, usage, args, known)
    local flags = {}
    for _, word in ipairs(args) do
        if word == "-h" or word == "--help" then
            io.stdout:write(usage)
            return nil, 0
        end
    end
    for _, word in ipairs(args) do
        local found = false
        for _, flag in ipairs(known) do
            found = found or flag == word
        end
        if not found then
            local near = options.nearest(word, known)
            io.stderr:write(("vmatrix %s: unknown argument '%s'%s\n"):format(name, word,
                near and ("; did you mean '%s'?"):format(near) or ""), usage)
            return nil, 2
        end
        flags[word:gsub("^%-+", "")] = true
    end
    return flags
end

return M
