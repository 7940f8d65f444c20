-- `vmatrix types`: the library's types, for an editor's language server.
local command = require "vm.cli.command"
local types = require "vm.doc.types"

local M = {}

M.usage = [[
usage: vmatrix types > vm.d.lua
       vmatrix types --luarc > .luarc.json

Prints the types of the library as LuaCATS definitions: with them in the folder of your scripts an
editor that has lua-language-server completes and checks `require "vm"`.

  --luarc   print a .luarc.json that names vm.d.lua and the version of Lua instead
]]

---Runs `vmatrix types ARGS`; returns the exit code.
---@param args string[]
---@return integer
function M.main(args)
    local flags, code = command.flags("types", M.usage, args, { "--luarc" })
    if not flags then
        return code
    end
    io.stdout:write(flags.luarc and types.luarc "vm.d.lua" or types.text())
    return 0
end

return M
