-- Doing something for several images at once, with a line of progress for each; and what the downloads are told.
local bars = require "vm.terminal.bars"
local task = require "vm.task"
local width = require "vm.terminal.width"

local M = {}

local AT_ONCE <const> = 4

---Options that say how downloads are made, for the commands that make some.
---@type vm.CommandOption[]
M.NETWORK = {
    { name = "--ca", value = "FILE", complete = { "file" }, help = "certificates to believe, instead of the system's" },
    { name = "--proxy", value = "URL", help = "instead of what https_proxy and the like say" },
    { name = "--rate", value = "SIZE", type = "size", help = "bytes a second at most, of each download: 2MiB" },
    { name = "--retries", value = "N", type = "integer", help = "of what a moment may cure, in a row; 5" },
}

---The options of a command and those of the network.
---@param list vm.CommandOption[]
---@return vm.CommandOption[]
function M.with_network(list)
    return table.move(M.NETWORK, 1, #M.NETWORK, #list + 1, list)
end

---Does something for each entry, several at once. What fails is said at once and does not stop the others.
---@param what string
---@param entries vm.ImageEntry[]
---@param fn fun(entry: vm.ImageEntry, progress: fun(state: table)): any
---@return table results by "name@arch"
---@return integer failed
function M.each(what, entries, fn)
    local results, failed = {}, 0
    local shown <close> = bars.new()
    task.parallel(entries, function(entry)
        local key = ("%s@%s"):format(entry.name, entry.arch)
        local ok, result = pcall(fn, entry, shown:callback(key))
        shown:done(key)
        if ok then
            results[key] = result
        else
            failed = failed + 1
            shown:erase()
            io.stderr:write(("vmatrix images %s: %s\n"):format(what, width.plain(result)))
        end
    end, { limit = AT_ONCE })
    return results, failed
end

return M
