-- The library's types as an editor's language server reads them (LuaCATS): made from the annotations.
local annotations = require "vm.doc.annotations"

local M = {}

local function add_text(out, lines)
    for _, line in ipairs(lines) do
        if line ~= "" then
            out[#out + 1] = "---" .. line
        end
    end
end

local function add_function(out, block, holder)
    local names = {}
    out[#out + 1] = ""
    add_text(out, block.text)
    for i, param in ipairs(block.params) do
        names[i] = param.name:gsub("%?$", "")
        out[#out + 1] = ("---@param %s %s %s"):format(param.name, param.type, param.text):gsub("%s+$", "")
    end
    for _, value in ipairs(block.returns) do
        out[#out + 1] = ("---@return %s %s %s"):format(value.type, value.name or "", value.text):gsub("%s+$", "")
    end
    out[#out + 1] = ("function %s%s(%s) end"):format(holder, block.name, table.concat(names, ", "))
end

local function add_class(out, class, verbs)
    local holder = class.name:gsub("^vm%.", ""):gsub("%W", "_")
    out[#out + 1] = ""
    add_text(out, class.text)
    out[#out + 1] = ("---@class %s%s"):format(class.name, class.parent and ": " .. class.parent or "")
    for _, field in ipairs(class.fields) do
        out[#out + 1] = ("---@field %s %s %s"):format(field.name, field.type, field.text):gsub("%s+$", "")
    end
    if #verbs > 0 then
        out[#out + 1] = ("local %s = {}"):format(holder)
        for _, verb in ipairs(verbs) do
            add_function(out, verb, holder .. ":")
        end
    end
end

---The definitions: a Lua file that is only read by editors, never run.
---@return string
function M.text()
    local all = annotations.read()
    local out = {
        "---@meta vm",
        "-- The types of vmatrix " .. _G._VMATRIX .. ", for editors. Made by `vmatrix types`.",
        "",
        "---What `require \"vm\"` returns.",
        "---@class vm",
        "---@field raw table the bindings below the library; they may change with any version",
        "local vm = {}",
    }
    for _, block in ipairs(all.face) do
        add_function(out, block, "vm.")
    end
    for _, name in ipairs(annotations.used(all)) do
        local class = all.classes[name]
        local verbs = table.move(class.methods, 1, #class.methods, 1, {})
        if name == "vm.Ssh" then
            table.move(all.shared, 1, #all.shared, #verbs + 1, verbs)
        end
        add_class(out, class, verbs)
    end
    out[#out + 1] = "\nreturn vm\n"
    return table.concat(out, "\n")
end

---What a `.luarc.json` beside a script says to lua-language-server.
---@param path string of the definitions
---@return string
function M.luarc(path)
    return ([[
{
  "runtime.version": "Lua 5.4",
  "workspace.library": [%q],
  "workspace.checkThirdParty": false
}
]]):format(path)
end

return M
