-- The types for editors say what the library really has.
local vm = require "vm"
local t = require "harness"
local types = require "vm.doc.types"

local text = types.text()

-- What the definitions define: loaded as an editor would never do.
local function defined()
    local chunk = assert(load(text:gsub("\nreturn vm\n$", "\nreturn { vm = vm, Guest = Guest, Ssh = Ssh, Task = Task, "
        .. "Template = Template, Process = Process, Snapshot = Snapshot, Network = Network }"), "=vm.d.lua", "t"))
    return chunk()
end

local function names(table_)
    local list = {}
    for name, value in pairs(table_) do
        if type(value) == "function" then
            list[#list + 1] = name
        end
    end
    table.sort(list)
    return list
end

t.test("the definitions are Lua, and define every function of vm and no other", function()
    local made = defined()
    local real = {}
    for name in pairs(made.vm) do
        t.check(vm[name] ~= nil, "there is no vm." .. name)
    end
    for name, value in pairs(vm) do -- what was looked up above is in the table now
        local is_call = type(value) == "function" or getmetatable(value) and getmetatable(value).__call
        if is_call then
            real[name] = function() end
        end
    end
    for name in require("vm.raw").scripts.text "vm":match "\nlocal lazy = (%b{})":gmatch "\n    ([%w_]+) = {" do
        real[name] = function() end
    end
    t.equal(names(made.vm), names(real))
end)

t.test("every verb that is defined is there", function()
    local made = defined()
    local real = { Guest = require "vm.guest", Template = require("vm.template").Template }
    for class, holder in pairs(real) do
        local list = names(made[class])
        t.check(#list >= 3, class .. " has hardly a verb")
        for _, name in ipairs(list) do
            t.check(type(holder[name]) == "function", ("%s has no %s"):format(class, name))
        end
    end
    local machine <close> = vm.ssh { host = "127.0.0.1", port = 1, host_key = "SHA256:" .. ("A"):rep(43) }
    for _, name in ipairs(names(made.Ssh)) do
        t.check(machine[name], "vm.Ssh has no " .. name)
    end
    t.check(made.Ssh.exec and made.Ssh.copy_in and made.Guest.exec and made.Task.join and made.Snapshot.revert)
end)

t.test("every type that is named is defined", function()
    local known = {}
    for name in text:gmatch "\n%-%-%-@class ([%w_.]+)" do
        t.check(not known[name], name .. " is defined twice")
        known[name] = true
    end
    for line in text:gmatch "\n(%-%-%-@[^\n]+)" do
        for name in line:gmatch "vm%.%u%w*" do
            t.check(known[name], ("%s is not defined: %s"):format(name, line))
        end
    end
end)

t.test("options, results and optional parameters are typed", function()
    for _, line in ipairs {
        "---@param opts vm.CreateOptions", "---@field memory? ", "---@field timeout? ", "---@return vm.Guest",
        "---@param opts? vm.ExecOptions", "---@class vm.Result", "---@meta vm",
    } do
        t.check(text:find("\n" .. line, 1, true) or text:find(line, 1, true) == 1, line .. " is missing")
    end
    t.check(not text:find("on_event", 1, true), "a private verb is shown")
end)

t.test("luarc_json names the version of Lua and the definitions", function()
    local settings = vm.raw.json.decode(types.luarc "vm.d.lua")
    t.equal(settings["runtime.version"], "Lua 5.4")
    t.equal(settings["workspace.library"], { "vm.d.lua" })
end)

t.finish()
