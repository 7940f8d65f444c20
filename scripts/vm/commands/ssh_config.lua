-- `vmatrix ssh-config`: what OpenSSH has to know to reach kept guests by their names. Asks no other process.
local command = require "vm.cli.command"
local find = require "vm.owner.find"
local note_of = require "vm.owner.note"
local place_of = require "vm.owner.place"
local raw = require "vm.raw"
local target = require "vm.cli.target"

-- A path as ssh_config(5) takes it: % begins a token, quotes go around blanks.
local function quoted(path)
    return '"' .. path:gsub("%%", "%%%%") .. '"'
end

local function block(place, note)
    local login, port = note.login, note.login and note_of.port(note, note.login.port)
    if not port then
        return nil
    end
    local folder = place_of.folder(place, note.name)
    local lines = {
        "# vmatrix: guest " .. note.name,
        "Host " .. note.name,
        "  HostName 127.0.0.1",
        ("  Port %d"):format(port),
        "  User " .. login.user,
        "  PasswordAuthentication " .. (login.password and "yes" or "no"),
    }
    if login.key then
        lines[#lines + 1] = "  IdentityFile " .. quoted(login.key)
        lines[#lines + 1] = "  IdentitiesOnly yes"
    end
    if raw.fs.exists(folder .. "/known_hosts") then
        lines[#lines + 1] = "  HostKeyAlias vmatrix-" .. note.name
        lines[#lines + 1] = "  UserKnownHostsFile " .. quoted(folder .. "/known_hosts")
        lines[#lines + 1] = "  GlobalKnownHostsFile none"
        lines[#lines + 1] = "  StrictHostKeyChecking yes"
    else -- a port of this host that its own QEMU holds
        lines[#lines + 1] = "  UserKnownHostsFile /dev/null"
        lines[#lines + 1] = "  StrictHostKeyChecking no"
        lines[#lines + 1] = "  LogLevel ERROR"
    end
    return table.concat(lines, "\n") .. "\n"
end

local function handler(_, operands)
    local place = place_of.of()
    local names = operands.guest
    if #names == 0 then
        names = note_of.names(place)
    end
    local blocks = {}
    for _, name in ipairs(names) do
        local guest <close> = find.need(name)
        local text = block(place, guest.note)
        if text then
            blocks[#blocks + 1] = text
        else
            target.say("vmatrix ssh-config: guest %s is left out: %s", guest.name,
                guest.note.login and "it has not been started yet" or "no login is known for it")
        end
    end
    io.stdout:write(table.concat(blocks, "\n"))
    return #blocks < #operands.guest and command.FAILED or command.OK
end

return command.define {
    name = "ssh-config",
    help = "what ssh, scp, rsync and editors need to reach guests by name",
    operands = { { name = "GUEST", complete = { "guest" }, many = true, optional = true } },
    text = [[
Prints blocks for ~/.ssh/config, of all kept guests when none is named. The port of a guest stays the same
when it is stopped and started, and its host key is known: no question is asked.]],
    examples = { "vmatrix ssh-config >> ~/.ssh/config && ssh dev",
        "vmatrix ssh-config dev > cfg; rsync -e 'ssh -F cfg' src dev:" },
    handler = handler,
}
