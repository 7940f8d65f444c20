-- The manual pages can be made, are what man(7) allows, and lack nothing that the program has.
local t = require "harness"
local tree = require "lint.tree"
local cli = require "vm.cli"
local usages = require "vm.cli.usage"

local pages = { "vmatrix.1", "vmatrix-test.1", "vmatrix.lua.3" }
local made = {}

local function page(name)
    if not made[name] then
        local text, ok = tree.run(("%s %s/scripts/dev/man.lua %s"):format(tree.quote(os.getenv "VMATRIX"),
            tree.quote(tree.root), name))
        t.check(ok, text)
        made[name] = text
    end
    return made[name]
end

-- What mandoc has to say against a page.
local function complaints(text, section)
    return tree.with_sample(text, "." .. section, function(path)
        return (tree.run("mandoc -T lint -W style " .. tree.quote(path)))
    end)
end

-- The page as words, whatever its escapes.
local function words(text)
    return (text:gsub("\\f[BRI]", ""):gsub("\\%-", "-"):gsub("\\&", ""):gsub("\\e", "\\"))
end

t.test("mandoc finds nothing against the manual pages", function()
    t.need "mandoc"
    for _, name in ipairs(pages) do
        t.equal(complaints(page(name), name:sub(-1)), "", name)
    end
end)

t.test("the pages have every command, every option and every function", function()
    local main, test, library = words(page "vmatrix.1"), words(page "vmatrix-test.1"), words(page "vmatrix.lua.3")
    for _, command in ipairs(cli.commands) do
        t.check(main:find("\n.SS vmatrix " .. command.name .. "\n", 1, true), command.name .. " is missing")
        local text = command.name == "test" and test or main
        for _, option in ipairs(usages.parse(usages.of(command)).options) do
            local name = option.names[#option.names]
            t.check(text:find(name, 1, true), ("%s of %s is missing"):format(name, command.name))
        end
    end
    for name in tree.read "docs/manual/reference.md":gmatch "\n### `([%w_.:]+)%(" do
        t.check(library:find("\n.SS " .. name .. "(", 1, true), name .. " is missing")
    end
    for _, section in ipairs { "EXIT STATUS", "ENVIRONMENT", "FILES", "SEE ALSO" } do
        t.check(main:find("\n.SH " .. section .. "\n", 1, true), section .. " is missing")
    end
    t.check(not main:find(os.getenv "HOME", 1, true) or os.getenv "HOME" == "/", "this machine's folders are in it")
end)

t.test("every variable of the environment that is read is in the manual", function()
    local text, count = tree.read "docs/manual/running.md", 0
    for path, source in pairs(tree.sources()) do
        for name in source:gmatch 'getenv%(?%s*"(VMATRIX_[A-Z_]+)"' do
            t.check(text:find("`" .. name .. "`", 1, true), name .. ", which is read by " .. path .. ", is missing")
            count = count + 1
        end
    end
    t.check(count >= 4, "none was found")
end)

t.test("the lint sees a page that man(7) does not allow", function()
    t.need "mandoc"
    t.check(complaints('.TH X 1 "2026-01-01"\n.SH NAME\nx \\- y\n.NOPE\n', "1") ~= "")
end)

t.finish()
