-- Who may include whom: a file includes its own folder and lower floors, a library's headers
-- appear on one floor only, and CMake links the same way. A room of the Lua library requires only
-- rooms below it.
local t = require "harness"
local tree = require "lint.tree"

-- The floors that each folder may include, besides itself.
local floors = {
    ["runtime/base"] = {},
    ["runtime/loop"] = { "runtime/base" },
    ["runtime/data"] = { "runtime/base" },
    ["runtime/net"] = { "runtime/base" },
    ["runtime/virt"] = { "runtime/base", "runtime/loop", "runtime/data" },
    ["runtime/ssh"] = { "runtime/base", "runtime/loop", "runtime/data" },
    ["runtime/image"] = { "runtime/base", "runtime/data" },
    ["bindings"] = { "runtime/base", "runtime/loop", "runtime/data", "runtime/net", "runtime/virt",
        "runtime/ssh", "runtime/image" },
    ["runtime/app"] = { "runtime/base", "runtime/loop", "runtime/data", "runtime/net", "runtime/virt",
        "runtime/ssh", "runtime/image", "bindings" },
}

-- Where the headers of a library may appear, by the start of their names.
local libraries = {
    ["uv.h"] = { "runtime/loop" },
    ["uv/"] = { "runtime/loop" },
    ["libvirt/"] = { "runtime/virt" },
    ["libxml/"] = { "runtime/virt" },
    ["libssh2"] = { "runtime/ssh" },
    ["curl/"] = { "runtime/image" },
    ["archive"] = { "runtime/data" },
    ["openssl/"] = { "runtime/data" },
    ["jansson"] = { "runtime/base", "runtime/virt", "bindings" },
    ["editline/"] = { "runtime/app" },
    ["histedit"] = { "runtime/app" },
    ["lua.h"] = { "bindings", "runtime/app" },
    ["lauxlib.h"] = { "bindings", "runtime/app" },
    ["lualib.h"] = { "bindings", "runtime/app" },
}

-- The rooms of scripts/vm, and the files beside them, from top to bottom. A guest's verbs that are at home
-- in a higher room are no requires: guest/init.lua names their modules in a list.
local rooms = {
    "commands", "cli", "test", "init", "default", "matrix", "state", "owner", "repl", "template", "guest", "build",
    "cloud", "network", "images", "seed", "report", "copy", "terminal", "remote", "run", "host", "task", "reseed",
    "doc", "script", "arch", "random_hex", "options", "errors", "shallow", "raw",
}

local function contains(list, item)
    for _, each in ipairs(list) do
        if each == item then return true end
    end
    return false
end

local function check_includes(path, text)
    local complaints = {}
    local folder = path:match "^(.*)/"
    local function complain(number, what)
        complaints[#complaints + 1] = ("%s:%d: %s"):format(path, number, what)
    end
    if not floors[folder] then
        return { path .. ": no floor is called " .. folder }
    end
    for number, line in ipairs(tree.lines(text)) do
        local kind, header = line:match '^%s*#%s*include%s*([<"])([^>"]+)'
        if kind == '"' then
            local other = header:match "^(.*)/"
            if not other then
                complain(number, header .. " is not a path from the root")
            elseif other ~= folder and not contains(floors[folder], other) then
                complain(number, ("%s may not include %s"):format(folder, header))
            end
        elseif header then
            for start, allowed in pairs(libraries) do
                if header:sub(1, #start) == start and not contains(allowed, folder) then
                    complain(number, ("<%s> belongs to %s"):format(header, table.concat(allowed, " and ")))
                end
            end
        end
    end
    return complaints
end

local function check_cmake(text)
    local complaints, seen = {}, {}
    for arguments in text:gmatch "\nvx_floor%(([^)]*)%)" do
        local folder, links = arguments:match "^(%S+)%s*(.*)$"
        seen[folder] = true
        if not floors[folder] then
            complaints[#complaints + 1] = "CMakeLists.txt: no floor is called " .. folder
        end
        for target in links:gmatch "vx_(%S+)" do
            local other = target:gsub("^runtime_", "runtime/")
            if floors[folder] and not contains(floors[folder], other) then
                complaints[#complaints + 1] = ("CMakeLists.txt: %s may not link %s"):format(folder, other)
            end
        end
    end
    for folder in pairs(floors) do
        if folder ~= "runtime/app" and not seen[folder] then
            complaints[#complaints + 1] = "CMakeLists.txt: no vx_floor for " .. folder
        end
    end
    return complaints
end

local height = {}
for i, room in ipairs(rooms) do
    height[room] = #rooms - i
end

local function check_requires(path, text)
    local complaints = {}
    local room = path:match "^scripts/vm/([%w_]+)"
    for number, line in ipairs(tree.lines(text)) do
        for name in line:gmatch 'require,? ?%(?"vm%.([%w_]+)' do
            if not height[room] or not height[name] then
                complaints[#complaints + 1] = ("%s:%d: no room is called %s"):format(path, number,
                    height[room] and name or room)
            elseif height[name] > height[room] then
                complaints[#complaints + 1] = ("%s:%d: %s may not require vm.%s"):format(path, number, room, name)
            end
        end
    end
    return complaints
end

t.test("every room of the library requires only rooms below it", function()
    tree.check(tree.some(100, { "scripts/vm" }, "*.lua"), check_requires)
end)

t.test("the lint sees a require that goes up, late or early, and a room that nobody knows", function()
    t.equal(#check_requires("scripts/vm/copy/x.lua", 'local guest = require "vm.guest.spec"\n'), 1)
    t.equal(#check_requires("scripts/vm/run/x.lua", '    require("vm.guest").close()\n'), 1)
    t.equal(#check_requires("scripts/vm/run/x.lua", '    pcall(require, "vm.guest")\n'), 1)
    t.equal(#check_requires("scripts/vm/zoo/x.lua", 'local raw = require "vm.raw"\n'), 1)
    t.equal(#check_requires("scripts/vm/guest/x.lua", 'require "vm.guest.spec"\nrequire "vm.copy"\n'), 0)
end)

t.test("every file includes only its own folder and lower floors", function()
    tree.check(tree.some(100, { "runtime", "bindings" }, "*.c", "*.h"), check_includes)
end)

t.test("cmake links every floor to lower floors only", function()
    tree.none(check_cmake(tree.read "CMakeLists.txt"))
end)

t.test("the lint sees an upward include, a sibling, a bare name and a foreign library", function()
    t.equal(#check_includes("runtime/loop/x.c", '#include "runtime/virt/domain.h"\n'), 1)
    t.equal(#check_includes("runtime/loop/x.c", '#include "runtime/data/tar.h"\n'), 1)
    t.equal(#check_includes("runtime/ssh/x.h", '#include "runtime/virt/domain.h"\n'), 1)
    t.equal(#check_includes("runtime/loop/x.c", '# include "loop.h"\n'), 1)
    t.equal(#check_includes("runtime/virt/x.c", "#include <uv.h>\n"), 1)
    t.equal(#check_includes("runtime/base/x.c", "#include <lua.h>\n#include <libssh2_sftp.h>\n"), 2)
    t.equal(#check_includes("runtime/zoo/x.c", ""), 1)
    t.equal(#check_includes("runtime/loop/x.c", '#include <uv.h>\n#include "runtime/base/err.h"\n'), 0)
end)

t.test("the lint sees a floor that cmake links upwards or leaves out", function()
    local text = tree.read "CMakeLists.txt"
    t.equal(#check_cmake((text:gsub("vx_floor%(runtime/base ", "%0vx_runtime_virt "))), 1)
    t.equal(#check_cmake((text:gsub("\nvx_floor%(runtime/ssh[^)]*%)", ""))), 1)
end)

t.finish()
