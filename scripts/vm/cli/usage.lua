-- What the commands' own help says, taken apart: it is what completion and the manual pages are made
-- of, so that neither can know another option than the program itself shows.
local M = {}

-- "-j, --jobs N" is { names = { "-j", "--jobs" }, value = "N" }; "--format NAME[=FILE]" wants a NAME.
local function as_option(term, text)
    local option = { names = {}, text = text }
    local rest = term
    while true do
        local name, after = rest:match "^(%-%-?[%w][%w-]*)(.*)$"
        if not name then
            break
        end
        option.names[#option.names + 1] = name
        rest = after:match "^[,|] ?(%-.*)$" or after:match "^ | (%-.*)$"
        if not rest then
            option.value = after:match "^[ =](%S+)"
            break
        end
    end
    return #option.names > 0 and option or nil
end

-- The lines of a text with their indentation and, where two spaces part them, term and description.
local function take_line(line)
    local indent, body = line:match "^( *)(.*)$"
    local term, text = body:match "^(%S.-)  +(%S.*)$"
    return #indent, body, term, term and #indent + #body - #text, text
end

---@class vm.Usage
---@field synopsis string[] the ways to call it, without "usage: "
---@field parts table[] in order: { kind = "text"|"heading"|"item"|"example", text =, term =, indent = }
---@field options table[] { names, value, text }

---Takes a help text apart.
---@param text string
---@return vm.Usage
function M.parse(text)
    local usage = { synopsis = {}, parts = {}, options = {} }
    local last, column -- the part that the next line may go on, and where its text begins
    local heading
    local function add(part)
        usage.parts[#usage.parts + 1] = part
        last = part
    end
    for line in (text .. "\n"):gmatch "([^\n]*)\n" do
        local call = line:match "^usage: +(.*)$" or (#usage.parts == 0 and line:match "^       +(%S.*)$")
        local indent, body, term, at, said = take_line(line)
        if call then
            usage.synopsis[#usage.synopsis + 1] = call:gsub("  +.*$", "")
        elseif body == "" then
            last = nil
        elseif heading == "examples" and indent > 0 then
            add { kind = "example", text = body }
        elseif last and last.kind == "item" and indent >= column - 1 then
            last.text = last.text == "" and body or last.text .. " " .. body
        elseif indent > 0 and (term or body:find "^%-") then
            add { kind = "item", indent = indent, term = term or body, text = said or "" }
            column = at or indent + 4
        elseif indent == 0 and body:find ":$" and #body < 30 then
            heading = body:sub(1, -2)
            add { kind = "heading", text = heading }
            last = nil
        elseif last and last.kind == "text" then
            last.text = last.text .. " " .. body
        else
            add { kind = "text", text = body }
        end
    end
    for _, part in ipairs(usage.parts) do
        if part.kind == "item" and part.term:find "^%-" then
            usage.options[#usage.options + 1] = as_option(part.term, part.text)
        end
    end
    return usage
end

---The words that follow a command where it has commands of its own: "list", "show".
---@param usage vm.Usage
---@param command string
---@return string[]
function M.subcommands(usage, command)
    local found, seen = {}, {}
    for _, call in ipairs(usage.synopsis) do
        local rest = call:match("^vmatrix " .. command:gsub("%p", "%%%0") .. " (.*)$") or ""
        for word in (rest:match "^[%l|]+[%l-|]*" or ""):gmatch "[%l][%l-]*" do
            if not seen[word] then
                seen[word] = true
                found[#found + 1] = word
            end
        end
    end
    return found
end

---The module of a command, or of a command's command: a table with `main`, and with `command` where it is data.
---@param item { module: string, field?: string }
---@return table
function M.module(item)
    local module = require(item.module)
    return item.field and module[item.field] or module
end

---The help text of a command, as `vmatrix COMMAND --help` prints it.
---@param item { module: string, field?: string } of vm.cli's list, or of a command's own
---@return string
function M.of(item)
    local parts, real = {}, io.stdout
    local sink = {}
    function sink:write(...)
        for i = 1, select("#", ...) do
            parts[#parts + 1] = tostring((select(i, ...)))
        end
        return self
    end
    rawset(io, "stdout", sink) -- commands write their help there; nothing waits meanwhile
    local ok, err = pcall(M.module(item).main, { "--help" })
    rawset(io, "stdout", real)
    if not ok then
        error(err, 0)
    end
    return table.concat(parts)
end

return M
