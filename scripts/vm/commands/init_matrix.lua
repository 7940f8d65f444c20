-- `vmatrix init`: writes a first matrix.lua for the project in this folder.
local raw = require "vm.raw"
local command = require "vm.cli.command"
local project = require "vm.matrix.project"

-- What a first matrix is run on, as far as the catalogue has it.
local wanted <const> = { "debian-13", "fedora-42", "alpine-3.22" }

local function images()
    local list = {}
    for _, name in ipairs(wanted) do
        if pcall(require("vm.images").find, name) then
            list[#list + 1] = name
        end
    end
    return #list > 0 and list or { "seed" }
end

local function complain(format, ...)
    io.stderr:write("vmatrix init: ", format:format(...), "\n")
    return command.FAILED
end

-- Makes the file only if there is none, also when another process is at the same: a link is never put in
-- the place of what is there.
local function write(path, text)
    local temporary = ("%s.%d.tmp"):format(path, raw.fs.pid())
    local ok, err = raw.fs.write_atomic(temporary, text)
    if ok then
        ok, err = raw.fs.link(temporary, path)
        if not ok and err.kind ~= "exists" then -- a file system without hard links
            ok, err = raw.fs.rename(temporary, path)
        end
        raw.fs.unlink(temporary)
    end
    return ok, err
end

local def = {
    name = "init",
    help = "write a first matrix.lua for the project in this folder",
    operands = { { name = "FOLDER", complete = { "file" }, optional = true } },
    options = {
        { name = "--print", help = "print it instead of writing it" },
        { name = "--image", value = "IMAGE", help = "what to test on; may be given several times",
            complete = { "image" }, many = true },
    },
    text = [[
Looks for what the project is built with (Cargo, Meson, CMake, autotools, make) and writes matrix.lua,
which builds it and runs its own tests on virtual machines. A file that is there is never overwritten.
]],
}

function def.handler(opts, got)
    local folder = got.folder or "."
    if not raw.fs.stat(folder) or raw.fs.stat(folder).type ~= "dir" then
        return complain("there is no folder %s", folder)
    end
    local found = project.detect(folder)
    if not found then
        return complain("%s has none of %s; `docs/manual/matrix.md` begins with a matrix of one test", folder,
            table.concat(project.files(), ", "))
    end
    local text = project.matrix(found, opts.image or images())
    if opts.print then
        io.stdout:write(text)
        return 0
    end
    local path = folder .. "/matrix.lua"
    if raw.fs.exists(path) then
        return complain("%s is there already and stays as it is; --print shows what would have been written", path)
    end
    local ok, err = write(path, text)
    if not ok then
        return complain("%s", tostring(err))
    end
    print(("wrote %s: %s, from %s"):format(path, found.check and "build and check" or "build", found.file))
    if not found.check then
        print "no tests of the project's own were found: add its check to the file"
    end
    print(("next: `vmatrix test %s--list` shows what would be run, `vmatrix test%s` runs it"):format(
        folder == "." and "" or folder .. "/ ", folder == "." and "" or " " .. folder .. "/"))
    return 0
end

return command.define(def)
