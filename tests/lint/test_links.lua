-- What the documents refer to in this tree is there.
local t = require "harness"
local tree = require "lint.tree"

-- The relative links of a Markdown text; pieces of code are no links.
local function links(text)
    local found = {}
    text = text:gsub("\n```.-\n```", ""):gsub("`[^`\n]*`", "")
    for target in text:gmatch "%]%(([^)%s]+)%)" do
        if not target:find "^%a+:" then
            found[#found + 1] = target
        end
    end
    return found
end

-- The anchors of a Markdown text, as GitHub makes them from its headings.
local function anchors(text)
    local found = {}
    for heading in ("\n" .. text):gmatch "\n#+ ([^\n]+)" do
        found[heading:lower():gsub("[^%w%-_ ]", ""):gsub(" ", "-")] = true
    end
    return found
end

local function exists(path)
    local _, ok = tree.run("test -e " .. tree.quote(tree.root .. "/" .. path))
    return ok
end

local function check(path, text)
    local complaints = {}
    local folder = path:match "^(.*/)[^/]*$" or ""
    for _, target in ipairs(links(text)) do
        local file, anchor = target:match "^([^#]*)#?(.*)$"
        local full = file == "" and path or folder .. file
        if not exists(full) then
            complaints[#complaints + 1] = ("%s: there is no %s"):format(path, target)
        elseif anchor ~= "" and not anchors(tree.read(full))[anchor] then
            complaints[#complaints + 1] = ("%s: %s has no such heading"):format(path, target)
        end
    end
    return complaints
end

t.test("every link of the documents leads somewhere", function()
    local complaints, count = {}, 0
    local files = tree.files({ "docs" }, "*.md")
    table.move({ "README.md", "CHANGES.md" }, 1, 2, #files + 1, files)
    for _, path in ipairs(files) do
        local text = tree.read(path)
        count = count + #links(text)
        table.move(check(path, text), 1, 1000, #complaints + 1, complaints)
    end
    t.check(count > 10, "the documents were not found")
    tree.none(complaints)
end)

t.test("every chapter of the manual is in its index", function()
    local listed = {}
    for _, target in ipairs(links(tree.read "docs/manual/index.md")) do
        listed[target] = true
    end
    for _, path in ipairs(tree.files({ "docs/manual" }, "*.md")) do
        local name = path:match "[^/]+$"
        t.check(listed[name] or name == "index.md", name .. " is not in docs/manual/index.md")
    end
end)

t.test("the lint sees a link to nowhere", function()
    t.equal(check("docs/x.md", "[a](design.md) [b](https://x.org/y) `[c](no.md)`\n```lua\nt[1](no.md)\n```\n"), {})
    t.equal(#check("docs/x.md", "[a](no-such.md)"), 1)
    t.equal(check("docs/x.md", "[a](design.md#the-loop)"), {})
    t.equal(#check("docs/x.md", "[a](design.md#no-such-heading)"), 1)
end)

t.finish()
