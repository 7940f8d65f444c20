-- `vmatrix ssh-config`: what OpenSSH has to know to reach kept guests by their names. Asks no other process.
local command = require "vm.cli.command"
local find = require "vm.owner.find"
local kept = require "vm.owner.kept"
local note_of = require "vm.owner.note"
local place_of = require "vm.owner.place"
local raw = require "vm.raw"
local target = require "vm.cli.target"

-- A path as ssh_config(5) takes it: % begins a token, quotes go around blanks.
local function quoted(path)
    return '"' .. path:gsub("%%", "%%%%") .. '"'
end

-- How a guest is reached; nil while it has no port.
local function way_to(guest)
    local login = guest.note.login
    local port = login and note_of.port(guest.note, login.port)
    local known = guest:path "known_hosts"
    known = raw.fs.exists(known) and known or nil
    return port and { name = guest.name, host = "127.0.0.1", port = port, user = login.user, key = login.key,
        password = login.password ~= nil, known_hosts = known,
        host_key_alias = known and "vmatrix-" .. guest.name or nil } or nil
end

local function block(way)
    local lines = {
        "# vmatrix: guest " .. way.name,
        "Host " .. way.name,
        "  HostName " .. way.host,
        ("  Port %d"):format(way.port),
        "  User " .. way.user,
        "  PasswordAuthentication " .. (way.password and "yes" or "no"),
    }
    if way.key then
        lines[#lines + 1] = "  IdentityFile " .. quoted(way.key)
        lines[#lines + 1] = "  IdentitiesOnly yes"
    end
    if way.known_hosts then
        lines[#lines + 1] = "  HostKeyAlias " .. way.host_key_alias
        lines[#lines + 1] = "  UserKnownHostsFile " .. quoted(way.known_hosts)
        lines[#lines + 1] = "  GlobalKnownHostsFile none"
        lines[#lines + 1] = "  StrictHostKeyChecking yes"
    else -- a port of this host that its own QEMU holds
        lines[#lines + 1] = "  UserKnownHostsFile /dev/null"
        lines[#lines + 1] = "  StrictHostKeyChecking no"
        lines[#lines + 1] = "  LogLevel ERROR"
    end
    return table.concat(lines, "\n") .. "\n"
end

-- Those that were named, or all that can be read.
local function guests_of(names)
    if #names > 0 then
        return find.need_all(names)
    end
    local place, list = place_of.of(), {}
    for _, name in ipairs(note_of.names(place)) do
        local guest, why = kept.open(place, name)
        list[#list + 1] = guest
        if not guest then
            target.say("vmatrix ssh-config: %s", why)
        end
    end
    return list
end

local function handler(opts, operands)
    local guests = guests_of(operands.guest)
    local ways, blocks = {}, {}
    for _, guest in ipairs(guests) do
        local way = way_to(guest)
        if way then
            ways[#ways + 1] = way
            blocks[#blocks + 1] = block(way)
        else
            target.say("vmatrix ssh-config: guest %s is left out: %s", guest.name,
                guest.note.login and "it has not been started yet" or "no login is known for it")
        end
    end
    if opts.json then
        target.json(ways, true)
    else
        io.stdout:write(table.concat(blocks, "\n"))
    end
    return #operands.guest > 0 and #ways < #guests and command.FAILED or command.OK
end

return command.define {
    name = "ssh-config",
    help = "what ssh, scp, rsync and editors need to reach guests by name",
    operands = { { name = "GUEST", complete = { "guest" }, many = true, optional = true } },
    options = { target.JSON },
    text = [[
Prints blocks for ~/.ssh/config, of all kept guests when none is named. The port of a guest stays the same
when it is stopped and started, and its host key is known: no question is asked.]],
    examples = { "vmatrix ssh-config >> ~/.ssh/config && ssh dev",
        "vmatrix ssh-config dev > cfg; rsync -e 'ssh -F cfg' src dev:" },
    handler = handler,
}
