-- A copy of a table, one level deep: what it holds is shared.

---@param from table
---@return table
return function(from)
    local copy = {}
    for key, value in pairs(from) do
        copy[key] = value
    end
    return copy
end
