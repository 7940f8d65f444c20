-- `vmatrix types`: the library's types, for an editor's language server.
local command = require "vm.cli.command"
local types = require "vm.doc.types"

return command.define {
    name = "types",
    help = "the types of the library, for editors",
    options = { { name = "--luarc", help = "print a .luarc.json that names vm.d.lua and the version of Lua instead" } },
    text = [[
Prints the types of the library as LuaCATS definitions: with them in the folder of your scripts an
editor that has lua-language-server completes and checks `require "vm"`.]],
    examples = { "vmatrix types > vm.d.lua", "vmatrix types --luarc > .luarc.json" },
    handler = function(opts)
        io.stdout:write(opts.luarc and types.luarc "vm.d.lua" or types.text())
    end,
}
