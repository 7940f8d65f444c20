-- `vmatrix console`: what a kept guest's serial console has said.
local command = require "vm.cli.command"
local find = require "vm.owner.find"
local raw = require "vm.raw"

-- Nothing that the guest says speaks to a terminal.
local function printable(text)
    if not raw.fs.is_tty(1) then
        return text
    end
    text = text:gsub("\27%[[%d;?]*%a", ""):gsub("[%z\1-\8\11\12\14-\31\127]", "?")
    return utf8.len(text) and text:gsub("\xc2[\x80-\x9f]", "?") or text:gsub("[\x80-\xff]", "?")
end

local function last_lines(text, count)
    local at = #text
    for _ = 1, count + (text:sub(-1) == "\n" and 1 or 0) do
        local before = at > 0 and text:sub(1, at):match ".*()\n" or nil
        if not before then
            return text
        end
        at = before - 1
    end
    return text:sub(at + 2)
end

local function follow(guest, from)
    local file <close> = assert(io.open(guest:path "console.log", "rb"))
    file:seek("set", from)
    while true do
        local chunk = file:read(65536)
        if chunk then
            if not io.stdout:write((printable(chunk))) then
                return command.FAILED
            end
            io.stdout:flush()
        elseif guest:state() == "stopped" then
            return command.OK
        else
            guest.console_log.grown:wait(1)
        end
    end
end

local function handler(opts, operands)
    local guest <close> = find.need(operands.guest)
    if opts.attach then
        guest:console "attach"
        return command.OK
    end
    local text = guest:console()
    local size = raw.fs.stat(guest:path "console.log").size
    if opts.boot then
        text = text:sub(math.max(1, guest.note.boot_offset - (size - #text) + 1))
    end
    io.stdout:write((printable(opts.lines and last_lines(text, opts.lines) or text)))
    io.stdout:flush()
    return opts.follow and follow(guest, size) or command.OK
end

return command.define {
    name = "console",
    help = "what a guest's serial console has said",
    operands = { { name = "GUEST", complete = { "guest" } } },
    options = {
        { name = "--attach", short = "-a", help = "give it this terminal; ~. at the beginning of a line leaves" },
        { name = "--follow", short = "-f", help = "go on with what comes, until the guest stops" },
        { name = "--lines", short = "-n", value = "N", type = "integer", help = "only the last lines" },
        { name = "--boot", help = "only since its last start" },
    },
    text = "Works while the guest is stopped, too. Control characters are shown as ? on a terminal.",
    handler = handler,
}
