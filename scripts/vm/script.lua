-- The script that runs: relative host paths start at its folder.
local M = {}

local folder = "."

---Remembers the script's path ("-" is standard input).
---@param path string
function M.set(path)
    folder = path:match("^(.*)/[^/]*$") or "."
    if path:match("^/[^/]*$") then
        folder = "/"
    end
end

---A host path as the script meant it: relative ones start at the script's folder.
---@param path string
---@return string
function M.path(path)
    if path:sub(1, 1) == "/" or folder == "." then
        return path
    end
    return (folder == "/" and "/" or folder .. "/") .. path
end

return M
