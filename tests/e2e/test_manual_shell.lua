-- timeout: 600
-- The command lines in the manual and in README.md are run as they stand there, in the order of the chapter,
-- and print what stands below them. Pieces of Lua that begin with a file's name are that file.
local vm = require "vm"
local host = require "vm.host"
local blocks = require "blocks"
local t = require "harness"
local fs = vm.raw.fs

local root = os.getenv "VMATRIX_SOURCE" .. "/"
local bin = assert(fs.mkdtemp "vmatrix-test-")
host.run { "ln", "-s", os.getenv "VMATRIX", bin .. "/vmatrix" }

-- Runs the commands of a block, one after the other, each with the lines that it is to print.
local function run(block, chapter, place)
    local at = 1
    while block.lines[at] do
        local command, promised = block.lines[at]:match "^%$ (.*)$", {}
        while block.lines[at + 1] and not block.lines[at + 1]:find "^%$ " do
            at = at + 1
            promised[#promised + 1] = block.lines[at]
        end
        at = at + 1
        local got = host.run({ "sh", "-c", command }, { cwd = place, check = false, timeout = 300,
            env = { PATH = bin .. ":" .. os.getenv "PATH" } })
        local where = ("%s:%d: %s"):format(chapter, block.line, command)
        t.equal(got.status, 0, where .. ": " .. got.stderr)
        if #promised > 0 then
            local missing = blocks.missing(promised, got.stdout)
            t.check(not missing, ("%s: %q was not printed, but\n%s"):format(where, tostring(missing), got.stdout))
        end
    end
end

local chapters = { "README.md" }
for _, name in ipairs(assert(fs.list(root .. "docs/manual"))) do
    if name:find "%.md$" then
        chapters[#chapters + 1] = "docs/manual/" .. name
    end
end
table.sort(chapters)

local count = 0
for _, chapter in ipairs(chapters) do
    local todo = {}
    for _, block in ipairs(blocks.all(assert(fs.read(root .. chapter, 1 << 20)))) do
        todo[#todo + 1] = block
        todo.shell = todo.shell or block.mark == "run"
    end
    if todo.shell then
        t.test(("the command lines of %s print what they say"):format(chapter), function()
            local place = assert(fs.mkdtemp "vmatrix-test-")
            for _, block in ipairs(todo) do
                if block.file then
                    assert(fs.write_atomic(place .. "/" .. block.file, table.concat(block.lines, "\n") .. "\n"))
                elseif block.mark == "run" then
                    run(block, chapter, place)
                    count = count + 1
                end
            end
            assert(fs.remove_tree(place))
        end)
    end
end

t.test("the command lines were found", function()
    t.check(count >= 5)
end)

assert(fs.remove_tree(bin))
t.finish()
