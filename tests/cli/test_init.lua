-- `vmatrix init`: what it writes is listed by `vmatrix test`, and nothing is ever overwritten.
local raw = require "vm.raw"
local t = require "harness"
local cli = require "cli.cli"

local function folder(name, files)
    assert(raw.fs.mkdir_p(cli.folder .. "/" .. name))
    for file, text in pairs(files) do
        cli.script(name .. "/" .. file, text)
    end
    return cli.folder .. "/" .. name
end

t.test("the matrix that is written for each kind is listed by vmatrix test", function()
    for _, file in ipairs { "Makefile", "CMakeLists.txt", "meson.build", "configure.ac", "Cargo.toml" } do
        local place = folder("kind-" .. file, { [file] = "enable_testing()\ncheck:\n\ttrue\n" })
        local got = cli.run({ "init", "--image", "seed" }, { cwd = place })
        t.equal(got.status, 0, got.stderr)
        t.match(got.stdout, "wrote %./matrix%.lua: build and check, from " .. file:gsub("%p", "%%%0"))
        local listed = cli.run({ "test", "--list" }, { cwd = place })
        t.equal(listed.status, 0, listed.stderr)
        t.match(listed.stdout, "seed:build\nseed:check")
    end
end)

t.test("a matrix that is there stays as it is", function()
    local place = folder("there", { Makefile = "all:\n", ["matrix.lua"] = "-- mine\n" })
    local got = cli.run { "init", place }
    t.equal(got.status, 1)
    t.match(got.stderr, "is there already and stays as it is")
    t.equal(raw.fs.read(place .. "/matrix.lua", 100), "-- mine\n")
    t.equal(raw.fs.list(place), { "Makefile", "matrix.lua" })
    -- A link to nowhere is something, too.
    place = folder("link", { Makefile = "all:\n" })
    assert(raw.fs.symlink("nowhere", place .. "/matrix.lua"))
    t.equal(cli.run({ "init", place }).status, 1)
    t.equal(raw.fs.list(place), { "Makefile", "matrix.lua" })
end)

t.test("it prints instead where asked to, and says what it looked for where there is nothing", function()
    local place = folder("print", { Makefile = "all:\n" })
    local got = cli.run { "init", place, "--print", "--image", "seed", "--image", "mine.qcow2" }
    t.equal(got.status, 0)
    t.match(got.stdout, 'image = { "seed", "mine.qcow2" }')
    t.equal(raw.fs.list(place), { "Makefile" })
    local empty = folder("empty", {})
    got = cli.run { "init", empty }
    t.equal(got.status, 1)
    t.match(got.stderr, "has none of Cargo.toml, meson.build")
    t.equal(cli.run({ "init", "/no/such/folder" }).status, 1)
    t.equal(cli.run({ "init", "--prnt" }).status, 2)
end)

cli.clean()
t.finish()
