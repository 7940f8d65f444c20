-- When a copy over SFTP goes wrong: what is behind its bare "failure", and what it left in the guest.
local raw = require "vm.raw"
local errors = require "vm.errors"
local shell = require "vm.copy.shell"

local M = {}

-- SSH_FX_FAILURE: all that the SFTP of OpenSSH (version 3 of the protocol) says of a full disk.
local FAILURE <const> = 4
-- Names kept of what lost connections left behind.
local LITTER_MAX <const> = 100

---Calls fn(...), which writes into the guest over SFTP. A bare failure is asked about: the guest's
---shell says whether the disk is full.
---@param remote table
---@param what string
---@param probe string a name in the guest that may be written to, and is removed afterwards
---@param fn function
---@param ... any
---@return any ...
function M.explained(remote, what, probe, fn, ...)
    local results = table.pack(pcall(fn, ...))
    if results[1] then
        return table.unpack(results, 2, results.n)
    end
    local err = results[2]
    if errors.is(err, "ssh") and err.code == FAILURE and remote.session:error() == nil then
        local ok, why = pcall(shell.try_write, remote, what, probe)
        if not ok and errors.is(why, "nospace") then
            errors.fail("nospace", "%s: no space left on the guest's disk for %s", what, raw.tree.shown(probe))
        end
    end
    error(err, 0)
end

---Removes something of ours in the guest when the value is closed while `armed`. Where the connection
---is gone it is noted, and removed over the connection's next session.
---@param remote table
---@param path string
---@return table
function M.discarding(remote, path)
    return setmetatable({ armed = true }, {
        __close = function(self)
            if self.armed and (remote.session:error() or not pcall(shell.discard, remote, path)) then
                local litter = remote.conn.litter or {}
                remote.conn.litter, remote.conn.tidy = litter, M.clear
                litter[#litter < LITTER_MAX and #litter + 1 or LITTER_MAX] = path
            end
        end,
    })
end

---Removes what earlier sessions left behind. Never raises: it is tried again over the next session.
---@param conn vm.Conn
---@param session userdata a session that is ready
function M.clear(conn, session)
    local litter = conn.litter
    while #litter > 0 do
        local path = litter[#litter]
        if not pcall(shell.discard, { session = session, name = conn.name }, path) then
            raw.log.write("warn", conn.name, ("what a lost copy left behind could not be removed: %s")
                :format(raw.tree.shown(path)))
            return
        end
        table.remove(litter)
    end
    conn.litter, conn.tidy = nil, nil
end

return M
