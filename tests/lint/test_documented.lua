-- Every public function says what it does: in headers, in bindings and in the Lua library.
local t = require "harness"
local tree = require "lint.tree"

local keywords = { ["if"] = true, ["for"] = true, ["while"] = true, ["switch"] = true, ["return"] = true }

-- A function declared in a header has a comment above it; one comment may cover a group of
-- declarations that no empty line separates. What luaopen_ functions do is always the same.
local function check_header(path, text)
    local complaints = {}
    local commented, in_comment = false, false
    for number, line in ipairs(tree.lines(text)) do
        if in_comment then
            in_comment = not line:find("*/", 1, true)
        elseif line:find "^%s*$" then
            commented = false
        elseif line:find "^%s*/[/*]" then
            commented = true
            in_comment = line:find("/*", 1, true) and not line:find("*/", 1, true)
        else
            local name = line:match "^[%a_][%w_%s%*]-([%a_][%w_]*)%("
            local is_declaration = name and not keywords[name] and not line:find "^typedef"
                and not line:find "^__attribute__" and not name:find "^luaopen_"
            if is_declaration and not commented then
                complaints[#complaints + 1] = ("%s:%d: %s has no comment"):format(path, number, name)
            end
        end
    end
    return complaints
end

-- Whether the line before this one ends a comment.
local function comment_above(lines, number)
    local above = number > 1 and lines[number - 1] or ""
    return above:find "%*/%s*$" ~= nil or above:find "^//" ~= nil
end

-- A function that a luaL_Reg table gives to Lua has its contract above its definition, in
-- whichever of the files that is. What a function does that is also a metamethod (by a
-- double-underscore name, or as the release of l_new_type) is said by Lua. texts: by path.
local function check_bindings(texts)
    local complaints, names = {}, {}
    for _, text in pairs(texts) do
        for body in text:gmatch "luaL_Reg%s+[%w_]+%[%]%s*=%s*(%b{})" do
            for name, fn in body:gmatch '{%s*"([^"]+)"%s*,%s*([%a_][%w_]*)%s*}' do
                if not fn:find "^luaopen_" then names[fn] = name end
            end
        end
    end
    for _, text in pairs(texts) do
        for fn in text:gmatch '{%s*"__%w+"%s*,%s*([%a_][%w_]*)%s*}' do
            names[fn] = nil
        end
        for fn in text:gmatch "l_new_%w+%([^;]-([%a_][%w_]*)%);" do
            names[fn] = nil
        end
    end
    local defined = {}
    for path, text in pairs(texts) do
        local lines = tree.lines(text)
        for number, line in ipairs(lines) do
            local fn = line:match "int ([%a_][%w_]*)%(lua_State %*L%)$"
            if fn and names[fn] then
                defined[fn] = true
                if not comment_above(lines, number) then
                    complaints[#complaints + 1] = ("%s:%d: %s (%s) has no contract"):format(path, number, fn, names[fn])
                end
            end
        end
    end
    for fn, name in pairs(names) do
        if not defined[fn] then
            complaints[#complaints + 1] = ("%s (%s) is not defined in bindings"):format(fn, name)
        end
    end
    table.sort(complaints)
    return complaints
end

-- The comment lines that begin with --- right above a line, joined.
local function annotation_above(lines, number)
    local found = {}
    local at = number - 1
    while at > 0 and lines[at]:find "^%-%-%-" do
        table.insert(found, 1, lines[at])
        at = at - 1
    end
    return table.concat(found, "\n")
end

-- What belongs to the table that a module returns, or to a class with a ---@class, is public.
local function check_lua(path, text)
    local complaints, public = {}, {}
    local lines = tree.lines(text)
    for number, line in ipairs(lines) do
        local class = line:match "^local ([%a_][%w_]*)%s*=" or line:match "^([%a_][%w_]*)%s*="
        if class and annotation_above(lines, number):find "%-%-%-%s*@class" then public[class] = true end
        local returned = line:match "^return ([%a_][%w_]*)%s*$"
        if returned then public[returned] = true end
    end
    for number, line in ipairs(lines) do
        local name = line:match "^function ([%a_][%w_]*[%.:][%w_%.:]+)%s*%("
            or line:match "^([%a_][%w_]*[%.][%w_%.]+)%s*=%s*function%s*%("
        if name and public[name:match "^[%w_]+"] and not name:find "[%.:]_" then
            local rest = table.concat(lines, " ", number, math.min(number + 8, #lines))
            local parameters = rest:match "%((.-)%)"
            local notes = annotation_above(lines, number)
            local function complain(what)
                complaints[#complaints + 1] = ("%s:%d: %s %s"):format(path, number, name, what)
            end
            if not ("\n" .. notes):find "\n%-%-%-%s*[^@%s]" then
                complain "has no sentence that says what it does"
            end
            for parameter in parameters:gmatch "[%w_%.]+" do
                local pattern = "%-%-%-%s*@param%s+" .. parameter:gsub("%.", "%%.") .. "%??%s"
                if parameter ~= "self" and not parameter:find "^_" and not (notes .. "\n"):find(pattern) then
                    complain("has no ---@param " .. parameter)
                end
            end
        end
    end
    return complaints
end

t.test("every function declared in a header is documented", function()
    tree.check(tree.some(30, { "runtime", "bindings" }, "*.h"), check_header)
end)

t.test("every header opens with its purpose", function()
    tree.check(tree.some(30, { "runtime", "bindings" }, "*.h"), function(path, text)
        return text:find "^/%*" and {} or { path .. ": does not open with a sentence of purpose" }
    end)
end)

t.test("every function that a binding gives to lua has a contract", function()
    local texts = {}
    for _, path in ipairs(tree.some(10, { "bindings" }, "*.c")) do
        texts[path] = tree.read(path)
    end
    tree.none(check_bindings(texts))
end)

t.test("every public function of the lua library is annotated", function()
    tree.check(tree.some(100, { "scripts/vm" }, "*.lua"), check_lua)
end)

t.test("the lint sees a declaration without a comment", function()
    t.equal(#check_header("x.h", "/* a */\nint a(void);\nint b(void);\n"), 0)
    t.equal(#check_header("x.h", "/* a */\nint a(void);\n\nint b(void);\n"), 1)
    t.equal(#check_header("x.h", "static inline int *b(void)\n{\n    return f(1);\n}\n"), 1)
    t.equal(#check_header("x.h", "/* a\n\n * b */\nint a(void);\n"), 0)
    t.equal(#check_header("x.h", "typedef void (*fn)(int);\nstruct x { int a; };\n"), 0)
end)

t.test("the lint sees a binding without a contract", function()
    local reg = 'static const luaL_Reg fns[] = {\n    { "a", l_a },\n    { "__gc", l_gc },\n    { NULL, NULL },\n};\n'
    local body = "static int l_a(lua_State *L)\n{\n    return 0;\n}\n"
    t.equal(#check_bindings { ["x.c"] = "/* a */\n" .. body .. reg }, 0)
    t.equal(#check_bindings { ["x.c"] = "/* a */\n" .. body, ["y.c"] = reg }, 0)
    t.equal(#check_bindings { ["x.c"] = "\n" .. body, ["y.c"] = reg }, 1)
    t.equal(#check_bindings { ["x.c"] = reg }, 1)
end)

t.test("the lint sees a lua function without its annotations", function()
    local function count(text)
        return #check_lua("x.lua", text .. "return M\n")
    end
    t.equal(count "---Does.\n---@param a string\nfunction M.f(a) end\n", 0)
    t.equal(count "---Does.\nfunction M.f(a) end\n", 1)
    t.equal(count "---@param a string\nfunction M.f(a) end\n", 1)
    t.equal(count "---@class vm.Guest\nlocal Guest = {}\n-- Does.\nfunction Guest:f() end\n", 1)
    t.equal(count "local Private = {}\nfunction Private:f() end\n", 0)
    t.equal(count "M.f = function(...) end\n", 2)
    t.equal(count "local function f(a) end\nfunction M._f(a) end\n", 0)
end)

t.finish()
