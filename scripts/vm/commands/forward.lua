-- `vmatrix forward`: the ports of a kept guest that are reached from this host, and one more.
local command = require "vm.cli.command"
local find = require "vm.owner.find"
local target = require "vm.cli.target"

local function handler(opts, operands)
    local guest <close> = find.need(operands.guest)
    if not operands.port then
        local list = guest:forwards()
        if opts.json then
            return target.json(list, true)
        end
        for _, port in ipairs(list) do
            print(target.port(port))
        end
        return
    end
    local item = target.forward(operands.port)
    item.udp, item.address = opts.udp or nil, opts.address
    local host = guest:forward(item)
    if opts.json then
        return target.json { guest = item.guest, host = host, udp = opts.udp or false,
            address = opts.address or "127.0.0.1" }
    end
    print(host)
    target.say("%s:%d leads to port %d of guest %s until it stops", opts.address or "127.0.0.1", host, item.guest,
        guest.name)
end

return command.define {
    name = "forward",
    help = "reach a port of a guest from this host",
    operands = { { name = "GUEST", complete = { "guest" } }, { name = "[HOST:]PORT", key = "port", optional = true } },
    options = {
        { name = "--udp", help = "a port of UDP" },
        { name = "--address", value = "ADDRESS", help = "of this host; 127.0.0.1 unless told otherwise" },
        target.JSON,
    },
    text = [[
Without a port it lists those there are. The number of the host's port goes to stdout. What is to be there
after every start is said when the guest is made: `vmatrix boot --forward`.]],
    examples = { "vmatrix forward dev 8080:80" },
    handler = handler,
}
