-- What was typed as a piece of Lua: an expression gives its values, a statement is run, and what is not
-- finished waits for more lines.
local M = {}

local NAME <const> = "=stdin"

-- Lua's own rule: what ends too early is not wrong yet.
local function is_unfinished(problem)
    return problem:sub(-5) == "<eof>"
end

---Compiles what was typed.
---@param text string
---@return function|nil chunk
---@return "expression"|"statement"|"unfinished"|string how with a chunk, "unfinished", or what is wrong
function M.compile(text)
    local code = text:gsub("^%s*=", "", 1)
    local chunk = load("return " .. code, NAME, "t")
    if chunk then
        return chunk, code:find "^%s*$" and "statement" or "expression"
    end
    local problem
    chunk, problem = load(text, NAME, "t")
    if chunk then
        return chunk, "statement"
    elseif is_unfinished(problem) then
        return nil, "unfinished"
    end
    return nil, problem
end

---What was typed as a statement of a script. The value of what is no statement goes where the prompt keeps the
---last one.
---@param text string
---@param keep? boolean whether the value of a call, which is one, does so, too
---@return string
function M.statement(text, keep)
    local code = text:gsub("^%s*=", "", 1)
    if not keep and load(text, NAME, "t") then
        return text
    end
    return "_ = " .. code:gsub("^%s+", "")
end

return M
