-- Lines of a matrix's parts: enough of Lua's grammar is read to follow its tables.
local t = require "harness"
local source = require "vm.matrix.source"

local function texts(tokens)
    local out = {}
    for i, token in ipairs(tokens) do
        out[i] = token.text
    end
    return out
end

t.test("comments_and_strings_hide_what_is_in_them", function()
    t.equal(texts(source.tokens [==[
#!/usr/bin/env vmatrix
-- matrix { one
--[[ matrix {
]] a = "}" .. '\'{' .. [[ } ]] .. [=[ ]] ]=] --[=[ x ]=] b
]==]), { "a", "=", "}", "..", "'{", "..", "[[ } ]]", "..", "[=[ ]] ]=]", "b" })
    local tokens = source.tokens "a\n--[[\n\n]] b\n[[\n]] c"
    t.equal({ tokens[1].line, tokens[2].line, tokens[3].line, tokens[4].line }, { 1, 4, 5, 6 })
end)

t.test("keys_have_lines_through_functions_calls_and_nested_tables", function()
    local nodes = source.find [[
local vm = require "vm"
return vm.matrix {
    name = "x",
    guest = function(cell)
        local t = { image = cell.image, exclude = { 1 } }
        if t then for i = 1, 2 do while false do end end end
        repeat local x = { 1, 2 } until x
        return t
    end,
    ["exclude"] = {
        { a = 1 },

        { a = 2 }; { a = 3 },
    },
    prepare = {
        vm.step { name = "one",
            uses = { "cc" } },
        vm.step({
            name = "two" }),
    },
    [7] = 1, [f(x)] = 2,
    when = a == b and c ~= d and { } or nil,
    tests = {
        check = function() end, lint = { run = function() return { from = 1 } end,
            from = "check" },
    },
}
]]
    t.equal(#nodes, 1)
    local node = nodes[1]
    t.equal({ node.first, node.last }, { 2, 27 })
    t.equal(node.keys, { "name", "guest", "exclude", "prepare", "when", "tests" })
    local below = node.below
    t.equal(below.guest.below, nil)
    t.equal({ below.exclude.line, below.exclude.below[1].line, below.exclude.below[2].line,
        below.exclude.below[3].line }, { 10, 11, 13, 13 })
    t.equal({ below.prepare.below[1].below.uses.line, below.prepare.below[2].below.name.line }, { 17, 19 })
    t.equal({ below[7].line, below.when.line, below.tests.line }, { 21, 22, 23 })
    t.equal(below.tests.keys, { "check", "lint" })
    t.equal(below.tests.below.lint.below.from.line, 25)
end)

t.test("a_text_that_is_cut_short_anywhere_does_no_harm", function()
    local text = 'return vm.matrix { a = { 1, "x", [[y]] }, b = function() if x then end end, [ "c" ] = f { d = 1 } }'
    for length = 0, #text do
        t.equal(type(source.find(text:sub(1, length))), "table")
    end
end)

t.finish()
