-- What `vmatrix init` finds in a folder, and the matrix that it makes of it.
local vm = require "vm"
local t = require "harness"
local project = require "vm.matrix.project"
local fs = vm.raw.fs

-- A folder with these files.
local function folder(files)
    local place = assert(fs.mkdtemp "vmatrix-test-")
    for name, text in pairs(files) do
        assert(fs.write_atomic(place .. "/" .. name, text))
    end
    return place
end

local function detect(files)
    local place = folder(files)
    local found = project.detect(place)
    assert(fs.remove_tree(place))
    return found
end

t.test("the more telling file wins, and an empty folder has none", function()
    t.equal(detect {}, nil)
    t.equal(detect({ Makefile = "all:\n" }).kind, "make")
    t.equal(detect({ GNUmakefile = "all:\n" }).file, "GNUmakefile")
    t.equal(detect({ Makefile = "", ["CMakeLists.txt"] = "" }).kind, "CMake")
    t.equal(detect({ Makefile = "", configure = "" }).kind, "configure")
    t.equal(detect({ configure = "", ["configure.ac"] = "" }).kind, "autotools")
    t.equal(detect({ ["meson.build"] = "", Makefile = "" }).kind, "Meson")
    t.equal(detect({ ["Cargo.toml"] = "", Makefile = "" }).kind, "Cargo")
end)

t.test("a check is taken over where the project has one", function()
    t.equal(detect({ Makefile = "all:\n\ttrue\n" }).check, nil)
    t.equal(detect({ Makefile = "all:\n\ttrue\ncheck: all\n" }).check, "make check")
    t.equal(detect({ Makefile = "test:\n\ttrue\n" }).check, "make test")
    t.equal(detect({ Makefile = "all check::\n" }).check, "make check")
    t.equal(detect({ Makefile = "check ::= 1\n\tcheck: x\n#check:\n" }).check, nil)
    t.equal(detect({ Makefile = "test := 1\ntests: x\n" }).check, nil)
    t.equal(detect({ ["CMakeLists.txt"] = "project(x)\n" }).check, nil)
    t.match(detect({ ["CMakeLists.txt"] = "Enable_Testing()\n" }).check, "ctest")
    t.match(detect({ ["CMakeLists.txt"] = "include(CTest)\n" }).check, "ctest")
    t.equal(detect({ ["Cargo.toml"] = "" }).check, "cargo test")
    t.equal(detect({ ["Cargo.toml"] = "", ["Cargo.lock"] = "" }).check, "cargo test --locked")
end)

t.test("every kind makes a matrix without a mistake", function()
    local plan = require "vm.matrix.plan"
    for _, file in ipairs(project.files()) do
        local place = folder { [file] = "enable_testing()\ncheck:\n\ttrue\n" }
        local found = project.detect(place)
        local text = project.matrix(found, { "seed" })
        local chunk = t.check(load(text, "=matrix.lua"))
        require("vm.script").remember("=matrix.lua", text)
        local _, problems = plan.all(require("vm.matrix.define").of(chunk()))
        t.equal(problems:lines(), {}, file)
        t.check(text:find(found.build, 1, true) and text:find(found.check, 1, true), file)
        for line in text:gmatch "[^\n]+" do
            t.check(not line:find "%s$", "spaces at the end of: " .. line)
        end
        assert(fs.remove_tree(place))
    end
end)

t.finish()
